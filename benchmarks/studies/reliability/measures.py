"""What a map is worth, asked of the plain classifier: by areas, under other infills, and against another run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

import sdfido
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from benchmarks.studies.reliability.methods import INFILL, Case
from sdfido import evaluate, infills
from sdfido.models import Normalization

FRACTIONS = 17  # of insertion and deletion, both ends among them
KEEP, LEAVE = 0.9, 0.1  # parts of the photo's probability that a region keeps, or leaves
TOP, PEAK = 0.2, 0.1  # parts of the photo: under other infills, and where two runs are compared
CELLS = (28, 28)  # of the regions
AREAS = (
    0.0026, 0.0051, 0.0102, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.65, 0.8, 1.0,
)  # fmt: skip
_AT_ONCE = 7  # areas that are tried at once, from the smallest on

Filler = Callable[[Tensor, Tensor], Tensor]
"""From an image [1, 3, H, W] and the pixels that are kept, bool [H, W], to what stands in for the others."""


def fillers(normalization: Normalization) -> dict[str, Filler]:
    """Infills that no mask is learned with."""
    mean, noise = infills.LocalMean(41), infills.NormalNoise(normalization)
    return {
        "local mean": lambda image, keep: mean(image),
        "noise": lambda image, keep: noise(image),
        "inpainting": inpainted,
    }


def inpainted(image: Tensor, keep: Tensor, rounds: int = 8) -> Tensor:
    """The kept pixels carried on smoothly into those that are not: means over ever larger squares, and back.

    Each square without a kept pixel takes over what the next larger ones interpolate, smoothed a few times.

    Source: Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4 (push and pull).
    """
    known = keep.to(image)[None, None]
    if min(image.shape[-2:]) == 1 or bool(keep.all()) or not keep.any():
        return image.where(keep, (image * known).sum((2, 3), keepdim=True) / known.sum().clamp(min=1))
    part = F.avg_pool2d(known, 2, ceil_mode=True)
    smaller = F.avg_pool2d(image * known, 2, ceil_mode=True) / part.clamp(min=0.25)
    below = inpainted(smaller, part[0, 0] > 0, rounds)
    found = F.interpolate(below, image.shape[-2:], mode="bilinear", align_corners=False)
    for _ in range(rounds):
        found = F.avg_pool2d(image.where(keep, found), 3, 1, 1, count_include_pad=False)
    return image.where(keep, found)


def judged(
    case: Case, keep: Tensor, remove: Tensor, both: Tensor, fill: Mapping[str, Filler], own: float
) -> dict[str, float]:
    """Maps [1, H, W] for keeping, for removing and for both, by all measures; `own` is the photo's probability."""
    return {
        **areas_under_curves(case, both),
        **under_other_infills(case, keep, remove, fill, own),
        **smallest_areas(case, keep, remove, own),
    }


def areas_under_curves(case: Case, importance: Tensor) -> dict[str, float]:
    """Of the probability as a part of the photo's own, at most 1, while pixels are put into the blur, or blurred."""
    probe = evaluate.Probe(case.model, case.image, case.target, infill=INFILL)
    found = {}
    for name, curve in (("insertion", probe.keep), ("deletion", probe.remove)):
        relative = curve(importance, FRACTIONS).relative[0].double().clamp(max=1)
        found[name] = float(torch.trapezoid(relative, dx=1 / (FRACTIONS - 1)))
    return found | {"difference": found["insertion"] - found["deletion"]}


def under_other_infills(
    case: Case, keep: Tensor, remove: Tensor, fill: Mapping[str, Filler], own: float
) -> dict[str, float]:
    """Part of the photo's probability `own` with the top 20% of one map kept, and of another infilled."""
    kept, rest = evaluate.top(keep, TOP)[0], ~evaluate.top(remove, TOP)[0]
    composites = [case.image.where(mask, f(case.image, mask)) for mask in (kept, rest) for f in fill.values()]
    parts = (case.confidences(torch.cat(composites)) / own).clamp(max=1).view(2, -1).tolist()
    found = {}
    for what, row in zip(("kept", "left"), parts, strict=True):
        found[what] = sum(row) / len(row)
        found |= {f"{what} {name}": part for name, part in zip(fill, row, strict=True)}
    return found


def smallest_areas(case: Case, keep: Tensor, remove: Tensor, own: float) -> dict[str, float]:
    """The smallest of AREAS that keeps 90% of the photo's probability, and that leaves 10%; 1 where none does."""
    return {
        "area kept": _smallest(case, keep, lambda part: part >= KEEP * own, kept=True),
        "area infilled": _smallest(case, remove, lambda part: part <= LEAVE * own, kept=False),
    }


def _smallest(case: Case, importance: Tensor, reached: Callable[[Tensor], Tensor], *, kept: bool) -> float:
    """By cells in the order of their means; the confidence need not grow with the area, so the first one counts."""
    order = evaluate.ranks(F.adaptive_avg_pool2d(importance[:, None].float(), CELLS)[:, 0])[0]
    infill = INFILL(case.image)
    for begin in range(0, len(AREAS), _AT_ONCE):
        areas = torch.tensor(AREAS[begin : begin + _AT_ONCE])
        inside = order < (areas * order.numel()).round()[:, None, None]
        masks = (inside if kept else ~inside).float()[None, None]
        found = reached(case.confidences(sdfido.blend(masks, case.image, infill).flatten(0, 2)))
        if found.any():
            return float(digits(float(areas[int(found.int().argmax())])))
    return 1.0


def regions(case: Case, explanation: sdfido.Explanation, own: float, *, half: bool = False) -> Results:
    """FIDO's final regions: their areas, what they keep or leave of the photo's probability, and what is noted.

    With `half` they are what the masks keep or remove by more than a half, of which nothing is noted: as they were.
    """
    if half:
        parts = {name: part for name, part in explanation.parts.items() if name != "kept_cells"}
        explanation = replace(explanation, parts=parts)
    keeps = dict(zip(explanation.regions, explanation.binary_masks[0], strict=True))
    composites = torch.cat(
        [
            sdfido.blend(keeps[name][None, None, None], case.image, INFILL(case.image)).flatten(0, 2)
            for name in ("ssr", "sdr")
        ]
    )
    ssr, sdr = (case.confidences(composites) / own).tolist()
    notes = [[]] if half else explanation.notes
    return {
        "area ssr": digits(float(explanation.area_ssr)),
        "share ssr": digits(ssr),
        "area sdr": digits(float(explanation.area_sdr)),
        "share sdr": digits(sdr),
        "notes": notes[0],
    }


def agreement(first: Tensor, second: Tensor) -> dict[str, float]:
    """Of two maps [1, H, W]: rank correlation, and intersection over union of their top 10%."""
    a, b = evaluate.top(first, PEAK), evaluate.top(second, PEAK)
    return {
        "rank": digits(float(evaluate.rank_correlation(first, second))),
        "iou": digits(float((a & b).sum() / (a | b).sum())),
    }
