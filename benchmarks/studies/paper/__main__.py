"""Measures again what the paper on simplified concrete dropout claims, on drawn birds.

    python -m benchmarks.studies.paper

takes a quarter of an hour (more where the classifiers have to be trained first) and writes
benchmarks/results/paper.json and the pictures in docs/img. The times need a machine with nothing else running; they can
be taken again alone (--times). A trial of everything with very few images (--trial) goes to out/paper-trial. ``python
-m benchmarks.pages`` puts the tables into docs/studies/paper.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import classifiers, drawing, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.studies.paper import classification, elementwise, gradients, masks, picture, report, timing
from sdfido.models import Classifier

TRIAL = paths.OUT / "paper-trial"
SHOWN = 3  # birds in the picture


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    step: float  #: between logits, elementwise
    birds: int  #: that masks are made of
    budget: int  #: samples of each mask in a run at equal calls
    gradient_birds: int  #: that gradients are sampled of
    samples: int  #: gradients of each of them, state and arm
    timed_birds: int
    rounds: int  #: of timing
    scenes: int  #: that are classified
    steps: int  #: of the explanation of a scene


FULL = Plan(
    step=0.5, birds=12, budget=120, gradient_birds=10, samples=64, timed_birds=2, rounds=4, scenes=280, steps=30
)
FEW = Plan(step=5, birds=3, budget=32, gradient_birds=2, samples=4, timed_birds=1, rounds=1, scenes=7, steps=2)


@dataclass(frozen=True)
class Birds:
    """Close-ups that are classified correctly."""

    images: Tensor  # [N, 3, 112, 112], normalised
    pixels: Tensor  # the same, 0..1
    labels: Tensor
    truth: Tensor  # [N, 112, 112], bool


def birds(model: Classifier, count: int) -> Birds:
    """The first test drawings that have a part of their own and are classified correctly."""
    drawn = drawing.birds(range(2 * count), seed=classifiers.TEST_SEED)
    right = (classifiers.predictions(model, drawn.pixels) == drawn.labels) & (drawn.labels > 0)
    index = right.nonzero()[:count, 0]
    if len(index) < count:
        raise SystemExit(f"the classifier has only {len(index)} of {2 * count} birds right, {count} are needed")
    pixels = drawn.pixels[index]
    return Birds(model.normalization.normalize(pixels), pixels, drawn.labels[index], drawn.truth[index])


def run(plan: Plan, strong: Classifier, weak: Classifier) -> tuple[Results, picture.Maps]:
    """All studies, and the maps of the first birds."""
    load, start = os.getloadavg()[0], time.perf_counter()
    of = birds(strong, plan.birds)
    some, few = slice(plan.gradient_birds), slice(plan.timed_birds)
    shown: picture.Maps = {}

    def make_masks() -> dict[str, Any]:
        measures, maps = masks.study(
            strong.model, of.images, of.labels, of.truth, budget=plan.budget, shown=min(SHOWN, plan.birds)
        )
        shown.update(maps)
        return measures

    studies: dict[str, Callable[[], dict[str, Any]]] = {
        "timing": lambda: timing.study(strong.model, of.images[few], of.labels[few], rounds=plan.rounds),
        "elementwise": lambda: elementwise.study(plan.step),
        "gradients": lambda: gradients.study(strong.model, of.images[some], of.labels[some], plan.samples),
        "masks": make_masks,
        "classification": lambda: classification.study(weak.model, plan.scenes, plan.steps),
    }
    found, seconds = {}, {}
    for name, study in studies.items():
        begin = time.perf_counter()
        found[name] = study()
        seconds[name] = round(time.perf_counter() - begin)
        print(f"{name}: {seconds[name]} s", flush=True)
    about = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "load": round(load, 2),
        "seconds": round(time.perf_counter() - start),
        "seconds of": seconds,
        "plan": asdict(plan),
    }
    return about | found, {"": of.pixels[:SHOWN], "truth": of.truth[:SHOWN].float()} | shown


def times_anew(results: Results, plan: Plan, model: Classifier) -> None:
    """Takes the times again, into results that are there."""
    load, begin = os.getloadavg()[0], time.perf_counter()
    of = birds(model, plan.timed_birds)
    results["timing"] = timing.study(model.model, of.images, of.labels, rounds=plan.rounds)
    results["seconds of"]["timing"] = round(time.perf_counter() - begin)
    results |= {"load": round(load, 2), "machine": machine(), "seconds": sum(results["seconds of"].values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", action="store_true", help="very few images")
    parser.add_argument("--times", action="store_true", help="only the times, into the results that are there")
    arguments = parser.parse_args()
    file, folder, plan = report.RESULTS, paths.IMAGES, FULL
    if arguments.trial:
        file, folder, plan = TRIAL / file.name, TRIAL, FEW
    strong = classifiers.load("strong")
    if arguments.times:
        results = records.read(file)
        times_anew(results, plan, strong)
    else:
        results, maps = run(plan, strong, classifiers.load("weak"))
        picture.draw(results, maps, folder)
    results = records.write(file, results)
    print(f"\n{report.claims_table(results)}\n\n{results['seconds']} s, wrote {file}")


if __name__ == "__main__":
    main()
