"""Smoothing of images, maps and gradients by symmetric filters."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def smooth(images: Tensor, weights: Sequence[float]) -> Tensor:
    """Filter rows and columns, divided by the filter's mass inside the image: ``sum_j w[|i-j|] x_j / sum_j w[|i-j|]``.

    One multiplication and one addition per tap, as separate operations: nothing here depends on how a library
    blocks its loops, so an image gives the same bits in any batch and with any number of threads.

    Args:
        images: [..., H, W], floating point.
        weights: of the neighbours at distances 0, 1, ... on either side; those beyond the image are left out.

    Returns:
        Images [..., H, W] with the dtype of ``images``; constants stay constant up to the border.
    """
    result = widen(images)
    for dim in (-1, -2):
        length = result.shape[dim]
        taps = weights[:length]
        total = result * taps[0]
        for d, weight in enumerate(taps[1:], start=1):
            total.narrow(dim, d, length - d).add_(result.narrow(dim, 0, length - d) * weight)
            total.narrow(dim, 0, length - d).add_(result.narrow(dim, d, length - d) * weight)
        mass = _mass(tuple(taps), length, total.dtype, total.device)
        result = total / (mass if dim == -1 else mass[:, None])
    return result.to(images.dtype)


@functools.lru_cache(maxsize=64)  # made on the CPU: a GPU would be waited for in every step of a descent
def _mass(taps: tuple[float, ...], length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The filter's mass inside an axis of this length, at each place [length]."""
    prefix = np.cumsum(taps)
    left = np.minimum(np.arange(length), len(taps) - 1)
    with torch.inference_mode(False):  # it stays for callers who need gradients
        return torch.from_numpy(prefix[left] + prefix[left[::-1]] - taps[0]).to(device, dtype)


def gaussian_weights(sigma: float, reach: int) -> list[float]:
    """Weights ``exp(-d**2 / (2 sigma**2))`` at distances d = 0, ..., reach, for ``smooth``.

    Args:
        sigma: standard deviation, in the unit of d.
        reach: largest distance; at 0 there is no smoothing, whatever sigma is.
    """
    return [1.0, *(math.exp(-0.5 * (d / sigma) ** 2) for d in range(1, reach + 1))]


def widen(images: Tensor) -> Tensor:
    """The images in float32, or in their own dtype where that is wider."""
    return images.to(torch.promote_types(images.dtype, torch.float32))
