"""All measures of a map: the one table of the command line, the studies and the reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..checks import check_kind, from_array
from .coherence import components, total_variation
from .curves import AREAS
from .order import Maps, check_maps, top
from .probe import Curve, Probe
from .truth import Truth, intersection_over_union, outside, pointing_game

__all__ = ["AREAS", "AT", "TOP", "TRUTH", "Measures", "measure"]

AT = {"sufficiency": 0.3, "necessity": 0.2}  # areas at which they are told as one number
TOP = 0.2  # part of the image whose connected components are counted
TRUTH: dict[str, Callable[[Tensor, Truth], Tensor]] = {
    "intersection_over_union": intersection_over_union,
    "pointing_game": pointing_game,
    "outside": outside,
}


@dataclass(frozen=True, eq=False)
class Measures:
    """How good one map of each of N images is."""

    numbers: dict[str, Tensor]  #: by measure [N]; NaN where an image has no truth
    curves: dict[str, Curve]  #: insertion, deletion, sufficiency, necessity


def measure(maps: Maps, probe: Probe, truth: Truth | Sequence[Tensor | None] | None = None) -> Measures:
    """Measure maps by the model, by themselves and by a known truth.

    ``sufficiency`` is the part of the image's confidence that the top 30% of pixels keep, ``necessity`` the part that
    is left without the top 20%, ``insertion`` and ``deletion`` are areas under the curve, ``total_variation`` is that
    of the map, ``components`` counts the connected parts of its top 20%. With a truth, ``intersection_over_union``,
    ``pointing_game`` and ``outside`` take as many of the most important pixels as the truth has.

    Args:
        maps: [N, H, W] of any scale, high is important: a tensor, or a NumPy array of another tool.
        probe: the model, the images and the infill.
        truth: bool masks [N, H, W] or boxes, see ``sdfido.evaluate.truth``; or a list of N masks [H, W], None for
            images without truth.

    Raises:
        TypeError, ValueError: the maps or the truth do not fit the images.
        RuntimeError: the model's confidence is not finite.
    """
    maps = check_maps("maps", maps)
    check_kind("probe", probe, Probe, "sdfido.evaluate.Probe(model, images)")
    curves = {
        "insertion": probe.keep(maps),
        "deletion": probe.remove(maps),
        "sufficiency": probe.keep(maps, AREAS),
        "necessity": probe.remove(maps, AREAS),
    }
    numbers = {
        name: curve.relative[:, AREAS.index(AT[name])] if name in AT else curve.area for name, curve in curves.items()
    }
    numbers["total_variation"] = total_variation(maps)
    numbers["components"] = components(top(maps, TOP)).float()
    if truth is not None:
        numbers |= _against(truth, maps)
    return Measures(numbers, curves)


def _against(truth: Truth | Sequence[Tensor | None], maps: Tensor) -> dict[str, Tensor]:
    """The measures by a truth, NaN for images that have none."""
    known, masks = list(range(len(maps))), cast(Truth, truth)
    check_kind("truth", truth, Iterable, "masks or boxes")
    if not isinstance(truth, Tensor | np.ndarray) and all(
        isinstance(each, Tensor | np.ndarray | None) for each in truth
    ):
        every = [from_array("truth", each) for each in truth]
        if len(every) != len(maps):
            raise ValueError(f"truth must have a mask, or None, for each of {len(maps)} images, got {len(every)}")
        present = [each for each in every if each is not None]
        known = [i for i, each in enumerate(every) if each is not None]
        masks = torch.stack(present) if present else maps.new_zeros(0)
    found = {}
    for name, function in TRUTH.items():
        found[name] = maps.new_full((len(maps),), torch.nan)
        if known:
            found[name][known] = function(maps[known], masks).to(maps)
    return found
