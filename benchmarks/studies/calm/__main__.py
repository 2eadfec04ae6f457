"""Asks whether CALM's difference maps find the parts in which two species of drawn birds differ.

    python -m benchmarks.studies.calm [--each 3] [--seed 0] [--out FOLDER]

trains the classifiers where they are missing, and writes benchmarks/results/calm.json and docs/img/calm.webp. A trial
with other numbers (--each, --seed) goes elsewhere (--out). ``python -m benchmarks.pages`` puts the tables into
docs/studies/calm.md.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.common import classifiers, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import interval
from benchmarks.studies.calm import cues, methods, models, picture, report
from benchmarks.studies.calm.cues import Cues
from sdfido import evaluate

EACH = 3  # birds of every pair, each drawn as both species
TESTED = 700  # birds for the accuracy


def measured(found: Cues, maps: Tensor) -> Results:
    """Cue localisation of difference maps [N, H, W]: of pairs and of images, also of those with one and two parts."""
    cues_found = evaluate.cue_localisation(maps, found.truth, found.pairs)
    two = (cues_found.pairs > 0).all(1)
    precision, parts = evaluate.average_precision(maps, found.truth), found.parts
    here = (parts == 1) & (found.shown > 0)
    return {
        "pairs": interval(cues_found.precision),
        "one": interval(cues_found.precision[~two]),
        "two": interval(cues_found.precision[two]),
        "images": interval(precision),
        "shown": interval(precision[here]),
        "missing": interval(precision[(parts == 1) & ~here]),
        "pointing": interval(evaluate.pointing_game(maps, found.truth)),
    }


def compare(each: int, seed: int) -> tuple[Results, Cues, dict[str, Tensor]]:
    """Results, the images, and the maps of each method."""
    load, start = os.getloadavg()[0], time.monotonic()
    networks: dict[str, nn.Module] = {name: models.load(name) for name in models.NAMES}
    birds = models.Birds(TESTED, seed)
    right = {name: interval(models.accuracy(network, birds)) for name, network in networks.items()}
    found = cues.draw(each, seed=seed)
    every: dict[str, Tensor] = {}
    rows: Results = {}
    for name, method in methods.METHODS.items():
        print(f"{name}, {time.monotonic() - start:.0f} s", flush=True)
        every[name] = methods.maps(name, networks[method.model], found)
        rows[name] = measured(found, every[name])
    results = {
        "machine": machine(),
        "load": round(load, 2),
        "threads": torch.get_num_threads(),
        "images": len(found.shown),
        "pairs": len(cues.PAIRS),
        "seed": seed,
        "tested": TESTED,
        "truth": interval(found.truth.float().mean((1, 2))),
        "settings": {name: value for name, value in asdict(models.TRAININGS["em"]).items() if name != "objective"},
        "accuracy": right,
        "training": {name: models.training_seconds(name) for name in models.NAMES},
        "methods": rows,
    }
    return results, found, every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=EACH, help="birds of every pair of species")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the drawings")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    results, found, maps = compare(arguments.each, arguments.seed)
    results = records.write(file, results)
    picture.draw(found, maps, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
