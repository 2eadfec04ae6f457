"""Which parts of objects regions show: features of regions by the model itself, and clusters of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import outputs
from ..checks import check_count, check_kind, check_number, check_tensor
from ..models import packages
from ..scores import eval_mode

__all__ = ["Clusters", "clusters", "region_features"]

_PREFIXES = (0, 1, 2, 5)  # tokens before those of the places, in transformers


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of regions, the largest first."""

    labels: Tensor  #: group of each region [N], int64
    medoids: tuple[int, ...]  #: of each group the region that is nearest to all others of it
    silhouette: float  #: how far the groups are apart, -1..1; 0 for a single one


@torch.no_grad()
def region_features(model: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    """Features of regions: the last spatial activations a of a model, averaged inside, of length 1.

    ``f = sum_p m_p a_p / sum_p m_p``, with the mask m averaged over the pixels of each place p. The last module is
    taken whose output has places: [B, D, h, w], [B, h, w, D] with h = w, or [B, tokens, D] of a transformer.

    Args:
        model: from images to anything.
        images: [N, C, H, W], as the model takes them.
        masks: of the regions [N, H, W], 0..1 or bool.

    Returns:
        Features [N, D], float32.

    Raises:
        ValueError: no module of the model has such an output, or the masks have another shape.
    """
    check_kind("model", model, nn.Module, "a torch.nn.Module")
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, filled=1, values=True)
    check_tensor("masks", masks, "[N, H, W]", values=True)
    if masks.dtype != torch.bool and not masks.is_floating_point():
        raise TypeError(f"masks must be bool or floating-point, got {masks.dtype}")
    if masks.shape != (len(images), *images.shape[2:]):
        raise ValueError(f"masks must be [N, H, W] of the images {list(images.shape)}, got {list(masks.shape)}")
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: object) -> None:
        places = _places(output) if isinstance(output, Tensor) and len(output) == len(images) else None
        if places is not None:
            found[:] = [places]

    handles = [part.register_forward_hook(keep) for part in model.modules() if part is not model]
    try:
        with eval_mode(model):
            outputs.ask(model, images)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(
            f"model must have a module whose output has places, [B, D, h, w] or [B, tokens, D], got "
            f"{type(model).__name__} without one"
        )
    activations = found[0].float()
    weights = F.adaptive_avg_pool2d(masks[:, None].float(), (activations.shape[2], activations.shape[3])) + 1e-12
    features = (activations * weights).sum((2, 3)) / weights.sum((2, 3))
    return F.normalize(features, dim=1).cpu()


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


def clusters(features: Tensor, *, most: int = 6, least: float = 0.25) -> Clusters:
    """Clusters of features [N, D] by Ward's method, of the number that has the highest mean silhouette.

    Args:
        features: of each region.
        most: clusters at most.
        least: silhouette below which all regions are one cluster.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    check_tensor("features", features, "[N, D]", 2, floating=True, finite=True, filled=0)
    check_count("most", most)
    check_number("least", least)
    cluster = packages.require("sklearn.cluster", "clustering regions", 'pip install "sdfido[gallery]"')
    metrics = packages.require("sklearn.metrics", "clustering regions", 'pip install "sdfido[gallery]"')
    values = features.double().numpy()
    best, silhouette = np.zeros(len(values), dtype=np.int64), 0.0
    if len(np.unique(values, axis=0)) > 2:
        for count in range(2, min(most, len(values) - 1) + 1):
            labels = cluster.AgglomerativeClustering(count, linkage="ward").fit_predict(values)
            apart = float(metrics.silhouette_score(values, labels))
            if apart >= least and apart > silhouette:
                best, silhouette = labels, apart
    sizes = np.bincount(best)
    order = np.argsort(-sizes, kind="stable")
    labels = np.argsort(order, kind="stable")[best]
    medoids = []
    for group in range(len(order)):
        members = np.flatnonzero(labels == group)
        distances = np.linalg.norm(values[members, None] - values[None, members], axis=2).sum(1)
        medoids.append(int(members[distances.argmin()]))
    return Clusters(torch.from_numpy(labels), tuple(medoids), silhouette)
