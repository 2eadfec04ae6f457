"""Infills: what stands in for the pixels that a mask removes.

An infill is any callable `images [N,C,H,W] -> tensor broadcastable to [N,C,H,W]`, on the classifier's scale.
Those of this module compute every image of a batch exactly as they compute it alone: they consist of elementwise
operations in a fixed order, and randomness depends on (seed, stream) only, never on the batch or the device.
"""

from __future__ import annotations

import math
import numbers
import operator
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from .normalization import Normalization
from .smoothing import gaussian_weights, smooth, widen

__all__ = [
    "Blur",
    "Fixed",
    "Infill",
    "LocalMean",
    "Mean",
    "NormalNoise",
    "Normalization",
    "PatchShuffle",
    "UniformNoise",
    "Zeros",
    "apply",
    "from_spec",
]

Streams = Sequence[int] | Tensor
Number = TypeVar("Number", int, float)


class Infill(ABC):
    """An infill that is also told the images' random streams; subclass it for infills with randomness of their own."""

    @abstractmethod
    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        """The infill of images [N,C,H,W], broadcastable to them; streams: an integer per image, default 0..N-1."""


@dataclass(frozen=True)
class Blur(Infill):
    """Gaussian blur: Σ_j g(i−j)·x_j / Σ_j g(i−j) over the pixels j inside the image, g(d) = exp(−d²/2σ²), per axis.

    sigma: standard deviation in pixels, ≥ 0.1; less would leave the image as it is. Dividing by the kernel's mass
    inside the image keeps constants constant up to the border; kernels larger than the image are fine. Weights below
    float32's resolution of 1 are left out.
    """

    sigma: float = 10.0

    def __post_init__(self) -> None:
        _set_number(self, "sigma", float, "a positive number of pixels, at least 0.1", lambda v: v >= 0.1)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        reach = math.ceil(min(self.sigma * math.sqrt(48 * math.log(2)), max(images.shape[-2:])))  # g(reach) = 2^-24
        return smooth(images, gaussian_weights(self.sigma, reach))


@dataclass(frozen=True)
class LocalMean(Infill):
    """Box filter: the mean over the size×size window around each pixel, or over its part inside the image.

    size: side of the window in pixels, odd, ≥ 1.
    """

    size: int = 15

    def __post_init__(self) -> None:
        _set_number(self, "size", int, "an odd number of pixels, at least 1", lambda v: v >= 1 and v % 2 == 1)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return smooth(images, [1.0] * (min(self.size // 2, max(images.shape[-2:])) + 1))


@dataclass(frozen=True)
class Mean(Infill):
    """The mean colour of each image, [N,C,1,1]."""

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        values = widen(images).flatten(-2)
        count = values.shape[-1]
        while values.shape[-1] > 1:  # a tree of elementwise sums, whose order does not depend on the batch
            half, odd = divmod(values.shape[-1], 2)
            sums = values[..., :half] + values[..., half : 2 * half]
            values = torch.cat([sums, values[..., -1:]], -1) if odd else sums
        return (values / count).unsqueeze(-1).to(images.dtype)


@dataclass(frozen=True)
class Zeros(Infill):
    """Black: pixel value 0, which is −mean/std on the classifier's scale, [1,C,1,1]."""

    normalization: Normalization

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return self.normalization.normalize(images.new_zeros((1, images.shape[1], 1, 1)))


@dataclass(frozen=True)
class UniformNoise(Infill):
    """Uniform noise over the pixel range: every pixel and channel independent, in 0..1, then normalised."""

    normalization: Normalization
    seed: int = 0

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)
        _set_seed(self)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        noise = [
            torch.rand(images.shape[1:], generator=g, dtype=torch.float32, device="cpu")
            for g in _generators(self.seed, images, streams)
        ]
        return _normalized(noise, images, self.normalization)


@dataclass(frozen=True)
class NormalNoise(Infill):
    """Normal noise in pixel space: every pixel and channel drawn from N(mean, std²), clamped to 0..1, then normalised.

    mean, std: in pixel units (0..1); std ≥ 0.
    """

    normalization: Normalization
    seed: int = 0
    mean: float = 0.5
    std: float = 0.2

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)
        _set_seed(self)
        _set_number(self, "mean", float, "a finite number")
        _set_number(self, "std", float, "a finite number, at least 0", lambda v: v >= 0)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        noise = [
            torch.randn(images.shape[1:], generator=g, dtype=torch.float32, device="cpu")
            for g in _generators(self.seed, images, streams)
        ]
        noise = [(values * self.std + self.mean).clamp_(0, 1) for values in noise]
        return _normalized(noise, images, self.normalization)


@dataclass(frozen=True)
class PatchShuffle(Infill):
    """The image with its patches permuted: same colours and textures, no arrangement (a knockoff of the image).

    patch: side of a patch in pixels, ≥ 1; cut to the image's side where that is shorter. Patches of equal size are
    permuted so that none stays in place. Where `patch` does not divide the image, the strips left at the right and at
    the bottom are permuted likewise; a piece of a size of its own changes places with as large a part of some patch.
    So every pixel is used exactly once, and none stays where it was.
    Raises ValueError for images too small to hold two patches.
    """

    patch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        _set_number(self, "patch", int, "a whole number of pixels, at least 1", lambda v: v >= 1)
        _set_seed(self)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        height, width = images.shape[-2:]
        orders = [self._order(height, width, g) for g in _generators(self.seed, images, streams)]
        if not orders:
            return images
        index = torch.stack(orders).to(images.device)[:, None].expand(-1, images.shape[1], -1)
        return images.flatten(2).gather(2, index).view(images.shape)

    def _order(self, height: int, width: int, generator: torch.Generator) -> Tensor:
        """For each pixel of the shuffled image, flattened, the pixel of the image that it shows: [height·width]."""
        order = torch.arange(height * width, device="cpu").view(height, width)
        shuffled = order.clone()
        patch = (min(self.patch, height), min(self.patch, width))
        grid = (height // patch[0], width // patch[1])
        if grid[0] * grid[1] < 2:
            raise ValueError(f"patch must be small enough for two in a {height}x{width} image, got {self.patch}")
        rows, columns = grid[0] * patch[0], grid[1] * patch[1]
        for ys in (slice(0, rows), slice(rows, height)):
            for xs in (slice(0, columns), slice(columns, width)):
                area = order[ys, xs]
                if not area.numel():
                    continue
                tile = (min(patch[0], area.shape[0]), min(patch[1], area.shape[1]))
                across = (area.shape[0] // tile[0], area.shape[1] // tile[1])
                tiles = area.reshape(across[0], tile[0], across[1], tile[1]).transpose(1, 2).flatten(0, 1)
                if len(tiles) > 1:
                    tiles = tiles[_cycle(len(tiles), generator)]
                    shuffled[ys, xs] = tiles.reshape(*across, *tile).transpose(1, 2).reshape(area.shape)
                else:  # nothing else is of its size
                    place = int(torch.randint(grid[0] * grid[1], (1,), generator=generator, device="cpu"))
                    y, x = place // grid[1] * patch[0], place % grid[1] * patch[1]
                    other = (slice(y, y + tile[0]), slice(x, x + tile[1]))
                    shuffled[ys, xs], shuffled[other] = shuffled[other].clone(), area
        return shuffled.flatten()


@dataclass(frozen=True, eq=False)
class Fixed(Infill):
    """A given infill: a floating-point tensor broadcastable to the images, moved to their device and dtype."""

    tensor: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.tensor, Tensor) or not self.tensor.is_floating_point():
            raise TypeError(f"infill must be a floating-point tensor, got {_describe(self.tensor)}")

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return self.tensor.to(images)


def apply(infill: Callable[..., Tensor], images: Tensor, streams: Streams | None = None) -> Tensor:
    """The infill of a batch, checked and expanded: a view of shape [N,C,H,W] in the images' dtype.

    infill: an `Infill`, called with images and streams, or any other callable, called with images only.
    images: [N,C,H,W], floating point. streams: an integer per image, naming its randomness; default 0..N-1.
    Raises TypeError or ValueError unless the result is a finite floating-point tensor, on the images' device,
    broadcastable to their shape.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(f"images must be a floating-point tensor, got {_describe(images)}")
    if images.dim() != 4:
        raise ValueError(f"images must be [N,C,H,W], got shape {tuple(images.shape)}")
    result = infill(images, streams) if isinstance(infill, Infill) else infill(images)
    if not isinstance(result, Tensor) or not result.is_floating_point():
        raise TypeError(f"infill must return a floating-point tensor, got {_describe(result)} from {infill!r}")
    if result.device != images.device:
        raise ValueError(f"infill must be on the images' device {images.device}, got {result.device} from {infill!r}")
    result = result.to(images.dtype)
    if not _broadcasts(result.shape, images.shape):
        raise ValueError(
            f"infill must be broadcastable to the images' shape {tuple(images.shape)}, "
            f"got {tuple(result.shape)} from {infill!r}"
        )
    if not bool(torch.isfinite(result).all()):
        raise ValueError(f"infill must be finite in {images.dtype}, got infinity or NaN from {infill!r}")
    return result.expand(images.shape)


def from_spec(
    spec: str | Tensor | Callable[..., Tensor], normalization: Normalization | None = None, *, seed: int = 0
) -> Callable[..., Tensor]:
    """The infill that a specification names.

    spec: "blur", "blur:SIGMA", "mean", "local-mean", "local-mean:SIZE", "zeros", "uniform", "normal", "shuffle",
    "shuffle:PATCH" (all in pixels); a tensor, used as it is; or a callable, returned as it is.
    normalization: needed by "zeros", "uniform" and "normal", which are defined on pixel values.
    seed: of "uniform", "normal" and "shuffle".
    Raises ValueError for an unknown name or value, TypeError for another kind of specification.
    """
    if isinstance(spec, Tensor):
        return Fixed(spec)
    if not isinstance(spec, str):
        if callable(spec):
            return spec
        raise TypeError(f"infill must be a name, a tensor or a callable, got {_describe(spec)}")
    name, colon, value = spec.partition(":")
    if name not in _NAMES:
        raise ValueError(f"infill must be one of {', '.join(map(repr, _NAMES))}, a tensor or a callable; got {spec!r}")
    if colon and name not in ("blur", "local-mean", "shuffle"):
        raise ValueError(f"infill {name!r} takes no value, got {spec!r}")
    match name:
        case "blur":
            return Blur(_number(spec, value, float)) if colon else Blur()
        case "local-mean":
            return LocalMean(_number(spec, value, int)) if colon else LocalMean()
        case "shuffle":
            return PatchShuffle(_number(spec, value, int), seed=seed) if colon else PatchShuffle(seed=seed)
        case "mean":
            return Mean()
    if normalization is None:
        raise ValueError(
            f"infill {spec!r} is defined on pixel values and needs normalization=Normalization(mean, std); "
            "where images are pixels in 0..1 already, Normalization((0.0,), (1.0,))"
        )
    if name == "zeros":
        return Zeros(normalization)
    return (UniformNoise if name == "uniform" else NormalNoise)(normalization, seed=seed)


_NAMES = ("blur", "mean", "local-mean", "zeros", "uniform", "normal", "shuffle")


def _number(spec: str, value: str, kind: type[Number]) -> Number:
    """The number after a specification's colon."""
    try:
        return kind(value)
    except ValueError:
        raise ValueError(
            f"infill {spec!r}: what follows the colon must be a{'n integer' if kind is int else ' number'}, in pixels"
        ) from None


def _set_number(
    infill: Infill, name: str, kind: type[Number], meaning: str, valid: Callable[[Number], bool] = lambda v: True
) -> None:
    """Check a field of an infill, and turn any kind of number (NumPy's, say) into Python's."""
    value = getattr(infill, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if kind is int else numbers.Real):
        hint = "; convert it with int()" if isinstance(value, numbers.Real) and not isinstance(value, bool) else ""
        raise TypeError(f"{name} must be {meaning}, got {_describe(value)}{hint}")
    try:
        number = kind(cast(Number, value))
        fits = math.isfinite(number) if kind is float else True
    except OverflowError:
        fits = False
    if not (fits and valid(number)):
        raise ValueError(f"{name} must be {meaning}, got {value!r}")
    object.__setattr__(infill, name, number)


def _set_seed(infill: Infill) -> None:
    _set_number(infill, "seed", int, "an integer of 64 bits", lambda v: -(2**63) <= v < 2**64)


def _check_normalization(value: object) -> None:
    if not isinstance(value, Normalization):
        raise TypeError(
            f"normalization must be a sdfido Normalization, got {_describe(value)}; "
            "where images are pixels in 0..1, give Normalization((0.0,), (1.0,))"
        )


def _cycle(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation of one cycle: each place gets another's content."""
    places = torch.randperm(count, generator=generator, device="cpu")
    result = torch.empty_like(places)
    result[places] = places.roll(1)
    return result


def _generators(seed: int, images: Tensor, streams: Streams | None) -> list[torch.Generator]:
    """One generator per image, seeded by (seed, stream)."""
    count = images.shape[0]
    if streams is None:
        names = list(range(count))
    else:
        names = streams.tolist() if isinstance(streams, Tensor) else list(streams)
        if len(names) != count or any(isinstance(name, float) for name in names):
            raise ValueError(f"streams must hold one integer for each of the {count} images, got {streams!r}")
    mask = 0xFFFFFFFF
    words = [[seed & mask, seed >> 32 & mask, name & mask, name >> 32 & mask] for name in map(operator.index, names)]
    return [torch.Generator().manual_seed(int(np.random.SeedSequence(w).generate_state(1)[0])) for w in words]


def _normalized(noise: list[Tensor], images: Tensor, normalization: Normalization) -> Tensor:
    if not noise:
        return images
    return normalization.normalize(torch.stack(noise).to(images.device)).to(images.dtype)


def _broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    return len(shape) <= len(target) and all(
        a in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False)
    )


def _describe(value: object) -> str:
    return (
        f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"{type(value).__name__} {reprlib.repr(value)}"
    )
