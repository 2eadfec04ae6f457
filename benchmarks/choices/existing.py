"""FIDO as existing code runs it, for the race in race.py: settings, sampling and optimiser as people have them today.

Masks of the image's size, 8 samples of each drawn and blended one after another, float32 composites in channels-first
order, AdamW with learning rate 10 and eps 0.1, 30 steps, penalties that are sums over pixels.
"""

from collections.abc import Callable

import torch
from eager_fido import FIDO, FIDOConfig, sample
from torch import Tensor

import sdfido
from sdfido.objectives import log_odds

STEPS = 30


class Existing(FIDO):
    """That of benchmarks/eager_fido.py, sampling one mask at a time."""

    def composites(self, X: Tensor, logit_p: Tensor, batch_size: int) -> Tensor:
        composites = []
        for _ in range(batch_size):
            mask = sample(logit_p, 1)
            composites.append(self.infill + mask * (X - self.infill))
        return torch.cat(composites)

    def keep_rates(self) -> Tensor:
        """Of both masks, SSR first: [1, 2, H, W]."""
        return 1 - torch.sigmoid(torch.stack([self.ssr_logit_p, self.sdr_logit_p])).detach()[None]


class Scorer:
    """A classifier as existing code asks it."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model = model

    def log_odds(self, x: Tensor, c: int) -> tuple[Tensor, Tensor]:
        logits = self.model(x)
        targets = torch.full((len(x),), c)
        return sdfido.objectives.probability(logits, targets), log_odds(logits, targets)


def explain(model: Callable[[Tensor], Tensor], image: Tensor, target: int, seed: int = 0) -> Tensor:
    """Keep rates [1, 2, H, W] after the whole run on one image [C, H, W]."""
    torch.manual_seed(seed)
    fido = Existing((image.shape[-2], image.shape[-1]), infill=sdfido.infill.Blur()(image[None])[0])
    fido.fit(image, target, Scorer(model), FIDOConfig(iterations=STEPS))
    return fido.keep_rates()
