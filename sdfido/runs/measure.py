"""Measuring finished results by the classifier that they were made with, on the photos that they were made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from .. import evaluate, infills, models
from ..evaluate import Curve
from ..execution import halving
from ..explanation import Explanation, MapInfo
from .events import Failed, Lessened, Measured, OnEvent, Started, reason
from .question import Question
from .results import Classifiers, Originals, Result

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Measurements", "agreement", "best_map", "measure"]

_CHUNK = 16  # photos measured at once

Role = Literal["keep", "remove", "both"]
Numbers = dict[str, dict[str, float]]
"""Numbers by measure and map."""


@dataclass
class Measurements:
    """What is measured of the results in one folder OUT."""

    out: Path
    results: list[Result] = field(default_factory=list)
    numbers: list[Numbers] = field(default_factory=list)  #: of each result
    curves: dict[str, dict[str, list[Curve]]] = field(default_factory=dict)  #: by measure and map, for parts of them
    legend: dict[str, MapInfo] = field(default_factory=dict)  #: what the maps show
    without_truth: int = 0  #: results of photos without a truth, if any truth was given

    def mean_curve(self, measure: str, name: str) -> Curve:
        """The curves of all photos that have the map, as one."""
        parts = self.curves[measure][name]
        joined = (
            torch.cat([getattr(part, what) for part in parts]) for what in ("values", "prob_image", "targets", "floor")
        )
        return Curve(parts[0].measure, parts[0].fractions, *joined)


def best_map(legend: Mapping[str, MapInfo], role: Role) -> str:
    """The map that measures of this role are told for.

    The first main one for the role or for both; or else the first one for the role, the first one for both, the first.
    """
    choices = [name for name, info in legend.items() if info.main and info.role in (role, "both")]
    for wanted in (role, "both"):
        choices += [name for name, info in legend.items() if info.role == wanted]
    return [*choices, *legend][0]


Find = Callable[["Image", Result, "models.Classifier"], Tensor | None]
"""Where the truth of a result is in its photo, as the classifier sees it; ``Truth.find`` is one."""


def measure(
    out: Path,
    results: Sequence[Result],
    classifiers: Classifiers,
    originals: Originals,
    truth: Find | None,
    max_batch: int,
    report: OnEvent,
) -> Measurements:
    """All numbers of the results in one folder; a result that cannot be measured is reported and left out.

    Raises:
        ImportError: a package that reads photos is not installed.
        RuntimeError, ValueError: the classifier does not give finite answers, or is not the same any more.
    """
    measured = Measurements(out)

    def lessened(at_once: int) -> None:
        nonlocal max_batch
        max_batch = at_once
        report(Lessened(at_once))

    chunk: list[Result] = []
    for position, result in enumerate(results):
        chunk.append(result)
        following = results[position + 1 : position + 2]
        if len(chunk) == _CHUNK or [other.kind for other in following] != [result.kind]:
            report(Started(tuple(each.photo for each in chunk)))
            _measure_chunk(measured, chunk, classifiers, originals, truth, max_batch, report, lessened)
            chunk = []
    return measured


def _measure_chunk(
    measured: Measurements,
    chunk: Sequence[Result],
    classifiers: Classifiers,
    originals: Originals,
    truth: Find | None,
    max_batch: int,
    report: OnEvent,
    lessened: Callable[[int], object],
) -> None:
    classifier, device = classifiers.get(chunk[0]), classifiers.device
    about = chunk[0].summary
    groups: dict[tuple[str, ...], list[_Opened]] = {}
    for result in chunk:
        try:
            infills.from_spec(about["infill"], classifier.normalization, seed=about.get("seed", 0))
            photo = originals.open(result)
            explanation = result.load(classifier)
            known = truth(photo, result, classifier) if truth else None
            opened = (result, classifier.preprocess(photo), explanation, known)
            groups.setdefault(tuple(explanation.maps), []).append(opened)
        except ImportError:
            raise
        except (OSError, ValueError) as error:
            report(Failed(result.photo, reason(error)))
    for group in groups.values():
        _measure_group(measured, group, classifier, device, truth is not None, max_batch, report, lessened)


_Opened = tuple[Result, Tensor, Explanation, Tensor | None]


def _measure_group(
    measured: Measurements,
    group: Sequence[_Opened],
    classifier: models.Classifier,
    device: str,
    with_truth: bool,
    max_batch: int,
    report: OnEvent,
    lessened: Callable[[int], object],
) -> None:
    """Measure opened results that have maps of the same names."""
    kept, images, explanations, given = zip(*group, strict=True)
    about = kept[0].summary
    truths = None
    if any(known is not None for known in given):
        truths = [known if known is None else known.to(device) for known in given]

    def by_map(at_once: int) -> dict[str, evaluate.Measures]:
        probe = evaluate.Probe(
            Question.read(about).score(classifier),
            torch.stack(images).to(device),
            torch.cat([each.targets for each in explanations]).to(device),
            infill=infills.from_spec(about["infill"], classifier.normalization, seed=about.get("seed", 0)),
            streams=[result.stream for result in kept],
            max_batch=at_once,
        )
        maps = {name: torch.cat([each[name] for each in explanations]).to(device) for name in explanations[0].maps}
        return {name: evaluate.measure(each, probe, truths) for name, each in maps.items()}

    numbers: list[Numbers] = [{} for _ in kept]
    for name, found in halving(by_map, max_batch, lessened).items():
        for measure, column in found.numbers.items():
            for each, value in zip(numbers, column.tolist(), strict=True):
                each.setdefault(measure, {})[name] = value
        for measure, curve in found.curves.items():
            measured.curves.setdefault(measure, {}).setdefault(name, []).append(curve)
    measured.results += kept
    measured.numbers += numbers
    measured.legend |= explanations[0].legend
    measured.without_truth += sum(known is None for known in given) if with_truth else 0
    for result in kept:
        report(Measured(result.photo))


def agreement(runs: Sequence[Sequence[Result]], classifiers: Classifiers) -> list[tuple[Result, dict[str, Tensor]]]:
    """For each photo that all R runs have explained, the rank correlations of each map between the runs, [R, R].

    Maps of another size than the first run's are resized. Maps that not all runs have, and photos with a result that
    cannot be read, are left out.

    Raises:
        ValueError: the runs' classifiers see different parts of a photo.
    """
    by_content = [{result.content: result for result in reversed(run)} for run in runs]
    rows = []
    for content, first in reversed(by_content[0].items()):
        if any(content not in others for others in by_content):
            continue
        same = [others[content] for others in by_content]
        loaded = [classifiers.get(result) for result in same]
        if len({(Fraction(*each.size), each.crop, each.crop_mode) for each in loaded}) > 1:
            seen = [(each.size, each.crop, each.crop_mode) for each in loaded]
            raise ValueError(
                "out must be folders whose maps show the same part of a photo, got models that see photos at sizes and "
                f"crops {seen}; give them one crop, such as --model 'NAME?crop=1', or evaluate each folder alone"
            )
        try:
            explanations = [result.load(classifier) for result, classifier in zip(same, loaded, strict=True)]
        except (OSError, ValueError):  # told where it is measured
            continue
        names = [name for name in explanations[0].maps if all(name in each.maps for each in explanations)]
        found = {}
        for name in names:
            by_run = {str(place): each[name] for place, each in enumerate(explanations)}
            found[name] = evaluate.model_agreement(by_run).rank[:, :, 0]
        rows.append((first, found))
    return rows
