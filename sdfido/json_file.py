"""Reading JSON that others may have written: strictly, and with limits on size and depth."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

__all__ = ["MOST_BYTES", "parse", "read"]

MOST_BYTES = 64 << 20
"""Of a file that says something of one photo, or of a page of them."""

_DEEPEST = 64  # objects and lists inside one another
_DIGITS = 20  # of a whole number: 64 bits have 19
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one deeper, one less, as signed bytes
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)


def read(path: str | os.PathLike[str], most: int | None = MOST_BYTES) -> Any:
    """The content of a JSON file in UTF-8; see ``parse``.

    Args:
        path: of the file.
        most: bytes that the file may have; None: any number.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file; the message says why, and leaves it to the caller to name the file.
    """
    try:
        with Path(path).open("rb") as file:
            if most is not None and os.fstat(file.fileno()).st_size > most:
                raise ValueError(f"it has more than the {most >> 20} MiB that such a file may have")
            content = file.read()
    except MemoryError as error:
        raise ValueError("there is too little memory for it") from error
    return parse(content.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))


def parse(text: str, *, finite: bool = True) -> Any:
    """The value of a JSON text.

    Refused are, besides what is no JSON: a key that an object has twice, numbers that are not finite or have more than
    64 bits, and more than 64 objects and lists inside one another, which could exhaust the stack.

    Args:
        text: the text.
        finite: whether NaN, Infinity and -Infinity, which JSON does not have, are refused.

    Raises:
        ValueError: the text is no such JSON; the message says why.
    """
    if _depth(text) > _DEEPEST:
        raise ValueError(f"it has more than {_DEEPEST} objects and lists inside one another")
    more: dict[str, Any] = {"parse_constant": _refused, "parse_float": _float} if finite else {}
    return json.loads(text, object_pairs_hook=_unique, parse_int=_integer, **more)


def _depth(text: str) -> int:
    """How many objects and lists are inside one another, at most; without recursion."""
    brackets = _STRING.sub(b"", text.encode("utf-8", "replace")).translate(_STEPS, _OTHERS)
    return int(np.frombuffer(brackets, dtype=np.int8).cumsum(dtype=np.int64).max(initial=0))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise ValueError(f"it has the key {twice!r} twice in one object")
    return found


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"it has a whole number of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"it has the number {text[:_DIGITS]}, which is too large")
    return value


def _refused(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which is no number in JSON")
