"""Auditing a classifier by the results in a folder: does it look at the animal?"""

from __future__ import annotations

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
from ..evaluate.audit import MEASURES, Flag, Group, Limits, Photos
from ..evaluate.background import PLACES
from ..files import naming, printable, remove_leftovers
from ..locks import Lock
from ..ops import build_info
from . import audit_files, layout
from .audit_rows import Row, kept, measured
from .detections import CONFIDENCE
from .events import Failed, Lessened, Measured, OnEvent, Started, listener
from .results import Classifiers, Originals, Result
from .sequences import GAP, SOURCES, Said, Sequences
from .truth import Truth, sites

__all__ = ["SCHEMA", "Audit"]

SCHEMA = "sdfido-audit/1"
_CHUNK = 16  # photos measured at once
_WORST = 20


class Audit:
    """Whether a classifier looks at the animal: its results by class and by site, set against where the animals are.

    Args:
        out: folder with results of one classifier, each of the class that it explains.
        truth: files with boxes, or folders with masks, see ``Truth``.
        sites: where the photos' sites come from: a CSV file with the columns photo and site, or "folders", the photos'
            sub-folders; by default what the truth says, as COCO Camera Traps do, or else the sub-folders.
        sequences: which photos were taken at one trigger: a CSV file with the columns photo and sequence, or "photos",
            each by itself; by default what the truth says, as COCO Camera Traps do, or else the sites and times of the
            photos, see ``sdfido.runs.sequences.Sequences``. Intervals are over whole sequences.
        sequence_gap: most seconds between two photos of a sequence that is told by their times.
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
        sequences: str | os.PathLike[str] | None = None,
        sequence_gap: float = GAP,
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
        self._results = audit_files.read(self.out, self._damaged)
        layout.check_place(
            self.out, (layout.AUDIT, layout.AUDIT_PHOTOS, layout.AUDIT_GROUPS, layout.AUDIT_ROWS), "audit"
        )
        self._truth = Truth(truth, self._results, confidence=confidence, categories=categories)
        self._paths = [printable(path) for path in self._truth.paths]
        self._sites = _sites(self._results, self._truth, sites)
        self._sequences = Sequences(self._results, self._truth, sequences, sequence_gap)
        self._originals = Originals(photos)
        classifiers = Classifiers(device)
        self._classifier, self._device = classifiers.get(self._results[0]), classifiers.device
        self._chosen = {
            "confidence": confidence,
            "categories": None if categories is None else list(categories),
            "sequence_gap": sequence_gap,
        }
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
            [name for name, _ in self._said(rows)],
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
        * ``counts``: results in all (``results``), ``audited``, the ``sequences`` that these are of, ``without_truth``,
          ``without_animal``, ``failed``;
        * ``sequences_from``: how many audited photos are in a sequence by the ``table``, ``truth`` or ``time``, or are
          taken for ``alone``; ``intervals``: what the intervals are over, in words;
        * ``measures``: what each number means, in words;
        * ``flags``: ``kind``, ``class``, ``site``, ``place``, ``estimate``, ``photos``, ``sequences``, ``reason``;
        * ``classes`` and ``sites``: ``name``, ``photos``, ``sequences``, each number as ``{"value", "low", "high"}``;
        * ``photos``: ``photo``, ``results`` (its folder in OUT), ``class``, ``site``, ``sequence`` (None where alone),
          each number, ``suspicion``;
        * ``worst``: places in ``photos``, the most suspicious first.
        """
        photos, rows = self.photos, self.rows
        said = self._said(rows)
        sources = [source for _, source in said]
        counts = photos.counts(np.ones(len(rows), dtype=bool))
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
                "sequences": counts[1],
                "without_truth": self.without_truth,
                "without_animal": self.without_animal,
                "failed": self.failed,
            },
            "sequences_from": {source: sources.count(source) for source in SOURCES},
            "intervals": audit_files.over(*counts, sources, self.limits.level),
            "measures": dict(MEASURES),
            "flags": [audit_files.flag(each) for each in audit.flags(photos, self.limits)],
            "classes": [audit_files.group(each) for each in grouped if each.kind == "class"],
            "sites": [audit_files.group(each) for each in grouped if each.kind == "site"],
            "photos": [
                {"photo": row["photo"], "results": row["results"]}
                | {"class": photos.classes[n], "site": photos.sites[n], "sequence": said[n][0]}
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
        audit_files.write(self.out, record)
        return record

    def _said(self, rows: Sequence[Row]) -> list[Said]:
        """The sequence of each photo, and what says it; those without an animal may be between two with one."""
        said = self._sequences.of(list(self._rows.values()), self._sites)
        return [said[row["results"]] for row in rows]

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
