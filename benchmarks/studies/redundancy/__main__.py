"""Asks which methods show both parts of drawn birds whose species show in two, each of which is enough.

    python -m benchmarks.studies.redundancy [--images 60] [--seed 0] [--out FOLDER] [--methods NAME ...]

writes benchmarks/results/redundancy.json and docs/img/redundancy.webp. A trial with other numbers (--images, --seed)
goes elsewhere (--out). With --methods only those are measured, and their rows are put into the file.
``python -m benchmarks.pages`` puts the tables into docs/studies/redundancy.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import classifiers, paths, records, redundant
from benchmarks.common.attributions import BLUR
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.redundant import Birds
from benchmarks.common.statistics import interval
from benchmarks.studies.redundancy import methods, picture, report
from benchmarks.studies.redundancy.methods import Separate
from sdfido import evaluate
from sdfido.models import Classifier

IMAGES = 60
DRAWN = 480  # test images of which the first that fit are explained
ENOUGH = 0.9  # part of the probability of both parts that a part alone must have


def chosen(model: Classifier, seed: int, count: int, drawn: int) -> tuple[Birds, Results]:
    """The first birds for which each part alone is enough, a species after the other, and what the classifier says."""
    both, first, second = (
        redundant.birds(range(drawn), seed=seed, shown=shown)
        for shown in (redundant.BOTH, redundant.FIRST, redundant.SECOND)
    )
    said = {
        name: redundant.probabilities(model, birds)
        for name, birds in (("both", both), ("first", first), ("second", second))
    }
    of_two = both.labels > 0
    fit = of_two & (said["both"] > 0.5) & (torch.minimum(said["first"], said["second"]) >= ENOUGH * said["both"])
    species = len(redundant.PAIRS)
    each = [((both.labels == s + 1) & fit).nonzero()[:, 0] for s in range(species)]
    most = species * min(map(len, each))
    if count % species or not 0 < count <= most:
        raise SystemExit(f"--images must be a multiple of {species}, at most {most}")
    index = torch.stack([found[: count // species] for found in each], 1).flatten()
    about = {name: round(float(values[of_two].mean()), 4) for name, values in said.items()}
    return both.some(index), about | {"fit": round(float(fit[of_two].float().mean()), 4)}


def measured(birds: Birds, found: Separate, confidence: Tensor) -> dict[str, Tensor]:
    """Measures of separate explanations, one number for each image [N]; ``confidence`` [N]: of the whole images."""
    there = found.regions.any((2, 3))  # [N, E]
    pointed = _inside(birds.truth, found.maps.flatten(2).argmax(2)) & there[:, None]
    centred = _inside(birds.truth, centres(found.regions)) & there[:, None]
    shared = (birds.truth[:, :, None] & found.regions[:, None]).sum((3, 4))
    union = (birds.truth[:, :, None] | found.regions[:, None]).sum((3, 4))
    size = found.regions.float().mean((2, 3))
    return {
        "both": pointed.any(2).all(1).double(),
        "one": pointed.any(2).any(1).double(),
        "both_centres": centred.any(2).all(1).double(),
        "iou": (shared / union).amax(2).mean(1),
        "explanations": there.sum(1).double(),
        "stray": (there & ~pointed.any(1)).sum(1).double(),
        "area": (size * there).sum(1) / there.sum(1).clamp(min=1),
        "enough": ((found.confidences >= ENOUGH * confidence[:, None]) & there).sum(1) / there.sum(1).clamp(min=1),
    }


def _inside(truth: Tensor, pixels: Tensor) -> Tensor:
    """Whether pixels [N, E], as indices into H * W, lie in each of the parts [N, 2, H, W]: bool [N, 2, E]."""
    index = pixels[:, None].expand(-1, truth.shape[1], -1)
    return torch.gather(truth.flatten(2), 2, index)


def centres(regions: Tensor) -> Tensor:
    """The pixel nearest to the centre of mass of regions [N, E, H, W], as an index into H * W: [N, E], int64."""
    height, width = regions.shape[2:]
    weights = regions.double()
    mass = weights.sum((2, 3)).clamp(min=1)
    row = (weights.sum(3) * torch.arange(height)).sum(2) / mass
    column = (weights.sum(2) * torch.arange(width)).sum(2) / mass
    return row.round().long() * width + column.round().long()


def compare(count: int, seed: int, names: Sequence[str]) -> tuple[Results, Birds, dict[str, Separate]]:
    """Results, the first images, and what the methods of the picture find in these."""
    load, start = os.getloadavg()[0], time.monotonic()
    model = redundant.load()
    birds, about = chosen(model, seed, count, DRAWN)
    images = model.normalization.normalize(birds.pixels)
    probe = evaluate.Probe(model.model, images, birds.labels, infill=BLUR)
    another = replace(birds, truth=birds.truth.roll(len(redundant.PAIRS), 0))  # of the next one of the species
    rows: Results = {}
    for name in names:
        print(f"{name}, {time.monotonic() - start:.0f} s", flush=True)
        found = methods.METHODS[name](model.model, images, birds.labels)
        values = measured(birds, found, probe.confidence)
        values["another"] = measured(another, found, probe.confidence)["both"]
        rows[name] = {key: interval(value) for key, value in values.items()}
    results = {
        "machine": machine(),
        "load": round(load, 2),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - start),
        "training": round(redundant.training_seconds()),
        "images": count,
        "seed": seed,
        "classifier": about,
        "truth": [round(part, 5) for part in birds.truth.float().mean((0, 2, 3)).tolist()],
        "settings": methods.settings(),
        "methods": rows,
    }
    few = slice(0, len(redundant.PAIRS))
    shown = {name: methods.METHODS[name](model.model, images[few], birds.labels[few]) for name in picture.COLUMNS}
    return results, birds.some(few), shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="how many are explained, a multiple of 3")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the drawings")
    parser.add_argument("--methods", nargs="+", choices=methods.METHODS, default=list(methods.METHODS))
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    results, birds, found = compare(arguments.images, arguments.seed, arguments.methods)
    if len(arguments.methods) < len(methods.METHODS):
        before = records.read(file)
        if any(before[name] != results[name] for name in ("images", "seed", "classifier")):
            raise SystemExit(f"--methods needs results of the same images in {file}")
        results["methods"] = before["methods"] | results["methods"]
    results = records.write(file, results)
    picture.draw(birds, found, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
