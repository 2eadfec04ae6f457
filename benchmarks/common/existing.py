"""FIDO by simplified concrete dropout as people write it in PyTorch: the baseline that sdfido replaces.

It has the part of the interface that docs/guides/migration.md uses. It keeps an optimisation loop of its own, with
gradients left to autograd, because that loop is what is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdfido.infills import Blur
from sdfido.ops.functional import blend
from sdfido.scores import log_odds, probability


@dataclass
class MaskConfig:
    mask_size: int | None = None


@dataclass
class FIDOConfig:
    learning_rate: float = 10
    batch_size: int = 8
    iterations: int = 100
    l1: float = 1e-3
    tv: float = 1e-2
    reg_warmup: int = 5


class ScoredClassifier:
    """A classifier as existing FIDO code calls it: ``predict(x)`` and ``log_odds(x, c=...)``."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model = model

    def predict(self, x: Tensor) -> tuple[Tensor]:
        return (self.model(x),)

    def log_odds(self, x: Tensor, c: int | Tensor) -> tuple[Tensor, Tensor]:
        """Probability and log-odds [B] of one class."""
        (logits,) = self.predict(x)
        targets = torch.as_tensor(c).expand(len(x))
        return probability(logits, targets), log_odds(logits, targets)


def sample(logit_p: Tensor, batch_size: int, temperature: float = 0.1) -> Tensor:
    """Keep masks [B, h, w]; sigmoid(logit_p) is a dropout rate."""
    u = torch.rand(batch_size, *logit_p.shape, device=logit_p.device)
    return 1 - torch.sigmoid((logit_p + torch.log((u + 1e-7) / (1 - u + 1e-7))) / temperature)


def variation(rates: Tensor) -> Tensor:
    return rates.diff(dim=-1).abs().sum() + rates.diff(dim=-2).abs().sum()


class FIDO(nn.Module):
    """Samples all masks of a step at once."""

    def __init__(self, size: tuple[int, int], *, infill: Tensor) -> None:
        super().__init__()
        self.register_buffer("infill", infill)
        self.ssr_logit_p, self.sdr_logit_p = (nn.Parameter(torch.zeros(size)) for _ in range(2))

    @classmethod
    def new(cls, im: Tensor, mask_config: MaskConfig, *, device: torch.device | str) -> "FIDO":
        size = (mask_config.mask_size,) * 2 if mask_config.mask_size else im.shape[-2:]
        return cls(size, infill=Blur()(im[None])[0]).to(device)

    def composites(self, X: Tensor, logit_p: Tensor, batch_size: int) -> Tensor:
        return blend(sample(logit_p, batch_size), X, self.infill)

    def fit(self, im: Tensor, y: int, clf: Any, config: FIDOConfig) -> None:
        optimizer = torch.optim.AdamW(self.parameters(), lr=config.learning_rate, eps=0.1, weight_decay=0)
        for iteration in range(config.iterations):
            _, ssr = clf.log_odds(self.composites(im, self.ssr_logit_p, config.batch_size), c=y)
            _, sdr = clf.log_odds(self.composites(im, self.sdr_logit_p, config.batch_size), c=y)
            ssr_rate, sdr_rate = torch.sigmoid(self.ssr_logit_p), torch.sigmoid(self.sdr_logit_p)
            l1 = 0.5 * ((1 - ssr_rate).sum() + sdr_rate.sum())
            tv = variation(ssr_rate) + variation(sdr_rate)
            warmup = min(1.0, (iteration + 1) / config.reg_warmup)
            loss = (sdr - ssr).mean() + warmup * (config.l1 * l1 + config.tv * tv)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def keep_rates(self) -> Tensor:
        """Of both masks, SSR first: [1, 2, h, w]."""
        return 1 - torch.sigmoid(torch.stack([self.ssr_logit_p, self.sdr_logit_p])).detach()[None]


class OneByOneFIDO(FIDO):
    """Samples and blends the masks of a step one after another, as most existing code does."""

    def composites(self, X: Tensor, logit_p: Tensor, batch_size: int) -> Tensor:
        one = super().composites
        return torch.cat([one(X, logit_p, 1) for _ in range(batch_size)])
