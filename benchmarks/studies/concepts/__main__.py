"""Asks whether few features reproduce the logits of drawn birds' species, and which feature answers which part.

    python -m benchmarks.studies.concepts [--images 8] [--fitted 2800] [--seed 0] [--out FOLDER]

writes benchmarks/results/concepts.json and docs/img/concepts.webp. A trial with other numbers goes elsewhere (--out).
``python -m benchmarks.pages`` puts the tables into docs/studies/concepts.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import classifiers, drawing, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits, interval
from benchmarks.studies.concepts import maps, picture, report
from benchmarks.studies.concepts.maps import Found
from sdfido import Concepts
from sdfido.models import Classifier

FIT_SEED = 5  # of the drawings that features are trained on
LAYER = "14"  # what the highest of is taken for the linear layer
OTHERS = {"3": "8", "4": "11"}  # after which convolution, and the module's name
HELD_OUT = 700


def normalized(model: Classifier, pixels: Tensor) -> Iterator[Tensor]:
    """Images of pixels [N, 3, H, W] in 0..255, a hundred at a time."""
    return (model.normalization.normalize(part.float() / 255) for part in pixels.split(100))


def drawn(count: int, seed: int) -> Tensor:
    """Pixels of the first birds of a seed [N, 3, H, W], 0..255, uint8 to spare memory."""
    parts = [range(begin, min(begin + 100, count)) for begin in range(0, count, 100)]
    return torch.cat([(drawing.birds(part, seed=seed).pixels * 255).round().to(torch.uint8) for part in parts])


def other_layers(model: Classifier, pixels: Tensor, images: Tensor) -> Results:
    """What activations of earlier layers allow in one round, pooled in the same way."""
    rows: Results = {}
    for number, layer in OTHERS.items():
        concepts = Concepts(model.model, layer, pooling="max", rounds=1).fit(normalized(model, pixels))
        r2 = concepts.measure(images).r2.double()
        rows[number] = {"units": concepts.units, "mean": digits(float(r2.mean())), "least": digits(float(r2.min()))}
    return rows


def about(concepts: Concepts, images: Tensor, labels: Tensor) -> Results:
    """Measures on held-out birds, of each species."""
    found, added = concepts.measure(images), concepts.contributions(images)
    rows: Results = {}
    for c, name in enumerate(drawing.SPECIES):
        own = added[labels == c, c].mean(0).double()
        rows[name] = {
            "r2": digits(float(found.r2[c])),
            "agreement": digits(float(found.agreement[c])),
            "cosine": digits(float(found.cosine[c])),
            "live": int(found.live[c].sum()),
            "rounds": sum(each.label == c for each in concepts.rounds),
            "accepted": any(each.label == c and each.accepted for each in concepts.rounds),
            "head": [digits(float(weight)) for weight in concepts.head[c]],
            "contributions": [digits(float(value)) for value in own],
            "own": int(own.argmax()),
        }
    return {"decisions": digits(found.decisions), "species": rows}


def answers(found: Found) -> Results:
    """Mean mass of the maps in each place, with intervals over the images."""
    return {name: interval(found.mass[:, p]) for p, name in enumerate((*maps.PLACES, "elsewhere"))} | {
        "whole": interval(found.whole),
        "area": digits(float(found.regions.float().mean())),
    }


def run(count: int, fitted: int, seed: int) -> tuple[Results, dict[tuple[int, int], Found], Tensor]:
    """Results, the maps of each live feature by class and feature, and the pixels of the held-out birds."""
    began = time.process_time()
    model = classifiers.strong()
    pixels = drawn(fitted, FIT_SEED)
    concepts = Concepts(model.model, LAYER, pooling="max").fit(normalized(model, pixels))
    print(f"fitted, {time.process_time() - began:.0f} s", flush=True)
    held_out = drawing.birds(range(HELD_OUT), seed=seed)
    images = model.normalization.normalize(held_out.pixels)
    layers = other_layers(model, pixels, images)
    measured = about(concepts, images, held_out.labels)
    added, live = concepts.contributions(images).abs(), concepts.measure(images).live
    found: dict[tuple[int, int], Found] = {}
    rows: Results = {}
    for c, name in enumerate(drawing.SPECIES):
        each: Results = {}
        for k in live[c].nonzero()[:, 0].tolist():
            most = added[:, c, k].topk(count).indices
            found[c, k] = maps.of(concepts.score(), images[most], (c, k), most.tolist(), c, seed)
            own = float((held_out.labels[most] == c).double().mean())
            each[str(k)] = answers(found[c, k]) | {"of the species": digits(own)}
        if c:
            most = added[:, c, measured["species"][name]["own"]].topk(count).indices
            each["logit"] = answers(maps.of(model.model, images[most], c, most.tolist(), c, seed))
        rows[name] = each
        print(f"{name}, {time.process_time() - began:.0f} s", flush=True)
    results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "images": count,
        "fitted": fitted,
        "held_out": HELD_OUT,
        "seed": seed,
        "training": {**asdict(concepts.settings), "layer": LAYER, "pooling": concepts.pooling},
        "settings": maps.settings(concepts),
        "measures": measured,
        "layers": layers,
        "answers": rows,
    }
    return results, found, held_out.pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8, help="how many are explained for each feature")
    parser.add_argument("--fitted", type=int, default=2800, help="how many the features are trained on")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the held-out drawings")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    results, found, pixels = run(arguments.images, arguments.fitted, arguments.seed)
    results = records.write(file, results)
    picture.draw(found, results, pixels, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
