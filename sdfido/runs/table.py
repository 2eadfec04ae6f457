"""The table of all results in a folder: CSV always, Parquet where pyarrow is installed, kept up as the run goes."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import begins, printable, replacing
from ..locks import Lock
from . import layout, summary

__all__ = ["Keeper", "as_cell", "check", "write"]

_BEFORE = ("photo", "target", "label")  # columns of the table, before the numbers and behind them
_BEHIND = ("steps_done", "seconds", "model", "infill", "seed", "notes")
_WHOLE, _TEXT = ("target", "steps_done", "seed"), ("photo", "label", "model", "infill", "notes", "results")
BEGINS = "\ufeffphoto,"
"""How every table of photos begins, by which one is told from other files."""
_SECONDS, _SHARE = 10.0, 25  # at least between two updates, and in multiples of what an update takes

Found = Sequence[tuple[Path, Mapping[str, Any]]]
"""Folder, seen from OUT, and summary of each result."""


def write(out: Path, found: Found) -> None:
    """Write the table of results; each file appears whole or not at all.

    Raises:
        OSError: a file cannot be written.
        ValueError: a summary of another program has text that UTF-8 does not have.
    """
    numbers = dict.fromkeys(name for _, about in found for name in summary.numbers(about))
    columns = [*_BEFORE, *numbers, *_BEHIND]
    with replacing(out / layout.TABLE) as part, part.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow(map(as_cell, [*columns, "results"]))
        for folder, about in found:
            table.writerow(map(as_cell, [*(_cell(about.get(name)) for name in columns), printable(folder)]))
    if _has_arrow():
        _write_parquet(out / layout.PARQUET, found, columns)


_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def as_cell(value: Any) -> Any:
    """A value for the cell of a CSV file: a text that a spreadsheet would compute has an apostrophe before it.

    That are texts which begin with =, +, -, @, their full-width forms, a tab or the end of a line, also after
    apostrophes. So the apostrophe of a text that begins with an apostrophe and one of these is to be left out again,
    and every text comes back as it was. Numbers are left as they are.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def check(out: Path) -> None:
    """Raise ValueError where the table would replace a file that sdfido has not written."""
    for path, ours in ((out / layout.TABLE, _is_our_csv), (out / layout.PARQUET, _is_our_parquet)):
        if not os.path.lexists(path) or (path.name == layout.PARQUET and not _has_arrow()):
            continue
        if not ours(path) or not os.access(path, os.W_OK):
            raise cannot_replace(out, path)


def cannot_replace(out: Path, path: Path) -> ValueError:
    """Of a file of OUT that sdfido has not written, or may not write."""
    return ValueError(
        f"out must be a folder for results, got {str(out)!r}, where {path} cannot be replaced; move it, or give "
        "another folder"
    )


class Keeper:
    """Keeps the table of a folder up while photos are explained, and spends little time on it.

    Args:
        store: the folder's store.
    """

    def __init__(self, store: Any) -> None:
        self._store, self._next = store, time.monotonic() + _SECONDS

    def update(self) -> None:
        """Write the table anew if the last time is long enough ago; a failure waits for the end of the run."""
        if time.monotonic() < self._next:
            return
        begin = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            self._store.write_table()
        now = time.monotonic()
        self._next = now + max(_SECONDS, _SHARE * (now - begin))


def lock(out: Path) -> Lock:
    """The lock that a process holds while it writes about all results in a folder."""
    return Lock(out / ".index.lock")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return round(value, 5) if isinstance(value, float) else value


def _has_arrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def _write_parquet(path: Path, found: Found, columns: Sequence[str]) -> None:
    """Numbers as they are, not rounded; a target that is not a class as text."""
    import pyarrow
    from pyarrow import parquet

    rows = [{name: about.get(name) for name in columns} | {"results": printable(folder)} for folder, about in found]
    arrays: dict[str, Any] = {}
    for name in [*columns, "results"]:
        values = [row[name] for row in rows]
        if name in _TEXT or not all(value is None or _is_number(value) for value in values):
            kind, values = pyarrow.string(), [None if value is None else str(_cell(value)) for value in values]
        elif name in _WHOLE and all(isinstance(value, int | None) for value in values):
            kind = pyarrow.int64()
        else:
            kind, values = pyarrow.float64(), [None if value is None else float(value) for value in values]
        arrays[name] = pyarrow.array(values, kind)
    table = pyarrow.table(arrays).replace_schema_metadata({"sdfido": "results"})
    with replacing(path) as part:
        parquet.write_table(table, part)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_our_csv(path: Path) -> bool:
    return begins(path, BEGINS)


def _is_our_parquet(path: Path) -> bool:
    import pyarrow
    from pyarrow import parquet

    try:
        return b"sdfido" in (parquet.read_schema(path).metadata or {})
    except (OSError, pyarrow.ArrowInvalid):
        return False
