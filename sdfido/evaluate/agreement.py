"""How far maps agree: between seeds, models or methods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ..checks import check_tensor, from_array
from .order import Maps, check_maps


def rank_correlation(a: Maps, b: Maps) -> Tensor:
    """Spearman's rank correlation of two maps of each image: [N], -1..1, higher is more alike.

    The Pearson correlation of the pixels' ranks, equal values sharing their mean rank; 1 for the same order of
    importance whatever the scales, 0 for unrelated ones. NaN where a map is constant, since it has no order.

    Args:
        a, b: maps [N, H, W], floating point.

    Raises:
        TypeError, ValueError: the maps are not floating point, not [N, H, W], not finite or not of equal shape.

    Source: Spearman, "The proof and measurement of association between two things", American Journal of Psychology
    1904; for importance maps Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv 1810.03292.
    """
    a, b = check_maps("a", a), check_maps("b", b)
    if a.shape != b.shape:
        raise ValueError(f"a and b must have equal shapes, got {list(a.shape)} and {list(b.shape)}")
    return _correlation(_centred_ranks(a), _centred_ranks(b.to(a.device)))


def stability(maps: Maps | Sequence[Maps]) -> Tensor:
    """Mean rank correlation of all pairs of R maps of each image: [N], -1..1.

    ``mean over r < s of rank_correlation(maps[r], maps[s])``. Between seeds higher is better: 1 where chance has no
    say. Between models it tells how far they look at the same pixels; where one of them has random weights, a map
    worth its name must not agree, so there lower is better (Adebayo et al.).

    Args:
        maps: [R, N, H, W], floating point, R at least 2, or a list of R maps [N, H, W]: one map of each image for each
            seed or model.

    Raises:
        TypeError, ValueError: the maps are not floating point, not [R, N, H, W] with R at least 2, or not finite.

    Source: as ``rank_correlation``.
    """
    maps = from_array("maps", maps)
    if isinstance(maps, Tensor):
        check_tensor("maps", maps, "[R, N, H, W] with R at least 2", 4)
    elif isinstance(maps, str) or not isinstance(maps, Sequence):
        raise TypeError(f"maps must be a floating-point tensor [R, N, H, W], got {type(maps).__name__}")
    if len(maps) < 2:
        shape = [len(maps)] if isinstance(maps, Sequence) else list(maps.shape)
        raise ValueError(f"maps must be [R, N, H, W] with R at least 2, got {shape}")
    checked = [check_maps("maps", each) for each in maps]
    if len({each.shape for each in checked}) > 1:
        raise ValueError(f"maps must have equal shapes, got {[list(each.shape) for each in checked]}")
    ranked = [_centred_ranks(each) for each in checked]
    return torch.stack([_correlation(a, b) for a, b in combinations(ranked, 2)]).mean(0)


def _centred_ranks(maps: Tensor) -> Tensor:
    """Ranks of the pixels, equal values sharing their mean rank, shifted to mean 0: float64 [N, H * W]."""
    flat = maps.flatten(1).contiguous()
    ordered = flat.sort(dim=1).values
    below = torch.searchsorted(ordered, flat, right=False)
    upto = torch.searchsorted(ordered, flat, right=True)
    return (below + upto - flat.shape[1]).double() / 2


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of what has mean 0: [N]. The sums of centred ranks are exact in any order of summation."""
    return ((a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()).clamp(-1, 1).float()
