"""Measuring finished results: which, by what classifier, on what photos, and all numbers of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import evaluate, infills, models
from ..evaluate import Curve
from ..explanation import Explanation
from . import photos, results
from .bar import Bar
from .common import complain, printable, reason
from .truth import Truth

if TYPE_CHECKING:
    from PIL.Image import Image

MAPS = ("ssr", "sdr", "joint")
AREAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
AT = {"sufficiency": 0.3, "necessity": 0.2}  # areas at which they are told
TOP = 0.2  # part of the image whose connected components are counted
CURVES = ("sufficiency", "necessity", "insertion", "deletion")
TRUTH: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "intersection_over_union": evaluate.intersection_over_union,
    "pointing_game": evaluate.pointing_game,
    "outside": evaluate.outside,
}
_CHUNK = 16  # photos measured at once
_NEEDED = ("photo", "prob_image", "model", "model_spec", "model_sha256", "target", "label", "infill", "seed")

Numbers = dict[str, dict[str, float]]  # by measure and map


@dataclass(frozen=True)
class Result:
    """Finished results of one photo."""

    folder: Path
    place: Path  #: of the folder in OUT; "." where it is OUT itself
    summary: dict[str, Any]


@dataclass
class Measured:
    """What is known of the results in one folder OUT."""

    out: Path
    results: list[Result] = field(default_factory=list)
    numbers: list[Numbers] = field(default_factory=list)  #: of each result
    curves: dict[str, dict[str, list[Curve]]] = field(default_factory=dict)  #: by measure and map, for parts of them

    def mean_curve(self, measure: str, name: str) -> Curve:
        """The curves of all photos as one."""
        parts = self.curves[measure][name]
        first = parts[0]
        joined = (torch.cat([getattr(part, what) for part in parts]) for what in ("values", "prob_image", "targets"))
        return Curve(first.measure, first.fractions, *joined)


def read(out: Path) -> list[Result]:
    """The results in OUT and its sub-folders. Raises ValueError for none, or one that lacks a thing."""
    found = [
        Result(folder, folder.relative_to(out), summary) for folder, summary in results.find(out, results.FILES[:2])
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

    def __init__(self, device: str) -> None:
        self.device = device
        self._loaded: dict[str, tuple[models.Classifier, str]] = {}

    def get(self, result: Result) -> models.Classifier:
        """Raises ValueError where the classifier is not the same any more."""
        spec = result.summary["model_spec"]
        if spec not in self._loaded:
            classifier = models.load(spec, self.device)
            self._loaded[spec] = classifier, results.fingerprint(classifier)
        classifier, fingerprint = self._loaded[spec]
        if fingerprint != result.summary["model_sha256"]:
            raise ValueError(
                f"model {spec!r} has other weights, or takes photos otherwise, than when {printable(result.folder)!r} "
                "was made; explain again"
            )
        return classifier


class Originals:
    """The photos that results are of: where they were, or anywhere in another folder."""

    def __init__(self, moved: Path | None) -> None:
        """Raises ValueError for a folder without photos."""
        self._moved = moved
        self._by_content: dict[str, Path] = {}
        if moved is not None:
            self._by_content = {photos.fingerprint(path): path for path in photos.inside(moved)}
            if not self._by_content:
                raise ValueError(f"photos must be a folder with photos, got {printable(moved)!r}")

    def open(self, result: Result) -> Image:
        """Raises ValueError where the photo cannot be read, is not there, or is another one now; it says what to do."""
        summary = result.summary
        if "photo_sha256" not in summary and summary["photo"] == results.DEMO_PHOTO:
            return models.demo_photo()
        there = [result.folder.resolve() / str(summary.get("photo_path")), Path(summary["photo"])]
        for path in filter(Path.is_file, there):
            if photos.fingerprint(path) == summary.get("photo_sha256"):
                return models.read_photo(path)
        if moved := self._by_content.get(str(summary.get("photo_sha256"))):
            return models.read_photo(moved)
        state = "has changed since it was explained" if any(map(Path.is_file, there)) else "is not where it was"
        where = "is not in the given folder either" if self._moved else "--photos FOLDER says where it is now"
        raise ValueError(f"photo {summary['photo']!r} of {printable(result.folder)!r} {state}; {where}")


class Measuring:
    """Measures results by the classifier that they were made with, on the photos that they were made of."""

    def __init__(
        self, classifiers: Classifiers, originals: Originals, truth: Truth | None, max_batch: int, bar: Bar
    ) -> None:
        self.failed = 0
        self.without_truth = 0  #: photos that are measured, but have no truth
        self._classifiers, self._originals, self._truth = classifiers, originals, truth
        self._max_batch, self._bar = max_batch, bar

    def measure(self, out: Path, found: Sequence[Result]) -> Measured:
        """All numbers of all results of one OUT; those that cannot be measured are reported, and left out."""
        measured = Measured(out)
        chunk: list[Result] = []
        for position, result in enumerate(found):
            chunk.append(result)
            following = found[position + 1 : position + 2]
            if len(chunk) == _CHUNK or [_kind(other) for other in following] != [_kind(result)]:
                self._measure_chunk(chunk, measured)
                chunk = []
        return measured

    def _measure_chunk(self, chunk: Sequence[Result], measured: Measured) -> None:
        self._bar.begin([result.summary["photo"] for result in chunk])
        classifier = self._classifiers.get(chunk[0])
        opened = []
        for result in chunk:
            try:
                photo = self._originals.open(result)
                explanation = _load(result, classifier)
                known = self._truth.find(photo, _name(result), classifier) if self._truth else None
                opened.append((result, classifier.preprocess(photo), explanation, known))
            except ImportError:
                raise
            except (OSError, ValueError) as error:
                self.failed += 1
                complain(f"Error: {reason(error)}")
        if opened:
            kept, images, explanations, truths = zip(*opened, strict=True)
            maps = {name: torch.cat([getattr(e, name) for e in explanations]) for name in MAPS}
            targets = torch.cat([e.targets for e in explanations])
            columns = self._columns(classifier, torch.stack(images), targets, kept[0].summary, maps, measured)
            if self._truth:
                columns |= _against_truth(maps, truths)
                self.without_truth += sum(truth is None for truth in truths)
            measured.results += kept
            measured.numbers += [
                {measure: {name: column[i] for name, column in by_map.items()} for measure, by_map in columns.items()}
                for i in range(len(kept))
            ]
        for _ in chunk:
            self._bar.settle()

    def _columns(
        self,
        classifier: models.Classifier,
        images: Tensor,
        targets: Tensor,
        summary: Mapping[str, Any],
        maps: Mapping[str, Tensor],
        measured: Measured,
    ) -> dict[str, dict[str, list[float]]]:
        """For each measure and map the numbers of all images; the curves are added to what is measured."""
        device = self._classifiers.device
        infill = infills.from_spec(summary["infill"], classifier.normalization, seed=summary["seed"])
        columns: dict[str, dict[str, list[float]]] = {}
        for name, importance in maps.items():
            for measure in CURVES:
                curve = getattr(evaluate, measure)(
                    classifier.model,
                    images.to(device),
                    importance.to(device),
                    targets.to(device),
                    infill=infill,
                    streams=[0] * len(images),
                    max_batch=self._max_batch,
                    **({"areas": AREAS} if measure in AT else {}),
                )
                measured.curves.setdefault(measure, {}).setdefault(name, []).append(curve)
                numbers = curve.relative[:, AREAS.index(AT[measure])] if measure in AT else curve.area
                columns.setdefault(measure, {})[name] = numbers.tolist()
            columns.setdefault("total_variation", {})[name] = evaluate.total_variation(importance).tolist()
            columns.setdefault("components", {})[name] = evaluate.components(evaluate.top(importance, TOP)).tolist()
        return columns


def agreement(runs: Sequence[Sequence[Result]], classifiers: Classifiers) -> list[tuple[Result, dict[str, float]]]:
    """For each photo that all runs have explained, the mean rank correlation of each map between the runs.

    Photos with a result that cannot be read are left out. Raises ValueError where the runs' classifiers see different
    parts of a photo, or at different sizes.
    """
    by_content = [{_content(result): result for result in reversed(run)} for run in runs]
    rows = []
    for content, first in reversed(by_content[0].items()):
        if any(content not in others for others in by_content):
            continue
        same = [others[content] for others in by_content]
        loaded = [classifiers.get(result) for result in same]
        seen = [(c.size, c.crop) for c in loaded]
        if len(set(seen)) > 1:
            raise ValueError(
                f"out must be folders whose maps can be compared, got models that see photos at sizes and crops {seen}"
            )
        try:
            explanations = [_load(result, classifier) for result, classifier in zip(same, loaded, strict=True)]
        except (OSError, ValueError):  # told where it is measured
            continue
        numbers = {name: evaluate.stability(torch.stack([getattr(e, name) for e in explanations])) for name in MAPS}
        rows.append((first, {name: float(number) for name, number in numbers.items()}))
    return rows


def _against_truth(maps: Mapping[str, Tensor], truths: Sequence[Tensor | None]) -> dict[str, dict[str, list[float]]]:
    """IoU, pointing and outside of each map for each image; NaN where nothing is known."""
    known = [i for i, truth in enumerate(truths) if truth is not None]
    if not known:
        return {}
    masks = torch.stack([truth for truth in truths if truth is not None])
    columns: dict[str, dict[str, list[float]]] = {}
    for measure, function in TRUTH.items():
        columns[measure] = {}
        for name, importance in maps.items():
            values = torch.full((len(truths),), torch.nan)
            values[known] = function(importance[known], masks).float()
            columns[measure][name] = values.tolist()
    return columns


def _kind(result: Result) -> tuple[Any, ...]:
    """What results must share to be measured together."""
    return tuple(result.summary[name] for name in ("model_spec", "model_sha256", "infill", "seed"))


def _load(result: Result, classifier: models.Classifier) -> Explanation:
    """The maps of a result. Raises OSError, ValueError where they cannot be read, or are not of one photo."""
    path = result.folder / results.FILES[1]
    explanation = Explanation.load(path)
    if explanation.ssr.shape != (1, *classifier.size) or not explanation.joint.isfinite().all():
        raise ValueError(f"{printable(path)} does not have the maps of one photo, {classifier.size}, finite everywhere")
    return explanation


def _name(result: Result) -> Path:
    """What the photo is called among the truth: its place in OUT; where it has OUT for itself, its own name."""
    return result.place if result.place != Path() else Path(Path(result.summary["photo"]).stem)


def _content(result: Result) -> str:
    return str(result.summary.get("photo_sha256", result.summary["photo"]))
