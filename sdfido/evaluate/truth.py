"""How well maps point out what is known to matter.

The truth is a bool mask [N, H, W], or a box (y0, x0, y1, x1) for all images or for each of them [N, 4], in pixels, with
the rows y0, ..., y1 - 1 and the columns x0, ..., x1 - 1. It holds at least one pixel of each image.

A map selects pixels by a threshold: a number t selects those with a value above t; "truth" selects as many of the most
important pixels as the truth has, which is fair to maps of any scale. Equal values are ordered as in ``ranks``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_integers, check_number, check_tensor, describe, from_array
from .order import Maps, check_maps, ranks

Truth = Tensor | NDArray[Any] | Sequence[int] | Sequence[Sequence[int]]
Threshold = float | Literal["truth"]


def intersection_over_union(importance: Maps, truth: Truth, *, threshold: Threshold = "truth") -> Tensor:
    """``|S and T| / |S or T|`` of selected pixels S and truth T: [N], 0..1, higher is better.

    Args:
        importance: maps [N, H, W].
        truth: mask or boxes, see ``sdfido.evaluate.truth``.
        threshold: a value, or "truth"; with "truth" chance is ``a / (2 - a)`` for a truth of area a.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.
    """
    selected, known = _select(importance, truth, threshold)
    return (selected & known).sum((1, 2)).float() / (selected | known).sum((1, 2))


def pointing_game(importance: Maps, truth: Truth, *, tolerance: int = 0) -> Tensor:
    """Whether the most important pixel lies in the truth: [N], 1 for a hit, 0 for a miss, higher is better.

    Where several pixels share the highest value, the part of them that hits; so a constant map gets the truth's area.

    Args:
        importance: maps [N, H, W].
        truth: mask or boxes, see ``sdfido.evaluate.truth``.
        tolerance: pixels that a hit may lie from the truth, by Euclidean distance; 15 in the source.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016, arXiv 1608.00507, section 4.1.
    """
    importance, known = check_truth(importance, truth)
    near = _within(known, check_number("tolerance", tolerance, int, 0))
    highest = importance == importance.amax((1, 2), keepdim=True)
    return (highest & near).sum((1, 2)).float() / highest.sum((1, 2))


def outside(importance: Maps, truth: Truth, *, threshold: Threshold = "truth") -> Tensor:
    """Part of the selected pixels that lies outside the truth, ``|S without T| / |S|``: [N], 0..1, lower is better.

    This is one minus the precision; NaN where a map selects nothing. Arguments and errors are those of
    ``intersection_over_union``.
    """
    selected, known = _select(importance, truth, threshold)
    return (selected & ~known).sum((1, 2)).float() / selected.sum((1, 2))


def false_positive_rate(importance: Maps, truth: Truth, *, threshold: Threshold = "truth") -> Tensor:
    """Part of what lies outside the truth that is selected, ``|S without T| / |not T|``: [N], 0..1, lower is better.

    A map that selects nothing gets 0, so read it beside ``intersection_over_union``, whose arguments and errors it
    shares; NaN where the truth is the whole image. With a box it is what evaluations of FIDO's masks have called FDR.
    """
    selected, known = _select(importance, truth, threshold)
    return (selected & ~known).sum((1, 2)).float() / (~known).sum((1, 2))


def energy_outside(importance: Maps, truth: Truth) -> Tensor:
    """Part of a map's sum that lies outside the truth: [N], 0..1, lower is better.

    ``sum of m outside T / sum of m``, without a threshold, so the values' scale counts (their unit does not); NaN where
    a map is 0 everywhere.

    Args:
        importance: maps [N, H, W], nowhere negative.
        truth: mask or boxes, see ``sdfido.evaluate.truth``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: one minus the energy-based pointing game of Wang et al., "Score-CAM", CVPR workshops 2020, arXiv 1910.01279.
    """
    importance, known = check_truth(importance, truth)
    if (importance < 0).any():
        raise ValueError(
            f"importance must not be negative, got {float(importance.min()):g}; clip it or take its absolute value"
        )
    energy = importance.double()
    return ((energy * ~known).flatten(1).sum(1) / energy.flatten(1).sum(1)).float()


def _select(importance: Maps, truth: Truth, threshold: Threshold) -> tuple[Tensor, Tensor]:
    """Selected pixels and truth, both bool [N, H, W]."""
    importance, known = check_truth(importance, truth)
    if isinstance(threshold, str) and threshold == "truth":
        return ranks(importance) < known.sum((1, 2), keepdim=True), known
    if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real):
        raise TypeError(f'threshold must be a number or "truth", got {describe(threshold)}')
    if not math.isfinite(threshold):
        raise ValueError(f'threshold must be a finite number or "truth", got {threshold}')
    return importance > float(threshold), known


def check_truth(importance: Maps, truth: Truth) -> tuple[Tensor, Tensor]:
    """The maps, and the truth as a bool mask of their shape and device."""
    importance = check_maps("importance", importance)
    truth = from_array("truth", truth)
    if isinstance(truth, Tensor):
        check_tensor("truth", truth, values=True)
    if isinstance(truth, Tensor) and truth.dtype == torch.bool:
        if truth.shape != importance.shape:
            raise ValueError(f"truth must be a mask like the maps, {list(importance.shape)}, got {list(truth.shape)}")
        known = truth.to(importance.device)
    else:
        known = _boxes(truth, importance)
    empty = ~known.any(2).any(1)
    if empty.any():
        raise ValueError(f"truth must hold a pixel of each image, got none of image {int(empty.nonzero()[0])}")
    return importance, known


def _boxes(truth: Truth, importance: Tensor) -> Tensor:
    n, height, width = importance.shape
    meaning = "truth must be a bool mask [N, H, W], or integers (y0, x0, y1, x1), one box or one for each image"
    boxes = check_integers("truth", truth, meaning.removeprefix("truth must be "), importance.device)
    if n == 0 and boxes.numel() == 0:
        boxes = boxes.view(0, 4)
    if boxes.shape not in ((4,), (n, 4)):
        raise ValueError(f"{meaning}, here {n}; got shape {list(boxes.shape)}")
    y0, x0, y1, x1 = boxes.expand(n, 4).unbind(1)
    wrong = (y0 < 0) | (x0 < 0) | (y1 > height) | (x1 > width) | (y0 >= y1) | (x0 >= x1)
    if wrong.any():
        box = tuple(boxes.expand(n, 4)[wrong][0].tolist())
        raise ValueError(
            f"truth must have boxes with 0 <= y0 < y1 <= {height} and 0 <= x0 < x1 <= {width}, got (y0, x0, y1, x1) = "
            f"{box}"
        )
    ys, xs = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    rows = (ys >= y0[:, None]) & (ys < y1[:, None])
    columns = (xs >= x0[:, None]) & (xs < x1[:, None])
    return rows[:, :, None] & columns[:, None, :]


def _within(known: Tensor, distance: int) -> Tensor:
    """Pixels at most so far from a set one, by Euclidean distance: bool [N, H, W]."""
    height, width = known.shape[1:]
    near = known.clone()
    rows = known.float()
    for dy in range(min(distance, height - 1) + 1):
        dx = min(math.isqrt(distance**2 - dy**2), width - 1)
        wide = F.max_pool1d(rows, 2 * dx + 1, stride=1, padding=dx) > 0
        near[:, dy:] |= wide[:, : height - dy]
        near[:, : height - dy] |= wide[:, dy:]
    return near
