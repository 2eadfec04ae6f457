"""What is known to matter in photos: masks and boxes in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..checks import check_kind, check_path
from ..files import printable
from ..models import Classifier, read_photo
from ..models.photo import orientation, turned, upright_size
from . import csv_file
from .items import SUFFIXES

__all__ = ["BOXES", "Annotations", "seen"]

BOXES = "boxes.csv"
_HEADER = ["photo", "x0", "y0", "x1", "y1"]


class Annotations:
    """Masks, ``NAME.png`` for the photo ``NAME.jpg``, and boxes, rows of ``boxes.csv``, in pixels of the photo.

    A mask is 0 where nothing matters. A box is a row photo,x0,y0,x1,y1, where x1 and y1 are the first pixels outside;
    all boxes of a photo count together.

    Args:
        folder: where masks and boxes are.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: the folder is none, or its boxes cannot be read.

    Example:
        >>> truth = runs.Annotations("masks").find(photo, "birds/robin", classifier)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = check_path("truth", folder)
        if not self._folder.is_dir():
            raise ValueError(f"truth must be a folder, got {printable(folder)!r}")
        boxes = self._folder / BOXES
        self._boxes: dict[str, list[tuple[int, ...]]] = {}
        #: the photos that have boxes, as the file calls them, and what they are called here, without the suffix
        self.boxed: dict[str, Path] = {}
        if boxes.exists():
            self._boxes, self.boxed = _boxes(boxes)

    def find(self, photo: Image.Image, name: str | os.PathLike[str], classifier: Classifier) -> Tensor | None:
        """The truth of a photo as the classifier would see it: bool [H, W]; None if there is none that it sees.

        Args:
            photo: the photo.
            name: what it is called here, without the suffix.
            classifier: its preprocessing is applied to the truth.

        Raises:
            ValueError: a mask has another size than the photo, or a box leaves it.
        """
        check_kind("classifier", classifier, Classifier, "a models.Classifier")
        place = check_path("name", name)
        size = upright_size(photo)[::-1]
        path = self._folder / f"{place}.png"
        if path.is_file():
            known = _mask(path, size)
        elif boxes := self._boxes.get(place.as_posix()):
            known = np.zeros(size[::-1], dtype=bool)
            for x0, y0, x1, y1 in boxes:
                if x1 > size[0] + 1 or y1 > size[1] + 1:
                    raise ValueError(
                        f"truth {printable(self._folder / BOXES)!r} must have boxes inside the photo, "
                        f"{size[0]}x{size[1]}, got x0, y0, x1, y1 = {x0}, {y0}, {x1}, {y1} for {place.as_posix()!r}"
                    )
                known[y0:y1, x0:x1] = True
        else:
            return None
        return seen(Image.fromarray(known.astype(np.uint8) * 255), classifier)

    def has_mask(self, name: str | os.PathLike[str]) -> bool:
        """Whether there is a mask for the photo of this name, without the suffix."""
        return (self._folder / f"{check_path('name', name)}.png").is_file()

    def about(self, name: str | os.PathLike[str]) -> str:
        """What changes whenever the mask or the boxes of that photo do."""
        place = check_path("name", name)
        path = self._folder / f"{place}.png"
        if path.is_file():
            return f"{printable(path)} {path.stat().st_mtime_ns} {path.stat().st_size}"
        return repr(self._boxes.get(place.as_posix()))


def seen(drawn: Image.Image, classifier: Classifier) -> Tensor | None:
    """What a classifier sees of a mask, white on black, as large as the upright photo: bool [H, W]; None: nothing."""
    mask = classifier.pixels(drawn.convert("RGB"), border=(0.0,))[0] > 0.5
    return mask if bool(mask.any()) else None


def _mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    drawn = read_photo(path)
    values: NDArray[np.generic] = np.asarray(turned(drawn, orientation(drawn)))
    if values.shape[1::-1] != size:
        shape = "x".join(map(str, values.shape[1::-1]))
        raise ValueError(f"truth {printable(path)!r} must be as large as its photo, {size[0]}x{size[1]}, got {shape}")
    if values.ndim == 3:
        values = values[..., : 3 if values.shape[2] >= 3 else 1].max(2)  # without the opacity
    known: NDArray[np.bool_] = values != 0
    return known


def _boxes(path: Path) -> tuple[dict[str, list[tuple[int, ...]]], dict[str, Path]]:
    """The boxes of each photo, by its name without the suffix; and these names, by the photos in the file."""
    boxes: dict[str, list[tuple[int, ...]]] = {}
    boxed: dict[str, Path] = {}
    photos: dict[str, str] = {}
    shown = f"truth {printable(path)!r}"
    for line, row in csv_file.read(path, "truth", _HEADER):
        try:
            corners = [float(row[name]) for name in _HEADER[1:]]
            box = tuple(map(round, corners))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{shown} must have finite numbers in line {line}") from error
        if max(corners) <= 1 and not all(map(float.is_integer, corners)):
            raise ValueError(f"{shown} must have boxes in pixels, got parts of the photo in line {line}")
        if not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
            raise ValueError(f"{shown} must have x0 < x1 and y0 < y1 in line {line}")
        if not row["photo"]:
            raise ValueError(f"{shown} must name the photo in line {line}")
        photo = Path(row["photo"].replace("\\", "/"))
        called = photo.with_suffix("") if photo.suffix.lower() in SUFFIXES else photo
        name = called.as_posix()
        if photos.setdefault(name, row["photo"]) != row["photo"]:
            raise ValueError(
                f"{shown} must have one photo of a name, got {photos[name]!r} and {row['photo']!r} in line {line}"
            )
        boxes.setdefault(name, []).append(box)
        boxed[row["photo"]] = called
    return boxes, boxed
