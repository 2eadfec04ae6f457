"""Which photos a command means, and where the results of each belong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import results
from .common import printable

SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Photo:
    """A photo to explain, and the folder that its results go to."""

    path: Path | None  #: None: the demo's photo
    folder: Path

    @property
    def name(self) -> str:
        return results.DEMO_PHOTO if self.path is None else printable(self.path)


def choose(paths: Sequence[Path], out: Path) -> list[Photo]:
    """The photos that files and folders name, each once, and OUT/NAME for each; OUT itself for one file alone.

    A folder stands for the photos in it and in its sub-folders, sorted; NAME has the sub-folders' names in front, and
    a number behind where it is taken. Raises ValueError for a folder without photos.
    """
    if len(paths) == 1 and not paths[0].is_dir():
        return [Photo(paths[0], out)]
    seen: set[str] = set()
    taken: set[str] = set()
    photos = []
    for path, place in ((path, place) for given in paths for path, place in _named(given, out)):
        absolute = os.path.abspath(path)
        if absolute not in seen:
            seen.add(absolute)
            photos.append(Photo(path, out / _free(place, taken)))
    return photos


def check_places(out: Path, photos: Sequence[Photo]) -> None:
    """Raise ValueError unless every result can be written, and none would replace a photo."""
    originals = {
        (s.st_dev, s.st_ino): photo.path for photo in photos if photo.path is not None and (s := _stat(photo.path))
    }
    shown = repr(printable(out))
    for folder in dict.fromkeys([out, *(photo.folder for photo in photos)]):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
        if not there.is_dir():
            raise ValueError(f"out must be a folder, got {shown}, where {there} is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ValueError(f"out must be a folder to write to, got {shown}, where {there} is not writable")
    for path in (photo.folder / name for photo in photos for name in results.FILES):
        status = _stat(path)
        if status is None:
            continue
        original = originals.get((status.st_dev, status.st_ino))
        if original is not None:
            raise ValueError(f"out must not be where a result replaces a photo, got {shown}, with {original}")
        if not path.is_file() or not os.access(path, os.W_OK):
            raise ValueError(f"out must take the results, got {shown}, where {path} cannot be replaced")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's content. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def inside(folder: Path, out: Path | None = None) -> Iterator[Path]:
    """The photos in a folder and its sub-folders, sorted; without OUT, hidden names, and what sdfido has drawn."""
    for parent, names, files in os.walk(folder):
        names[:] = sorted(
            name for name in names if not name.startswith(".") and (out is None or not _same(Path(parent, name), out))
        )
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and not results.is_drawn(path):
                yield path


def _named(given: Path, out: Path) -> Iterable[tuple[Path, Path]]:
    """The photos that one argument means, each with the name that its results' folder should have in OUT."""
    if not given.is_dir():
        return [(given, Path(_stem(given)))]
    photos = [(path, path.relative_to(given).with_name(_stem(path))) for path in inside(given, out)]
    if not photos:
        raise ValueError(f"photos must be in folder {printable(given)!r}, got none that ends in {', '.join(SUFFIXES)}")
    return photos


def _stem(path: Path) -> str:
    return path.stem if path.stem.strip(".") else "photo"  # "..": the folder above


def _free(place: Path, taken: set[str]) -> Path:
    name, number = place, 2
    while str(name).casefold() in taken:
        name, number = place.with_name(f"{place.name}-{number}"), number + 1
    taken.add(str(name).casefold())
    return name


def _same(folder: Path, other: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
