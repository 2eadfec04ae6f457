"""Locks between processes, which end with the process that holds them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .files import naming
from .interrupts import held

__all__ = ["Lock"]

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_TRIES = 1000  # to make the file in a folder that others remove


class Lock:
    """An exclusive lock between processes: a file that the operating system locks while it is held.

    However the holder ends, the system releases the lock: a file that a killed process has left locks nothing. The
    file is removed when the lock is released, with the folders that were made for it and are still empty. On a file
    system without locks (some network ones), the lock is always given.

    Args:
        path: of the file.

    Example:
        >>> with Lock("results/cat/.lock").holding() as is_ours:
        ...     print(is_ours)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: int | None = None
        self._made: list[Path] = []

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock; False if another process, or another ``Lock`` of this one, holds it.

        Args:
            wait: whether to wait until it is free.

        Raises:
            OSError: the file cannot be made; the message names it, and says what to do.
        """
        with held() as interrupts, naming(self.path):
            for _ in range(_TRIES):
                parents = [folder for folder in self.path.parents if not folder.exists()]
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._made += [folder for folder in parents if folder not in self._made]
                try:
                    file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
                except FileNotFoundError:  # another holder has just removed the empty folder
                    continue
                is_ours = _lock(file, False)
                if not is_ours and wait:
                    try:
                        with interrupts.allowed():
                            is_ours = _lock(file, True)
                    except BaseException:
                        if _lock(file, False) and _is(file, self.path):
                            self._file = file
                            self.release()
                        else:
                            os.close(file)
                        raise
                if not is_ours:
                    os.close(file)
                    return False
                if _is(file, self.path):
                    self._file = file
                    return True
                os.close(file)  # its holder has removed it, and perhaps a third process made it anew
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))

    @contextlib.contextmanager
    def holding(self, *, wait: bool = False) -> Iterator[bool]:
        """A block in which the lock is taken, if it can be: whether it is. Arguments and errors as ``acquire``."""
        with held() as interrupts:
            is_ours = self.acquire(wait=wait)
            try:
                with interrupts.allowed():
                    yield is_ours
            finally:
                self.release()

    def release(self) -> None:
        """Give the lock back; nothing if it is not held."""
        if self._file is None:
            return
        with held():
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # Windows does not remove open files
                self.path.unlink()
            os.close(file)
            if sys.platform == "win32":
                with contextlib.suppress(OSError):
                    self.path.unlink()
            with contextlib.suppress(OSError):  # not empty, or removed by another process
                for folder in self._made:
                    folder.rmdir()
            self._made = []


def _is(file: int, path: Path) -> bool:
    """Whether a path is still that of an open file."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file: int, wait: bool) -> bool:
    """Lock an open file; False if another holder has it. Where the file system has no locks, nobody has."""
    while True:
        try:
            _lock_once(file, wait)
        except OSError as error:
            if error.errno in _HELD:
                if wait:  # on Windows, which cannot wait
                    time.sleep(0.05)
                    continue
                return False
        return True


if sys.platform == "win32":
    import msvcrt

    def _lock_once(file: int, wait: bool) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock_once(file: int, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
