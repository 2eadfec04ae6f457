"""Variants of FIDO that the studies compare: other sampling, other settings; all of them run sdfido's own loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import sdfido
from benchmarks.common import concrete
from benchmarks.common.concrete import Sampler
from sdfido import Scene
from sdfido.methods.descent import Descent
from sdfido.methods.learner import Readout
from sdfido.ops import functional
from sdfido.ops.rng import random_words

PLAIN: dict[str, Any] = {
    "steps": 120,
    "repeats": 1,
    "num_samples": 1,
    "region_weight": 0.0,
    "adaptation": 0.0,
    "learning_rate": 0.45,
    "spread": 1.0,
    "temperature": (1.0, 0.2),
    "sparsity_weight": 22.0,
    "smoothness_weight": 25.0,
    "warmup": 0.375,
    "mask_size": 28,
}
"""FIDO with fixed weights, one sample of one mask for each region: the defaults of version 0.1."""


class SampledFIDO(sdfido.FIDO):
    """FIDO whose masks are sampled in plain PyTorch by a function of benchmarks/common/concrete.py.

    All else is as in ``sdfido.FIDO``. Samplers at the same places get the same noise.
    """

    def __init__(self, model: Any, sampler: Sampler, **settings: Any) -> None:
        super().__init__(model, **settings)
        self.sampler = sampler

    def sample(self, mask_logits: Tensor, scene: Scene, step: int) -> sdfido.CompositeSamples:
        u = self.uniform(concrete.places(self.sampler, mask_logits, scene.size), mask_logits, scene, step)
        masks = self.sampler(mask_logits[:, :, None], u, self.settings.temperature_at(step), scene.size)
        composites = functional.blend(masks, scene.images[:, None, None], scene.infill[:, None, None])
        composites = composites.to(scene.execution.dtype)
        if scene.execution.channels_last:
            composites = composites.movedim(3, -1).contiguous().movedim(-1, 3)
        return sdfido.CompositeSamples(composites, *functional.penalties(mask_logits))

    def uniform(self, places: tuple[int, int], mask_logits: Tensor, scene: Scene, step: int) -> Tensor:
        """Uniform numbers [N, K, S, *places] of a step; there are no antithetic samples."""
        shape = (mask_logits.shape[1], self.settings.num_samples, *places)
        return concrete.uniform(shape, self.settings.seed, step, scene.streams.tolist())


class StandardFIDO(SampledFIDO):
    """FIDO with standard concrete dropout at cells and the very noise of ``sdfido.FIDO``."""

    def __init__(self, model: Any, **settings: Any) -> None:
        super().__init__(model, concrete.standard_at_cells, **settings)

    def uniform(self, places: tuple[int, int], mask_logits: Tensor, scene: Scene, step: int) -> Tensor:
        settings, (n, k, h, w) = self.settings, mask_logits.shape
        rng = sdfido.make_rng(settings.seed, step=step, device=mask_logits.device)
        words = random_words(rng, scene.streams, k, settings.num_samples, h * w, settings.antithetic)
        return (((words >> 8) + 0.5) / 2**24).to(mask_logits).view(n, k, settings.num_samples, h, w)


class Adam(Descent):
    """Divides each cell by the root of its own mean square."""

    def squared(self, gradient: Tensor) -> Tensor:
        return gradient * gradient


class PublishedFIDO(SampledFIDO):
    """FIDO as it was published, with both masks learned side by side.

    Keep rates of 56 x 56 cells, upsampled before pixels are sampled by standard concrete dropout of temperature 0.1; 8
    samples, 300 steps of Adam with a rate of 0.05 that falls linearly to 0; 0.001 times the summed area, rising over 30
    steps; no smoothness. Its maps are the keep rates at the end.

    Source: Chang et al., ICLR 2019, arXiv 1807.08024.
    """

    def __init__(self, model: Any, *, steps: int = 300, cells: int = 56, **settings: Any) -> None:
        published = {
            "mask_size": cells,
            "steps": steps,
            "repeats": 1,
            "region_weight": 0.0,
            "adaptation": 0.0,
            "num_samples": 8,
            "temperature": 0.1,
            "antithetic": False,
            "learning_rate": 0.05,
            "sparsity_weight": 1e-3 * cells**2,  # of the mean over cells
            "smoothness_weight": 0.0,
            "warmup": min(1.0, 29 / steps),
            "tolerance": 0.0,
        }
        super().__init__(model, concrete.standard_at_pixels, **published, **settings)

    def updater(self, parameters: Tensor) -> Adam:
        rate, steps = self.settings.learning_rate, self.settings.steps
        return Adam(parameters, lambda step: rate * (1 - step / steps), memory=0.999)

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        return super().readout(scene, parameters, torch.sigmoid(parameters))
