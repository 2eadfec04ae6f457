"""Infills: what stands in for the pixels that a mask removes.

An infill is any callable that maps images [N, C, H, W] to a tensor that broadcasts to them, on the model's scale.
Those of this module compute every image of a batch exactly as they compute it alone: they consist of elementwise
operations in a fixed order, and randomness depends on (seed, stream) only, never on the batch or the device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import (
    check_dense,
    check_function,
    check_seed,
    check_streams,
    check_tensor,
    describe,
    set_number,
    set_seed,
)
from .normalization import Normalization
from .patches import shuffled
from .smoothing import gaussian_weights, smooth, widen

__all__ = [
    "Blur",
    "Fixed",
    "Infill",
    "LocalMean",
    "Mean",
    "NormalNoise",
    "PatchShuffle",
    "UniformNoise",
    "Zeros",
    "apply",
    "from_spec",
]

Streams = Sequence[int] | Tensor


class Infill(ABC):
    """An infill that is also told the images' random streams; subclass it for infills with randomness of their own."""

    @abstractmethod
    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        """Compute the infill of images.

        Args:
            images: [N, C, H, W], floating point.
            streams: an integer for each image, which names its randomness; 0, ..., N-1 by default.

        Returns:
            A tensor that broadcasts to the images.
        """


@dataclass(frozen=True)
class Blur(Infill):
    """Gaussian blur: ``sum_j g(i-j) x_j / sum_j g(i-j)`` over the pixels j inside the image, along each axis.

    ``g(d) = exp(-d**2 / (2 sigma**2))``. Dividing by the kernel's mass inside the image keeps constants constant up to
    the border. Kernels may be larger than the image. Weights below float32's resolution of 1 are left out.

    Args:
        sigma: standard deviation in pixels, at least 0.1; less would leave the image as it is.
    """

    sigma: float = 10.0

    def __post_init__(self) -> None:
        set_number(self, "sigma", float, 0.1, meaning="a finite number of pixels, at least 0.1")

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        reach = math.ceil(min(self.sigma * math.sqrt(48 * math.log(2)), max(images.shape[-2:])))  # g(reach) = 2^-24
        return smooth(images, gaussian_weights(self.sigma, reach))


@dataclass(frozen=True)
class LocalMean(Infill):
    """Box filter: the mean over the window around each pixel, or over the window's part inside the image.

    Args:
        size: side of the window in pixels, odd, at least 1.
    """

    size: int = 15

    def __post_init__(self) -> None:
        set_number(self, "size", int, 1, meaning=(odd := "an odd number of pixels, at least 1"))
        if self.size % 2 == 0:
            raise ValueError(f"size must be {odd}, got {self.size}")

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return smooth(images, [1.0] * (min(self.size // 2, max(images.shape[-2:])) + 1))


@dataclass(frozen=True)
class Mean(Infill):
    """The mean colour of each image, [N, C, 1, 1]."""

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
    """Black: pixel value 0, which is ``-mean / std`` on the model's scale, [1, C, 1, 1].

    Args:
        normalization: of the images.
    """

    normalization: Normalization

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return self.normalization.normalize(images.new_zeros((1, images.shape[1], 1, 1)))


@dataclass(frozen=True)
class UniformNoise(Infill):
    """Uniform noise over the pixel range: every pixel and channel independent, in 0..1, then normalised.

    Args:
        normalization: of the images.
        seed: of the noise, an integer of 64 bits.
    """

    normalization: Normalization
    seed: int = 0

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)
        set_seed(self)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return _noise(self, images, streams, torch.rand)


@dataclass(frozen=True)
class NormalNoise(Infill):
    """Normal noise in pixel space: every pixel and channel independent, clamped to 0..1, then normalised.

    Args:
        normalization: of the images.
        seed: of the noise, an integer of 64 bits.
        mean: in pixel units, where 0 is black and 1 is white.
        std: in pixel units, at least 0.
    """

    normalization: Normalization
    seed: int = 0
    mean: float = 0.5
    std: float = 0.2

    def __post_init__(self) -> None:
        _check_normalization(self.normalization)
        set_seed(self)
        set_number(self, "mean", float)
        set_number(self, "std", float, 0)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        def draw(*arguments: Any, **options: Any) -> Tensor:
            return (torch.randn(*arguments, **options) * self.std + self.mean).clamp_(0, 1)

        return _noise(self, images, streams, draw)


@dataclass(frozen=True)
class PatchShuffle(Infill):
    """The image with its patches permuted: same colours and textures, no arrangement (a knockoff of the image).

    Patches of equal size are permuted so that none stays in place. Where ``patch`` does not divide the image, the
    strips left at the right and at the bottom are permuted likewise; a piece of a size of its own changes places with
    as large a part of some patch. So every pixel is used exactly once, and none stays where it was. Images too small
    to hold two patches raise a ``ValueError``.

    Args:
        patch: side of a patch in pixels, at least 1; cut to the image's side where that is shorter.
        seed: of the permutation, an integer of 64 bits.
    """

    patch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        set_number(self, "patch", int, 1)
        set_seed(self)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        height, width = images.shape[-2:]
        orders = [shuffled(height, width, self.patch, g) for g in _generators(self.seed, images, streams)]
        if not orders:
            return images
        index = torch.stack(orders).to(images.device)[:, None].expand(-1, images.shape[1], -1)
        return images.flatten(2).gather(2, index).view(images.shape)


@dataclass(frozen=True, eq=False)
class Fixed(Infill):
    """A given infill.

    Args:
        tensor: floating point, broadcasts to the images; moved to their device and dtype.
    """

    tensor: Tensor

    def __post_init__(self) -> None:
        check_tensor("infill", self.tensor, floating=True, values=True)

    def __call__(self, images: Tensor, streams: Streams | None = None) -> Tensor:
        return self.tensor.to(images)


def apply(infill: Callable[..., Tensor], images: Tensor, streams: Streams | None = None) -> Tensor:
    """The infill of a batch, checked and expanded.

    Args:
        infill: an ``Infill``, called with images and streams, or any other callable, called with images alone.
        images: [N, C, H, W], floating point.
        streams: an integer for each image, which names its randomness; 0, ..., N-1 by default.

    Returns:
        A view [N, C, H, W] of the infill, in the images' dtype.

    Raises:
        TypeError, ValueError: the infill is no finite floating-point tensor on the images' device that broadcasts to
            them.
    """
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, filled=1, values=True)
    check_function("infill", infill, "a function of images")
    result = infill(images, streams) if isinstance(infill, Infill) else infill(images)
    if not isinstance(result, Tensor) or result.is_nested or not result.is_floating_point():
        raise TypeError(f"infill must return a floating-point tensor, got {describe(result)} from {infill!r}")
    check_dense("infill", result)
    if result.device != images.device:
        raise ValueError(f"infill must be on the images' device {images.device}, got {result.device} from {infill!r}")
    result = result.to(images.dtype)
    try:
        expanded = result.expand(images.shape)
    except RuntimeError:
        raise ValueError(
            f"infill must be broadcastable to the images' shape {list(images.shape)}, "
            f"got {list(result.shape)} from {infill!r}"
        ) from None
    if not bool(torch.isfinite(result).all()):
        raise ValueError(f"infill must be finite in {images.dtype}, got infinity or NaN from {infill!r}")
    return expanded


def from_spec(
    spec: str | Tensor | Callable[..., Tensor], normalization: Normalization | None = None, *, seed: int = 0
) -> Callable[..., Tensor]:
    """The infill that a specification names.

    Args:
        spec: "blur", "blur:SIGMA", "mean", "local-mean", "local-mean:SIZE", "zeros", "uniform", "normal", "shuffle" or
            "shuffle:PATCH", in pixels; a tensor, used as it is; or a callable, returned as it is.
        normalization: needed by "zeros", "uniform" and "normal", which are defined on pixel values.
        seed: of "uniform", "normal" and "shuffle".

    Raises:
        TypeError: ``spec`` is of another kind.
        ValueError: the name or its value is unknown, or the normalization is missing.
    """
    if normalization is not None:
        _check_normalization(normalization)
    seed = check_seed("seed", seed)
    if isinstance(spec, Tensor):
        return Fixed(spec)
    if not isinstance(spec, str):
        if callable(spec):
            return spec
        raise TypeError(f"infill must be a name, a tensor or a callable, got {describe(spec)}")
    name, colon, value = spec.partition(":")
    if name not in _NAMES:
        raise ValueError(f"infill must be one of {', '.join(map(repr, _NAMES))}, a tensor or a callable; got {spec!r}")
    if colon and name not in _SIZED:
        raise ValueError(f"infill {name!r} takes no value, got {spec!r}")
    if name in _SIZED:
        kind, make = _SIZED[name]
        options = {"seed": seed} if name == "shuffle" else {}
        if not colon:
            return make(**options)
        try:
            number = kind(value)
        except ValueError:
            noun = "an integer" if kind is int else "a number"
            raise ValueError(f"infill {spec!r}: what follows the colon must be {noun}, in pixels") from None
        return make(number, **options)
    if name == "mean":
        return Mean()
    if normalization is None:
        raise ValueError(
            f"infill {spec!r} is defined on pixel values and needs normalization=Normalization(mean, std); "
            "where images are pixels in 0..1 already, Normalization((0.0,), (1.0,))"
        )
    if name == "zeros":
        return Zeros(normalization)
    return (UniformNoise if name == "uniform" else NormalNoise)(normalization, seed=seed)


_SIZED: dict[str, tuple[type, Callable[..., Infill]]] = {
    "blur": (float, Blur),
    "local-mean": (int, LocalMean),
    "shuffle": (int, PatchShuffle),
}
_NAMES = ("blur", "mean", "local-mean", "zeros", "uniform", "normal", "shuffle")


def _check_normalization(value: object) -> None:
    if not isinstance(value, Normalization):
        raise TypeError(
            f"normalization must be a sdfido Normalization, got {describe(value)}; "
            "where images are pixels in 0..1, give Normalization((0.0,), (1.0,))"
        )


def _noise(
    infill: UniformNoise | NormalNoise, images: Tensor, streams: Streams | None, draw: Callable[..., Tensor]
) -> Tensor:
    """The pixels that ``draw`` makes for each image, normalised."""
    generators = _generators(infill.seed, images, streams)
    if not generators:
        return images
    pixels = [draw(images.shape[1:], generator=g, dtype=torch.float32, device="cpu") for g in generators]
    return infill.normalization.normalize(torch.stack(pixels).to(images.device)).to(images.dtype)


def _generators(seed: int, images: Tensor, streams: Streams | None) -> list[torch.Generator]:
    """One generator per image, seeded by (seed, stream)."""
    names = check_streams(streams, images.shape[0], torch.device("cpu")).tolist()
    mask = 0xFFFFFFFF
    words = [[seed & mask, seed >> 32 & mask, name & mask, name >> 32 & mask] for name in names]
    return [torch.Generator().manual_seed(int(np.random.SeedSequence(w).generate_state(1)[0])) for w in words]
