"""What an audit measures of each photo, as rows that are kept between runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import evaluate, json_file
from ..evaluate.audit import MEASURES
from ..evaluate.background import PLACES
from ..execution import halving
from ..files import printable
from ..models import Classifier
from ..models.photo import taken
from . import measure, summary
from .events import Failed, reason
from .results import Originals, Result
from .truth import Truth

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Row", "kept", "measured", "rounded"]

_FAINT = 0.0005  # probabilities below are not kept, and count as 0
_SHARE = 0.9  # of a photo's probability, from which the infill alone is as convincing
_SLACK = 1e-6  # of probabilities that are compared

Row = dict[str, Any]
"""What is measured of one photo, in plain values."""


def measured(
    results: Sequence[Result],
    truth: Truth,
    originals: Originals,
    classifier: Classifier,
    report: Callable[[Any], object],
    *,
    device: str,
    max_batch: int,
    lessened: Callable[[int], object],
) -> list[tuple[Result, Row]]:
    """The rows of some results, measured together; one that cannot be measured is reported and left out.

    ``lessened`` is told how many images the classifier is given at once where memory is short.

    Raises:
        ImportError: a package that reads photos is not installed.
        RuntimeError: the classifier does not give finite answers.
    """
    opened, rows = [], []
    for result in results:
        try:
            photo = originals.open(result)
            mask = truth.find(photo, result, classifier)
            if mask is None:
                rows.append((result, _about(result, photo) | {"animal": False}))
                continue
            about = _about(result, photo) | {"animal": True}
            opened.append((result, about, result.load(classifier), mask, classifier.preprocess(photo)))
        except ImportError:
            raise
        except (OSError, ValueError) as error:
            report(Failed(result.photo, reason(error)))
    if not opened:
        return rows
    _, _, explanations, masks, images = zip(*opened, strict=True)
    animals = torch.stack(masks).to(device)
    targets = torch.cat([each.targets for each in explanations]).to(device)
    seen = torch.stack(images).to(device)
    said = halving(
        lambda at_once: evaluate.background(classifier.model, seen, animals, targets, max_batch=at_once),
        max_batch,
        lessened,
    )
    for n, (result, about, explanation, _, _) in enumerate(opened):
        target, classes = int(targets[n]), said.classes[n]
        evidence = explanation[measure.best_map(explanation.legend, "keep")].clamp(min=0).to(device)
        outside = evaluate.energy_outside(evidence, animals[n : n + 1])
        numbers = {
            "prob_image": float(said.image[n]),
            "animal_alone": float(said.animal[n]),
            "background_alone": float(classes[target]),
            "outside": float(outside) if _needs_evidence(result) else None,
            "outside_by_chance": 1 - float(animals[n].float().mean()),
            **_areas(result),
        }
        row = about | {"target": target} | {name: rounded(value) for name, value in numbers.items()}
        if not classes.isnan().any():
            row["without"] = [rounded(value) for value in said.without[n].tolist()]
            row["background"] = {str(k): rounded(p) for k, p in enumerate(classes.tolist()) if p >= _FAINT}
        rows.append((result, row))
    return rows


def kept(path: Path) -> dict[str, Row]:
    """The rows that are kept in a file, by their keys; a line that a killed process has left does not count."""
    found: dict[str, Row] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            each = json_file.parse(line)
            if _is_row(each["row"]):
                found[str(each["key"])] = each["row"]
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _is_row(row: Any) -> bool:
    """Whether a row has what an audit reads of it."""
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("photo", "results", "class")):
        return False
    if not isinstance(row.get("taken", 0), str | None):  # an older row does not say it
        return False
    if row.get("animal") is not True:
        return row.get("animal") is False
    edges, background = row.get("without") or [], row.get("background") or {}
    if not isinstance(row.get("target"), int) or not isinstance(background, dict) or not isinstance(edges, list):
        return False
    numbers = [row.get(name, "") for name in MEASURES]
    return len(edges) in (0, len(PLACES)) and all(
        value is None or isinstance(value, int | float) for value in (*numbers, *edges, *background.values())
    )


def rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 5)


def _about(result: Result, photo: Image) -> Row:
    time = taken(photo)
    about = {"photo": result.photo, "results": printable(result.place), "class": str(result.summary["label"])}
    return about | {"taken": None if time is None else time.isoformat(" ")}


def _needs_evidence(result: Result) -> bool:
    """Whether the class needs anything of the photo; where the infill alone is as convincing, maps mean nothing."""
    known = summary.numbers(result.summary)
    return known.get("prob_infill", 0.0) < _SHARE * known["prob_image"]


def _areas(result: Result) -> dict[str, float | None]:
    """What part of the photo suffices, and what part is needed; None where no such region was found."""
    regions = summary.regions(result.summary)
    kept = next((each.size for each in regions if each.kept), None) if _needs_evidence(result) else None
    removed = next((each for each in regions if not each.kept), None)
    left = float(result.summary.get("settings", {}).get("left_share", 0.1)) * result.summary["prob_image"]
    is_found = removed is not None and (removed.confidence is None or removed.confidence <= left + _SLACK)
    return {"sufficient_area": kept, "necessary_area": removed.size if removed is not None and is_found else None}
