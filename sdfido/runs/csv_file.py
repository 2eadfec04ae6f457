"""Reading tables that others have written: CSV files with the names of their columns in the first line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ..files import printable

__all__ = ["by_photo", "read"]

_DELIMITERS = ",;\t"  # spreadsheets write semicolons where the comma is the decimal point

Row = dict[str, str]


def read(path: Path, what: str, columns: Sequence[str], instead: str = "") -> list[tuple[int, Row]]:
    """The rows of a CSV file that are not empty, without spaces around cells, and the line that each ends in.

    Args:
        path: of the file: UTF-8, separated by commas, semicolons or tabs.
        what: what the file is, for messages, such as "labels".
        columns: that it must have.
        instead: what could be given in its place, for messages.

    Raises:
        ValueError: it cannot be read, or lacks a column.
    """
    shown = f"{what} {printable(path)!r}"
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{shown} cannot be read: it is not a file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        first = next(io.StringIO(text), "").rstrip("\r\n")
        for delimiter in _DELIMITERS:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            names = [name.strip() for name in next(reader, [])]
            if set(columns) <= set(names):
                break
        else:
            raise ValueError(
                f"{shown} must have the columns {', '.join(columns)} in its first line, separated by commas, got "
                f"{first[:60]!r}"
            )
        rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except OSError as error:
        remedy = f"; give a CSV file, or {instead}" if instead else ""
        raise ValueError(f"{shown} cannot be read: {error.strerror}{remedy}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        other = f", or {instead}" if instead else ""
        raise ValueError(f"{shown} must be a CSV file in UTF-8{other}: {error}") from error
    return [
        (line, dict.fromkeys(names, "") | {name: cell.strip() for name, cell in zip(names, cells, strict=False)})
        for line, cells in rows
    ]


def by_photo(path: Path, what: str, column: str, instead: str = "") -> dict[str, Row]:
    """The rows of a table that says something of each photo, by the photo's name in it; a photo may be named again.

    Args:
        path, what, instead: as for ``read``.
        column: what it must say of each photo, and the same where it names a photo again.

    Raises:
        ValueError: it cannot be read, lacks a column, or contradicts itself.
    """
    found: dict[str, Row] = {}
    for line, row in read(path, what, ("photo", column), instead):
        before = found.setdefault(row["photo"], row) if row["photo"] else row
        if before[column] != row[column]:
            raise ValueError(
                f"{what} {printable(path)!r} must have one {column} for a photo, got {before[column]!r} and "
                f"{row[column]!r} for {row['photo']!r} in line {line}"
            )
    return found
