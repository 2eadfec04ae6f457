"""How coherent maps are: without looking at image, classifier or truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_number, check_tensor
from .order import Maps, check_maps


def total_variation(maps: Maps) -> Tensor:
    """Anisotropic total variation a pixel: [N], 0..2 for maps in 0..1, lower is more coherent.

    ``(sum |m[y, x+1] - m[y, x]| + sum |m[y+1, x] - m[y, x]|) / (H * W)``: the formula of FIDO's smoothness penalty, on
    pixels. It grows with the maps' scale, and a constant map has 0, so compare it at equal sufficiency; between methods
    of different scales take ``total_variation(top(maps, area).float())``, the length of the region's border.

    Args:
        maps: [N, H, W], floating point.

    Raises:
        TypeError, ValueError: the maps are not floating point, not [N, H, W] or not finite.

    Source: Rudin, Osher & Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 1992.
    """
    values = check_maps("maps", maps).double()
    across = values.diff(dim=2).abs().flatten(1).sum(1)
    down = values.diff(dim=1).abs().flatten(1).sum(1)
    return ((across + down) / (values.shape[1] * values.shape[2])).float()


def components(regions: Tensor, *, connectivity: int = 8, min_pixels: int = 1) -> Tensor:
    """Number of connected components of each region: int64 [N], at least 0, lower is more coherent.

    Args:
        regions: thresholded maps, bool [N, H, W], such as ``explanation.ssr > 0.5`` or ``top(importance, 0.2)``.
        connectivity: 8 where pixels that share an edge or a corner are connected, 4 where an edge is needed.
        min_pixels: smaller components are not counted.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Rosenfeld & Pfaltz, "Sequential operations in digital picture processing", Journal of the ACM 1966.
    """
    check_tensor("regions", regions, "[N, H, W]", values=True)
    if regions.dtype != torch.bool:
        raise TypeError(f"regions must be a bool tensor [N, H, W], got {regions.dtype}; threshold the maps first")
    if regions.dim() != 3 or 0 in regions.shape[1:]:
        raise ValueError(f"regions must be [N, H, W], got {list(regions.shape)}")
    if check_number("connectivity", connectivity, int, meaning="4 or 8") not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    min_pixels = check_number("min_pixels", min_pixels, int, 1)
    n, height, width = regions.shape
    labels = label_components(regions, connectivity)
    sizes = torch.bincount(labels[labels >= 0], minlength=regions.numel()).view(n, height * width)
    return (sizes >= min_pixels).sum(1)


def label_components(regions: Tensor, connectivity: int = 8) -> Tensor:
    """For each set pixel the highest index of a pixel of its component, counted through the batch; elsewhere -1.

    Every pixel points to one of its component with an index no lower. In each round all that point to a pixel pass on
    the highest label seen next to them to that pixel, and all pointers are shortened, so that long thin components take
    few rounds too.
    """
    flat = regions.flatten()
    labels = torch.arange(flat.numel(), device=flat.device).where(flat, -1)
    inside = flat.nonzero()[:, 0]
    while True:
        own = labels[inside]
        seen = _highest_around(labels.view(regions.shape), connectivity).flatten()[inside]
        passed = labels.scatter_reduce(0, own, seen, "amax")
        passed[inside] = torch.maximum(passed[inside], seen)
        while True:
            shorter = passed[passed[inside]]
            if torch.equal(shorter, passed[inside]):
                break
            passed[inside] = shorter
        if torch.equal(passed, labels):
            return labels
        labels = passed


def _highest_around(labels: Tensor, connectivity: int) -> Tensor:
    """The highest label of each pixel and its neighbours: [N, H, W]."""
    across = _highest_of_three(labels)
    down = _highest_of_three((across if connectivity == 8 else labels).transpose(1, 2)).transpose(1, 2)
    return torch.maximum(across, down)


def _highest_of_three(labels: Tensor) -> Tensor:
    """The highest label of each pixel and those left and right of it."""
    padded = F.pad(labels, (1, 1), value=-1)
    return torch.maximum(torch.maximum(padded[..., :-2], padded[..., 2:]), labels)
