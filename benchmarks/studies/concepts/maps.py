"""Maps of features, and how much of them lies in which part of a bird."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import drawing
from benchmarks.common.attributions import BLUR
from sdfido.scores import Score

PLACES = ("crest", "eye ring", "bill", "bib", "wing bars", "tail")
"""Where the parts of species 1 to 6 are, on a bird of any species."""

QUICK: dict[str, Any] = {"path_points": 5, "sparsity_weight": 3.0}
"""Settings of I-GOS: a quarter of the composites, and masks that remove less."""


class Found(NamedTuple):
    """Maps of one feature of N images."""

    indices: Sequence[int]  #: of the birds
    maps: Tensor  #: [N, H, W], 0 outside of their final regions
    regions: Tensor  #: final regions [N, H, W], bool
    outlines: Tensor  #: the place of the class's own part [N, H, W], bool; empty for the common bird
    mass: Tensor  #: part of the map's sum in each of the six places and in none of them [N, 7]
    whole: Tensor  #: of the map before it is cut to its region, the part in the class's own place [N]


@functools.cache
def places(index: int, seed: int) -> Tensor:
    """Where the parts of all six species would be on bird i of a seed: hulls of what they change, bool [6, H, W]."""
    common, *others = drawing.render(index, seed=seed, kind="birds", species=range(len(drawing.SPECIES)))
    return torch.stack([torch.from_numpy(drawing.hull((other != common).any(2))) for other in others])


def mass(maps: Tensor, where: Tensor) -> Tensor:
    """Part of the sum of maps [N, H, W] in places [N, P, H, W]: [N, P], 0 where a map is 0 everywhere."""
    return (maps[:, None] * where).sum((2, 3)) / maps.sum((1, 2)).clamp(min=1e-12)[:, None]


def of(model: nn.Module | Score, images: Tensor, target: Any, indices: Sequence[int], label: int, seed: int) -> Found:
    """The maps by I-GOS of images [N, C, H, W], which are birds of these indices, for one target."""
    explanation = sdfido.IGOS(model, infill=BLUR, **QUICK).explain(images, target)
    regions = explanation.binary_masks[:, 0] < 0.5
    where = torch.stack([places(index, seed) for index in indices])
    nowhere = ~where.any(1, keepdim=True)
    own = where[:, label - 1] if label else torch.zeros_like(where[:, 0])
    cut = explanation["igos"] * regions
    return Found(
        indices,
        cut,
        regions,
        own,
        mass(cut, torch.cat([where, nowhere], 1)),
        mass(explanation["igos"], own[:, None])[:, 0],
    )


def settings(concepts: sdfido.Concepts) -> dict[str, Any]:
    """Those of the maps, as plain values."""
    return sdfido.IGOS(concepts.score(), infill=BLUR, **QUICK).describe()
