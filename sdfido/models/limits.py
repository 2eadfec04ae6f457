"""How many pixels a photo may have, or be said to have, and how many bytes its file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..npz_file import VARIABLE as MAX_BYTES
from ..npz_file import most_bytes

__all__ = ["MAX_PIXELS", "check_file", "most_pixels"]

MAX_PIXELS = "SDFIDO_MAX_PIXELS"
"""The environment variable that says it."""

_MOST = 178_956_970  # beyond, Pillow takes a picture for a decompression bomb


def most_pixels() -> int:
    """How many pixels a photo may have.

    Raises:
        ValueError: the environment variable is no such number.
    """
    given = os.environ.get(MAX_PIXELS, "")
    if not given:
        return _MOST
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{MAX_PIXELS} must be a number of pixels, got {given!r}")
    return int(given)


def check_file(path: Path) -> None:
    """Check that what a photo's path names has an end; nothing of it is read. A folder passes.

    Raises:
        OSError: it is not there.
        ValueError: it is a pipe, which would be waited for, or a device, which has no end; it has more bytes than the
            environment variable ``SDFIDO_MAX_BYTES`` allows, or that is no number.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise ValueError("it is not a file")
    if about.st_size > (most := most_bytes()):
        raise ValueError(
            f"it has {about.st_size:,} bytes, and {most:,} are allowed; the environment variable {MAX_BYTES} allows "
            "more"
        )
