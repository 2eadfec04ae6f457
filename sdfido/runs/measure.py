"""Measuring finished results by the classifier that they were made with, on the photos that they were made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .. import evaluate, infills, models
from ..evaluate import Curve
from ..execution import halving
from ..explanation import Explanation, MapInfo
from ..files import printable
from . import items, layout
from .annotations import Annotations
from .events import Failed, Lessened, Measured, OnEvent, Started, reason
from .question import Question
from .store import Store

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Classifiers", "Measurements", "Originals", "Result", "agreement", "best_map", "measure", "read"]

_CHUNK = 16  # photos measured at once
_NEEDED = ("photo", "prob_image", "model", "model_spec", "model_sha256", "target", "label", "infill")

Role = Literal["keep", "remove", "both"]
Numbers = dict[str, dict[str, float]]
"""Numbers by measure and map."""


@dataclass(frozen=True)
class Result:
    """Finished results of one photo."""

    folder: Path
    place: Path  #: of the folder in OUT; "." where it is OUT itself
    summary: dict[str, Any]

    @property
    def photo(self) -> str:
        """Name of the photo."""
        return str(self.summary["photo"])

    @property
    def named(self) -> Path:
        """What masks of the photo are called, without the suffix: the place of the results, or the photo's own name."""
        return self.place if self.place != Path() else Path(Path(self.photo).stem)

    @property
    def content(self) -> str:
        """What two results of the same photo share."""
        return str(self.summary.get("photo_sha256", self.summary["photo"]))

    @property
    def stream(self) -> int:
        """The random stream that the photo was explained with: 0 in older results, which do not say it."""
        value = self.summary.get("stream", 0)
        return value if isinstance(value, int) else 0

    @property
    def kind(self) -> tuple[Any, ...]:
        """What results must share to be measured together."""
        names = ("model_spec", "model_sha256", "infill", "seed", "method")
        return *(self.summary.get(name) for name in names), Question.read(self.summary)

    def load(self, classifier: models.Classifier) -> Explanation:
        """The explanation.

        Raises:
            OSError, ValueError: it cannot be read, or does not have finite maps of one photo of the classifier's size.
        """
        return self.explanation(classifier.size)

    def explanation(self, size: tuple[int, int]) -> Explanation:
        """The explanation, whose maps must have a size; errors as ``load``."""
        path = self.folder / layout.MAPS
        explanation = Explanation.load(path)
        if any(each.shape != (1, *size) or not each.isfinite().all() for each in explanation.maps.values()):
            raise ValueError(f"{printable(path)} does not have the maps of one photo, {size}, finite everywhere")
        return explanation


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


def read(out: str | os.PathLike[str]) -> list[Result]:
    """The results in a folder and its sub-folders, whose pictures are not needed.

    Raises:
        ValueError: there are none, or one does not say what measuring needs.
    """
    store = Store(out)
    found = [
        Result(folder, folder.relative_to(store.out), about)
        for folder, about in store.find((layout.SUMMARY, layout.MAPS))
    ]
    if not found:
        raise ValueError(f"out must be a folder with results of `sdfido explain`, got {printable(out)!r}")
    for result in found:
        if missing := [name for name in _NEEDED if name not in result.summary]:
            raise ValueError(
                f"results {printable(result.folder)!r} do not say {', '.join(missing)}: they are of an older sdfido, "
                "or of another program; explain the photo again"
            )
    return found


class Classifiers:
    """The classifiers that results were made with, each loaded once."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._loaded: dict[str, tuple[models.Classifier, str]] = {}

    def get(self, result: Result) -> models.Classifier:
        """The classifier of a result.

        Raises:
            ValueError: it is not the same any more.
        """
        spec = result.summary["model_spec"]
        if spec not in self._loaded:
            classifier = models.load(spec, self.device)
            self._loaded[spec] = classifier, classifier.fingerprint()
        classifier, fingerprint = self._loaded[spec]
        if fingerprint != result.summary["model_sha256"]:
            raise ValueError(
                f"model {spec!r} has other weights, or takes photos otherwise, than when {printable(result.folder)!r} "
                "was made; explain again"
            )
        return classifier


class Originals:
    """The photos that results are of: where they were, or anywhere in another folder, by their content.

    Args:
        moved: the other folder.

    Raises:
        ValueError: that folder has no photos.
    """

    def __init__(self, moved: str | os.PathLike[str] | None = None) -> None:
        self._moved = moved
        self._by_content: dict[str, Path] = {}
        if moved is not None:
            self._by_content = {items.fingerprint(path): path for path in items.inside(Path(moved))}
            if not self._by_content:
                raise ValueError(f"photos must be a folder with photos, got {printable(moved)!r}")

    def open(self, result: Result) -> Image:
        """The photo of a result.

        Raises:
            ValueError: it cannot be read, is not there, or has changed; the message says what to do.
        """
        about = result.summary
        if "photo_sha256" not in about and result.photo in (
            items.DEMO_PHOTO,
            "chelsea",
        ):  # the demo's until version 0.1
            return models.demo_photo("cat" if result.photo == "chelsea" else items.DEMO_PHOTO)
        return models.read_photo(self.path(result))

    def path(self, result: Result) -> Path:
        """Where the photo of a result is.

        Raises:
            ValueError: it is not there, or has changed; the message says what to do.
        """
        about = result.summary
        there = [result.folder.resolve() / str(about.get("photo_path")), Path(result.photo)]
        for path in filter(Path.is_file, there):
            if items.fingerprint(path) == about.get("photo_sha256"):
                return path
        if moved := self._by_content.get(str(about.get("photo_sha256"))):
            return moved
        state = "has changed since it was explained" if any(map(Path.is_file, there)) else "is not where it was"
        where = "is not in the given folder either" if self._moved else "--photos FOLDER says where it is now"
        raise ValueError(f"photo {result.photo!r} of {printable(result.folder)!r} {state}; {where}")


def measure(
    out: Path,
    results: Sequence[Result],
    classifiers: Classifiers,
    originals: Originals,
    annotations: Annotations | None,
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
            _measure_chunk(measured, chunk, classifiers, originals, annotations, max_batch, report, lessened)
            chunk = []
    return measured


def _measure_chunk(
    measured: Measurements,
    chunk: Sequence[Result],
    classifiers: Classifiers,
    originals: Originals,
    annotations: Annotations | None,
    max_batch: int,
    report: OnEvent,
    lessened: Callable[[int], object],
) -> None:
    classifier, device = classifiers.get(chunk[0]), classifiers.device
    opened = []
    for result in chunk:
        try:
            photo = originals.open(result)
            explanation = result.load(classifier)
            truth = annotations.find(photo, result.named, classifier) if annotations else None
            opened.append((result, classifier.preprocess(photo), explanation, truth))
        except ImportError:
            raise
        except (OSError, ValueError) as error:
            report(Failed(result.photo, reason(error)))
    if not opened:
        return
    kept, images, explanations, truths = zip(*opened, strict=True)
    about = kept[0].summary
    known = None
    if any(truth is not None for truth in truths):
        known = [truth if truth is None else truth.to(device) for truth in truths]

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
        return {name: evaluate.measure(each, probe, known) for name, each in maps.items()}

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
    measured.without_truth += sum(truth is None for truth in truths) if annotations else 0
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
