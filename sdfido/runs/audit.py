"""Auditing a classifier by the results in a folder: does it look at the animal?"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import check_count, check_kind, check_path
from ..evaluate import audit
from ..evaluate.audit import MEASURES, Estimate, Flag, Group, Limits, Photos
from ..evaluate.background import PLACES
from ..files import naming, printable, remove_leftovers, replacing
from ..locks import Lock
from ..ops import build_info
from . import items, layout, summary, table
from .audit_rows import Row, kept, measured, rounded
from .detections import CONFIDENCE
from .events import Failed, Lessened, Measured, OnEvent, Started, listener
from .results import Classifiers, Originals, Result, read
from .table import as_cell
from .truth import Truth, sites

__all__ = ["SCHEMA", "Audit"]

SCHEMA = "sdfido-audit/1"
_CHUNK = 16  # photos measured at once
_WORST = 20
_FILES = (layout.AUDIT, layout.AUDIT_PHOTOS, layout.AUDIT_GROUPS, layout.AUDIT_ROWS)


class Audit:
    """Whether a classifier looks at the animal: its results by class and by site, set against where the animals are.

    Args:
        out: folder with results of one classifier, each of the class that it explains.
        truth: files with boxes, or folders with masks, see ``Truth``.
        sites: where the photos' sites come from: a CSV file with the columns photo and site, or "folders", the photos'
            sub-folders; by default what the truth says, as COCO Camera Traps do, or else the sub-folders.
        photos: folder where the photos are now, if they have moved.
        confidence, categories: which boxes count, see ``sdfido.runs.detections.read``.
        limits: what counts as a shortcut.
        max_batch: most images given to the classifier at once.
        device: where to compute.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: there are no such results, the truth does not fit them, or another argument is wrong; before
            anything is measured.
        ImportError: an optional package is missing.

    Example:
        >>> audit = runs.Audit("results", ["detections.json"])
        >>> audit.measure()
        >>> for flag in audit.flags:
        ...     print(flag.reason)
        >>> audit.write()
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        truth: Sequence[str | os.PathLike[str]],
        *,
        sites: str | os.PathLike[str] | None = None,
        photos: str | os.PathLike[str] | None = None,
        confidence: float = CONFIDENCE,
        categories: Sequence[str] | None = None,
        limits: Limits | None = None,
        max_batch: int = 64,
        device: str = "cpu",
    ) -> None:
        self.out = check_path("out", out)
        self.limits = Limits() if limits is None else check_kind("limits", limits, Limits, "evaluate.audit.Limits")
        self._max_batch = check_count("max_batch", max_batch)
        self._damaged: list[Failed] = []
        self._results = _read(self.out, self._damaged)
        self._check_place()
        self._truth = Truth(truth, self._results, confidence=confidence, categories=categories)
        self._paths = [printable(path) for path in self._truth.paths]
        self._sites = _sites(self._results, self._truth, sites)
        self._originals = Originals(photos)
        classifiers = Classifiers(device)
        self._classifier, self._device = classifiers.get(self._results[0]), classifiers.device
        self._chosen = {"confidence": confidence, "categories": None if categories is None else list(categories)}
        self._rows: dict[Path, Row] = {}
        #: results whose photos no truth knows
        self.without_truth = sum(not self._truth.knows(result) for result in self._results)
        #: results that could not be measured
        self.failed = 0

    def __len__(self) -> int:
        """Number of results."""
        return len(self._results)

    def measure(self, on_event: OnEvent | None = None) -> None:
        """Measure all results that were not measured before with the same truth; each is kept as soon as it is done.

        Args:
            on_event: called with each event of ``sdfido.runs.events``.

        Raises:
            ValueError: another process audits the same folder.
            RuntimeError: the classifier does not give finite answers.
            OSError: what is measured cannot be kept.
        """
        report = listener(on_event)
        with Lock(self.out / ".audit.lock").holding() as is_free:
            if not is_free:
                shown = repr(printable(self.out))
                raise ValueError(f"out must not be audited by another process at this time, got {shown}")
            remove_leftovers(self.out)
            self._measure(report)

    @property
    def rows(self) -> list[Row]:
        """What is measured of each photo with an animal, in the order of the results."""
        found = [self._rows[result.folder] for result in self._results if result.folder in self._rows]
        return [row for row in found if row["animal"]]

    @property
    def without_animal(self) -> int:
        """Results whose truth has no animal that the classifier sees."""
        return sum(not row["animal"] for row in self._rows.values())

    @property
    def photos(self) -> Photos:
        """What the statistics are made of."""
        rows = self.rows
        names = _names(rows)
        backgrounds = {name: [_probability(row, target) for row in rows] for target, name in names.items()}
        return Photos(
            [names[row["target"]] for row in rows],
            [self._sites[row["results"]] for row in rows],
            {name: _array([row[name] for row in rows]) for name in MEASURES},
            {name: _array(values) for name, values in backgrounds.items()},
            _array([row.get("without") or [None] * len(PLACES) for row in rows]).reshape(len(rows), len(PLACES)),
        )

    @property
    def groups(self) -> list[Group]:
        """The numbers by class and by site."""
        return audit.groups(self.photos, self.limits)

    @property
    def flags(self) -> list[Flag]:
        """What speaks for a shortcut, the strongest first."""
        return audit.flags(self.photos, self.limits)

    def record(self) -> dict[str, Any]:
        """The audit as plain values; None for numbers that are not known.

        * ``schema``: "sdfido-audit/1"; ``out``, ``truth``, ``model``, ``settings``, ``build``: how it was made;
        * ``counts``: results in all (``results``), ``audited``, ``without_truth``, ``without_animal``, ``failed``;
        * ``measures``: what each number means, in words;
        * ``flags``: ``kind``, ``class``, ``site``, ``place``, ``estimate``, ``photos``, ``reason``;
        * ``classes`` and ``sites``: ``name``, ``photos``, and each number as ``{"value", "low", "high"}``;
        * ``photos``: ``photo``, ``results`` (its folder in OUT), ``class``, ``site``, each number, ``suspicion``;
        * ``worst``: places in ``photos``, the most suspicious first.
        """
        photos, rows = self.photos, self.rows
        suspicion = audit.suspicion(photos)
        order = np.argsort(-suspicion, kind="stable")
        worst = [int(n) for n in order if math.isfinite(suspicion[n])][:_WORST]
        grouped = audit.groups(photos, self.limits)
        first = self._results[0].summary
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "out": printable(self.out),
            "truth": self._paths,
            "model": first["model"],
            "model_sha256": first["model_sha256"],
            "settings": self._chosen | asdict(self.limits),
            "build": build_info(),
            "counts": {
                "results": len(self),
                "audited": len(rows),
                "without_truth": self.without_truth,
                "without_animal": self.without_animal,
                "failed": self.failed,
            },
            "measures": dict(MEASURES),
            "flags": [_flag(each) for each in audit.flags(photos, self.limits)],
            "classes": [_group(each) for each in grouped if each.kind == "class"],
            "sites": [_group(each) for each in grouped if each.kind == "site"],
            "photos": [
                {"photo": row["photo"], "results": row["results"]}
                | {"class": photos.classes[n], "site": photos.sites[n]}
                | {name: row[name] for name in MEASURES}
                | {"suspicion": round(float(suspicion[n]), 5) if math.isfinite(suspicion[n]) else None}
                for n, row in enumerate(rows)
            ],
            "worst": worst,
        }
        return record

    def write(self) -> dict[str, Any]:
        """Write the audit and its tables into OUT, all or none, and return the audit as ``record`` gives it.

        Raises:
            OSError: a file cannot be written.
        """
        record = self.record()
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        with (
            table.lock(self.out).holding(wait=True),
            replacing(self.out / layout.AUDIT) as whole,
            replacing(self.out / layout.AUDIT_PHOTOS) as photos,
            replacing(self.out / layout.AUDIT_GROUPS) as grouped,
        ):
            _table(photos, record["photos"])
            _table(grouped, [_flat(kind, each) for kind in ("classes", "sites") for each in record[kind]])
            whole.write_text(text, encoding="utf-8")
        return record

    def _check_place(self) -> None:
        shown = repr(printable(self.out))
        if not os.access(self.out, os.W_OK | os.X_OK):
            raise ValueError(f"out must be a folder to write to, got {shown}, which is not writable")
        for path in (self.out / name for name in _FILES):
            if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
                raise ValueError(f"out must take the audit, got {shown}, where {printable(path)} cannot be replaced")

    def _measure(self, report: Callable[[Any], object]) -> None:
        def tell(event: Failed) -> None:
            self.failed += 1
            report(event)

        for event in self._damaged:
            tell(event)

        def lessened(at_once: int) -> None:
            self._max_batch = at_once
            report(Lessened(at_once))

        known = kept(self.out / layout.AUDIT_ROWS)
        keys = {each.folder: self._key(each) for each in self._results if self._truth.knows(each)}
        for each in (each for each in self._results if each.folder in keys):
            row = known.get(keys[each.folder])
            if row is not None and row["results"] == printable(each.place):
                self._rows[each.folder] = row
        for _ in self._rows:
            report(Measured(""))
        left = [each for each in self._results if each.folder in keys and each.folder not in self._rows]
        path = self.out / layout.AUDIT_ROWS
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write("\n" if left else "")  # behind a line that a killed process may have left
            for begin in range(0, len(left), _CHUNK):
                chunk = left[begin : begin + _CHUNK]
                report(Started(tuple(each.photo for each in chunk)))
                rows = measured(
                    chunk,
                    self._truth,
                    self._originals,
                    self._classifier,
                    tell,
                    device=self._device,
                    max_batch=self._max_batch,
                    lessened=lessened,
                )
                for result, row in rows:
                    self._rows[result.folder] = row
                    file.write(json.dumps({"key": keys[result.folder], "row": row}, ensure_ascii=False) + "\n")
                    report(Measured(result.photo))
                file.flush()

    def _key(self, result: Result) -> str:
        """What a row depends on."""
        about = (SCHEMA, build_info()["version"], result.place.as_posix(), result.summary, self._truth.about(result))
        return hashlib.sha256(repr(about).encode()).hexdigest()


def _read(out: Path, damaged: list[Failed]) -> list[Result]:
    """The results, of one classifier, that explain classes."""
    try:
        results = read(out, damaged)
    except ValueError:
        if next(items.inside(out), None) is None or any(out.rglob(layout.SUMMARY)):
            raise
        raise ValueError(
            f"out must be a folder with results, got photos in {printable(out)!r}; explain them first: "
            f"sdfido explain {printable(out)} --model MODEL --out results, then audit results"
        ) from None
    models = {(each.summary["model"], each.summary["model_sha256"]) for each in results}
    if len(models) > 1:
        raise ValueError(
            f"out must have results of one model, got {', '.join(sorted({name for name, _ in models}))} in "
            f"{printable(out)!r}; audit each by itself"
        )
    for result in results:
        if not isinstance(result.summary["target"], int) or summary.scale(result.summary).name != "probability":
            raise ValueError(
                f"results {printable(result.folder)!r} must explain a class, got {result.summary['label']!r}; an audit "
                "takes those of sdfido explain without --rather-than and --value"
            )
    return results


def _sites(results: Sequence[Result], truth: Truth, given: Any) -> dict[str, str | None]:
    return {printable(result.place): site for result, site in zip(results, sites(results, truth, given), strict=True)}


def _names(rows: Sequence[Row]) -> dict[int, str]:
    """What the explained classes are called; those of the same name with their numbers."""
    labels = {row["target"]: row["class"] for row in rows}
    shared = {name for name, count in Counter(labels.values()).items() if count > 1}
    return {target: f"{name} ({target})" if name in shared else name for target, name in labels.items()}


def _probability(row: Row, target: int) -> float | None:
    return row["background"].get(str(target), 0.0) if "background" in row else None


def _array(values: Sequence[Any]) -> Any:
    return np.array(values, dtype=np.float64)


def _estimate(each: Estimate) -> dict[str, float | None]:
    return {name: rounded(value) for name, value in each._asdict().items()}


def _group(group: Group) -> dict[str, Any]:
    numbers = {name: _estimate(each) for name, each in group.numbers.items()}
    return {"name": group.name, "photos": group.photos} | numbers


def _flag(flag: Flag) -> dict[str, Any]:
    about = {"kind": flag.kind, "class": flag.name, "site": flag.site, "place": flag.place, "photos": flag.photos}
    return about | {"estimate": _estimate(flag.estimate), "reason": flag.reason}


def _flat(kind: str, group: dict[str, Any]) -> dict[str, Any]:
    """A group as a row of a table."""
    row = {"group": {"classes": "class", "sites": "site"}[kind], "name": group["name"], "photos": group["photos"]}
    for name, value in group.items():
        if isinstance(value, dict):
            row |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
    return row


def _table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A CSV file for spreadsheets."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows({name: as_cell(value) for name, value in row.items()} for row in rows)
