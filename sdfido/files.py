"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import time
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["begins", "making_folder", "printable", "remove_leftovers", "replacing", "visible"]

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_DAY = 24 * 60 * 60


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to: renamed to ``path`` at the end, removed if anything fails."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as file:  # a power cut must not leave the name without the content
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside ``path`` to fill: it takes the place of ``path`` at the end; removed if anything fails.

    A folder that is there is moved aside first, and removed last.
    """
    path = Path(path)
    part, old = (path.with_name(f".{path.name}{kind}.{_HOST}-{os.getpid()}.part") for kind in ("", ".old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        yield part
        if path.exists():
            path.rename(old)
        part.rename(path)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def begins(path: str | os.PathLike[str], text: str) -> bool:
    """Whether a file can be read and begins with a text in UTF-8."""
    wanted = text.encode()
    try:
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
    """Remove the temporary files that killed processes left in a folder; files still being written stay.

    A file counts as left over if its process is gone, or, where that cannot be told (another machine's), after a day.
    """
    for part in Path(folder).glob(".*.part"):
        made = re.fullmatch(r"\..+\.([0-9a-f]{8})-(\d+)\.part", part.name)
        if made is None:
            continue
        with contextlib.suppress(OSError):  # another process may have removed it
            if (made[1] == _HOST and not _runs(int(made[2]))) or time.time() - part.stat().st_mtime > _DAY:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


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
