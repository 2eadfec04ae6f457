"""Which parts of objects regions show: their pieces, features of these by the model itself, and clusters of them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .. import outputs
from ..checks import check_count, check_flag, check_kind, check_number, check_tensor
from ..models import packages
from ..scores import eval_mode
from .coherence import label_components

__all__ = ["Clusters", "clusters", "pieces", "region_features"]

Values = NDArray[np.float64]

FEWEST = 8  # regions that can have two groups

_PREFIXES = (0, 1, 2, 5)  # tokens before those of the places, in transformers
_SAME = 1e-3  # length below which what a feature differs by from the mean is rounding
_AXES = 32  # principal components of features, at most
_SPLITS = 16  # of the regions into halves
_STARTS = 4  # of k-means, of which the best is taken


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of regions, the largest first."""

    labels: Tensor  #: group of each region [N], int64
    #: regions of each group: first the medoid, which is nearest to all others, then those nearest to it
    members: tuple[tuple[int, ...], ...]
    agreement: float  #: of halves of the regions on the groups: 1 full, 0 by chance; 1 for a single group


def pieces(region: Tensor, *, least: float = 0.2) -> Tensor:
    """The connected pieces of a region, the largest first: bool [P, H, W].

    Args:
        region: bool [H, W]. Pixels that share an edge or a corner are connected.
        least: part of the region that a piece must have, 0..1; smaller ones are left out.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
    """
    if check_tensor("region", region, "[H, W]", 2, values=True).dtype != torch.bool:
        got = f"{region.dtype} {list(region.shape)}"
        raise TypeError(f"region must be a bool tensor [H, W], got {got}; threshold the map first")
    least = check_number("least", least, float, 0, 1)
    labels = label_components(region[None]).view(region.shape)
    found, sizes = torch.unique(labels[region], return_counts=True)
    order = sizes.argsort(descending=True, stable=True)
    kept: Tensor = found[order[sizes[order] >= least * region.sum()]]
    return labels == kept[:, None, None]


@torch.no_grad()
def region_features(
    model: nn.Module, images: Tensor, masks: Tensor, *, resolutions: int = 2, mirror: bool = True
) -> Tensor:
    """Features of regions: the model's activations averaged inside, at the last resolutions that it has.

    ``f = [f_1 / |f_1|, ..., f_S / |f_S|] / sqrt(S)`` with ``f_s = sum_p m_p (a_p + a'_p) / sum_p m_p``, where a are the
    last activations of resolution s, a' those of the mirrored image, mirrored back, and m is the mask averaged over the
    pixels of each place p. A model of one resolution, such as a vision transformer, has f_1 alone.

    Activations are outputs of modules that have places: [B, D, h, w], [B, h, w, D] with h = w, or [B, tokens, D] of a
    transformer.

    Args:
        model: from images to anything.
        images: [N, C, H, W], as the model takes them.
        masks: of the R regions of each image [N, R, H, W], 0..1 or bool.
        resolutions: how many S are taken. Places of the last alone are often larger than a region.
        mirror: whether the mirrored image counts, for a second run of the model. Otherwise a' is 0, and
            features change with the way that an object faces.

    Returns:
        Features [N, R, D] of length 1, float32.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value, or no module of the model has such an output.
    """
    check_kind("model", model, nn.Module, "a torch.nn.Module")
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, filled=1, values=True)
    check_tensor("masks", masks, "[N, R, H, W]", 4, values=True)
    check_count("resolutions", resolutions)
    check_flag("mirror", mirror)
    if masks.dtype != torch.bool and not masks.is_floating_point():
        raise TypeError(f"masks must be bool or floating-point, got {masks.dtype}")
    if (masks.shape[0], *masks.shape[2:]) != (len(images), *images.shape[2:]):
        raise ValueError(f"masks must be [N, R, H, W] of the images {list(images.shape)}, got {list(masks.shape)}")
    stages = _stages(model, images)
    if not stages:
        raise ValueError(
            f"model must have a module whose output has places, [B, D, h, w] or [B, tokens, D], got "
            f"{type(model).__name__} without one"
        )
    mirrored = _stages(model, images.flip(3)) if mirror else {}
    features = []
    for size in list(stages)[-resolutions:]:
        activations = stages[size].float()
        if mirror:
            activations = activations + mirrored[size].float().flip(3)
        weights = F.adaptive_avg_pool2d(masks.float(), size) + 1e-12
        pooled = torch.einsum("ndhw,nrhw->nrd", activations, weights) / weights.sum((2, 3))[..., None]
        features.append(F.normalize(pooled, dim=2))
    return F.normalize(torch.cat(features, 2), dim=2).cpu()


def _stages(model: nn.Module, images: Tensor) -> dict[tuple[int, int], Tensor]:
    """The last activations [B, D, h, w] of each resolution (h, w), in the order in which the model has them."""
    found: dict[tuple[int, int], Tensor] = {}
    tokens = set()

    def keep(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and len(output) == len(images):
            if output.dim() == 3:
                tokens.add(output.shape[1])
            if (places := _places(output)) is not None:
                size = (places.shape[2], places.shape[3])
                found.pop(size, None)
                found[size] = places

    handles = [part.register_forward_hook(keep) for part in model.modules() if part is not model]
    try:
        with eval_mode(model):
            outputs.ask(model, images)
    finally:
        for handle in handles:
            handle.remove()
    # weights of attention are [B, heads, tokens, tokens]
    return {(h, w): places for (h, w), places in found.items() if not (h == w and h in tokens)}


def _places(output: Tensor) -> Tensor | None:
    """An output as [B, D, h, w], in memory of its own; None where it has no places."""
    if output.dim() == 4 and output.shape[1] == output.shape[2] != output.shape[3] and output.shape[1] > 1:
        return output.permute(0, 3, 1, 2).clone()
    if output.dim() == 4 and output.shape[2] * output.shape[3] > 1 and output.shape[1] > 1:
        return output.clone()
    if output.dim() == 3:
        for prefix in _PREFIXES:
            side = math.isqrt(max(output.shape[1] - prefix, 0))
            if side > 1 and side * side == output.shape[1] - prefix:
                return output[:, prefix:].transpose(1, 2).reshape(len(output), -1, side, side).clone()
    return None


def clusters(features: Tensor, *, most: int = 6, least: float = 0.6) -> Clusters:
    """Clusters of features [N, D] by k-means, as many as halves of the regions agree on best.

    Features lose their mean and are scaled to length 1. For each number of clusters, the regions are halved at random,
    and each half is clustered by itself. The adjusted Rand index compares the clusters of one half with those that the
    nearest centroids of the other half make of it, and is averaged over 16 splits. There are at most as many clusters
    as leave each four regions on average.

    Args:
        features: of each region.
        most: clusters at most.
        least: agreement below which all regions are one cluster, 0..1.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
        ImportError: scikit-learn is not installed.

    Sources: Breckenridge, "Replicating cluster analysis: method, consistency, and validity", Multivariate Behavioral
    Research 1989; Hubert & Arabie, "Comparing partitions", Journal of Classification 1985.
    """
    check_tensor("features", features, "[N, D]", 2, floating=True, finite=True, filled=0)
    most, least = check_count("most", most), check_number("least", least, float, 0, 1)
    values = _centred(features)
    tried = {count: _agreement(values, count) for count in range(2, min(most, len(values) // (FEWEST // 2)) + 1)}
    best = max(tried, key=lambda count: (tried[count], count), default=1)
    labels, agreement = np.zeros(len(values), dtype=np.int64), 1.0
    if best > 1 and tried[best] >= least:
        labels, agreement = _k_means(values, best)[0], tried[best]
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    labels = np.argsort(order, kind="stable")[labels]
    groups = []
    for group in range(len(order)):
        members = np.flatnonzero(labels == group)
        apart = _distances(values[members], values[members])
        nearest = apart[apart.sum(1).argmin()].argsort(kind="stable")
        groups.append(tuple(members[nearest].tolist()))
    return Clusters(torch.from_numpy(labels), tuple(groups), agreement)


def _centred(features: Tensor) -> Values:
    """Features less their mean, of length 1, by their principal components [N, at most 32]."""
    values = features.double()
    values = F.normalize(values - values.mean(0), dim=1, eps=_SAME)
    u, s, _ = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    found: Values = (u * s)[:, :_AXES].numpy()
    return found


def _agreement(values: Values, count: int) -> float:
    """Adjusted Rand index between clusters of a half and what the other half's centroids make of it, the mean."""
    random, found = np.random.default_rng(0), []
    for _ in range(_SPLITS):
        order = random.permutation(len(values))
        first, second = values[order[: len(order) // 2]], values[order[len(order) // 2 :]]
        labels, (_, centres) = _k_means(second, count)[0], _k_means(first, count)
        predicted = _distances(second, centres).argmin(1)
        found.append(require("sklearn.metrics").adjusted_rand_score(labels, predicted))
    return float(np.mean(found))


def require(module: str = "sklearn.cluster") -> Any:
    """A module of scikit-learn.

    Raises:
        ImportError: it is not installed.
    """
    return packages.require(module, "clustering regions", 'pip install "sdfido[gallery]"')


def _k_means(values: Values, count: int) -> tuple[NDArray[np.int64], Values]:
    """Cluster of each row, and the centroids."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct rows than clusters
        found = require().KMeans(count, n_init=_STARTS, random_state=0).fit(values)
    return found.labels_.astype(np.int64), found.cluster_centers_


def _distances(values: Values, others: Values) -> Values:
    """Euclidean distance of each row to each other one."""
    found: Values = torch.cdist(torch.from_numpy(values), torch.from_numpy(others)).numpy()
    return found
