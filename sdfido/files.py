"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import platform
import re
import shutil
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checks import check_path
from .interrupts import held

__all__ = ["begins", "making_folder", "naming", "printable", "remove_leftovers", "replacing", "sync", "visible"]

_DAY = 24 * 60 * 60
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space there, then run it again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or write to another place"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "something has removed its folder; run it again"),
    errno.EFBIG: "it is larger than files may be there; write to another place",
}
_LEFT = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)(?:-(\d+)-\d+)?\.(part|old)")  # version 0.1 did not say when
_count = itertools.count()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to: renamed to ``path`` at the end, removed if anything fails.

    Raises:
        OSError: ``path`` cannot be written; the message names it, and says what to do.
        TypeError, ValueError: ``path`` is none of a file.
    """
    path = check_path("path", path)
    if not path.name:
        raise ValueError(f"path must be that of a file, got {str(path)!r}, which is a folder")
    part = _beside(path, "part")
    with held() as interrupts, naming(path, part):
        try:
            with interrupts.allowed():
                yield part
            sync(part)
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


@contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside ``path`` to fill: it takes the place of ``path`` at the end; removed if anything fails.

    A folder that is there is moved aside first, and removed last. Where the process is killed in between,
    ``remove_leftovers`` moves it back.

    Raises:
        OSError: ``path`` or something in it cannot be written; the message names it, and says what to do.
    """
    path = Path(path)
    part, old, gone = _beside(path, "part"), _beside(path, "old"), _beside(path, "part")
    with held() as interrupts, naming(path, part):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir()
            with interrupts.allowed():
                yield part
            if path.exists():
                path.rename(old)
            try:
                part.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
            if old.exists():
                with contextlib.suppress(OSError):
                    old = old.rename(gone)  # from here on it is not moved back
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def naming(path: Path, part: Path | None = None) -> Iterator[None]:
    """Have errors of writing ``path``, or ``part`` in its place, name ``path`` and say what to do."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else part or path
        if part is not None and named.is_relative_to(part):
            named = path / named.relative_to(part)
        elif named != path and named not in path.parents:
            raise
        if error.errno is None:  # of a library that hides it
            raise OSError(f"{printable(path)} could not be written: {error}") from error
        remedy, said = _REMEDIES.get(error.errno), error.strerror or os.strerror(error.errno)
        if remedy and remedy not in said:
            said = f"{said} ({remedy})"
        raise OSError(error.errno, said, str(named)) from error


def sync(path: Path) -> None:
    """Wait until the disk has what is written: a power cut must not leave the name without the content."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def begins(path: str | os.PathLike[str], text: str) -> bool:
    """Whether a file can be read and begins with a text in UTF-8."""
    wanted = text.encode()
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return False
        with open(path, "rb") as file:
            return file.read(len(wanted)) == wanted
    except OSError:
        return False


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and written as UTF-8, whatever bytes it consists of."""
    return os.fsencode(path).decode("utf-8", "replace")


_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogates, ends of lines and paragraphs
_JOINERS = "\u200c\u200d"  # of these, what names in Persian, Hindi or emoji are written with


def visible(text: str) -> str:
    """A text that a terminal shows as it is: control characters, right-to-left marks and the like as escapes."""
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in _INVISIBLE and char not in _JOINERS
        else char
        for char in text
    )


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left in a folder, and move back what they had moved aside.

    What still is being written stays. A temporary file counts as left over if its process is gone, or, where that
    cannot be told (another machine's), after a day by the clock of the file system.
    """
    folder = Path(folder)
    for left in folder.glob(".*"):
        if (made := _LEFT.fullmatch(left.name)) is None:
            continue
        with contextlib.suppress(OSError):  # another process may have removed it
            if not (_is_gone(int(made[3]), made[4]) if made[2] == _host() else _is_old(left)):
                continue
            if made[5] == "old" and not os.path.lexists(folder / made[1]):
                left.rename(folder / made[1])
            else:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _beside(path: Path, kind: str) -> Path:
    """A hidden name beside a path that no other process and no other thread has."""
    process = os.getpid()
    return path.with_name(f".{path.name}.{_host()}-{process}-{_began(process) or 0}-{next(_count)}.{kind}")


@functools.cache
def _host() -> str:
    """Where process numbers mean the same: this machine, or this container."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux
        namespace = 0
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode()):08x}"


def _is_gone(process: int, began: str | None) -> bool:
    """Whether a process has ended, also where another one has its number by now."""
    if not _runs(process):
        return True
    now = _began(process)
    return bool(int(began or 0)) and now is not None and int(began or 0) != now


def _is_old(path: Path) -> bool:
    """Whether a file has not changed for a day; the clocks of this machine and of the one that wrote may be wrong."""
    with tempfile.TemporaryFile(dir=path.parent) as file:
        now = os.fstat(file.fileno()).st_mtime
    return now - path.stat().st_mtime > _DAY


def _began(process: int) -> int | None:
    """When a process began, in ticks since the machine started, which no clock changes; None where it is not told.

    -1 for one that has ended, but whose parent has not taken notice.
    """
    try:
        about = Path(f"/proc/{process}/stat").read_bytes()
        fields = about.rpartition(b")")[2].split()
        return -1 if fields[0] == b"Z" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere, os.kill has no harmless signal
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
