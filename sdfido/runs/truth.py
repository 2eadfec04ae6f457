"""Where the animals are in photos, as the classifier sees them: boxes from files, masks from folders."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..checks import check_path, check_paths
from ..files import printable
from ..models import Classifier
from ..models.photo import orientation, turned, upright_size
from . import csv_file
from .annotations import Annotations, seen
from .detections import CONFIDENCE, Boxes, chosen, entries_of, first
from .matching import match, match_places, none_of
from .results import Result

__all__ = ["FOLDERS", "Truth", "column", "sites"]

FOLDERS = "folders"
_PROPORTIONS = 0.02  # by which the sides of a photo and of its truth may differ in proportion


class Truth:
    """Where the animals are, from files of detectors and data sets (``sdfido.runs.detections``), or folders of masks.

    Args:
        paths: files, and folders as ``Annotations`` takes them; a file counts before a folder.
        results: whose photos are looked for in them.
        confidence, categories: which boxes count, see ``sdfido.runs.detections.read``.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: a file cannot be read, does not tell the photos apart, or, all together, they have none of them, or
            boxes of none of the categories.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        results: Sequence[Result],
        *,
        confidence: float = CONFIDENCE,
        categories: Sequence[str] | None = None,
    ) -> None:
        given = self.paths = check_paths("truth", paths)  #: files and folders
        counted = chosen(confidence, categories)
        if not given:
            raise ValueError("truth must be at least one file or folder, got none")
        self._masks = [Annotations(path) for path in given if path.is_dir()]
        entries = [entry for path in given if not path.is_dir() for entry in entries_of(path, counted)]
        if counted.wanted and counted.names and not counted.wanted & {name.casefold() for name in counted.names}:
            raise ValueError(
                f"categories must be names of boxes in the truth, got {first(sorted(counted.wanted))}; it has "
                f"{first(sorted(counted.names), 8)}"
            )
        source = f"truth {first([printable(path) for path in given])}"
        found = match(results, [entry.photo for entry in entries], source)
        self._boxes = {
            result.folder: entries[place] for result, place in zip(results, found, strict=True) if place is not None
        }
        self._named = [_named(masks, results, source) for masks in self._masks]
        if not any(map(self.knows, results)):
            photos = [*(entry.photo for entry in entries), *(name for masks in self._masks for name in masks.boxed)]
            error = none_of(source, results, photos)
            if self._masks:
                error = ValueError(f"{error}, and no mask such as {printable(results[0].named)}.png")
            raise error

    def knows(self, result: Result) -> bool:
        """Whether a file or folder says anything of the photo, even if that is: no animal."""
        return result.folder in self._boxes or any(result.folder in named for named in self._named)

    def about(self, result: Result) -> str:
        """What changes whenever the truth of the photo does."""
        if (entry := self._boxes.get(result.folder)) is not None:
            return repr(entry)
        return next((masks.about(name) for masks, name in self._folders(result)), "")

    def site(self, result: Result) -> str | None:
        """Where the camera stood, if a file says it."""
        entry = self._boxes.get(result.folder)
        return None if entry is None else entry.site

    def sequence(self, result: Result) -> str | None:
        """What the photo shares with those of the same trigger, if a file says it."""
        entry = self._boxes.get(result.folder)
        return None if entry is None else entry.sequence

    def find(self, photo: Image.Image, result: Result, classifier: Classifier) -> Tensor | None:
        """Where animals are in the photo as the classifier sees it: bool [H, W]; None if there is none that it sees.

        Raises:
            ValueError: boxes or a mask do not fit the photo.
        """
        if (entry := self._boxes.get(result.folder)) is not None:
            return seen(_drawn(entry, photo), classifier) if entry.boxes else None
        found = (masks.find(photo, name, classifier) for masks, name in self._folders(result))
        return next((mask for mask in found if mask is not None), None)

    def _folders(self, result: Result) -> Iterator[tuple[Annotations, Path]]:
        """The folders that know a photo, and what each calls it."""
        for masks, named in zip(self._masks, self._named, strict=True):
            if result.folder in named:
                yield masks, named[result.folder]


def _named(masks: Annotations, results: Sequence[Result], source: str) -> dict[Path, Path]:
    """What a folder calls the photos that it knows, by the folders of their results."""
    boxed = list(masks.boxed)
    found = match_places(results, boxed, source)
    named = {
        result.folder: masks.boxed[boxed[place]]
        for result, place in zip(results, found, strict=True)
        if place is not None
    }
    return named | {result.folder: result.named for result in results if masks.has_mask(result.named)}


def sites(results: Sequence[Result], truth: Truth, given: str | os.PathLike[str] | None = None) -> list[str | None]:
    """The site of each result.

    Args:
        results: of the photos.
        truth: whose files may say it, as COCO Camera Traps do by ``location``.
        given: a CSV file with the columns photo and site; or "folders": the sub-folder of OUT that has the photo's
            results, which is that of the photo. By default what the truth says, or else the sub-folders.

    Raises:
        ValueError: the file cannot be read, or does not tell the photos apart.
    """
    folders = [result.place.parent.as_posix() if result.place.parent != Path() else None for result in results]
    if given is None:
        said = [truth.site(result) for result in results]
        return said if any(said) else folders
    given = check_path("sites", given)
    if str(given) == FOLDERS:
        return folders
    return column("site", results, given, FOLDERS)


def column(name: str, results: Sequence[Result], given: str | os.PathLike[str], instead: str) -> list[str | None]:
    """What a CSV file with the columns photo and ``name`` says of each result; None where it says nothing.

    Args:
        name: of the column, in the singular; of the argument, in the plural.
        results: of the photos.
        given: the file.
        instead: the word that the argument takes in place of a file, for messages.

    Raises:
        ValueError: the file cannot be read, contradicts itself, does not tell the photos apart, or has none of them.
    """
    path = check_path(f"{name}s", given)
    rows = csv_file.by_photo(path, f"{name}s", name, repr(instead))
    source = f"{name}s {printable(path)!r}"
    found = match(results, list(rows), source)
    if not any(place is not None for place in found):
        raise none_of(source, results, list(rows))
    told = [row[name] for row in rows.values()]
    return [None if place is None else told[place] or None for place in found]


def _drawn(entry: Boxes, photo: Image.Image) -> Image.Image:
    """The boxes as white on black, as large as the upright photo.

    Boxes in pixels may be of the photo upright or as it is stored, if the file says its size, and of any resolution.
    """
    upright = upright_size(photo)[::-1]
    frame, stored = upright, False
    if entry.size is not None and not entry.relative:
        frame = entry.size
        if not _alike(frame, upright):
            stored = _alike(frame, photo.size)
            if not stored:
                raise ValueError(
                    f"truth of {entry.photo!r} must be of a photo as this one, {upright[0]}x{upright[1]}, got "
                    f"{frame[0]}x{frame[1]}"
                )
    width, height = photo.size if stored else upright
    scale = (width, height) if entry.relative else (width / frame[0], height / frame[1])
    known = np.zeros((height, width), dtype=np.uint8)
    for box in entry.boxes:
        x0, y0, x1, y1 = (value * scale[axis % 2] for axis, value in enumerate(box))
        if not entry.relative and (min(x0, y0) < -1 or x1 > width + 1 or y1 > height + 1):
            raise ValueError(
                f"truth of {entry.photo!r} must have boxes inside the photo, {width}x{height}, got x0, y0, x1, y1 = "
                f"{', '.join(f'{value:g}' for value in box)}"
            )
        rows, columns = slice(max(0, _down(y0)), -_down(-y1)), slice(max(0, _down(x0)), -_down(-x1))
        known[rows, columns] = 255
    drawn = Image.fromarray(known)
    if stored:
        drawn = turned(drawn, orientation(photo))
    return drawn


def _down(value: float) -> int:
    """Rounded down, but for what rounding has left."""
    return math.floor(value + 1e-6)


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether both have the same proportions."""
    across, down = size[0] * other[1], size[1] * other[0]
    return abs(across - down) < _PROPORTIONS * down
