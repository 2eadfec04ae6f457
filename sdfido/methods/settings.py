"""Settings of the methods that learn masks: defaults, ranges and what they do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from .. import _deprecated
from ..checks import check_flag, check_number, check_size, set_count, set_number, set_seed

__all__ = ["FAST", "MaskSettings", "SampledSettings", "Settings", "ends", "set_ends"]


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What every method that learns masks can be set to.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    mask_size: int | tuple[int, int] | None = 28  #: cells of a mask (rows, columns), upsampled; None: one a pixel
    steps: int = 26  #: optimisation steps, at most
    tolerance: float = 0.001  #: mean change of the keep rates over 10 steps below which an image has converged
    seed: int = 0  #: of everything random
    #: part of the image's confidence that the final region of a "keep" map keeps, 0..1; of scores without a zero, part
    #: of the way from the infill's confidence to the image's, see ``sdfido.scores.Scale``
    kept_share: float = 0.9
    left_share: float = 0.1  #: part of the image's confidence that is left without that of a "remove" map, 0..1
    pruning: bool = True  #: whether final regions go without the blocks of cells that they can spare

    def __post_init__(self) -> None:
        set_count(self, "steps")
        set_number(self, "tolerance", float, 0)
        set_number(self, "kept_share", float, 0, most=1)
        set_number(self, "left_share", float, 0, most=1)
        check_flag("pruning", self.pruning)
        if isinstance(self.seed, torch.Generator):
            raise TypeError("seed must be an integer, got a torch.Generator; draw one with generator.initial_seed()")
        set_seed(self)
        if self.mask_size is not None:
            cells = check_size("mask_size", self.mask_size, "(rows, columns)")
            object.__setattr__(self, "mask_size", cells if isinstance(self.mask_size, tuple | list) else cells[0])

    def __getattr__(self, name: str) -> Any:
        return _deprecated.attribute(self, name, _deprecated.SETTINGS)

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a mask's cells for images of this size."""
        if self.mask_size is None:
            return height, width
        if not isinstance(self.mask_size, tuple):
            return min(int(self.mask_size), height), min(int(self.mask_size), width)
        rows, columns = self.mask_size
        if rows > height or columns > width:
            raise ValueError(f"mask_size must not exceed the image, {height}x{width} pixels, got {rows}x{columns}")
        return rows, columns


@dataclass(frozen=True, kw_only=True)
class SampledSettings(MaskSettings):
    """How masks are learned whose samples the model is asked about; the defaults are those of FIDO.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    num_samples: int = 2  #: mask samples S of each mask in a step
    #: how fast an image's weights adapt in a step, so that regions reach their share; 0: they stay as they are set
    adaptation: float = 0.3
    learning_rate: float = 0.7  #: root mean square move of a mask's logits in a step, falling along a cosine to 0
    spread: float = 1.0  #: standard deviation of the Gaussian that smooths the logits' gradient, in cells; 0: none
    temperature: float | tuple[float, float] = (1.0, 0.2)  #: of the samples, first and last; lower is closer to binary
    sparsity_weight: float = 22.0  #: of the part of the image that a region takes
    smoothness_weight: float = 25.0  #: of the keep rates' total variation a cell
    warmup: float = 0.3  #: part of the steps over which both weights rise linearly, 0 to 1
    antithetic: bool = True  #: samples in pairs with opposite noise

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "num_samples")
        set_number(self, "adaptation", float, 0)
        set_number(self, "warmup", float, least=0, most=1)
        set_number(self, "learning_rate", float, above=0)
        set_ends(self, "temperature")
        for name in ("sparsity_weight", "smoothness_weight", "spread"):
            set_number(self, name, float, 0)
        check_flag("antithetic", self.antithetic)

    def temperature_at(self, step: int) -> float:
        """Temperature of this step, counted from 0: geometrically from the first to the last.

        Between them, below 1, it is the inverse of a whole number: sampling then needs no transcendental function.
        """
        first, last = ends("temperature", self.temperature)
        if step == 0 or first == last:
            return first
        if step + 1 == self.steps:
            return last
        value = float(first * (last / first) ** (step / (self.steps - 1)))
        return 1 / round(1 / value) if value < 1 else value

    def penalty_weight_at(self, step: int) -> float:
        """Part of the penalties' weights that holds in this step, counted from 0."""
        return min(1.0, (step + 1) / (self.warmup * self.steps + 1))

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of this step, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True, kw_only=True)
class Settings(SampledSettings):
    """How FIDO optimises; the defaults suit photos and classifiers of about 224 x 224 pixels.

    They were chosen by the trials of the ablation study in the documentation.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    repeats: int = 2  #: masks M of each region, learned from noise of their own; maps are their mean
    region_weight: float = 0.2  #: of the final region in its map, 0..1; the keep rates have the rest

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "repeats")
        set_number(self, "region_weight", float, 0, most=1)


FAST: dict[str, Any] = {"steps": 20, "repeats": 1, "num_samples": 1, "learning_rate": 1.0, "pruning": False}
"""Settings of FIDO for a first look, at a fifth of the composites: ``sdfido.FIDO(model, **FAST)``."""


def set_ends(owner: object, name: str) -> None:
    """Check a number above 0, or a pair (first, last) of them, of a frozen dataclass; a pair becomes a tuple."""
    given = getattr(owner, name)
    pair = tuple(check_number(name, value, above=0) for value in ends(name, given))
    object.__setattr__(owner, name, pair if isinstance(given, tuple | list) else pair[0])


def ends(name: str, value: float | tuple[float, ...] | list[float]) -> tuple[float, float]:
    """The first and the last of a setting that is a pair of them, or a number for both.

    Raises:
        TypeError: there are more, or fewer.
    """
    if not isinstance(value, tuple | list):
        return value, value
    if len(value) != 2:
        raise TypeError(f"{name} must be a number or a pair (first, last), got {value!r}")
    return value[0], value[1]
