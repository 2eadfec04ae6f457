"""Reading boxes of animals from the files of detectors and data sets: MegaDetector, SpeciesNet, COCO Camera Traps.

Formats, told apart by their content:

* MegaDetector's batch output, of every version: ``{"images": [{"file", "detections": [{"category", "conf", "bbox": [x,
  y, w, h]}]}], "detection_categories"}``, in parts of the photo;
* that of Microsoft's MegaDetector package: ``[{"file", "detections": [{"category", "confidence", "bbox": [x0, y0, x1,
  y1]}]}]``, in pixels;
* SpeciesNet: ``{"predictions": [{"filepath", "detections": [{"label", "conf", "bbox": [x, y, w, h]}]}]}``, in parts;
* COCO, also with the fields of COCO Camera Traps: ``{"images": [{"id", "file_name", "width", "height", "location",
  "seq_id"}], "annotations": [{"image_id", "category_id", "bbox": [x, y, w, h]}], "categories"}``, in pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import json_file
from ..checks import check_list, check_number, check_path
from ..files import printable

__all__ = ["CONFIDENCE", "Boxes", "first", "read"]

CONFIDENCE = 0.2
"""Detections below do not count: between the thresholds that MegaDetector's authors advise for its fifth version."""

_NOT_ANIMALS = {"person", "human", "vehicle", "car", "empty", "blank", "misfire", "none"}
_MEGADETECTOR = {"1": "animal", "2": "person", "3": "vehicle"}  # where a file does not say it
_SLACK = 0.01  # parts of the photo by which a detector's box may leave it

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Boxes:
    """What a file says of one photo."""

    photo: str  #: as the file names it
    boxes: tuple[Box, ...]  #: x0, y0, x1, y1 of each animal
    relative: bool  #: whether they are parts of the photo, 0..1, or pixels
    size: tuple[int, int] | None = None  #: width and height of the photo, if the file says it
    site: str | None = None  #: where the camera stood, if the file says it
    sequence: str | None = None  #: what the photo shares with those of the same trigger, if the file says it


def read(path: str | Path, *, confidence: float = CONFIDENCE, categories: Sequence[str] | None = None) -> list[Boxes]:
    """The boxes of all photos in a file; photos without a box that counts have none.

    Args:
        path: of the file, JSON in one of the formats above.
        confidence: detections of which the detector is less sure do not count; boxes without a confidence do.
        categories: names of those that count, whatever their case; by default all but people, vehicles and nothing.

    Raises:
        ValueError: the file cannot be read, has another format, or has boxes that cannot be; the message names the
            first photos that these are of.
    """
    return entries_of(check_path("path", path), chosen(confidence, categories))


def chosen(confidence: float, categories: Sequence[str] | None) -> Filter:
    """Which boxes count, of the arguments of ``read``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
    """
    confidence = check_number("confidence", confidence)
    if categories is None:
        return Filter(confidence, None)
    return Filter(confidence, {name.casefold() for name in check_list("categories", categories, str, "names")})


def entries_of(path: Path, counted: Filter) -> list[Boxes]:
    """The boxes of all photos in a file, as ``read``."""
    shown = repr(printable(path))
    try:
        found = json_file.read(path, None)
    except OSError as error:
        raise ValueError(
            f"truth {shown} cannot be read: {error.strerror}; give a file of MegaDetector, SpeciesNet or COCO, or a "
            "folder with masks or boxes.csv"
        ) from error
    except ValueError as error:
        raise ValueError(f"truth {shown} must be JSON, or a folder with masks or boxes.csv: {error}") from error
    try:
        entries = list(_entries(found, counted))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        why = f"an entry {error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"truth {shown} must be a file of MegaDetector, SpeciesNet or COCO, but is not as these are: {why}"
        ) from error
    _check(shown, entries)
    return entries


def first(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


@dataclass(frozen=True)
class Filter:
    """Which boxes count."""

    confidence: float
    wanted: set[str] | None
    names: set[str] = field(default_factory=set)  #: takes those that boxes have, whether they count or not

    def counts(self, category: str, confidence: float = 1.0) -> bool:
        self.names.add(category)
        name = category.casefold()
        named = name not in _NOT_ANIMALS if self.wanted is None else name in self.wanted
        return named and confidence >= self.confidence


def _entries(found: Any, chosen: Filter) -> Iterator[Boxes]:
    if isinstance(found, list):
        return _of_pixels(found, chosen)
    if "predictions" in found:
        return _of_parts(found["predictions"], "filepath", _MEGADETECTOR, chosen)
    if "annotations" in found:
        return _of_coco(found, chosen)
    return _of_parts(found["images"], "file", found.get("detection_categories", _MEGADETECTOR), chosen)


def _of_parts(photos: Any, key: str, names: dict[str, str], chosen: Filter) -> Iterator[Boxes]:
    for photo in photos:
        boxes = []
        for each in photo.get("detections") or ():  # null where the photo could not be read
            category = str(each["category"])
            if chosen.counts(str(each.get("label", names.get(category, category))), float(each["conf"])):
                x, y, width, height = map(float, each["bbox"])
                boxes.append((x, y, x + width, y + height))
        yield Boxes(str(photo[key]), tuple(boxes), relative=True)


def _of_pixels(photos: Any, chosen: Filter) -> Iterator[Boxes]:
    for photo in photos:
        boxes: list[Box] = []
        for each in photo.get("detections") or ():
            category = str(each["category"])
            if chosen.counts(_MEGADETECTOR.get(category, category), float(each["confidence"])):
                x0, y0, x1, y1 = map(float, each["bbox"])
                boxes.append((x0, y0, x1, y1))
        yield Boxes(str(photo["file"]), tuple(boxes), relative=False)


def _of_coco(found: Any, chosen: Filter) -> Iterator[Boxes]:
    names = {each["id"]: str(each["name"]) for each in found.get("categories", ())}
    by_photo: dict[Any, list[Box]] = {}
    for each in found["annotations"]:
        category = names.get(each.get("category_id"), str(each.get("category_id")))
        if each.get("bbox") is not None and chosen.counts(category, float(each.get("score", 1.0))):
            x, y, width, height = map(float, each["bbox"])
            by_photo.setdefault(each["image_id"], []).append((x, y, x + width, y + height))
    if by_photo and not by_photo.keys() & {photo["id"] for photo in found["images"]}:
        raise ValueError(f"its annotations have none of the ids of its images, but such as {next(iter(by_photo))!r}")
    for photo in found["images"]:
        size = (int(photo["width"]), int(photo["height"])) if {"width", "height"} <= photo.keys() else None
        about = [_text(photo.get(key)) for key in ("location", "seq_id")]
        yield Boxes(str(photo["file_name"]), tuple(by_photo.get(photo["id"], ())), False, size, *about)


def _text(value: Any) -> str | None:
    """As text that can be written as UTF-8; None where there is none."""
    return None if value is None else str(value).encode(errors="replace").decode() or None


def _check(shown: str, entries: Sequence[Boxes]) -> None:
    counts = Counter(entry.photo for entry in entries)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"truth {shown} must name each photo once, got several entries of {first(twice)}")
    bad = [entry for entry in entries if entry.size is not None and min(entry.size) < 1]
    if bad:
        raise ValueError(f"truth {shown} must have photos of at least one pixel, not so {_list(bad)}")
    bad = [entry for entry in entries if not all(map(_is_box, entry.boxes))]
    if bad:
        raise ValueError(
            f"truth {shown} must have boxes of finite numbers and no negative size, not so in {_list(bad)}"
        )
    bad = [entry for entry in entries if not entry.relative and entry.boxes]
    if bad and all(max(box) <= 1 for entry in bad for box in entry.boxes):
        raise ValueError(
            f"truth {shown} must have boxes in pixels, as its format says; these are parts of the photo: {_list(bad)}"
        )
    bad = [e for e in entries if e.relative and any(min(b) < -_SLACK or max(b) > 1 + _SLACK for b in e.boxes)]
    if bad:
        raise ValueError(
            f"truth {shown} must have boxes in parts of the photo, 0..1, as its format says; these leave the photo, or "
            f"are pixels: {_list(bad)}"
        )


def _is_box(box: Box) -> bool:
    return all(map(math.isfinite, box)) and box[0] <= box[2] and box[1] <= box[3]


def _list(entries: Sequence[Boxes]) -> str:
    return first([entry.photo for entry in entries])
