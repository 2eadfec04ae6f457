"""Asks whether contrastive maps show the one part that tells two species apart, on drawn birds that have two parts.

    python -m benchmarks.studies.contrast [--images 12] [--seed 0] [--out FOLDER]

writes benchmarks/results/contrast.json and docs/img/contrast.webp. A trial with other numbers (--images, --seed) goes
elsewhere (--out). ``python -m benchmarks.pages`` puts the tables into docs/studies/contrast.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import classifiers, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import interval
from benchmarks.studies.contrast import birds, methods, picture, report
from benchmarks.studies.contrast.birds import Birds
from sdfido import evaluate
from sdfido.models import Classifier

IMAGES = 12
DRAWN = 108  # test images of which the first that fit are explained


def chosen(model: Classifier, seed: int, count: int, drawn: int) -> tuple[Birds, Results]:
    """The first birds with two parts that the classifier gets right, a species after the other; and how often it does.

    Raises SystemExit where there are not as many.
    """
    found = birds.birds(range(drawn), seed=seed)
    right = classifiers.predictions(model, found.pixels) == found.labels
    places = [((found.labels == species) & right).nonzero()[:, 0] for species in birds.TWO]
    most = len(places) * min(map(len, places))
    if count % len(places) or not 0 < count <= most:
        raise SystemExit(f"--images must be a multiple of {len(places)}, at most {most}")
    index = torch.stack([each[: count // len(places)] for each in places], 1).flatten()
    return found.some(index), {"right": round(float(right.float().mean()), 4), "drawn": drawn}


def questions(found: Birds) -> tuple[Tensor, Tensor, Tensor]:
    """Of each bird, why its species rather than the same without one of its two parts?

    Returns the bird of each question [2N], the pair of species [2N, 2], and where the part is [2N, H, W], bool.
    """
    bird = torch.arange(len(found.labels)).repeat_interleave(2)
    pairs = [[species, birds.without(species, part)] for species in found.labels.tolist() for part in (0, 1)]
    return bird, torch.tensor(pairs), found.truth.flatten(0, 1)


def measured(maps: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """How well maps [Q, H, W] show the parts: by measure, the mean over the two questions of each bird [N]."""
    iou = evaluate.intersection_over_union(maps, truth)
    points = evaluate.pointing_game(maps, truth).double()
    return {name: values.double().unflatten(0, (-1, 2)).mean(1) for name, values in (("iou", iou), ("points", points))}


def compare(count: int, seed: int, drawn: int = DRAWN) -> tuple[Results, Birds, dict[str, Tensor]]:
    """Results, the images, and each method's maps of the questions [Q, H, W]."""
    start = time.monotonic()
    model = birds.load()
    found, about = chosen(model, seed, count, drawn)
    bird, pairs, truth = questions(found)
    images = model.normalization.normalize(found.pixels)
    print(f"FIDO on {count} species", flush=True)
    plain = methods.of_class(model.model, images, found.labels)
    print(f"FIDO on {len(pairs)} contrasts, {time.monotonic() - start:.0f} s", flush=True)
    against = methods.contrast(model.model, images[bird], pairs)
    print(f"captum, {time.monotonic() - start:.0f} s", flush=True)
    maps = {
        "contrast": against.joint,
        "class": plain.joint[bird],
        "grad-cam": methods.grad_cam_difference(model.model, images[bird], pairs),
        "integrated gradients": methods.integrated_gradients_difference(model.model, images[bird], pairs),
        "contrast, ssr": against.ssr,
        "contrast, sdr": against.sdr,
        "class, ssr": plain.ssr[bird],
        "class, sdr": plain.sdr[bird],
    }
    rows = {name: measured(each, truth) for name, each in maps.items()}
    print(f"randomisation, {time.monotonic() - start:.0f} s", flush=True)
    checks = randomised_checks(model, images, found.labels, plain.joint)
    results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "images": count,
        "seed": seed,
        "classifier": about,
        "truth": round(float(truth.float().mean()), 5),
        "confidence": round(float(against.prob_image.mean()), 4),
        "confidence_infill": round(float(against.prob_infill.mean()), 4),
        "area": {
            name: round(float(each.area_ssr.mean()), 5) for name, each in (("contrast", against), ("class", plain))
        },
        "settings": methods.settings(),
        "methods": {name: {key: interval(value) for key, value in row.items()} for name, row in rows.items()},
        "leads": {
            name: interval(rows["contrast"]["iou"] - rows[name]["iou"])
            for name in ("class", "grad-cam", "integrated gradients")
        },
        "randomised": {name: interval(values) for name, values in checks.items()},
    }
    return results, found, maps


def randomised_checks(model: Classifier, images: Tensor, labels: Tensor, maps: Tensor) -> dict[str, Tensor]:
    """Rank correlation of FIDO's maps with those of random weights, and for random other species: [N] each."""

    def explain(module: torch.nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return methods.of_class(module, images, targets).joint

    weights = evaluate.model_randomisation(explain, model.model, images, labels, maps=maps)
    classes = evaluate.label_randomisation(explain, model.model, images, labels, maps=maps)
    return {"weights": weights, "classes": classes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="how many are explained, a multiple of 4")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the drawings")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    results, found, maps = compare(arguments.images, arguments.seed)
    results = records.write(file, results)
    picture.draw(found, maps, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
