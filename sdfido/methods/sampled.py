"""Masks that are learned from samples, as FIDO learns them: simplified concrete dropout, and weights that adapt."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from .. import ops
from ..ops import make_rng
from .base import Scene
from .learner import MaskLearner, image_by_image
from .settings import SampledSettings

__all__ = ["SampledMasks"]

_PATIENCE = 0.2  # part of the steps before prices change: until then masks are far from what they will be
_PRICES = (0.2, 6.0)  # the least and the most


class SampledMasks(MaskLearner):
    """Learns mask logits from composites by sampled masks; a method says, beside what every learner says, ``slack``."""

    settings: SampledSettings

    @abstractmethod
    def slack(self, scores: Tensor, score_at: Callable[[float], Tensor]) -> Tensor:
        """By how much each mask's mean score [N, V] is better than its share of the image's confidence needs [N, V].

        ``score_at`` gives the score [N] that means a share of the image's confidence.
        """

    def sample(self, mask_logits: Tensor, scene: Scene, step: int) -> ops.CompositeSamples:
        """The composites of a step and the penalties of mask logits [N, K, h, w], differentiable."""
        settings = self.settings
        return ops.sample_composites(
            mask_logits,
            scene.images,
            scene.infill,
            _states(settings.seed, settings.steps, mask_logits.device)[step],
            num_samples=settings.num_samples,
            temperature=settings.temperature_at(step),
            antithetic=settings.antithetic,
            streams=scene.streams,
            dtype=scene.execution.dtype,
            channels_last=bool(scene.execution.channels_last),
        )

    def prices(self, prices: Tensor, scores: Tensor, scene: Scene, step: int) -> Tensor:
        """Lower where a mask falls short of its share of the image's confidence, higher where it has room.

        ``price <- price * exp(adaptation * tanh(slack / 2))``, between 1/5 and 6, with ``slack`` the distance of the
        score to that at which the share is reached: the ascent of a multiplier for the constraint. Prices stay as they
        are where a score does not say which of its values means a confidence (``at_confidence``).
        """
        settings, known = self.settings, getattr(scene.score, "at_confidence", None)
        if not settings.adaptation or known is None or step < _PATIENCE * settings.steps:
            return prices
        if known(scene.confidence) is None:
            return prices

        def changed(prices: Tensor, scores: Tensor, confidence: Tensor, floor: Tensor, unit: Tensor) -> Tensor:
            slack = self.slack(scores, lambda share: known(scene.scale.level(share, confidence, floor)) / unit)
            return (prices * torch.exp(settings.adaptation * torch.tanh(slack / 2))).clamp(*_PRICES)

        return image_by_image(changed, prices, scores, scene.confidence, scene.floor, scene.unit)

    def earliest_convergence(self) -> float:
        return self.settings.warmup * self.settings.steps + super().earliest_convergence()


@functools.lru_cache(maxsize=8)  # tensors that a step would have to copy to a GPU, and wait
def _states(seed: int, steps: int, device: torch.device) -> Tensor:
    """The random states of all steps, int64 [steps, 2]."""
    return torch.stack([make_rng(seed, step=step, device="cpu") for step in range(steps)]).to(device)
