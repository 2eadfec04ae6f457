"""The order of importance of an image's pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import check_count, check_number, check_tensor, describe, from_array
from ..ops.rng import make_rng, random_words

Maps = Tensor | NDArray[np.floating[Any]]
"""Importance maps [N, H, W] or [N, 1, H, W], floating point, of any scale and any tool; high is important."""

_TIES = make_rng(0x7165, device="cpu")  # a seed that nothing else uses


def ranks(importance: Maps) -> Tensor:
    """Places of the pixels in the order of importance, from 0 for the most important: int64 [N, H, W].

    Equally important pixels follow each other in a pseudo-random order, which depends on H·W alone: it favours no
    corner, is the same in every run, batch and device, and the same for every method that is compared.

    Args:
        importance: maps [N, H, W], floating point, of any scale.

    Raises:
        TypeError, ValueError: the maps are not floating point, not [N, H, W] or not finite.
    """
    importance = check_maps("importance", importance)
    flat = importance.flatten(1) + 0.0  # makes -0 a 0, which some sorts tell apart
    pixels = flat.shape[1]
    shuffle = _shuffle(pixels).to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(pixels, device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(importance.shape)


def top(importance: Maps, area: float) -> Tensor:
    """The most important part of each image: bool [N, H, W] with ``round(area * H * W)`` pixels set.

    Args:
        importance: maps [N, H, W]; equally important pixels are ordered as in ``ranks``.
        area: part of the image, 0..1.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
    """
    chosen = ranks(importance)
    return chosen < count_pixels(check_fraction("area", area), chosen.shape[1] * chosen.shape[2])


def count_pixels(fraction: float, pixels: int) -> int:
    """The nearest number of pixels, halves up."""
    return math.floor(fraction * pixels + 0.5)


def check_fraction(name: str, value: float) -> float:
    fraction: float = check_number(name, value, float, 0, 1, meaning="a part of the image, 0..1")
    return fraction


def check_fractions(name: str, fractions: int | Sequence[float]) -> list[float]:
    """Increasing parts of an image; of a number, so many even ones from 0 to 1."""
    if isinstance(fractions, int):
        number = check_count(name, fractions, 2)
        return [i / (number - 1) for i in range(number)]
    if isinstance(fractions, str) or not isinstance(fractions, Sequence):
        raise TypeError(f"{name} must be a sequence of parts of the image, 0..1, got {describe(fractions)}")
    values = [check_fraction(name, fraction) for fraction in fractions]
    if not values or values != sorted(set(values)):
        raise ValueError(f"{name} must be at least one part of the image, increasing, got {values}")
    return values


def check_maps(name: str, maps: Maps) -> Tensor:
    """Maps of any tool as a tensor [N, H, W]: of a tensor or a NumPy array [N, H, W] or [N, 1, H, W].

    Raises:
        TypeError, ValueError: they are not floating point, of another shape, or not finite.
    """
    maps = check_tensor(name, from_array(name, maps), "[N, H, W]", floating=True)
    if maps.dim() == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.dim() == 4:
        raise ValueError(
            f"{name} must be one map for each image, [N, H, W], got {list(maps.shape)}; sum attributions over the "
            f"channels: {name}.sum(1), or {name}.abs().sum(1)"
        )
    if maps.dim() != 3 or 0 in maps.shape[1:]:
        raise ValueError(f"{name} must be [N, H, W], got {list(maps.shape)}")
    return check_tensor(name, maps, finite=True).detach()


@functools.lru_cache(maxsize=4)  # it takes a third of the time of the ranks of a photo
def _shuffle(pixels: int) -> Tensor:
    """A fixed pseudo-random permutation of so many pixels."""
    stream = torch.zeros(1, dtype=torch.int64, device="cpu")
    return random_words(_TIES, stream, 1, 1, pixels, False).flatten().argsort(stable=True)
