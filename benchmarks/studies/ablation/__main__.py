"""Tries ways to optimise against one another: on photos, on drawn birds, and on evidence that was planted.

    python -m benchmarks.studies.ablation [TRIAL ...] [--photos 3] [--birds 14]

Runs the trials that are named, or all that benchmarks/results/ablation.json does not have yet, one a core, and writes
that file after each. ``python -m benchmarks.pages`` puts the tables into docs/studies/ablation.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import classifiers, drawing, measuring, paths, records
from benchmarks.common.photos import load as load_photos
from benchmarks.common.statistics import means
from benchmarks.studies.ablation import report
from benchmarks.studies.ablation.learner import Trial, TrialFIDO
from benchmarks.studies.ablation.planted import Planted
from benchmarks.studies.ablation.trials import TRIALS
from sdfido import Explanation, evaluate, models
from sdfido.infills import Blur
from sdfido.ops.functional import blend

RESULTS = paths.RESULTS / "ablation.json"
SEEDS = (0, 1)
SPARSITY, VARIATION = 25.0, 200.0  # weights of the objective that all trials are compared by, of means over pixels
FRACTIONS = 17  # of insertion and deletion
BOXES = ((40, 40, 72, 72), (0, 0, 36, 48), (60, 10, 84, 100))

Model = Callable[[Tensor], Tensor]
Numbers = dict[str, float]


def explain(trial: Trial, model: Model, image: Tensor, target: Tensor) -> Explanation:
    """One image [1, C, H, W] explained the way of the trial, for its class [1]."""
    return TrialFIDO(model, trial, infill=Blur()).explain(image, target)


@torch.no_grad()
def measured(probe: evaluate.Probe, explanation: Explanation) -> Numbers:
    """What the maps of one image are worth."""
    ssr, sdr, joint = (explanation[name] for name in ("ssr", "sdr", "joint"))
    composites = blend(torch.cat([ssr, 1 - sdr]), probe.images, probe.infill)
    targets = probe.targets.expand(2)
    score_ssr, score_sdr = probe.score(composites, targets).tolist()
    probabilities = probe.score.confidence(composites, targets)
    kept, removed = float(ssr.mean()), float(sdr.mean())
    variation = float(evaluate.total_variation(ssr) + evaluate.total_variation(sdr))
    values = {
        "sufficient": probe.keep(ssr, (evaluate.AT["sufficiency"],)).relative,
        "necessary": probe.remove(sdr, (evaluate.AT["necessity"],)).relative,
        "insertion": probe.keep(ssr, FRACTIONS).area / probe.confidence,
        "deletion": probe.remove(sdr, FRACTIONS).area / probe.confidence,
        "insertion_joint": probe.keep(joint, FRACTIONS).area / probe.confidence,
        "deletion_joint": probe.remove(joint, FRACTIONS).area / probe.confidence,
        "ssr": probabilities[0] / probe.confidence,
        "ssr_binary": explanation.prob_ssr_binary / probe.confidence,
        "sdr": probabilities[1] / probe.confidence,
        "sdr_binary": explanation.prob_sdr_binary / probe.confidence,
    }
    return {name: float(value) for name, value in values.items()} | {
        "kept": kept,
        "removed": removed,
        "variation": variation,
        "objective": score_sdr - score_ssr + SPARSITY * (kept + removed) + VARIATION * variation,
    }


@cache
def photo_probes(count: int) -> dict[str, tuple[Model, evaluate.Probe]]:
    classifier = models.load(models.DEMO)
    model = classifier.model.eval().requires_grad_(False)
    images = {photo.name: classifier.preprocess(photo.image)[None] for photo in load_photos(count)}
    return {name: (model, evaluate.Probe(model, image, infill=Blur())) for name, image in images.items()}


def on_photos(trial: Trial, count: int) -> dict[str, Any]:
    rows: dict[str, Numbers] = {}
    for name, (model, probe) in photo_probes(count).items():
        of_seeds = [explain(replace(trial, seed=seed), model, probe.images, probe.targets) for seed in SEEDS]
        numbers = means([measured(probe, explanation) for explanation in of_seeds])
        for kind in ("ssr", "sdr", "joint"):
            maps = torch.stack([explanation[kind] for explanation in of_seeds])
            numbers[f"seeds_{kind}"] = float(evaluate.stability(maps))
        rows[name] = numbers
    return {"mean": means(list(rows.values())), "photos": rows}


def on_birds(trial: Trial, count: int) -> Numbers:
    classifier = classifiers.load("strong")
    classifier.model.requires_grad_(False)
    drawings = drawing.birds([i for i in range(2 * count) if i % len(drawing.SPECIES)][:count], seed=7)
    rows = []
    for index in range(count):
        one = drawings.some(slice(index, index + 1))
        explanation = explain(trial, classifier.model, classifier.normalization.normalize(one.pixels), one.labels)
        row = {
            f"iou_{name}": float(evaluate.intersection_over_union(explanation[name], one.truth))
            for name in ("ssr", "sdr", "joint")
        }
        rows.append(row | {"pointing": float(evaluate.pointing_game(explanation["joint"], one.truth))})
    return means(rows)


def on_planted(trial: Trial) -> Numbers:
    rows = []
    for seed, box in enumerate(BOXES):
        image = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(seed))
        model = Planted(image[0], box)
        maps = explain(trial, model, image, torch.tensor([0])).maps.values()
        found = (evaluate.intersection_over_union(m, model.truth[None], threshold=0.5) for m in maps)
        rows.append({"iou": min(float(value) for value in found)})
    return means(rows)


def whole(name: str, photos: int, birds: int) -> dict[str, Any]:
    """All that one trial is measured on."""
    trial = TRIALS[name][2]
    return {
        "key": key(trial),
        "composites": trial.composites,
        "settings": asdict(trial),
        "photos": on_photos(trial, photos),
        "birds": on_birds(trial, birds),
        "planted": on_planted(trial),
    }


def key(trial: Trial) -> str:
    """Names a trial's settings, so that a changed one is run again."""
    return hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--photos", type=int, default=3, help="how many of the photos")
    parser.add_argument("--birds", type=int, default=14, help="how many drawn birds")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - set(TRIALS):
        parser.error(f"trials must be of {', '.join(TRIALS)}, got {', '.join(sorted(unknown))}")
    results = records.read(arguments.json) if arguments.json.exists() else {"trials": {}}
    results["trials"] = {name: found for name, found in results["trials"].items() if name in TRIALS}
    results |= {"machine": measuring.machine(), "photos": arguments.photos, "birds": arguments.birds}
    wanted = arguments.trials or [
        name for name in TRIALS if results["trials"].get(name, {}).get("key") != key(TRIALS[name][2])
    ]
    classifiers.load("strong")  # trained once, if it is not there
    with ProcessPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        jobs = {pool.submit(whole, name, arguments.photos, arguments.birds): name for name in wanted}
        for job in as_completed(jobs):
            results["trials"][jobs[job]] = job.result()
            records.write(arguments.json, results)
            print(f"{jobs[job]:16s} {report.line(results['trials'][jobs[job]])}", flush=True)


if __name__ == "__main__":
    main()
