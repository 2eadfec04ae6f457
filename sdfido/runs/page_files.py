"""Writing the page of all results in a folder, and the files that it consists of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import begins, replacing
from . import layout, page, table
from .beside import Beside

__all__ = ["EMBEDDED", "check", "check_gallery", "write"]

EMBEDDED = 300
"""Photos up to which a page has what it shows of them inside; a larger one loads it while it is scrolled."""

_ROWS_BEGIN = '{\n"generator": "sdfido",\n'
_LINKS = {
    "The parts that sufficed, by class": layout.GALLERY,
    "What the audit measured (CSV)": layout.AUDIT_PHOTOS,
    "All numbers (CSV)": layout.TABLE,
    "All that this page says (JSON)": layout.ROWS,
}


def write(out: Path, found: page.Found, beside: Beside, to: Path | None = None) -> Path:
    """Write the page of results, and what it says of them as JSON; each file appears whole or not at all.

    Args:
        out: the folder with the results.
        found: the results.
        beside: what else is known of them.
        to: a folder for a copy with all that it shows and links to; ``out`` by default, where the page loads pictures
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
    embedded = len(found) <= EMBEDDED
    if embedded:
        data["embedded"] = [view.read(out / folder / layout.VIEW) for folder, _ in found]
    else:
        for row, (folder, _) in zip(rows, found, strict=True):
            if view.read(out / folder / layout.VIEW) is None:  # the browser would run whatever it is
                row["view"] = None
    if to is not None:
        _copy(out, found, rows, to, views=not embedded)
    title = f"{len(rows):,} photo{'s' if len(rows) != 1 else ''} explained"
    with replacing(place / layout.ROWS) as part:
        part.write_text(_as_json(title, data, rows), encoding="utf-8")
    data["links"] = [[text, name] for text, name in _LINKS.items() if _is_ours(place / name)]
    with replacing(place / layout.PAGE) as part:
        part.write_text(html.page(title, data | {"rows": rows}), encoding="utf-8")
    return place / layout.PAGE


def check(out: Path, source: Path | None = None) -> None:
    """Raise ValueError where the page and its rows would replace a file that sdfido has not written.

    Args:
        out: where they are written.
        source: the folder of the results, if a copy of what is beside them is written, too.
    """
    copied = [name for name in _BESIDE if source is not None and _is_ours(source / name)]
    for path in (out / name for name in (layout.PAGE, layout.ROWS, *copied)):
        if os.path.lexists(path) and not (_is_ours(path) and os.access(path, os.W_OK)):
            raise table.cannot_replace(out, path)


def check_gallery(out: Path) -> None:
    """Raise ValueError where a gallery's files would replace others; its sheet is known by the page beside it."""
    for path in (out / layout.GALLERY, out / layout.GALLERY_SHEET):
        if os.path.lexists(path) and not (_is_ours(out / layout.GALLERY) and os.access(path, os.W_OK)):
            raise table.cannot_replace(out, path)


_BESIDE = (layout.GALLERY, layout.AUDIT_PHOTOS)  # files that others write, and the page links to


def _is_ours(path: Path) -> bool:
    """Whether there is a file of sdfido's at the path."""
    from ..reports.html import BEGINS

    if path.suffix == ".html":
        return begins(path, BEGINS)
    return begins(path, _ROWS_BEGIN if path.name == layout.ROWS else table.BEGINS)


def _as_json(title: str, data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows, a line each, and how they were made."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    about = {"title": title} | {key: data[key] for key in ("made", "audited", "findings")}
    head = "".join(f'"{key}": {json.dumps(value, allow_nan=False)},\n' for key, value in about.items())
    return f'{_ROWS_BEGIN}{head}"photos": [\n{lines}\n]\n}}\n'


def _copy(out: Path, found: page.Found, rows: Sequence[dict[str, Any]], to: Path, *, views: bool) -> None:
    """Copy pictures, views where they are wanted, and files that are linked to beside a page that stands elsewhere."""
    for name in _BESIDE:
        if _is_ours(out / name):
            _copy_file(out / name, to / name)
    for index, (row, (folder, _)) in enumerate(zip(rows, found, strict=True)):
        row["view"] = row["view"] if views else None
        for key, name in (("picture", layout.OVERVIEW), ("view", layout.VIEW)):
            if row[key] is not None:
                row[key] = f"{layout.PARTS}/{index:06}{Path(name).suffix}"
                _copy_file(out / folder / name, to / row[key])


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with replacing(target) as part:
        shutil.copyfile(source, part)
