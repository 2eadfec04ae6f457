"""Reading ``.npz`` files that others may have written: nothing is unpickled, sizes are checked before memory is taken.

Each array is a file in NumPy's format inside a ZIP archive. Its header and the archive's directory claim a size; both
are read first, and have to agree, before the array is.
"""

from __future__ import annotations

import errno
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_path

__all__ = ["VARIABLE", "Archive", "Header", "is_damage", "most_bytes", "opened"]

VARIABLE = "SDFIDO_MAX_BYTES"
"""The environment variable that says how many bytes the arrays of one file may have together, and a photo's file."""

_MOST = 4 << 30
_MOST_ARRAYS = 1000
_RATIO = 1040  # deflate makes up to 1,032 bytes of one
_LONGEST = 10_000  # of a header, as NumPy has it
_KINDS = "biufU"  # bool, integers, floating point, text: nothing that could run code
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Header:
    """What an array is said to be."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool  #: whether the first axis varies fastest

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an ``.npz`` file, of which nothing but the headers is read yet.

    Args:
        file: the open ZIP archive.

    Raises:
        ValueError: a header is none, or it claims something else than the archive does.
    """

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        members = file.infolist()
        if len(members) > _MOST_ARRAYS:
            raise ValueError(f"it has {len(members)} arrays, and {_MOST_ARRAYS} are allowed")
        self.headers: dict[str, Header] = {}
        self._starts: dict[str, int] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in self.headers:
                raise ValueError(f"it has the array {name!r} twice")
            self.headers[name], self._starts[name] = self._header(member)

    def _header(self, member: zipfile.ZipInfo) -> tuple[Header, int]:
        """What an array is said to be, and where it begins."""
        shown = f"its {member.filename.removesuffix('.npy')[:100]}"
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{shown} is encrypted, or compressed in a way that NumPy does not use")
        if member.file_size > _RATIO * (member.compress_size + 64):
            raise ValueError(f"{shown} claims {member.file_size:,} bytes, which {member.compress_size:,} cannot hold")
        with self._file.open(member) as file:
            try:
                shape, fortran, dtype = _read_header(file)
            except ValueError as error:
                raise ValueError(f"{shown} is no array of NumPy's format 1.0 or 2.0") from error
            start = file.tell()
        if dtype.hasobject:
            raise ValueError(f"{shown} is pickled, and nothing is unpickled")
        if dtype.kind not in _KINDS or dtype.shape or dtype.itemsize == 0:
            raise ValueError(f"{shown} must be numbers or text, got {dtype}")
        if any(length < 0 for length in shape):
            raise ValueError(f"{shown} claims to be {list(shape)}")
        header = Header(shape, dtype, fortran and len(shape) > 1)
        if header.bytes != member.file_size - start:
            raise ValueError(
                f"{shown} claims to be {list(header.shape)} of {header.dtype}, {header.bytes:,} bytes, and has "
                f"{max(0, member.file_size - start):,}"
            )
        return header, start

    def check_total(self) -> None:
        """Raise ValueError where all arrays together have more bytes than is allowed."""
        total, most = sum(header.bytes for header in self.headers.values()), most_bytes()
        if total > most:
            raise ValueError(
                f"its arrays have {total:,} bytes together, and {most:,} are allowed; the environment variable "
                f"{VARIABLE} allows more"
            )

    def read(self, name: str) -> NDArray[Any]:
        """An array, in the machine's order of bytes.

        Raises:
            ValueError, zipfile.BadZipFile, zlib.error: its content is damaged.
        """
        header = self.headers[name]
        order = header.shape[::-1] if header.fortran else header.shape
        array = np.empty(order, dtype=header.dtype)
        target, place = array.reshape(-1).view(np.uint8), 0
        stored = name if name in self._file.NameToInfo else f"{name}.npy"
        with self._file.open(stored) as file:
            file.read(self._starts[name])
            while part := file.read(_CHUNK):  # as far as the archive's directory says; then its checksum is compared
                target[place : place + len(part)] = np.frombuffer(part, np.uint8)
                place += len(part)
        if place != header.bytes:
            raise ValueError(f"its {name} ends after {place:,} of {header.bytes:,} bytes")
        native = array.astype(header.dtype.newbyteorder("="), copy=False)
        return native.T if header.fortran else native


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """An ``.npz`` file whose headers are checked.

    Raises:
        OSError: the file cannot be read.
        ValueError, zipfile.BadZipFile: it is none, or its headers do not fit its content.
    """
    with check_path("path", path).open("rb") as file, zipfile.ZipFile(file) as archive:
        yield Archive(archive)


def is_damage(error: OSError) -> bool:
    """Whether an error comes from an archive that names a place outside of the file, and not from the system."""
    return error.errno == errno.EINVAL


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype that an array's header says; the file is left where the values begin."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"unknown version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file, max_header_size=_LONGEST)


def most_bytes() -> int:
    """How many bytes the arrays of one file may have together, and a photo's file.

    Raises:
        ValueError: the environment variable is no such number.
    """
    given = os.environ.get(VARIABLE, "")
    if not given:
        return _MOST
    if not given.isdecimal():
        raise ValueError(f"{VARIABLE} must be a number of bytes, got {given!r}")
    return int(given)
