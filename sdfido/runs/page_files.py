"""Writing the page of all results in a folder, and the files that it consists of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import begins, replacing
from . import layout, page, table
from .beside import Beside

__all__ = ["EMBEDDED", "check", "write"]

EMBEDDED = 300
"""Photos up to which a page has all pictures inside; a larger one loads them while it is scrolled."""

_ROWS_BEGIN = '{\n"generator": "sdfido",\n'
_LINKS = {
    "The parts that sufficed, by class": layout.GALLERY,
    "All numbers (CSV)": layout.TABLE,
    "All that this page says (JSON)": layout.ROWS,
}


def write(out: Path, found: page.Found, beside: Beside, to: Path | None = None) -> Path:
    """Write the page of results, and what it says of them as JSON; each file appears whole or not at all.

    Args:
        out: the folder with the results.
        found: the results.
        beside: what else is known of them.
        to: a folder for a copy that needs no file outside of it; ``out`` by default, where the page loads pictures
            from the results' folders.

    Returns:
        Where the page is.

    Raises:
        OSError: a file cannot be written.
    """
    from ..reports import html, view  # needs matplotlib, which reading results does not

    place = out if to is None else to
    place.mkdir(parents=True, exist_ok=True)
    rows = page.rows(out, found, beside)
    data = page.about_all(found, rows, beside)
    if to is not None:
        for row in rows:
            row["picture"] = None  # it stays where it is
    if len(found) <= EMBEDDED:
        data["embedded"] = [view.read(out / folder / layout.VIEW) for folder, _ in found]
    else:
        for row, (folder, _) in zip(rows, found, strict=True):
            if view.read(out / folder / layout.VIEW) is None:  # the browser would run whatever it is
                row["view"] = None
        if to is not None:
            _copy(out, found, rows, to)
    title = f"{len(rows):,} photo{'s' if len(rows) != 1 else ''} explained"
    with replacing(place / layout.ROWS) as part:
        part.write_text(_as_json(title, data, rows), encoding="utf-8")
    data["links"] = [[text, name] for text, name in _LINKS.items() if (place / name).is_file()]
    with replacing(place / layout.PAGE) as part:
        part.write_text(html.page(title, data | {"rows": rows}), encoding="utf-8")
    return place / layout.PAGE


def check(out: Path) -> None:
    """Raise ValueError where the page or its rows would replace a file that sdfido has not written."""
    from ..reports.html import BEGINS

    for path, text in ((out / layout.PAGE, BEGINS), (out / layout.ROWS, _ROWS_BEGIN)):
        if os.path.lexists(path) and not (begins(path, text) and os.access(path, os.W_OK)):
            raise table.cannot_replace(out, path)


def _as_json(title: str, data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows, a line each, and how they were made."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    title, made, findings = (json.dumps(each, allow_nan=False) for each in (title, data["made"], data["findings"]))
    return f'{_ROWS_BEGIN}"title": {title},\n"made": {made},\n"findings": {findings},\n"photos": [\n{lines}\n]\n}}\n'


def _copy(out: Path, found: page.Found, rows: Sequence[dict[str, Any]], to: Path) -> None:
    """Copy the views beside a page that stands elsewhere."""
    (to / layout.PARTS).mkdir(exist_ok=True)
    for index, (folder, _) in enumerate(found):
        source = out / folder / layout.VIEW
        if rows[index]["view"] is not None:
            rows[index]["view"] = f"{layout.PARTS}/{index:06}.js"
            with replacing(to / rows[index]["view"]) as part:
                part.write_bytes(source.read_bytes())
