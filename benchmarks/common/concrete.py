"""Standard and simplified concrete dropout, at the mask's cells and at the image's pixels, in plain PyTorch.

In real arithmetic both formulas are one: with p = sigmoid(logits), log p - log(1 - p) = logits, so masks and gradients
are the same numbers. They differ in a small constant inside the logarithms, and in rounding. Existing code differs in
more than the formula: it upsamples keep rates and draws noise for every pixel, where simplified sampling draws it for
every cell and upsamples the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sdfido.ops.functional import upsample

Sampler = Callable[[Tensor, Tensor, float, tuple[int, int]], Tensor]
"""From logits [..., h, w], uniform numbers, the temperature and the image's size to masks."""

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


# Samplers at cells give masks [..., h, w] of samples, which the composites upsample; those at pixels give masks
# [..., H, W] of keep rates or logits that are upsampled before the samples.


def standard_at_cells(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    return standard(torch.sigmoid(logits), u, temperature)


def simplified_at_cells(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    return simplified(logits, u, temperature)


def standard_at_pixels(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    return standard(upsample(torch.sigmoid(logits), size), u, temperature)


def simplified_at_pixels(logits: Tensor, u: Tensor, temperature: float, size: tuple[int, int]) -> Tensor:
    return simplified(upsample(logits, size), u, temperature)


AT_CELLS: dict[str, Sampler] = {"standard": standard_at_cells, "simplified": simplified_at_cells}
AT_PIXELS: dict[str, Sampler] = {"standard": standard_at_pixels, "simplified": simplified_at_pixels}


def places(sampler: Sampler, logits: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the uniform numbers that a sampler takes."""
    return size if sampler in AT_PIXELS.values() else (logits.shape[-2], logits.shape[-1])


def uniform(shape: tuple[int, ...], seed: int, step: int, streams: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1) for each stream, multiples of 2**-24 as torch.rand's: [streams, *shape]."""
    drawn = [np.random.default_rng([seed, step, stream]).random(shape, np.float32) for stream in streams]
    return torch.from_numpy(np.stack(drawn))
