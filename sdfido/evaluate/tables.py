"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def text_table(title: str, columns: Sequence[str], rows: Sequence[str], values: Tensor) -> str:
    """Numbers [rows, columns] with two digits, below the names of the columns and beside those of the rows."""
    lines = [[name, *(f"{each:.2f}" for each in row)] for name, row in zip(rows, values.tolist(), strict=True)]
    header = [title, *columns]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    aligned = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in (header, *lines))
    return "\n".join("  ".join(line) for line in aligned)
