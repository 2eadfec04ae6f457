"""Faults of the file system that tests cause: the n-th change of a file below a folder fails, or all from then on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_hooked = False
_current: Faults | None = None


class Faults:
    """Counts what is opened for writing, renamed, made and synchronised below a folder, and lets it fail.

    Args:
        folder: where.
        at: which change fails, from 1; 0: none.
        error: the number of the error.
        lasting: whether all changes after it fail, too.
    """

    def __init__(self, folder: Path, at: int, error: int, *, lasting: bool = False) -> None:
        self.folder, self.at, self.error, self.lasting = folder.resolve(), at, error, lasting
        self.count = 0

    @property
    def happened(self) -> bool:
        return 0 < self.at <= self.count

    def change(self, path: Any) -> None:
        if not isinstance(path, str | os.PathLike) or not Path(os.path.abspath(path)).is_relative_to(self.folder):
            return
        self.count += 1
        if self.count == self.at or (self.lasting and self.happened):
            raise OSError(self.error, os.strerror(self.error))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _current is None:
        return
    makes = event == "os.mkdir" and not os.path.isdir(arguments[0])
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
    if makes or writes or event == "os.rename":
        _current.change(arguments[0])


def _fsync(file: int) -> None:
    """In place of ``os.fsync``, which takes long and whose errors no hook can cause."""
    if _current is not None:
        _current.change(os.readlink(f"/proc/self/fd/{file}") if os.path.exists("/proc/self/fd") else _current.folder)


@contextmanager
def faulty(faults: Faults) -> Iterator[Faults]:
    """A block in which the faults happen."""
    global _current, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # stays for good
        _hooked = True
    before, os.fsync = os.fsync, _fsync
    _current = faults
    try:
        yield faults
    finally:
        _current, os.fsync = None, before
