"""Tries ways to optimise against one another: on photos, on drawn birds, and on evidence that was planted.

    python benchmarks/choices/trials.py [TRIAL ...] [--photos 3] [--birds 14] [--check]

Runs the trials that are named, or all that benchmarks/results/choices.json does not have yet, one a core, writes that
file after each, and fills the tables of docs/choices.md from it.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import measuring
from benchmarks.common import markers
from benchmarks.common import records, report
from benchmarks.common.photos import load as load_photos
from benchmarks.common import classifiers
from benchmarks.common import drawing

from benchmarks.studies.ablation.trials import TRIALS
from benchmarks.studies.ablation.learner import Outcome, Trial, run
from sdfido import evaluate, models, reference
from sdfido.infill import Blur
from sdfido.objectives import log_odds

RESULTS, PAGE = ROOT / "benchmarks/results/choices.json", ROOT / "docs/choices.md"
SEEDS = (0, 1)
SPARSITY, VARIATION = 25.0, 200.0  # weights of the objective that all trials are compared by, of means over pixels

Model = Callable[[Tensor], Tensor]
Numbers = dict[str, float]


class Planted(torch.nn.Module):
    """Two classes; the first one's logit is the match of one box of an image with its own texture."""

    def __init__(self, image: Tensor, box: tuple[int, int, int, int]) -> None:
        super().__init__()
        top, left, bottom, right = box
        self.truth = torch.zeros(image.shape[-2:], dtype=torch.bool)
        self.truth[top:bottom, left:right] = True
        texture = (image - image.mean((-2, -1), keepdim=True)) * self.truth
        self.template = texture / texture.square().sum()

    def forward(self, x: Tensor) -> Tensor:
        match = (x * self.template).sum((1, 2, 3))
        return torch.stack([10 * (match - 0.5), torch.zeros_like(match)], 1)


def maps(outcome: Outcome, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """SSR, SDR and joint importance [1, H, W]."""
    ssr, keep = reference.upsample(outcome.rates, size).clamp(0, 1).unbind(1)
    return ssr, 1 - keep, (ssr * (1 - keep)).sqrt()


@torch.no_grad()
def judge(model: Model, image: Tensor, target: int, infill: Tensor, outcome: Outcome) -> Numbers:
    """What the maps of one image are worth."""
    ssr, sdr, joint = maps(outcome, (image.shape[-2], image.shape[-1]))
    whole = float(model(image).softmax(1)[0, target])

    def curve(measure: Callable[..., evaluate.Curve], importance: Tensor, **more: Any) -> evaluate.Curve:
        return measure(model, image, importance, target, infill=infill, **more)

    composites = infill + torch.cat([ssr, 1 - sdr])[:, None] * (image - infill)
    logits = model(composites)
    score_ssr, score_sdr = log_odds(logits, torch.tensor([target, target])).tolist()
    ssr_prob, sdr_prob = logits.softmax(1)[:, target].tolist()
    binary = reference.upsample((outcome.logits > 0).float(), (image.shape[-2], image.shape[-1]))[0, :, None]
    ssr_cut, sdr_cut = model(infill + binary * (image - infill)).softmax(1)[:, target].tolist()
    kept, removed = float(ssr.mean()), float(sdr.mean())
    variation = float(evaluate.total_variation(ssr) + evaluate.total_variation(sdr))
    return {
        "sufficient": float(curve(evaluate.sufficiency, ssr, areas=(0.3,)).relative),
        "necessary": float(curve(evaluate.necessity, sdr, areas=(0.2,)).relative),
        "insertion": float(curve(evaluate.insertion, ssr, num_fractions=17).area) / whole,
        "deletion": float(curve(evaluate.deletion, sdr, num_fractions=17).area) / whole,
        "insertion_joint": float(curve(evaluate.insertion, joint, num_fractions=17).area) / whole,
        "deletion_joint": float(curve(evaluate.deletion, joint, num_fractions=17).area) / whole,
        "ssr": ssr_prob / whole,
        "ssr_binary": ssr_cut / whole,
        "sdr": sdr_prob / whole,
        "sdr_binary": sdr_cut / whole,
        "kept": kept,
        "removed": removed,
        "variation": variation,
        "objective": score_sdr - score_ssr + SPARSITY * (kept + removed) + VARIATION * variation,
    }


def mean(rows: list[Numbers]) -> Numbers:
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


@cache
def photo_tasks(count: int) -> list[tuple[str, Model, Tensor, int, Tensor]]:
    classifier = models.load(models.DEMO)
    classifier.model.eval().requires_grad_(False)
    tasks = []
    for photo in load_photos(count):
        image = classifier.preprocess(photo.image)[None]
        tasks.append((photo.name, classifier.model, image, int(classifier.model(image).argmax()), Blur()(image)))
    return tasks


def on_photos(trial: Trial, count: int) -> dict[str, Any]:
    rows: dict[str, Numbers] = {}
    for name, model, image, target, infill in photo_tasks(count):
        outcomes = [
            run(Trial(**asdict(trial) | {"seed": seed}), model, image, infill, torch.tensor([target])) for seed in SEEDS
        ]
        numbers = mean([judge(model, image, target, infill, outcome) for outcome in outcomes])
        size = (image.shape[-2], image.shape[-1])
        of_seeds = [torch.stack(maps(outcome, size)) for outcome in outcomes]  # [3, 1, H, W] each
        for position, kind in enumerate(("ssr", "sdr", "joint")):
            numbers[f"seeds_{kind}"] = float(evaluate.stability(torch.stack([found[position] for found in of_seeds])))
        rows[name] = numbers
    return {"mean": mean(list(rows.values())), "photos": rows}


def on_birds(trial: Trial, count: int) -> Numbers:
    classifier = birds_classifier.load("strong")
    classifier.model.requires_grad_(False)
    drawings = drawing.birds([i for i in range(2 * count) if i % len(drawing.SPECIES)][:count], seed=7)
    rows = []
    for index in range(count):
        image = classifier.normalization.normalize(drawings.pixels[index : index + 1])
        target, truth = drawings.labels[index : index + 1], drawings.truth[index : index + 1]
        outcome = run(trial, classifier.model, image, Blur()(image), target)
        ssr, sdr, joint = maps(outcome, (image.shape[-2], image.shape[-1]))
        rows.append(
            {
                "iou_ssr": float(evaluate.intersection_over_union(ssr, truth)),
                "iou_sdr": float(evaluate.intersection_over_union(sdr, truth)),
                "iou_joint": float(evaluate.intersection_over_union(joint, truth)),
                "pointing": float(evaluate.pointing_game(joint, truth)),
            }
        )
    return mean(rows)


def on_planted(trial: Trial) -> Numbers:
    rows = []
    for seed, box in enumerate(((40, 40, 72, 72), (0, 0, 36, 48), (60, 10, 84, 100))):
        image = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(seed))
        model = Planted(image[0], box)
        outcome = run(trial, model, image, Blur()(image), torch.tensor([0]))
        found = (
            evaluate.intersection_over_union(m, model.truth[None], threshold=0.5) for m in maps(outcome, (112, 112))
        )
        rows.append({"iou": min(float(value) for value in found)})
    return mean(rows)


def whole(name: str, photos: int, birds: int) -> dict[str, Any]:
    """All that one trial is measured on."""
    trial = TRIALS[name][2]
    found = {"key": key(trial), "composites": 2 * trial.samples * trial.steps, "settings": asdict(trial)}
    return found | {
        "photos": on_photos(trial, photos),
        "birds": on_birds(trial, birds),
        "planted": on_planted(trial),
    }


def key(trial: Trial) -> str:
    """Names a trial's settings, so that a changed one is run again."""
    return hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()[:12]


COLUMNS = {
    "composites": ("composites", "{:.0f}"),
    "objective": ("objective", "{:.1f}"),
    "sufficient": ("top 30 % kept", "{:.2f}"),
    "necessary": ("top 20 % gone", "{:.2f}"),
    "ssr_binary": ("SSR cut at ½", "{:.2f}"),
    "sdr_binary": ("SDR cut at ½", "{:.3f}"),
    "insertion": ("insertion", "{:.2f}"),
    "deletion": ("deletion", "{:.3f}"),
    "variation": ("variation", "{:.3f}"),
    "seeds": ("seeds", "{:.2f}"),
    "iou_joint": ("birds: IoU", "{:.2f}"),
    "pointing": ("pointing", "{:.2f}"),
    "iou": ("planted: IoU", "{:.2f}"),
}


def numbers(result: dict[str, Any]) -> Numbers:
    found = {**result["photos"]["mean"], **result["birds"], **result["planted"], "composites": result["composites"]}
    return found | {"seeds": fmean(found[f"seeds_{kind}"] for kind in ("ssr", "sdr", "joint"))}


def table(results: dict[str, Any], group: str) -> str:
    rows = []
    for name, (of_group, what, _) in TRIALS.items():
        if of_group == group and name in results["trials"]:
            found = numbers(results["trials"][name])
            rows.append([what, *(form.format(found[column]) for column, (_, form) in COLUMNS.items())])
    return "\n" + report.table(["trial", *(title for title, _ in COLUMNS.values())], rows) + "\n"


def fill(results: dict[str, Any], *, check: bool) -> None:
    def text(group: str) -> str:
        return str(results[group]) if group in ("photos", "birds") else table(results, group)

    pages.put(
        PAGE, pages.marked(PAGE.read_text(), "choices", text), check=check, command="benchmarks/choices/trials.py"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--photos", type=int, default=3, help="how many of the photos")
    parser.add_argument("--birds", type=int, default=14, help="how many drawn birds")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - set(TRIALS):
        parser.error(f"trials must be of {', '.join(TRIALS)}, got {', '.join(sorted(unknown))}")
    results: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"trials": {}}
    if not arguments.check:
        results["trials"] = {name: found for name, found in results["trials"].items() if name in TRIALS}
        results |= {"machine": measuring.machine(), "photos": arguments.photos, "birds": arguments.birds}
        wanted = arguments.trials or [
            name for name in TRIALS if results["trials"].get(name, {}).get("key") != key(TRIALS[name][2])
        ]
        birds_classifier.load("strong")  # trained once, if it is not there
        with ProcessPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = {pool.submit(whole, name, arguments.photos, arguments.birds): name for name in wanted}
            for job in as_completed(jobs):
                name = jobs[job]
                results["trials"][name] = job.result()
                report.record(arguments.json, results)
                shown = numbers(results["trials"][name])
                print(f"{name:16s}", *(f"{t} {form.format(shown[c])}" for c, (t, form) in COLUMNS.items()), flush=True)
    if arguments.json == RESULTS:
        fill(results, check=arguments.check)


if __name__ == "__main__":
    main()
