"""Which part of a photo a classifier sees, and the way back from its input to the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_kind, check_number, check_size
from . import packages
from .limits import most_pixels

__all__ = ["Window"]

ROUNDINGS = ("nearest", "torchvision", "transformers")
"""How sizes become whole pixels: to the nearest one, or as a library does it; see ``Classifier``."""


@dataclass(frozen=True)
class Window:
    """The part of a photo that a classifier sees, and where in the classifier's input it lies.

    All places are in pixels; those of the photo are of the upright one, turned as its Exif orientation says.
    """

    photo: tuple[int, int]  #: height and width of the upright photo
    box: tuple[float, float, float, float]  #: top, left, bottom, right in the photo of what is seen
    size: tuple[int, int]  #: height and width of the classifier's input
    inside: tuple[int, int, int, int]  #: top, left, bottom, right of that in the input; a border is outside

    @classmethod
    def of(
        cls, photo: tuple[int, int], size: tuple[int, int], crop: float, crop_mode: str, rounding: str = "nearest"
    ) -> Window:
        """The window of a photo of so many pixels, height and width; see ``fit`` for the rest."""
        photo, size = check_size("photo", photo), check_size("size", size)
        crop = check_number("crop", crop, above=0, most=1, meaning="in (0, 1]")
        check_choice("crop_mode", crop_mode, ("center", "squash", "border"))
        check_choice("rounding", rounding, ROUNDINGS)
        resized = _resized(photo, size, crop, crop_mode, rounding)
        # Only the part that is kept is resized, so that memory does not grow with the photo's proportions.
        height, top, bottom = _kept(photo[0], size[0], resized[0], rounding)
        width, left, right = _kept(photo[1], size[1], resized[1], rounding)
        y, x = (size[0] - height) // 2, (size[1] - width) // 2
        return cls(photo, (top, left, bottom, right), size, (y, x, y + height, x + width))

    def described(self) -> dict[str, Any]:
        """As plain values, for ``read``."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, described: object) -> Window | None:
        """What ``described`` returned; None where it is something else."""
        if not isinstance(described, Mapping):
            return None
        try:
            found = {name: tuple(described[name]) for name in cls.__dataclass_fields__}
        except (KeyError, TypeError):
            return None
        lengths = {name: len(value) for name, value in found.items()}
        if lengths != {"photo": 2, "box": 4, "size": 2, "inside": 4} or not all(map(_are_places, found.values())):
            return None
        window = cls(**found)
        return window if window._is_possible() else None

    def _is_possible(self) -> bool:
        """Whether a photo can be seen so."""
        (height, width), (rows, columns) = self.photo, self.size
        top, left, bottom, right = self.box
        y0, x0, y1, x1 = self.inside
        whole = all(isinstance(value, int) for value in (*self.photo, *self.size, *self.inside))
        seen = 0 <= y0 < y1 <= rows and 0 <= x0 < x1 <= columns and top < bottom and left < right
        inside = min(top, left) > -1 and bottom < height + 1 and right < width + 1
        return whole and seen and inside and max(height * width, rows * columns) <= most_pixels()

    def onto_photo(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values of the classifier's input [H, W] at the photo's pixels [h, w]: bilinear, 0 where nothing is seen.

        Raises:
            ValueError: the values have another shape than the input.
            ImportError: Pillow is not installed.
        """
        check_kind("values", values, np.ndarray, "an array [H, W]")
        if values.dtype.kind not in "biuf":
            raise TypeError(f"values must be numbers, got {values.dtype}")
        if values.shape != self.size:
            raise ValueError(f"values must be [H, W] = {list(self.size)}, got {list(values.shape)}")
        pil = packages.require("PIL.Image", "maps at the size of photos", packages.FOR_PHOTOS)
        y0, x0, y1, x1 = self.inside
        shown = pil.fromarray(np.ascontiguousarray(values[y0:y1, x0:x1], dtype=np.float32))
        top, left, bottom, right = self.box
        down, across = (y1 - y0) / (bottom - top), (x1 - x0) / (right - left)
        back = (across, 0, -left * across, 0, down, -top * down)
        full = shown.transform(self.photo[::-1], pil.Transform.AFFINE, back, resample=pil.Resampling.BILINEAR)
        return np.asarray(full, dtype=np.float32)


def _are_places(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _resized(
    photo: tuple[int, int], size: tuple[int, int], crop: float, crop_mode: str, rounding: str
) -> tuple[int, int]:
    """Height and width of the whole photo once it is resized; with a border, a side may be shorter than ``size``."""
    covered = [pixels / crop for pixels in size]
    if rounding != "nearest" or crop_mode == "squash":
        covered = [int(pixels + 1e-6) for pixels in covered]
    if crop_mode == "squash":
        return int(covered[0]), int(covered[1])
    if rounding != "nearest" and crop_mode == "center" and covered[0] == covered[1]:
        height, width = (int(covered[0] * length / min(photo)) for length in photo)
    else:
        fitting = min if crop_mode == "border" else max
        scale = fitting(pixels / length for pixels, length in zip(covered, photo, strict=True))
        height, width = (round(length * scale) for length in photo)
    least = (1, 1) if crop_mode == "border" else size
    return max(least[0], height), max(least[1], width)


def _kept(length: int, pixels: int, resized: int, rounding: str) -> tuple[int, float, float]:
    """What of a side of the given length is kept: how many pixels that becomes, where it begins, and where it ends.

    Of the resized side, the middle ``pixels`` are kept; a shorter one is kept whole.
    """
    kept = min(pixels, resized)
    begin = round((resized - kept) / 2) if rounding == "torchvision" else (resized - kept) // 2
    return kept, begin * length / resized, (begin + kept) * length / resized
