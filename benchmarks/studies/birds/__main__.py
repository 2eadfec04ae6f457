"""Compares the methods on drawn birds, where it is known which pixels decide.

    python -m benchmarks.studies.birds [--images 84] [--out FOLDER]

writes benchmarks/results/birds.json and docs/img/birds.webp; run it with nothing else running. A trial with other
numbers (--images) goes elsewhere (--out). ``python -m benchmarks.pages`` puts the tables into docs/studies/birds.md.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from torch import Tensor

import sdfido
from benchmarks.common import classifiers, drawing, paths, records
from benchmarks.common.attributions import BLUR
from benchmarks.common.drawing import Drawings
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import interval
from benchmarks.studies.birds import methods, picture, report
from sdfido import evaluate
from sdfido.models import Classifier
from sdfido.ops.functional import blend

IMAGES = 84
FEW = 24  # of them, for FIDO as published, which is slow, and for comparisons with it
ACCURACY_OF = 1400  # test images that the accuracy is measured on, and of which the first that are right are explained
KEPT, INFILLED = (0.05, 0.3), (0.05, 0.2)
RESAMPLES = 10_000

Values = dict[str, Tensor]
"""What was measured, by measure: one number for each image, [N]."""


def chosen(model: Classifier, drawings: Drawings, count: int) -> tuple[Drawings, float]:
    """The first drawings that are classified correctly, a species after the other but the common one; the accuracy."""
    right = classifiers.predictions(model, drawings.pixels) == drawings.labels
    species = len(drawing.SPECIES) - 1
    each = [((drawings.labels == s) & right).nonzero()[:, 0] for s in range(1, species + 1)]
    most = species * min(map(len, each))
    if count % species or not 0 < count <= most:
        raise SystemExit(f"--images must be a multiple of {species}, at most {most}")
    index = torch.stack([found[: count // species] for found in each], dim=1).flatten()
    return drawings.some(index), float(right.float().mean())


def measured(probe: evaluate.Probe, drawings: Drawings, maps: Tensor) -> Values:
    """All measures of maps [N, H, W] of any scale: negative values count as 0, and the highest is put to 1."""
    importance = maps.clamp(min=0)
    importance = importance / importance.amax((1, 2), keepdim=True).clamp(min=1e-12)
    truth = drawings.truth
    region = evaluate.ranks(importance) < truth.sum((1, 2), keepdim=True)
    found = evaluate.measure(importance, probe, truth)
    values = {
        "iou": found.numbers["intersection_over_union"],
        "iou_half": evaluate.intersection_over_union(importance, truth, threshold=0.5),
        "pointing": found.numbers["pointing_game"],
        "deletion": found.numbers["deletion"],
        "insertion": found.numbers["insertion"],
        "total_variation": found.numbers["total_variation"],
        "border": evaluate.total_variation(region.float()),
        "components": evaluate.components(region),
    }
    kept, left = (found.curves[name].relative for name in ("sufficiency", "necessity"))
    values |= {f"kept_{100 * area:.0f}": kept[:, evaluate.AREAS.index(area)].clamp(max=1) for area in KEPT}
    values |= {f"left_{100 * area:.0f}": left[:, evaluate.AREAS.index(area)] for area in INFILLED}
    return values


def measured_masks(probe: evaluate.Probe, explanation: sdfido.Explanation) -> Values:
    """Of FIDO's masks at the end: the parts of the images that they keep and remove, and what these are worth.

    Probabilities are parts of that of the image, at most 1: more than sufficient is not better.
    """
    ssr, sdr = explanation.masks.unbind(1)

    def part(keep: Tensor) -> Tensor:
        composites = blend(keep, probe.images, probe.infill)
        with torch.no_grad():
            return (probe.score.confidence(composites, probe.targets) / probe.confidence).clamp(max=1)

    return {
        "ssr_variation": evaluate.total_variation(ssr),
        "sdr_variation": evaluate.total_variation(sdr),
        "kept": explanation.kept_ssr,
        "removed": explanation.removed_sdr,
        "prob_ssr": part(ssr),
        "prob_sdr": part(sdr),
        "prob_ssr_half": part((ssr > 0.5).to(ssr)),
        "prob_sdr_half": part((sdr > 0.5).to(sdr)),
    }


def summary(values: Tensor) -> dict[str, float]:
    """Mean of [N] and its 95% confidence interval, by the bootstrap over images."""
    found = interval(values, resamples=RESAMPLES)
    return {"mean": round(found["value"], 5), "low": round(found["low"], 5), "high": round(found["high"], 5)}


def summaries(measured: dict[str, Values]) -> Results:
    return {name: {key: summary(value) for key, value in values.items()} for name, values in measured.items()}


def compare(count: int, kind: classifiers.Kind = "strong") -> tuple[Results, Drawings, dict[str, Tensor]]:
    """Results, the images, and all maps by "method map"."""
    load = os.getloadavg()[0]
    model = classifiers.load(kind)
    start = time.monotonic()
    drawings, accuracy = chosen(model, drawing.birds(range(ACCURACY_OF), seed=classifiers.TEST_SEED), count)
    few = min(FEW, count)
    parts = {length: drawings.some(slice(length)) for length in (count, few)}
    images = {length: model.normalization.normalize(part.pixels) for length, part in parts.items()}
    probes = {n: evaluate.Probe(model.model, images[n], parts[n].labels, infill=BLUR) for n in parts}
    all_maps: dict[str, Tensor] = {}
    of_maps: dict[str, Values] = {}
    of_masks: dict[str, Values] = {}
    seconds: dict[str, float] = {}
    for name, method in methods.METHODS.items():
        print(f"{name}, {time.monotonic() - start:.0f} s", flush=True)
        length = few if name == "published" else count
        begin = time.perf_counter()
        found = method(model.model, images[length], parts[length].labels)
        seconds[name] = round((time.perf_counter() - begin) / length, 4)
        maps = found.maps if isinstance(found, sdfido.Explanation) else found
        for each, values in maps.items():
            all_maps[f"{name} {each}"] = values
            of_maps[f"{name} {each}"] = measured(probes[length], parts[length], values)
        if isinstance(found, sdfido.Explanation):
            first = sdfido.Explanation.stack([found[i] for i in range(few)])
            of_masks[name] = measured_masks(probes[few], first)
            of_masks[name]["kept_5"] = of_maps[f"{name} ssr"]["kept_5"][:few]
    ours = of_maps["fido joint"]["iou"]
    others = {name: values["iou"] for name, values in of_maps.items() if not name.startswith("fido ")}
    results = {
        "machine": machine(),
        "load": round(load, 2),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - start),
        "training": round(classifiers.training_seconds(kind)),
        "images": count,
        "few": few,
        "accuracy": round(accuracy, 4),
        "truth": round(float(drawings.truth.float().mean()), 5),
        "settings": methods.settings(),
        "explaining": seconds,
        "ahead": {name: summary(ours[: len(values)] - values) for name, values in others.items()},
        "maps": summaries(of_maps),
        "masks": summaries(of_masks),
    }
    return results, drawings, all_maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="how many are explained, a multiple of 6")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    if arguments.out is None:
        classifiers.retrain("strong")  # for the time that it takes on this machine
    results, drawings, maps = compare(arguments.images)
    results = records.write(file, results)
    picture.draw(drawings, maps, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
