"""Extremal perturbations: learns the region of a given area that says most, for several areas at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_choice, check_number, set_number
from ..explanation import MapInfo
from ..normalization import Normalization
from ..ops import functional
from ..scores import Model, Score
from .base import Scene
from .descent import Descent
from .learner import Drawn, MaskLearner, Readout, image_by_image
from .settings import MaskSettings, ends, set_ends

__all__ = ["ExtremalPerturbation", "ExtremalSettings"]

_SIGNS = {"preserve": (-1.0,), "delete": (1.0,), "dual": (-1.0, 1.0)}  # of the scores: region alone, all but the region
_INFO = {  # of an area's map
    "preserve": MapInfo("", "says most on its own", "keep"),
    "delete": MapInfo("", "most is lost without it", "remove"),
    "dual": MapInfo("", "says most, and most is lost without it", "keep"),
}
_START = 0.5  # of every cell
_SHARPNESS = 20.0  # of the smooth maximum
_WIDTH, _REACH = 3.0, 5  # of its kernel, in cells: the unit of distance, and how far it goes along each axis
_POINTS = 2  # its values along each side of a cell; bilinear in between
_OUTSIDE = -1e9  # a cell beyond the mask: its weight in the smooth maximum is 0


@dataclass(frozen=True, kw_only=True)
class ExtremalSettings(MaskSettings):
    """How ``ExtremalPerturbation`` optimises; the defaults suit photos and classifiers of about 224 x 224 pixels.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    areas: tuple[float, ...] = (0.05, 0.1, 0.2)  #: parts of the image that the regions take, above 0 and below 1
    #: which region: the one that keeps the score highest on its own ("preserve"), the one without which it is lowest
    #: ("delete"), or the one with the largest difference of both ("dual")
    variant: Literal["preserve", "delete", "dual"] = "preserve"
    smoothing: Literal["bilinear", "max"] = "bilinear"  #: from cells to pixels; "max": the smooth maximum of the source
    mask_size: int | tuple[int, int] | None = 32  #: cells of a mask (rows, columns); None: one a pixel
    steps: int = 60  #: optimisation steps, at most
    learning_rate: float = 0.1  #: root mean square move of a mask's cells in a step, falling along a cosine to 0
    spread: float = 1.0  #: standard deviation of the Gaussian that smooths the cells' gradient, in cells; 0: none
    area_weight: float | tuple[float, float] = (10.0, 30000.0)  #: of the area penalty, first and last

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.areas, tuple | list) or not self.areas:
            raise TypeError(f"areas must be a tuple of one number or more, such as (0.05, 0.1), got {self.areas!r}")
        object.__setattr__(self, "areas", tuple(check_number("areas", a, above=0, below=1) for a in self.areas))
        if len({map_name(area) for area in self.areas}) < len(self.areas):
            raise ValueError(f"areas must differ from each other, got {self.areas!r}")
        check_choice("variant", self.variant, tuple(_SIGNS))
        check_choice("smoothing", self.smoothing, ("bilinear", "max"))
        set_number(self, "learning_rate", float, above=0)
        set_number(self, "spread", float, 0)
        set_ends(self, "area_weight")

    def area_weight_at(self, step: int) -> float:
        """Weight of the area penalty in this step, counted from 0: geometrically from the first to the last."""
        first, last = ends("area_weight", self.area_weight)
        return float(first * (last / first) ** (step / max(1, self.steps - 1)))

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of this step, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def map_name(area: float) -> str:
    """Name of an area's map: "area_5" of 0.05."""
    return f"area_{100 * area:g}"


class ExtremalPerturbation(MaskLearner):
    """Extremal perturbations explain a model's answers by the regions of given areas that say most.

    For each area ``a`` a mask M in 0..1 is learned that minimises ``-score + w * mean((sort(M) - r) ** 2)``, where
    ``score`` is that of the composite of image and infill by M, and ``r`` is 0 for the lowest ``1 - a`` of all places
    and 1 for the others. The weight ``w`` grows from step to step, so that the mask becomes binary and takes its area.
    Variant "delete" minimises the score of the composite by ``1 - M``, "dual" both at once.

    The map ``area_5`` averages the mask of 5% over the steps, the t-th counting t times: it also ranks what the mask,
    which ends nearly binary, treats alike. ``sum`` is the mean of these maps, in which what is in the smallest region
    comes first. The final region of a map takes its area to the nearest cell, and one cell at least.
    ``explanation.masks`` are the masks at the end.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score``;
            ``ClassScore(model, link=sdfido.scores.margin)`` contrasts the class with the best other one. A module is
            put into eval mode for the time of ``explain``; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see ``sdfido.infills``), a tensor that
            broadcasts against the images, or a callable from images to infill.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``ExtremalSettings``, such as ``areas=(0.1,)``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.ExtremalPerturbation(model, areas=(0.1, 0.3)).explain(images)
        >>> explanation.area_10  # the tenth of each image that says most, [N, H, W]

    Source: Fong, Patrick, Vedaldi, "Understanding deep networks via extremal perturbations and smooth masks", ICCV
    2019, arXiv 1910.08485.
    """

    name = "extremal"
    settings_type = ExtremalSettings
    settings: ExtremalSettings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model, infill=infill, normalization=normalization, **settings)
        info = _INFO[self.settings.variant]
        self.legend = {
            **{map_name(area): replace(info, title=f"Area {100 * area:g}%") for area in self.settings.areas},
            "sum": MapInfo("Sum", "of all areas", main=True),
        }

    def composites_per_image(self) -> int:
        return len(_SIGNS[self.settings.variant]) * len(self.settings.areas)

    def start(self, scene: Scene) -> Tensor:
        shape = len(scene), len(self.settings.areas), *self.settings.cells(*scene.size)
        return torch.full(shape, _START, dtype=torch.float32, device=scene.images.device)

    def masks(self, cells: Tensor, size: tuple[int, int]) -> Tensor:
        """The masks [N, K, rows, columns] of parameters [N, K, h, w], for images of a size; bilinear in between."""
        if self.settings.smoothing == "bilinear":
            return cells
        points = min(_POINTS, size[0] // cells.shape[2], size[1] // cells.shape[3])
        return image_by_image(functools.partial(smooth_max, points=points), cells)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        settings = self.settings
        masks = self.masks(parameters, scene.size)
        views = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}[settings.variant]
        areas = _constants(settings.areas, parameters.device)
        penalty = settings.area_weight_at(step) * area_penalty(masks, areas)
        penalties = [penalty, *(torch.zeros_like(penalty) for _ in views[1:])]
        signs = _constants(_SIGNS[settings.variant], parameters.device).repeat_interleave(len(areas))
        return Drawn(scene.blend(torch.cat(views, 1)[:, :, None]), signs, torch.cat(penalties, 1))

    def keep_rates(self, parameters: Tensor) -> Tensor:
        return parameters

    def updater(self, parameters: Tensor) -> Descent:
        return _Clipped(parameters, self.settings.learning_rate_at, spread=self.settings.spread)

    def earliest_convergence(self) -> float:
        return self.settings.steps / 2

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        masks, averaged = self.masks(parameters, scene.size), self.masks(rates, scene.size)
        every = functional.upsample(averaged, scene.size).clamp(0, 1)  # interpolation between ones rounds above 1
        maps = {map_name(area): every[:, k] for k, area in enumerate(self.settings.areas)}
        final = torch.stack([_top(averaged[:, k], area) for k, area in enumerate(self.settings.areas)], 1)
        deleted = self.settings.variant == "delete"
        kept = {"masks": 1 - masks, "kept_cells": ~final} if deleted else {"masks": masks, "kept_cells": final}
        return Readout(maps | {"sum": every.mean(1)}, kept)


def _top(importance: Tensor, area: float) -> Tensor:
    """The most important cells, as many as take an area: bool [N, h, w]; the first of equals."""
    flat = importance.flatten(1)
    count = max(1, round(area * flat.shape[1]))
    best = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, best, True).view_as(importance)


class _Clipped(Descent):
    """The descent of parameters that stay in 0..1."""

    def step(self, gradient: Tensor, step: int) -> None:
        super().step(gradient, step)
        self.parameters = self.parameters.clamp(0, 1)


def area_penalty(masks: Tensor, areas: Tensor) -> Tensor:
    """How far masks are from binary ones of given areas: ``mean((sort(M) - r) ** 2)``, [N, K].

    ``r`` is 0 for the lowest ``(1 - a) n`` of the n values of a mask, and 1 for the others; where that is no whole
    number, one value counts partly as either. Equal values share their part of ``r``, so that the gradient does not
    depend on where they lie: with ``t`` the part of a value that is to be 1, ``mean(t (1 - M)**2 + (1 - t) M**2)``.

    Args:
        masks: [N, K, h, w], 0..1.
        areas: of the masks, a [K].

    Source: Fong, Patrick, Vedaldi, ICCV 2019, arXiv 1910.08485.
    """
    flat = masks.flatten(2)
    with torch.no_grad():
        values = flat.detach().contiguous()
        ordered, low = values.sort(2).values, flat.shape[2] * (1 - areas)[:, None]
        first, end = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
        one = (end.clamp(min=low) - first.clamp(min=low)) / (end - first)
    return (one * (1 - flat) ** 2 + (1 - one) * flat**2).mean(2)


def smooth_max(cells: Tensor, points: int) -> Tensor:
    """Masks by the smooth max-convolution, at so many points along each side of a cell.

    ``M(x) = sum_u w_u v_u / sum_u w_u``, with ``v_u = p_u k(|x - u| / 3 cells)`` and ``w_u = exp(20 v_u)``, over the
    11 x 11 cells u around that of x, as far as they are in the mask. ``k(d) = exp(-2 max(0, d - 1/2)**2)``: a cell of 1
    makes a disc of 1, with a soft edge. So a mask has no details smaller than that.

    Args:
        cells: p [..., h, w], 0..1.
        points: 1 or more.

    Returns:
        Masks [..., points * h, points * w], 0..1.

    Source: Fong, Patrick, Vedaldi, ICCV 2019, arXiv 1910.08485.
    """
    h, w = cells.shape[-2:]
    padded = F.pad(cells.reshape(-1, 1, h, w), [_REACH] * 4, value=_OUTSIDE)
    near = F.unfold(padded, 2 * _REACH + 1)[:, None]  # of each cell [B, 1, 121, h * w]
    values = near * _kernel(points, cells.dtype, cells.device)
    masks = ((_SHARPNESS * values).softmax(2) * values).sum(2)
    square = F.pixel_shuffle(masks.view(-1, points * points, h, w), points)
    return square.view(*cells.shape[:-2], points * h, points * w)


@functools.lru_cache(maxsize=8)
def _kernel(points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The kernel from the points of a cell to the cells around it [points ** 2, 121, 1]."""
    places = (torch.arange(points, dtype=torch.float64, device="cpu") + 0.5) / points - 0.5
    squares = (places[:, None] - torch.arange(-_REACH, _REACH + 1, device="cpu")) ** 2
    distances = (squares[:, None, :, None] + squares[None, :, None, :]).sqrt() / _WIDTH
    return torch.exp(-2 * (distances - 0.5).clamp(min=0) ** 2).view(points * points, -1, 1).to(device, dtype)


@functools.lru_cache(maxsize=8)
def _constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants of every step, which a GPU need not wait for."""
    return torch.tensor(values, dtype=torch.float32, device=device)
