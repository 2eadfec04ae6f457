"""How many pixels a photo may have, or be said to have."""

from __future__ import annotations

import os

__all__ = ["MAX_PIXELS", "most_pixels"]

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
