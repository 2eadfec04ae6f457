"""What is known of results besides themselves: true classes, and what an audit has found."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .. import json_file
from ..checks import check_path
from ..files import printable
from . import csv_file
from .layout import AUDIT
from .matching import match_places, none_of

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


class _Of(NamedTuple):
    """Results, as matching takes them."""

    folder: Path
    place: Path
    summary: Mapping[str, Any]


class Beside:
    """What files in a results folder say of its photos: ``labels.csv`` and ``audit.json``, as far as they are there.

    ``labels.csv`` has the columns photo and label, the true class, and may have site. What it is of is told by the
    photo's path or the end of it, with or without the suffix (``sdfido.runs.matching``), or the folder of its results
    in OUT. ``audit.json`` is what ``sdfido audit`` writes.

    Args:
        out: the results folder.
        labels: another file than ``labels.csv``, or "folders": the true class is the name of the photo's folder.

    Raises:
        ValueError: the labels cannot be read, lack a column, or give a photo two classes.
    """

    def __init__(self, out: Path, labels: str | os.PathLike[str] | None = None) -> None:
        self._out, self._is_given = out, labels is not None
        self._by_folder = isinstance(labels, str) and labels == FOLDERS
        self._labels: dict[str, csv_file.Row] = {}
        self.without_label = 0  #: results that ``find_all`` found no true class of, where there are labels
        self.outdated = ""  #: what ``find_all`` found to be of earlier results, a sentence
        self.sources: list[str] = []  #: where it is known from
        path = out / LABELS if labels is None else check_path("labels", labels)
        if self._by_folder:
            self.sources.append("the names of the photos' folders")
        elif labels is not None or path.is_file():
            self._labels = csv_file.by_photo(path, "labels", "label", repr(FOLDERS))
            self._source = f"labels {printable(path)!r}"
            self.sources.append(printable(path.name))
        self.damaged: list[str] = []  #: what cannot be read, a sentence each
        try:
            audit = _read_audit(out / AUDIT)
        except (OSError, ValueError) as error:
            audit, shown = {}, repr(printable(out / AUDIT))
            self.damaged.append(f"audit {shown} cannot be read: {error}; `sdfido audit` makes it anew")
        self._audited_model = audit.get("model_sha256")
        self._audit: Rows = {str(row.get("results")): row for row in _tables(audit.get("photos"))}
        self.audited = _audited(audit)  #: over what the audit's intervals are, and whether anything is flagged
        self.findings = [_finding(flag) for flag in _tables(audit.get("flags"))]  #: of the audit, the strongest first
        if audit:
            self.sources.append(AUDIT)

    def find_all(self, found: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[Known]:
        """What is known of results, given the folder (seen from OUT) and the summary of each.

        Raises:
            ValueError: the labels do not tell the photos apart, or, if they were given, have none of them.
        """
        rows: list[Mapping[str, str]] = [{} for _ in found]
        if self._labels:
            results = [_Of(self._out / folder, folder, about) for folder, about in found]
            names = list(self._labels)
            places = match_places(results, names, self._source)
            if self._is_given and not any(place is not None for place in places):
                raise none_of(self._source, results, names)
            rows = [{} if place is None else self._labels[names[place]] for place in places]
        audited = [self._audit.get(printable(folder), {}) for folder, _ in found]
        fit = [self._fits(audit, about) for audit, (_, about) in zip(audited, found, strict=True)]
        if old := sum(not each for each in fit):
            self.outdated = (
                f"audit {printable(self._out / AUDIT)!r} is of earlier results of {old} photo{'s' if old > 1 else ''}; "
                "`sdfido audit` measures them anew"
            )
            self.findings = self.findings if any(row and fits for row, fits in zip(audited, fit, strict=True)) else []
        labels = {str(about["label"]) for _, about in found}
        self.findings = [each | {"class": _as_label(each["class"], labels)} for each in self.findings]
        known = [
            self._known(about, row, audit if fits else {})
            for (_, about), row, audit, fits in zip(found, rows, audited, fit, strict=True)
        ]
        self.without_label = sum(each.truth is None for each in known) if self._is_given or self._labels else 0
        return known

    def _fits(self, audit: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
        """Whether what an audit says is of results with this summary: of the same class, told by the same model."""
        label = str(about["label"])
        same = audit.get("class", label) in (label, f"{label} ({about.get('target')})")
        return not audit or (same and self._audited_model in (None, about.get("model_sha256")))

    def _known(self, about: Mapping[str, Any], label: Mapping[str, str], audit: Mapping[str, Any]) -> Known:
        photo = PurePosixPath(str(about["photo"]).replace(os.sep, "/"))
        truth = photo.parent.name if self._by_folder else label.get("label")
        site, sequence, flags = label.get("site") or audit.get("site"), audit.get("sequence"), audit.get("flags")
        numbers = {name: audit[name] for name in AUDITED if _is_finite(audit.get(name))}
        told = tuple(map(str, flags)) if isinstance(flags, list) else ()
        site, sequence = (None if each is None else str(each) for each in (site, sequence))
        return Known(truth or None, site, sequence, told, numbers)


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


def _as_label(name: str | None, labels: Container[str]) -> str | None:
    """A class of an audit as results call it: an audit puts numbers behind classes of the same name."""
    return name if name is None or name in labels else re.sub(r" \(\d+\)$", "", name)


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
