"""The methods that say where two species differ, each on the classifier that it belongs to.

All explain the lead of the species that is shown over the other one, ``z_shown - z_other``, or the difference of both
species' maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import attributions
from benchmarks.common.attributions import BLUR
from benchmarks.studies.calm import models
from benchmarks.studies.calm.cues import Cues
from sdfido.ops.functional import upsample

SETTINGS: dict[str, Any] = {}  # of FIDO: its defaults
Map = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""From a classifier, images [N, C, H, W], and the species shown and the others [N] to importance [N, H, W]."""


class Method(NamedTuple):
    """How maps are made, and of which classifier."""

    maps: Map
    model: str


class Contrast(nn.Module):
    """A classifier whose first output is the lead of one class over another, its second the reverse."""

    def __init__(self, model: nn.Module, first: int, second: int) -> None:
        super().__init__()
        self.model, self.first, self.second = model, first, second

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        lead = logits[:, self.first] - logits[:, self.second]
        return torch.stack([lead, -lead], 1)


def lead(first: int, second: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A score of class logits: ``z_target - z_other``, where the targets are one or the other of two classes."""

    def contrast(logits: Tensor, targets: Tensor) -> Tensor:
        difference = logits[:, first] - logits[:, second]
        return torch.where(targets == first, difference, -difference)

    return contrast


def calm(model: nn.Module, images: Tensor, shown: Tensor, other: Tensor) -> Tensor:
    return sdfido.CALM(model).difference(images, shown, other)


@torch.no_grad()
def cam(model: nn.Module, images: Tensor, shown: Tensor, other: Tensor) -> Tensor:
    """Difference of class activation maps: ``|sum over k of (w_shown,k - w_other,k) f_k|``, upsampled."""
    assert isinstance(model, nn.Sequential)
    features, weights = model[:-3](images), model[-1].weight
    maps = torch.einsum("nkhw,nk->nhw", features, weights[shown] - weights[other]).abs()
    return upsample(maps, (images.shape[2], images.shape[3]))


def pair_by_pair(function: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Map:
    """Maps by an attribution of the lead, for the images of each pair at once."""

    def maps(model: nn.Module, images: Tensor, shown: Tensor, other: Tensor) -> Tensor:
        found = torch.empty(len(images), *images.shape[2:])
        ordered = torch.stack([torch.minimum(shown, other), torch.maximum(shown, other)], 1)
        for first, second in ordered.unique(dim=0).tolist():
            index = ((ordered[:, 0] == first) & (ordered[:, 1] == second)).nonzero()[:, 0]
            contrast = Contrast(model, first, second).eval()
            found[index] = function(contrast, images[index], (shown[index] != first).long())
        return found

    return maps


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return attributions.grad_cam(model, images, targets, layer=model.model[-4])["map"]  # type: ignore[index,union-attr]


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return attributions.integrated_gradients(model, images, targets)["map"]


def fido(model: nn.Module, images: Tensor, shown: Tensor, other: Tensor) -> Tensor:
    """The joint map for the lead as the score, all images of a pair at once."""
    found = torch.empty(len(images), *images.shape[2:])
    ordered = torch.stack([torch.minimum(shown, other), torch.maximum(shown, other)], 1)
    for first, second in ordered.unique(dim=0).tolist():
        index = ((ordered[:, 0] == first) & (ordered[:, 1] == second)).nonzero()[:, 0]
        score = sdfido.ClassScore(model, lead(first, second))
        found[index] = sdfido.FIDO(score, infill=BLUR, **SETTINGS).explain(images[index], shown[index])["joint"]
    return found


METHODS = {
    "calm em": Method(calm, "em"),
    "calm ml": Method(calm, "ml"),
    "cam": Method(cam, models.AVERAGE),
    "cam ordinary": Method(cam, models.ORDINARY),
    "grad-cam": Method(pair_by_pair(grad_cam), models.ORDINARY),
    "ig": Method(pair_by_pair(integrated_gradients), models.ORDINARY),
    "fido": Method(fido, models.ORDINARY),
}


def maps(name: str, model: nn.Module, cues: Cues) -> Tensor:
    """Importance [N, H, W] of a method of ``METHODS``."""
    images = models.NORMALIZATION.normalize(cues.pixels)
    return METHODS[name].maps(model, images, cues.shown, cues.other)
