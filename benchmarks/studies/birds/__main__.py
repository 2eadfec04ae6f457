"""Compares the methods on drawn birds, where it is known which pixels decide.

    python benchmarks/quality/compare.py

writes benchmarks/results/quality.json, docs/quality.md and docs/quality.png; run it with nothing else running. A trial
with other numbers (--images) goes elsewhere (--out FOLDER), all three files into one folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import records, report
from benchmarks.common.measuring import machine

from benchmarks.common import classifiers, drawing
from benchmarks.studies.birds import picture, report as page
from benchmarks.common.drawing import Drawings
from sdfido import evaluate
from sdfido.files import replacing
from sdfido.judge import probability
from sdfido.models import Classifier

IMAGES = 84
FEW = 24  # of them, for FIDO as published, which is slow, and for comparisons with it
ACCURACY_OF = 1400  # test images that the accuracy is measured on, and of which the first that are right are explained
KEPT, INFILLED = (0.05, 0.3), (0.05, 0.2)
RESAMPLES = 10_000

Values = dict[str, Tensor]
"""What was measured, by measure: one number for each image, [N]."""


def chosen(model: Classifier, drawings: Drawings, count: int) -> tuple[Drawings, float]:
    """The first drawings that are classified correctly, a species after the other but the common one; the accuracy."""
    right = classifier.predictions(model, drawings.pixels) == drawings.labels
    species = len(drawing.SPECIES) - 1
    each = [((drawings.labels == s) & right).nonzero()[:, 0] for s in range(1, species + 1)]
    most = species * min(map(len, each))
    if count % species or not 0 < count <= most:
        raise SystemExit(f"--images must be a multiple of {species}, at most {most}")
    index = torch.stack([found[: count // species] for found in each], dim=1).flatten()
    return _some(drawings, index), float(right.float().mean())


def _some(drawings: Drawings, index: Tensor | slice) -> Drawings:
    return Drawings(drawings.pixels[index], drawings.labels[index], drawings.truth[index], drawings.boxes[index])


def measure(model: Classifier, images: Tensor, drawings: Drawings, maps: Tensor) -> Values:
    """All measures of maps [N, H, W] of any scale: negative values count as 0, and the highest is put to 1."""
    importance = maps.clamp(min=0)
    importance = importance / importance.amax((1, 2), keepdim=True).clamp(min=1e-12)
    truth = drawings.truth
    region = evaluate.ranks(importance) < truth.sum((1, 2), keepdim=True)
    about: Any = (model.model, images, importance, drawings.labels)
    values = {
        "iou": evaluate.intersection_over_union(importance, truth),
        "iou_half": evaluate.intersection_over_union(importance, truth, threshold=0.5),
        "pointing": evaluate.pointing_game(importance, truth),
        "deletion": evaluate.deletion(*about, infill=methods.BLUR).area,
        "insertion": evaluate.insertion(*about, infill=methods.BLUR).area,
        "total_variation": evaluate.total_variation(importance),
        "border": evaluate.total_variation(region.float()),
        "components": evaluate.components(region),
    }
    kept = evaluate.sufficiency(*about, areas=KEPT, infill=methods.BLUR).relative
    left = evaluate.necessity(*about, areas=INFILLED, infill=methods.BLUR).relative
    values |= {f"kept_{100 * area:.0f}": kept[:, i].clamp(max=1) for i, area in enumerate(KEPT)}
    values |= {f"left_{100 * area:.0f}": left[:, i] for i, area in enumerate(INFILLED)}
    return values


def measure_masks(model: Classifier, images: Tensor, targets: Tensor, kept: Tensor, removed: Tensor) -> Values:
    """Of FIDO's masks at the end, [N, H, W] in 0..1: the parts of the images that they keep and remove.

    Probabilities are parts of that of the image, at most 1: more than sufficient is not better.
    """
    base = methods.BLUR(images)
    difference = images - base

    def judged(keep: Tensor) -> Tensor:
        with torch.no_grad():
            given, whole = (
                probability(model.model(part), targets) for part in (base + keep[:, None] * difference, images)
            )
        return (given / whole).clamp(max=1)

    return {
        "ssr_variation": evaluate.total_variation(kept),
        "sdr_variation": evaluate.total_variation(removed),
        "kept": kept.mean((1, 2)),
        "removed": removed.mean((1, 2)),
        "prob_ssr": judged(kept),
        "prob_sdr": judged(1 - removed),
        "prob_ssr_half": judged((kept > 0.5).to(kept)),
        "prob_sdr_half": judged((removed <= 0.5).to(removed)),
    }


def summary(values: Tensor) -> dict[str, float]:
    """Mean of [N] and its 95 % confidence interval, by the bootstrap over images."""
    values = values.double()
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(len(values), (RESAMPLES, len(values)), generator=generator)
    low, high = values[picks].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return {"mean": round(float(values.mean()), 5), "low": round(low, 5), "high": round(high, 5)}


def compare(count: int, kind: classifier.Kind = "strong") -> tuple[dict[str, Any], Drawings, dict[str, Tensor]]:
    """Results, the images, and all maps by "method map"."""
    load = os.getloadavg()[0]
    model = classifier.load(kind)
    start = time.monotonic()
    drawings, accuracy = chosen(model, drawing.birds(range(ACCURACY_OF), seed=classifier.TEST_SEED), count)
    images, few = model.normalization.normalize(drawings.pixels), min(FEW, count)
    all_maps: dict[str, Tensor] = {}
    measured: dict[str, Values] = {}
    masks: dict[str, Values] = {}
    seconds: dict[str, float] = {}
    for name, method in methods.METHODS.items():
        print(f"{name}, {time.monotonic() - start:.0f} s", flush=True)
        part = slice(few if name == "published" else count)
        begin = time.perf_counter()
        maps = method(model.model, images[part], drawings.labels[part])
        seconds[name] = round((time.perf_counter() - begin) / len(images[part]), 4)
        for each in (each for each in maps if not each.endswith(" mask")):
            all_maps[f"{name} {each}"] = maps[each]
            measured[f"{name} {each}"] = measure(model, images[part], _some(drawings, part), maps[each])
        if "ssr mask" in maps:
            both = maps["ssr mask"][:few], maps["sdr mask"][:few]
            masks[name] = measure_masks(model, images[:few], drawings.labels[:few], *both)
            masks[name]["kept_5"] = measured[f"{name} ssr"]["kept_5"][:few]
    ours = measured["fido joint"]["iou"]
    rivals = {name: values["iou"] for name, values in measured.items() if not name.startswith("fido ")}
    results = {
        "machine": machine(),
        "load": round(load, 2),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - start),
        "training": round(classifier.training_seconds(kind)),
        "images": count,
        "few": few,
        "accuracy": round(accuracy, 4),
        "truth": round(float(drawings.truth.float().mean()), 5),
        "settings": methods.settings(),
        "explaining": seconds,
        "ahead": {name: summary(ours[: len(values)] - values) for name, values in baselines.items()},
        "maps": {name: {key: summary(v) for key, v in values.items()} for name, values in measured.items()},
        "masks": {name: {key: summary(v) for key, v in values.items()} for name, values in masks.items()},
    }
    return results, drawings, all_maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="how many are explained, a multiple of 6")
    parser.add_argument("--out", type=Path, help="folder of all three files; by default each goes to its place")
    arguments = parser.parse_args()
    if not arguments.out:
        classifier.retrain("strong")  # for the time that it takes on this machine
    results, drawings, maps = compare(arguments.images)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        data, text = arguments.out / "quality.json", arguments.out / "quality.md"
    else:
        data, text = page.RESULTS, page.PAGE
    picture.draw(drawings, maps, text.with_suffix(".png"))
    results = report.record(data, results)
    with replacing(text) as part:
        part.write_text(page.page(results))
    print(page.summary(results))


if __name__ == "__main__":
    main()
