"""What is known of results besides themselves: true classes, and the rows of an audit."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..files import printable

__all__ = ["AUDIT", "FOLDERS", "LABELS", "Beside", "Known"]

LABELS, AUDIT = "labels.csv", "audit.csv"
FOLDERS = "folders"
"""The true class of a photo is the name of the folder that it lies in."""


@dataclass(frozen=True)
class Known:
    """What is known of one photo."""

    truth: str | None = None  #: its true class
    site: str | None = None  #: where it was taken
    flags: tuple[str, ...] = ()  #: what an audit found wrong
    numbers: Mapping[str, float] = field(default_factory=dict)  #: of the audit, such as "outside"


class Beside:
    """What files in a results folder say of its photos: ``labels.csv`` and ``audit.csv``, as far as they are there.

    ``labels.csv`` has the columns photo and label, the true class. ``audit.csv`` has a row a photo; its columns
    outside (share of the evidence outside the animal, 0..1), flags (separated by ";"), site and label are shown. The
    column results, or else photo, says what a row is of: the results' folder, the photo's path, or its name, with or
    without the suffix.

    Args:
        out: the results folder.
        labels: another file than ``labels.csv``, or "folders": the true class is the name of the photo's folder.

    Raises:
        ValueError: a file cannot be read, or lacks the columns.
    """

    def __init__(self, out: Path, labels: str | os.PathLike[str] | None = None) -> None:
        self._by_folder = labels == FOLDERS
        path = out / LABELS if labels is None or self._by_folder else Path(labels)
        given = labels is not None and not self._by_folder
        self._labels = _read(path, ("photo", "label")) if given or (path.is_file() and not self._by_folder) else {}
        self._audit = _read(out / AUDIT) if (out / AUDIT).is_file() else {}
        self.sources = [printable(path.name)] if self._labels else ["names of folders"] if self._by_folder else []
        self.sources += [AUDIT] if self._audit else []

    def find(self, folder: Path, about: Mapping[str, Any]) -> Known:
        """What is known of the results in a folder (seen from OUT), given their summary."""
        photo = PurePosixPath(str(about["photo"]).replace(os.sep, "/"))
        names = [printable(folder), str(about["photo"]), photo.name, photo.stem]
        label, audit = (
            next((table[name] for name in names if name in table), {}) for table in (self._labels, self._audit)
        )
        truth = photo.parent.name if self._by_folder else label.get("label") or audit.get("truth")
        numbers = {}
        for name in ("outside",):
            if (value := _number(audit.get(name))) is not None:
                numbers[name] = value
        flags = tuple(flag.strip() for flag in audit.get("flags", "").split(";") if flag.strip())
        return Known(truth or None, audit.get("site") or label.get("site") or None, flags, numbers)


def _read(path: Path, needed: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    """The rows of a CSV file by what they are of."""
    shown = repr(printable(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            if missing := [name for name in needed if name not in columns]:
                raise ValueError(
                    f"labels {shown} must have the columns photo,label in its first line; it has no {missing[0]}"
                )
            key = "results" if "results" in columns else "photo"
            return {row[key]: {name: row[name] or "" for name in columns} for row in rows if row.get(key)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"labels {shown} must be a CSV file in UTF-8, got {error}") from error


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
