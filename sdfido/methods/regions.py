"""The final regions: cells in the order of a map, cut where they suffice, or where their loss leaves little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from .base import Scene

__all__ = ["agreement", "cut", "order_of_cells"]

_COARSE = 16  # areas that are tried first, evenly on a logarithmic scale
_TOP = 0.1  # part of the cells by which repeats are compared
_ROUNDS, _FINE = 2, 3  # refinements after that, and areas tried in each


def order_of_cells(importance: Tensor, cells: tuple[int, int]) -> Tensor:
    """Places of the cells in the order of a map [N, H, W], from 0 for the most important: int64 [N, rows, columns].

    A cell counts by the mean of its pixels; equal ones follow each other row by row.
    """
    means = F.adaptive_avg_pool2d(importance[:, None], cells).flatten(1)
    order = means.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(-1, *cells)


def cut(places: Tensor, keeps: bool, scene: Scene, share: float) -> Tensor:
    """Number of the most important cells with which a region is the smallest found that reaches its share: int64 [N].

    A region that is kept reaches it where ``confidence >= share * confidence of the image``, one that is infilled where
    ``confidence <= share * confidence of the image``. Areas on a logarithmic scale are tried first, then those between
    the smallest that reaches it and the next smaller one. The confidence need not grow with the region, so a smaller
    region than the one found may reach the share, too.

    Args:
        places: order of the cells [N, h, w].
        keeps: whether the region is kept, and all else infilled; otherwise it is infilled itself.
        scene: the images and the model.
        share: part of the image's confidence, 0..1.

    Returns:
        the number of cells; all of them where no number that was tried reaches the share.
    """
    total, wanted = places[0].numel(), share * scene.confidence[:, None]
    tried = sorted({0} | {round(total ** (i / _COARSE)) for i in range(_COARSE + 1)})
    counts = torch.tensor(tried, device=places.device).expand(len(places), -1)
    low = high = counts[:, 0]
    for turn in range(_ROUNDS + 1):
        if turn:
            steps = torch.arange(1, _FINE + 1, device=places.device) / (_FINE + 1)
            counts = torch.cat([(low[:, None] + (high - low)[:, None] * steps).round().long(), high[:, None]], 1)
        inside = places[:, None] < counts[:, :, None, None]
        found = scene.masked_confidences((inside if keeps else ~inside).float()[:, None])[:, 0]
        reached = found >= wanted if keeps else found <= wanted
        reached[:, -1] = True  # the largest that is left: it reaches the share, or there is no larger one
        first = reached.int().argmax(1, keepdim=True)
        before = torch.where(first > 0, counts.gather(1, (first - 1).clamp(min=0)), low[:, None])
        low, high = before[:, 0], counts.gather(1, first)[:, 0]
    return high


def agreement(repeats: Tensor) -> Tensor:
    """How far repeats of a map [N, M, h, w] agree on the most important tenth of the cells: [N], 0..1.

    The number of cells in both over the number in either, the mean over all pairs of repeats.
    """
    flat = repeats.flatten(2)
    count = max(1, round(_TOP * flat.shape[2]))
    chosen = torch.zeros_like(flat).scatter_(2, flat.topk(count, dim=2).indices, 1.0)
    both = chosen @ chosen.transpose(1, 2)
    rows, columns = torch.triu_indices(flat.shape[1], flat.shape[1], 1, device=flat.device)
    shared = both[:, rows, columns]
    return (shared / (2 * count - shared)).mean(1)
