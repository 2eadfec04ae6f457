"""The methods that are compared, what they cost, and their settings for a given cost.

The cost of a map is the number of images that the classifier is shown for it, once forward, or forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import attributions
from benchmarks.studies.reliability import methods as reliability
from benchmarks.studies.reliability.methods import INFILL, Case

Maps = dict[str, Tensor]
"""Importance [1, H, W] by the map's name."""

Settings = dict[str, Any]


class Uses(NamedTuple):
    """Names of the maps that are judged."""

    keep: str  #: by what is enough on its own
    remove: str  #: by what is missed
    both: str  #: by insertion and deletion


ONE_MAP = Uses("map", "map", "map")


@dataclass(frozen=True)
class Method:
    """A method as it is compared."""

    explain: partial[Maps]  #: from a case, a seed and settings
    uses: Uses = ONE_MAP
    #: settings that cost as near to so many calls as may be; None: the method has no such settings
    at: Callable[[Case, int], Settings] | None = None
    random: bool = False  #: whether another seed changes the maps


@dataclass
class Count:
    """Images that a classifier was shown."""

    calls: int = 0
    gradients: int = 0  #: of them, those with a backward pass


@contextmanager
def counted(model: nn.Module) -> Iterator[Count]:
    """Counts the images that a model, or sdfido's copy of it with folded batch normalisation, is shown in a block."""
    count = Count()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        count.calls += len(inputs[0])
        count.gradients += len(inputs[0]) * torch.is_grad_enabled()

    handle = model.register_forward_pre_hook(note)  # the copy keeps it
    try:
        yield count
    finally:
        handle.remove()


def learned(kind: type[sdfido.Explainer], case: Case, seed: int, **settings: Any) -> Maps:
    """The maps of one of sdfido's methods."""
    explainer = kind(case.model.model, infill=INFILL, seed=seed, **settings)
    return dict(explainer.explain(case.image, case.target).maps)


def single(function: Callable[..., Tensor], case: Case, seed: int, **settings: Any) -> Maps:
    """The map of a method that has one."""
    return {"map": function(case, seed, **settings)}


def integrated_gradients(case: Case, seed: int, **settings: int) -> Tensor:
    target = torch.tensor([case.target])
    return attributions.integrated_gradients(case.model, case.image, target, **settings)["map"]


def grad_cam(case: Case, seed: int) -> Tensor:
    """Of the last convolution, in the classifiers of photos and in that of the drawn birds."""
    if isinstance(case.model.model, nn.Sequential):
        return attributions.grad_cam(case.model.model, case.image, torch.tensor([case.target]))["map"]
    return reliability.grad_cam(case, seed)


# What sdfido's methods ask besides their steps: the image and the infill, folding, final regions.
_ONE_REGION, _TWO_REGIONS, _GIVEN_REGIONS = 32, 56, 11
_GUIDE, _OVERRUN = 48, 24  # of SAG: its short FIDO, and what the last level takes beyond its limit

_NEAR, _TRIES = 0.1, 3  # how near to a number of calls, as a part of it


def steps_at(cost: int, besides: int, case: Case, calls: int) -> Settings:
    """As many steps of a method that learns masks as fit; none are saved by converging."""
    return {"steps": max(1, round((calls - besides) / cost)), "tolerance": 0.0}


def steps_and_regions_at(cost: int, besides: int, case: Case, calls: int) -> Settings:
    """The same for a method whose maps do not depend on its final regions: those are not refined."""
    return {**steps_at(cost, besides, case, calls), "pruning": False}


def search_at(case: Case, calls: int) -> Settings:
    return {"max_evaluations": max(1, calls - _GUIDE - _OVERRUN)}


def strides_at(case: Case, calls: int) -> Settings:
    """Strides, alike up to a pixel, with the nearest number of windows of a seventh of the sides."""
    height, width = case.image.shape[-2:]
    window = max(1, width // 7)

    def windows(strides: tuple[int, int]) -> int:
        down, across = (
            -(-(side - window) // stride) + 1 for side, stride in zip((height, width), strides, strict=True)
        )
        return down * across

    tried = [(down, across) for down in range(1, window + 1) for across in (down, down + 1)]
    return {"strides": min(tried, key=lambda strides: abs(windows(strides) + 1 - calls))}  # 1: the image itself


METHODS: dict[str, Method] = {
    "FIDO": Method(partial(learned, sdfido.FIDO), Uses("ssr", "sdr", "joint"), random=True),
    "I-GOS": Method(
        partial(learned, sdfido.IGOS),
        Uses("igos", "igos", "igos"),
        partial(steps_and_regions_at, 20, _ONE_REGION),
    ),
    "iGOS++": Method(
        partial(learned, sdfido.IGOSPlusPlus),
        Uses("insertion", "deletion", "joint"),
        partial(steps_and_regions_at, 20, _TWO_REGIONS),
    ),
    "Extremal": Method(
        partial(learned, sdfido.ExtremalPerturbation),
        Uses("sum", "sum", "sum"),
        partial(steps_at, 3, _GIVEN_REGIONS),
    ),
    "SAG": Method(partial(learned, sdfido.AttentionGraph), Uses("sag", "sag", "sag"), search_at, random=True),
    "RISE": Method(partial(single, reliability.rise), at=lambda case, calls: {"masks": calls}, random=True),
    "IG": Method(partial(single, integrated_gradients), at=lambda case, calls: {"steps": calls}),
    "IG, SmoothGrad": Method(
        partial(single, reliability.smooth_gradients),
        at=lambda case, calls: {"samples": max(2, round(calls / 4))},  # with 4 steps each
        random=True,
    ),
    "Occlusion": Method(partial(single, reliability.occlusion), at=strides_at),
    "Grad-CAM": Method(partial(single, grad_cam)),
}


def explained(name: str, case: Case, **settings: Any) -> tuple[Maps, Count]:
    """The maps of a method, and what they cost."""
    with counted(case.model.model) as count:
        maps = METHODS[name].explain(case, 0, **settings)
    return maps, count


def explained_at(name: str, case: Case, calls: int) -> tuple[Maps, Count]:
    """The maps at about so many calls: those of the nearest of a few tries, as searches end when they like."""
    settings_at, aim, found = METHODS[name].at, calls, []
    assert settings_at is not None
    for _ in range(_TRIES):
        found.append(explained(name, case, **settings_at(case, aim)))
        missing = calls - found[-1][1].calls
        if abs(missing) <= _NEAR * calls:
            break
        aim = max(1, aim + missing)
    return min(found, key=lambda each: abs(each[1].calls - calls))


def fewer(steps: int | None) -> dict[str, Settings]:
    """Settings for a trial with so few steps of FIDO."""
    if steps is None:
        return {}
    return {
        "FIDO": {"steps": steps},
        "I-GOS": {"steps": max(1, steps // 3)},
        "iGOS++": {"steps": max(1, steps // 3)},
        "Extremal": {"steps": 2 * steps},
        "SAG": {"max_evaluations": 24 * steps},
        "RISE": {"masks": 24 * steps},
        "IG": {"steps": 2 * steps},
        "IG, SmoothGrad": {"samples": max(2, steps)},
    }


def defaults() -> dict[str, Settings]:
    """The own settings of sdfido's methods, as plain values."""
    kinds = {name: method.explain.args[0] for name, method in METHODS.items() if method.explain.func is learned}
    return {name: kind(nn.Identity(), infill=INFILL).describe() for name, kind in kinds.items()}
