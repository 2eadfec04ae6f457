"""Evaluating the results in one or several folders, with the averages and the files that say it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from .. import evaluate
from ..checks import check_count, check_kind, check_paths
from ..evaluate import Curve
from ..explanation import MapInfo
from ..files import printable, replacing
from ..ops import build_info
from . import layout, table
from .detections import CONFIDENCE
from .events import Failed, OnEvent, listener
from .measure import Measurements, Numbers, Role, agreement, best_map, measure
from .results import Classifiers, Originals, Result, read
from .truth import Truth

__all__ = ["ROLES", "Evaluation", "mean", "mean_of_known"]

ROLES: dict[str, Role] = {"sufficiency": "keep", "necessity": "remove", "insertion": "keep", "deletion": "remove"}
"""The role of the map that each measure by the model is told for; the other measures are told for a map for both."""


class Evaluation:
    """How good results are: each is measured by its classifier, on its photo, and possibly by a known truth.

    Args:
        outs: folders with results; several are compared photo by photo.
        truth: folder with masks or boxes, file with boxes of a detector or a data set, or several of these, see
            ``Truth``.
        photos: folder where the photos are now, if they have moved.
        confidence, categories: which boxes of files count, see ``sdfido.runs.detections.read``.
        max_batch: most images given to the classifier at once.
        device: where to compute.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: a folder has no results, the files of the evaluation have no place in the first one, a classifier
            is not the same any more, or another argument is wrong. All of that is found before anything is measured.
        ImportError: an optional package is missing.

    Example:
        >>> evaluation = runs.Evaluation(["results"], truth="masks")
        >>> evaluation.measure()
        >>> evaluation.measured[0].numbers[0]["insertion"]["ssr"]
        >>> evaluation.write()
    """

    def __init__(
        self,
        outs: Sequence[str | os.PathLike[str]],
        *,
        truth: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        photos: str | os.PathLike[str] | None = None,
        confidence: float = CONFIDENCE,
        categories: Sequence[str] | None = None,
        max_batch: int = 64,
        device: str = "cpu",
    ) -> None:
        self.outs = check_paths("outs", outs)
        if not self.outs:
            raise ValueError("outs must be at least one folder with results, got none")
        self._max_batch = check_count("max_batch", max_batch)
        self._damaged: list[Failed] = []
        self._found = [read(out, self._damaged) for out in self.outs]
        layout.check_place(self.outs[0], (layout.EVALUATION, layout.CURVES), "evaluation")
        several = [truth] if isinstance(truth, str | os.PathLike) else truth
        paths = [] if several is None else check_paths("truth", several)
        results = [result for found in self._found for result in found]
        self._truth = Truth(paths, results, confidence=confidence, categories=categories) if paths else None
        self._originals = Originals(photos)
        self._classifiers = Classifiers(device)
        for result in results:
            self._classifiers.get(result)
        #: of each photo, with R folders, R > 1, the rank correlations of its maps between them [R, R]
        self.pairs: list[tuple[Result, dict[str, Tensor]]] | None = None
        if len(self._found) > 1:
            self.pairs = agreement(self._found, self._classifiers)
        #: what is measured in each folder that has any result that can be
        self.measured: list[Measurements] = []

    def __len__(self) -> int:
        """Number of results in all folders."""
        return sum(map(len, self._found))

    def measure(self, on_event: OnEvent | None = None) -> None:
        """Measure all results.

        Args:
            on_event: called with each event of ``sdfido.runs.events``.

        Raises:
            RuntimeError, ValueError: a classifier does not give finite answers.
        """
        report = listener(on_event)
        for event in self._damaged:
            report(event)
        find = self._truth.find if self._truth else None
        measured = [
            measure(out, found, self._classifiers, self._originals, find, self._max_batch, report)
            for out, found in zip(self.outs, self._found, strict=True)
        ]
        self.measured = [each for each in measured if each.results]

    @property
    def without_truth(self) -> int:
        """Results that are measured, but have no truth."""
        return sum(each.without_truth for each in self.measured)

    @property
    def agreement(self) -> list[tuple[Result, dict[str, float]]] | None:
        """Of each photo, with several folders, the rank correlation of its maps, averaged over all pairs of folders."""
        if self.pairs is None:
            return None
        first, second = torch.triu_indices(len(self.outs), len(self.outs), 1)
        return [
            (result, {name: float(pairs[first, second].mean()) for name, pairs in by_map.items()})
            for result, by_map in self.pairs
        ]

    def each_with_each(self, name: str) -> Tensor | None:
        """The rank correlation of a map between each two of R folders, averaged over the photos [R, R]; if any have it.

        Args:
            name: of the map, one of ``legend``.

        Raises:
            TypeError: the name is no text.
        """
        check_kind("name", name, str, "the name of a map")
        found = [by_map[name] for _, by_map in self.pairs or () if name in by_map]
        return torch.stack(found).nanmean(0) if found else None

    @property
    def legend(self) -> dict[str, MapInfo]:
        """What the maps of all results show."""
        return {name: info for each in reversed(self.measured) for name, info in each.legend.items()}

    def record(self) -> dict[str, Any]:
        """All numbers and average curves as plain values; None for numbers that are not known."""
        record: dict[str, Any] = {
            "areas": evaluate.AT | {"components": evaluate.TOP},
            "runs": [_run(each) for each in self.measured],
            "build": build_info(),
        }
        if (found := self.agreement) is not None:
            names = dict.fromkeys(name for _, by_map in found for name in by_map)
            record["rank_correlation"] = {
                "photos": [{"photo": result.photo} | by_map for result, by_map in found],
                "mean": {name: mean_of_known([m[name] for _, m in found if name in m]) for name in names},
                "pairs": {name: pairs.tolist() for name in names if (pairs := self.each_with_each(name)) is not None},
            }
        known: dict[str, Any] = _known(record)
        return known

    def write(self) -> None:
        """Write the numbers and a picture of the average curves into the first folder: both or none.

        Raises:
            OSError: a file cannot be written.
            ImportError: matplotlib is not installed.
        """
        from .. import reports

        text = json.dumps(self.record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        first = self.outs[0]
        with (
            table.lock(first).holding(wait=True),
            replacing(first / layout.EVALUATION) as record_part,
            replacing(first / layout.CURVES) as picture_part,
        ):
            reports.save(reports.curves(*self._panels(), title=self._title()), picture_part)
            record_part.write_text(text, encoding="utf-8")

    def _panels(self) -> list[dict[str, Curve]]:
        """For each measure the average curves: of all maps, or, with several folders, of each one's best map."""
        first = self.measured[0]
        if self.pairs is None:
            return [
                {info.heading: first.mean_curve(kind, name) for name, info in first.legend.items()} for kind in ROLES
            ]
        return [
            {printable(each.out): each.mean_curve(kind, best_map(each.legend, role)) for each in self.measured}
            for kind, role in ROLES.items()
        ]

    def _title(self) -> str:
        if self.pairs is not None:
            legend = self.legend
            keep, remove = legend[best_map(legend, "keep")].heading, legend[best_map(legend, "remove")].heading
            return f"{keep} maps: sufficiency and insertion; {remove} maps: necessity and deletion"
        found = self.measured[0].results
        about = dict.fromkeys(f"{result.summary['model']}, infill {result.summary['infill']}" for result in found)
        return f"{len(found)} photo{'s' if len(found) > 1 else ''}: {'; '.join(about)}"


def mean(numbers: Sequence[Numbers]) -> Numbers:
    """The average of all numbers that are known, by measure and map."""
    columns: dict[str, dict[str, list[float]]] = {}
    for each in numbers:
        for kind, by_map in each.items():
            for name, value in by_map.items():
                columns.setdefault(kind, {}).setdefault(name, []).append(value)
    return {kind: {name: mean_of_known(column) for name, column in by_map.items()} for kind, by_map in columns.items()}


def mean_of_known(values: Sequence[float]) -> float:
    """The average of the finite values; NaN without any."""
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan


def _run(measured: Measurements) -> dict[str, Any]:
    shown = ("photo", "target", "label", "prob_image")
    return {
        "out": printable(measured.out),
        "photos": [
            {name: result.summary[name] for name in shown} | {"results": printable(result.place)} | numbers
            for result, numbers in zip(measured.results, measured.numbers, strict=True)
        ],
        "mean": mean(measured.numbers),
        "curves": {kind: _points(measured, kind) for kind in ROLES},
    }


def _points(measured: Measurements, kind: str) -> dict[str, list[float]]:
    """The average curve of each map."""
    curves = {name: measured.mean_curve(kind, name) for name in measured.curves[kind]}
    points = {name: curve.values.mean(0).tolist() for name, curve in curves.items()}
    return {"fractions": next(iter(curves.values())).fractions.tolist()} | points


def _known(value: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
