"""The final regions: the most important cells of a map, as many as reach a share, without those that are not needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from .base import Scene

__all__ = ["agreement", "smallest"]

_SIZES = 16  # numbers of cells that are tried first, evenly on a logarithmic scale
_GRIDS = (4, 7, 14)  # blocks along each side of the image that are tried to be left out, one grid after the other
_TRIED = 8  # numbers of blocks that are tried at once


def smallest(
    importance: Tensor,
    cells: tuple[int, int],
    keeps: bool,
    scene: Scene,
    share: float,
    pruning: bool = True,
    within: Tensor | None = None,
) -> Tensor:
    """A small region that reaches its share: bool [rows, columns].

    A region that is kept reaches it where ``confidence >= level``, one that is infilled where ``confidence <= level``,
    with ``level = scene.level(share)``: that share of the image's confidence. The most important cells are taken, as
    many as are needed. Then blocks of cells go, those first without which the confidence is best, for as long as the
    share is reached. About a hundred composites are classified, without gradients, or twenty without pruning. The
    confidence need not grow with the region, so there may be a smaller one.

    Args:
        importance: a map [H, W].
        cells: rows and columns.
        keeps: whether the region is kept, and all else infilled; otherwise it is infilled itself.
        scene: one image, and the model.
        share: part of the image's confidence, 0..1.
        pruning: whether blocks go that can be spared.
        within: cells that the region may take, bool [rows, columns]; None: all.

    Returns:
        Whether each cell is in the region; all that it may take where none that was tried reaches the share.
    """

    def margin(regions: Tensor) -> Tensor:
        """By how much regions [R, rows, columns] reach the share, negative where they do not [R]."""
        masks = (regions if keeps else ~regions).float()
        above = scene.masked_confidences(masks[None, None])[0, 0] - scene.level(share)
        return above if keeps else -above

    means = F.adaptive_avg_pool2d(importance[None], cells).flatten()
    total = len(means)
    if within is not None:
        means, total = means.masked_fill(~within.flatten(), -torch.inf), int(within.sum())
    places = torch.empty_like(means, dtype=torch.int64)
    places[means.argsort(descending=True, stable=True)] = torch.arange(len(means), device=means.device)
    sizes = sorted({0} | {round(total ** (i / _SIZES)) for i in range(_SIZES + 1)})
    size = _least(sizes, lambda tried: margin(torch.stack([places < size for size in tried]).view(-1, *cells)) >= 0)
    inside = (places < size).view(cells)
    for grid in _GRIDS if pruning else ():
        if 1 < size < total:
            inside = _pruned(inside, grid, margin)
    return inside


def _least(sizes: list[int], reached: Callable[[list[int]], Tensor]) -> int:
    """The smallest number that reaches a share, by a scan of a few, and one of those in between; else the largest."""
    low, high = -1, sizes[-1]
    tried = sizes[:-1]
    while tried:
        found = [size for size, good in zip(tried, reached(tried).tolist(), strict=True) if good]
        high = min([*found, high])
        low = max([size for size in tried if size < high] + [low])
        tried = _between(low, high)
    return high


def _between(low: int, high: int) -> list[int]:
    """Up to three numbers between two, evenly; none where they are near enough."""
    if low < 0 or high - low <= max(1, high // 25):
        return []
    return sorted({low + round((high - low) * i / 4) for i in (1, 2, 3)} - {low, high})


def _pruned(inside: Tensor, grid: int, margin: Callable[[Tensor], Tensor]) -> Tensor:
    """A region without as many blocks of a grid as it can spare: bool [rows, columns]."""
    rows, columns = inside.shape
    row = torch.arange(rows, device=inside.device) * grid // rows
    column = torch.arange(columns, device=inside.device) * grid // columns
    block = row[:, None] * grid + column
    held = torch.tensor(sorted(set(block[inside].tolist())), device=inside.device)
    if len(held) < 2:
        return inside
    # Those first that can be missed best.
    held = held[margin(torch.stack([inside & (block != each) for each in held])).argsort(descending=True, stable=True)]

    def without(count: int) -> Tensor:
        return inside & ~torch.isin(block, held[:count])

    low, high = 0, len(held)
    while tried := sorted({low + round((high - low) * i / (_TRIED + 1)) for i in range(1, _TRIED + 1)} - {low, high}):
        good = margin(torch.stack([without(count) for count in tried])) >= 0
        spared = [count for count, fine in zip(tried, good.tolist(), strict=True) if fine]
        low = max([*spared, low])
        high = min([count for count in tried if count > low] + [high])
    return without(low)


def agreement(repeats: Tensor) -> Tensor:
    """How far repeats of a map [N, M, h, w] in 0..1 agree: [N], 0..1.

    ``sum min(a, b) / sum max(a, b)`` over the cells, the mean over all pairs of repeats: of regions with sharp borders
    their intersection over union.
    """
    flat = repeats.flatten(2)
    rows, columns = torch.triu_indices(flat.shape[1], flat.shape[1], 1, device=flat.device)
    a, b = flat[:, rows], flat[:, columns]
    return (torch.minimum(a, b).sum(2) / torch.maximum(a, b).sum(2)).mean(1)
