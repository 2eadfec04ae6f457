"""The affine map between pixel values in 0..1 and what a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import check_number, check_tensor

__all__ = ["Normalization"]


@dataclass(frozen=True)
class Normalization:
    """Normalisation of pixels in 0..1, channel by channel: ``image = (pixel - mean) / std``.

    ``Normalization((0.0,), (1.0,))`` is the identity, for models that take pixels.

    Args:
        mean: one value for each channel, in pixel units; a single value serves every channel.
        std: likewise, positive.

    Raises:
        TypeError: an argument is no sequence of numbers.
        ValueError: the lengths differ, a value is not finite, or a standard deviation is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _floats("mean", self.mean))
        object.__setattr__(self, "std", _floats("std", self.std))
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean and std must have one value per channel each, got {self.mean} and {self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive in every channel, got {self.std}")

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels [..., C, H, W] in 0..1 on the model's scale: ``(pixels - mean) / std``, in the pixels' dtype."""
        mean, std = self._columns(pixels, "pixels")
        return ((pixels - mean) / std).to(pixels.dtype)

    def pixels(self, images: Tensor) -> Tensor:
        """Pixels of images [..., C, H, W] on the model's scale: ``images * std + mean``, in the images' dtype."""
        mean, std = self._columns(images, "images")
        return (images * std + mean).to(images.dtype)

    def _columns(self, values: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """mean and std as [C or 1, 1, 1] on the values' device, in float32 or wider."""
        check_tensor(name, values, "[..., C, H, W]", floating=True)
        if values.dim() < 3 or len(self.mean) not in (1, values.shape[-3]):
            raise ValueError(
                f"{name} must be [..., C, H, W] with C = {len(self.mean)}, the length of the normalisation's mean; "
                f"got shape {tuple(values.shape)}"
            )
        dtype = torch.promote_types(values.dtype, torch.float32)
        mean, std = (torch.tensor(v, dtype=dtype, device=values.device)[:, None, None] for v in (self.mean, self.std))
        return mean, std


def _floats(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a tuple of numbers, one per channel, got {values!r}")
    if not values:
        raise ValueError(f"{name} must hold at least one number, got {values!r}")
    return tuple(check_number(name, value, meaning="a tuple of finite numbers, one per channel") for value in values)
