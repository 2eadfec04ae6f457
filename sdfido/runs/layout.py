"""Names of the files that results consist of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import json_file
from ..files import printable

SUMMARY, MAPS, OVERVIEW, VIEW = "summary.json", "explanation.npz", "overview.png", "view.js"
FILES = (SUMMARY, MAPS, OVERVIEW, VIEW)
"""The files of one photo's results; the view is what the page shows of it."""

UNDRAWN = (SUMMARY, MAPS, VIEW)
"""Those of them that are there without a picture, too."""

NUMBERS = (SUMMARY, MAPS)
"""Those of them that tell everything."""

TABLE, PAGE, ROWS = "summary.csv", "index.html", "index.json"
"""The files about all results in a folder; the rows are what the page says of each photo."""

PARTS = "index_files"
"""Folder beside a page that stands elsewhere: what it shows of each of many photos."""

PARQUET = "summary.parquet"
"""The table once more, where pyarrow is installed."""

CURVES, EVALUATION = "curves.png", "evaluation.json"
"""The files of an evaluation."""

AUDIT, AUDIT_PHOTOS, AUDIT_GROUPS = "audit.json", "audit.csv", "audit-groups.csv"
"""The files of an audit: all of it, a row a photo, a row a class or site."""

AUDIT_ROWS = ".audit.jsonl"
"""What an audit has measured of each photo, so that it need not be measured again."""


GALLERY, GALLERY_SHEET = "gallery.html", "gallery.webp"
"""The files of a gallery."""

RESERVED = frozenset(
    [
        *(*FILES, "graph.png", "graph.json", ".lock"),
        *(TABLE, PARQUET, PAGE, ROWS, PARTS, CURVES, EVALUATION, ".index.lock"),
        *(AUDIT, AUDIT_PHOTOS, AUDIT_GROUPS, AUDIT_ROWS, ".audit.lock", GALLERY, GALLERY_SHEET, "export.json"),
    ]
)
"""Names that no folder of results may have: files of these names are, or may be, written beside it."""


def check_place(out: Path, names: Sequence[str], what: str) -> None:
    """Raise ValueError where files of these names, which are ``what``, cannot be written into a folder."""
    shown = repr(printable(out))
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"out must be a folder to write to, got {shown}, which is not writable")
    for path in (out / name for name in names):
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            raise ValueError(f"out must take the {what}, got {shown}, where {printable(path)} cannot be replaced")


def is_drawn(path: Path) -> bool:
    """Whether a picture is one that sdfido has written, and so no photo."""
    beside = EVALUATION if path.name == CURVES else MAPS
    if not (path.parent / beside).exists():
        return False
    return path.name in (OVERVIEW, CURVES) or path.name in _listed(path.parent)


def _listed(folder: Path) -> list[str]:
    """The files that the results in a folder consist of, as their summary says."""
    try:
        about = json_file.read(folder / SUMMARY)
    except (OSError, ValueError):
        return []
    files = about.get("files") if isinstance(about, dict) else None
    return files if isinstance(files, list) else []
