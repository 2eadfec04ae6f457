"""Standard and simplified concrete dropout, at the mask's cells and at the image's pixels.

In real arithmetic both formulas are one: with p = sigmoid(logits), log p - log(1 - p) = logits, so masks and gradients
are the same numbers. What differs is a small constant inside the logarithms, and rounding. Existing code differs in
more than the formula: it upsamples keep rates and draws the noise of every pixel, where simplified sampling draws that
of every cell and upsamples the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sdfido
from sdfido import reference

Formula = Callable[[Tensor, Tensor, float], Tensor]
"""From keep rates or logits, uniform numbers u of their shape and the temperature to mask values."""

STANDARD_EPSILON = 2.2e-16  # inside the logarithms of existing code's concrete_dropout
SIMPLIFIED_EPSILON = 1e-7  # inside those of its sigmoid_concrete_dropout


def standard(keep: Tensor, u: Tensor, temperature: float, epsilon: float = STANDARD_EPSILON) -> Tensor:
    """``sigmoid((log(p + e) - log(1 - p + e) + log(u + e) - log(1 - u + e)) / temperature)`` of keep rates p.

    Source: Gal, Hron, Kendall, "Concrete dropout", NeurIPS 2017, arXiv 1705.07832.
    """
    odds = torch.log(keep + epsilon) - torch.log(1 - keep + epsilon)
    noise = torch.log(u + epsilon) - torch.log(1 - u + epsilon)
    return torch.sigmoid((odds + noise) / temperature)


def simplified(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """``sigmoid((logits + log((u + e) / (1 - u + e))) / temperature)`` as existing code has it, with e = 1e-7.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    noise = torch.log((u + SIMPLIFIED_EPSILON) / (1 - u + SIMPLIFIED_EPSILON))
    return torch.sigmoid((logits + noise) / temperature)


def standard_at_cells(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    """Masks [..., H, W] from logits and uniform numbers [..., h, w]: samples are upsampled."""
    return reference.upsample(standard(torch.sigmoid(logits), u, temperature), size)


def simplified_at_cells(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    """Masks [..., H, W] from logits and uniform numbers [..., h, w]: samples are upsampled."""
    return reference.upsample(simplified(logits, u, temperature), size)


def standard_at_pixels(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    """Masks [..., H, W] from logits [..., h, w], uniform numbers [..., H, W]: keep rates are upsampled, as in FIDO."""
    return standard(reference.upsample(torch.sigmoid(logits), size), u, temperature)


def simplified_at_pixels(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    """Masks [..., H, W] from logits [..., h, w] and uniform numbers [..., H, W]: logits are upsampled."""
    return simplified(reference.upsample(logits, size), u, temperature)


Sampler = Callable[[Tensor, Tensor, float, tuple[int, int]], Tensor]

AT_CELLS: dict[str, Sampler] = {"standard": standard_at_cells, "simplified": simplified_at_cells}
AT_PIXELS: dict[str, Sampler] = {"standard": standard_at_pixels, "simplified": simplified_at_pixels}


def composites(masks: Tensor, image: Tensor, infill: Tensor) -> Tensor:
    """``infill + M * (image - infill)``: masks [N, K, S, H, W], image and infill [N, C, H, W] -> [N, K, S, C, H, W]."""
    base = infill[:, None, None]
    return base + masks[:, :, :, None] * (image[:, None, None] - base)


class EagerFIDO(sdfido.FIDO):
    """FIDO that samples by one of the functions above, in plain PyTorch; all else is as in sdfido.FIDO.

    Samplers at the same places get the same noise. There are no antithetic samples.
    """

    def __init__(self, model: Any, sampler: Sampler, **settings: Any) -> None:
        super().__init__(model, antithetic=False, **settings)
        self.sampler = sampler

    def _sample(self, logits: Tensor, task: Any, step: int) -> sdfido.CompositeSamples:
        settings, size = self.settings, (task.images.shape[-2], task.images.shape[-1])
        places = size if self.sampler in AT_PIXELS.values() else (logits.shape[-2], logits.shape[-1])
        u = uniform((logits.shape[1], settings.num_samples, *places), settings.seed, step, task.streams.tolist())
        masks = self.sampler(logits[:, :, None], u, settings.heat(step), size)
        blended = composites(masks, task.images, task.infill)
        if task.judge.channels_last:
            blended = blended.movedim(3, -1).contiguous().movedim(-1, 3)
        return sdfido.CompositeSamples(blended, *reference.penalties(logits))


def uniform(shape: tuple[int, ...], seed: int, step: int, streams: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1) for each stream, multiples of 2**-24 as torch.rand's: [streams, *shape]."""
    drawn = [np.random.default_rng([seed, step, stream]).random(shape, np.float32) for stream in streams]
    return torch.from_numpy(np.stack(drawn))
