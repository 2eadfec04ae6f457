"""How FIDO optimises: every setting with its default, its range and what it does."""

import math
import numbers
from dataclasses import dataclass

import torch

from .checks import check_number
from .ops import make_rng


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How FIDO optimises; the defaults suit photos and classifiers of about 224 x 224 pixels.

    They were chosen by the trials in docs/choices.md.
    """

    mask_size: int | tuple[int, int] | None = 28  #: cells of a mask (rows, columns), upsampled; None: one a pixel
    steps: int = 120  #: optimisation steps, at most
    num_samples: int = 1  #: mask samples S of each of the two masks in a step
    learning_rate: float = 0.45  #: root mean square move of a mask's logits in a step, falling along a cosine to 0
    spread: float = 1.0  #: standard deviation of the Gaussian that smooths the logits' gradient, in cells; 0: none
    temperature: float | tuple[float, float] = (1.0, 0.2)  #: of the samples, first and last; lower is closer to binary
    sparsity_weight: float = 22.0  #: of the kept (SSR) and removed (SDR) part of the image
    smoothness_weight: float = 25.0  #: of the keep rates' total variation a cell
    warmup: float = 0.375  #: part of the steps over which both weights rise linearly, 0 to 1
    antithetic: bool = True  #: samples in pairs with opposite noise
    tolerance: float = 0.001  #: mean change of the keep rates over 10 steps below which an image has settled
    seed: int = 0  #: of the mask samples
    max_batch: int | None = None  #: composites at once, but an image's 2 S at least; None: 2 S on CPUs, 64 elsewhere
    channels_last: bool | None = None  #: memory format of composites; None: channels-last for models with convolutions
    dtype: torch.dtype = torch.float32  #: of the composites; below float32 the classifier runs under autocast

    def __post_init__(self) -> None:
        for name in ("steps", "num_samples"):
            self._set_number(name, int, 1)
        if self.max_batch is not None:
            self._set_number("max_batch", int, 1)
        self._set_number("warmup", float, 0)
        if self.warmup > 1:
            raise ValueError(f"warmup must be a part of the steps, from 0 to 1, got {self.warmup}")
        self._set_number("learning_rate", float, 0)
        if self.learning_rate == 0:
            raise ValueError("learning_rate must be positive, got 0")
        ends = tuple(check_number("temperature", value, float, 0) for value in _ends(self.temperature))
        if 0 in ends:
            raise ValueError("temperature must be positive, got 0")
        object.__setattr__(self, "temperature", ends if isinstance(self.temperature, tuple) else ends[0])
        for name in ("sparsity_weight", "smoothness_weight", "spread", "tolerance"):
            self._set_number(name, float, 0)
        if not isinstance(self.antithetic, bool):
            raise TypeError(f"antithetic must be True or False, got {self.antithetic!r}")
        if self.channels_last is not None and not isinstance(self.channels_last, bool):
            raise TypeError(f"channels_last must be True, False or None, got {self.channels_last!r}")
        if isinstance(self.seed, torch.Generator):
            raise TypeError("seed must be an integer, got a torch.Generator; draw one with generator.initial_seed()")
        make_rng(self.seed)
        object.__setattr__(self, "seed", int(self.seed))
        if self.dtype not in (torch.float32, torch.bfloat16):
            # float16 is left out: without scaling, the gradients of the composites vanish in it.
            raise ValueError(f"dtype must be torch.float32 or torch.bfloat16, got {self.dtype}")
        if self.mask_size is not None:
            size = self.mask_size
            pair = (size, size) if isinstance(size, numbers.Integral) else size
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"mask_size must be an integer, a pair (rows, columns) or None, got {size!r}")
            cells = tuple(check_number("mask_size", count, int, 1) for count in pair)
            object.__setattr__(self, "mask_size", cells if isinstance(size, tuple) else cells[0])

    def _set_number(self, name: str, kind: type, least: float) -> None:
        object.__setattr__(self, name, check_number(name, getattr(self, name), kind, least))

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

    def heat(self, step: int) -> float:
        """Temperature of this step, counted from 0: geometrically from the first to the last.

        Between them, below 1, it is the inverse of a whole number: sampling then needs no transcendental function.
        """
        first, last = _ends(self.temperature)
        if step == 0 or first == last:
            return first
        if step + 1 == self.steps:
            return last
        value = float(first * (last / first) ** (step / (self.steps - 1)))
        return 1 / round(1 / value) if value < 1 else value

    def weight(self, step: int) -> float:
        """Part of the penalties' weights that holds in this step, counted from 0."""
        return min(1.0, (step + 1) / (self.warmup * self.steps + 1))

    def rate(self, step: int) -> float:
        """Learning rate of this step, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def batch(self, device: torch.device) -> int:
        """Composites that a device is given at once."""
        if self.max_batch is not None:
            return self.max_batch
        return 2 * self.num_samples if device.type == "cpu" else 64


def _ends(temperature: float | tuple[float, float]) -> tuple[float, float]:
    if not isinstance(temperature, tuple):
        return temperature, temperature
    if len(temperature) != 2:
        raise TypeError(f"temperature must be a number or a pair (first, last), got {temperature!r}")
    return temperature
