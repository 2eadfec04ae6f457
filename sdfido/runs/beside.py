"""What is known of results besides themselves: true classes, and what an audit has found."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .. import json_file
from ..checks import check_path
from ..files import printable
from .layout import AUDIT

__all__ = ["AUDITED", "FOLDERS", "LABELS", "Beside", "Known"]

LABELS = "labels.csv"
FOLDERS = "folders"
"""The true class of a photo is the name of the folder that it lies in."""

AUDITED = {
    "outside": "Evidence outside the animal",
    "background_alone": "Background alone",
    "animal_alone": "Animal alone",
    "suspicion": "Suspicion",
}
"""The numbers of an audit that are shown, and what they are called there."""

_SCHEMA = "sdfido-audit/"

Rows = Mapping[str, Mapping[str, Any]]
"""What is known, by what it is known of."""


@dataclass(frozen=True)
class Known:
    """What is known of one photo."""

    truth: str | None = None  #: its true class
    site: str | None = None  #: where it was taken
    sequence: str | None = None  #: what it shares with photos of the same trigger
    flags: tuple[str, ...] = ()  #: what is wrong with it, in words
    numbers: Mapping[str, float] = field(default_factory=dict)  #: those of ``AUDITED`` that are known


class Beside:
    """What files in a results folder say of its photos: ``labels.csv`` and ``audit.json``, as far as they are there.

    ``labels.csv`` has the columns photo and label, the true class, and may have site. What it is of is told by the
    photo's path, its name with or without the suffix, or the folder of its results in OUT. ``audit.json`` is what
    ``sdfido audit`` writes.

    Args:
        out: the results folder.
        labels: another file than ``labels.csv``, or "folders": the true class is the name of the photo's folder.

    Raises:
        ValueError: the labels cannot be read, or lack a column.
    """

    def __init__(self, out: Path, labels: str | os.PathLike[str] | None = None) -> None:
        self._by_folder = isinstance(labels, str) and labels == FOLDERS
        self._labels: Rows = {}
        self.sources: list[str] = []  #: where it is known from
        path = out / LABELS if labels is None else check_path("labels", labels)
        if self._by_folder:
            self.sources.append("the names of the photos' folders")
        elif labels is not None or path.is_file():
            self._labels = _read_labels(path)
            self.sources.append(printable(path.name))
        self.damaged: list[str] = []  #: what cannot be read, a sentence each
        try:
            audit = _read_audit(out / AUDIT)
        except (OSError, ValueError) as error:
            audit, shown = {}, repr(printable(out / AUDIT))
            self.damaged.append(f"audit {shown} cannot be read: {error}; `sdfido audit` makes it anew")
        self._audit: Rows = {str(row.get("results")): row for row in _tables(audit.get("photos"))}
        self.audited = _audited(audit)  #: over what the audit's intervals are, and whether anything is flagged
        self.findings = [_finding(flag) for flag in _tables(audit.get("flags"))]  #: of the audit, the strongest first
        if audit:
            self.sources.append(AUDIT)

    def find(self, folder: Path, about: Mapping[str, Any]) -> Known:
        """What is known of the results in a folder (seen from OUT), given their summary."""
        photo = PurePosixPath(str(about["photo"]).replace(os.sep, "/"))
        names = [str(about["photo"]), printable(folder), photo.name, photo.stem]
        label = next((self._labels[name] for name in names if name in self._labels), {})
        audit = self._audit.get(printable(folder), {})
        truth = photo.parent.name if self._by_folder else label.get("label")
        site, sequence, flags = label.get("site") or audit.get("site"), audit.get("sequence"), audit.get("flags")
        numbers = {name: audit[name] for name in AUDITED if _is_finite(audit.get(name))}
        told = tuple(map(str, flags)) if isinstance(flags, list) else ()
        site, sequence = (None if each is None else str(each) for each in (site, sequence))
        return Known(truth or None, site, sequence, told, numbers)


def _read_labels(path: Path) -> Rows:
    shown = repr(printable(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            if missing := [name for name in ("photo", "label") if name not in columns]:
                raise ValueError(f"labels {shown} must name the columns photo,label in its first line; no {missing[0]}")
            return {row["photo"]: {name: row[name] or "" for name in columns} for row in rows if row["photo"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"labels must be a CSV file in UTF-8, or {FOLDERS!r}, got {shown}: {error}") from error


def _read_audit(path: Path) -> Mapping[str, Any]:
    """The audit in a file; nothing where there is none, or the file is something else.

    Raises:
        OSError, ValueError: the file is no JSON.
    """
    if not path.is_file():
        return {}
    found = json_file.read(path, None)
    return found if isinstance(found, dict) and str(found.get("schema")).startswith(_SCHEMA) else {}


def _audited(audit: Mapping[str, Any]) -> str | None:
    """What is said before the findings, if there are any: audits of before sequences say less."""
    parts = ["" if _tables(audit.get("flags")) else "Nothing is flagged.", str(audit.get("intervals") or "")]
    return " ".join(filter(None, parts)) or None if audit else None


def _finding(flag: Mapping[str, Any]) -> dict[str, str | None]:
    """What an audit has found, and whose photos it is about."""
    about = {key: flag.get(key) for key in ("class", "site", "reason")}
    return {key: None if value is None else str(value) for key, value in about.items()}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
