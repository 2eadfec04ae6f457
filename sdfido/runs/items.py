"""Photos to explain, and the folder that the results of each go to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import models
from ..checks import check_flag, check_kind, check_list, check_path, check_paths
from ..files import printable
from ..models.limits import check_file
from . import layout

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DEMO_PHOTO", "NOISE", "SUFFIXES", "Item", "choose", "fingerprint", "inside", "shard", "stream"]

SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
DEMO_PHOTO = "coffee"
NOISE = "sha256 of the photo"
"""What the noise of a photo comes from, as explanations say it; in older ones, all photos had the same."""

_STREAM_DIGITS = 12  # 48 bits: every program that reads JSON has them as a number, and the operators use 32


@dataclass(frozen=True)
class Item:
    """A photo to explain, and the folder that its results go to.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
    """

    path: Path | None  #: of the photo; None: the photo of the demo
    folder: Path  #: where its results go
    again: bool = False  #: whether it is explained although it is finished

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", check_path("path", self.path))
        object.__setattr__(self, "folder", check_path("folder", self.folder))
        check_flag("again", self.again)

    @property
    def name(self) -> str:
        """What the photo is called in reports."""
        return DEMO_PHOTO if self.path is None else printable(self.path)

    def open(self) -> Image:
        """The photo, decoded.

        Raises:
            ValueError: it is missing or cannot be read; the message names it.
            ImportError: a package that reads it is not installed.
        """
        return models.demo_photo() if self.path is None else models.read_photo(self.path)

    def origin(self) -> dict[str, str]:
        """Where the photo lies, seen from its results, and the SHA-256 of its content, for the summary.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        if self.path is None:
            return {}
        path = os.path.relpath(os.path.realpath(self.path), os.path.realpath(self.folder))
        return {"photo_path": printable(path), "photo_sha256": fingerprint(self.path)}


def choose(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> list[Item]:
    """The photos that files and folders mean, each once, with a folder OUT/NAME for the results of each.

    A folder means the photos in it and in its sub-folders, sorted. NAME has the sub-folders' names in front, and a
    number behind where it is taken, by another photo or by a file that is written beside it, such as "summary.csv". One
    file alone has OUT for itself.

    Args:
        paths: files and folders.
        out: the folder OUT.

    Raises:
        ValueError: a folder has no photos.

    Example:
        >>> items = runs.choose(["birds", "cat.jpg"], "results")
        >>> share = runs.shard(items, "3/8")  # for the third of eight machines
    """
    given = check_paths("paths", paths)
    out = check_path("out", out)
    if len(given) == 1 and not given[0].is_dir():
        return [Item(given[0], out)]
    seen: set[str] = set()
    taken: set[str] = set()
    items = []
    for path, place in ((path, place) for each in given for path, place in _named(each, out)):
        absolute = os.path.abspath(path)
        if absolute not in seen:
            seen.add(absolute)
            items.append(Item(path, out / _free(place, taken)))
    return items


def shard(items: Sequence[Item], part: str) -> list[Item]:
    """One of n parts of the photos, so that n machines can share them: every n-th, in their order.

    Args:
        items: all photos, the same on every machine.
        part: "i/n": the i-th of n parts, counted from 1.

    Raises:
        ValueError: ``part`` is something else.

    Example:
        >>> runs.shard(items, "1/8")  # items[0], items[8], ...
    """
    items = check_list("items", items, object, "items")
    index, _, count = check_kind("shard", part, str, "a text, such as 1/8").partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(
            f"shard must be i/n with i from 1 to n, such as 1/8 to 8/8 for eight machines, got {part!r}; a SLURM array "
            "that counts so is --array=1-8"
        )
    return items[int(index) - 1 :: int(count)]


def inside(folder: Path, out: Path | None = None) -> Iterator[Path]:
    """The photos in a folder and its sub-folders, sorted.

    Hidden names, the folder ``out`` and pictures that sdfido has written are left out; links to folders are not
    followed.
    """
    for parent, names, files in os.walk(folder):
        names[:] = sorted(
            name for name in names if not name.startswith(".") and (out is None or not _same(Path(parent, name), out))
        )
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and not layout.is_drawn(path):
                yield path


def fingerprint(path: Path) -> str:
    """SHA-256 of a photo's file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is none that ``models.read_photo`` reads; the message names it.
    """
    try:
        check_file(path)
    except ValueError as error:
        raise ValueError(f"photo {os.fspath(path)!r} cannot be read: {error}") from error
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def stream(sha256: str | None) -> int:
    """The random stream of a photo, 0 <= stream < 2**48: the first 48 bits of the SHA-256 of its file.

    So a photo gets the same noise in every run over any part of the photos, in any order, process or batch. The
    demo's photo, which has no file, has stream 0.
    """
    return int(sha256[:_STREAM_DIGITS], 16) if sha256 else 0


def _named(given: Path, out: Path) -> Iterable[tuple[Path, Path]]:
    """The photos that one path means, each with the name that its results' folder should have in OUT."""
    if not given.is_dir():
        return [(given, Path(_stem(given)))]
    photos = [(path, path.relative_to(given).with_name(_stem(path))) for path in inside(given, out)]
    if not photos:
        raise ValueError(f"photos must be in folder {printable(given)!r}, got none that ends in {', '.join(SUFFIXES)}")
    return photos


def _stem(path: Path) -> str:
    return path.stem if path.stem.strip(".") else "photo"  # "..": the folder above


def _free(place: Path, taken: set[str]) -> Path:
    place = Path(*(f"{part}-2" if part.casefold() in layout.RESERVED else part for part in place.parts))
    name, number = place, 2
    while str(name).casefold() in taken:
        name, number = place.with_name(f"{place.name}-{number}"), number + 1
    taken.add(str(name).casefold())
    return name


def _same(folder: Path, other: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)
