"""How long sdfido and existing code take to a mask of the same objective, on the photos, side by side in one run.

    python benchmarks/choices/race.py [--photos N]

Existing code (existing.py) runs to its end. Of sdfido, with its defaults, the times are taken at which its
deterministic objective is as low, and at which its first part alone, the score, is as low too: masks of one value
everywhere pay nothing for variation, so the objective alone is reached at once. What it costs to look is not counted.
Writes benchmarks/results/race.json and fills docs/choices.md.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import measuring
from benchmarks.common import markers
from benchmarks.common import records, report
from benchmarks.common.photos import load

import sdfido
from benchmarks.common import existing
from sdfido import models, reference
from sdfido.objectives import log_odds

RESULTS, PAGE = ROOT / "benchmarks/results/race.json", ROOT / "docs/choices.md"
SPARSITY, VARIATION = 1e-3, 1e-2  # existing code's weights, of sums over pixels


@torch.no_grad()
def objective(
    model: Callable[[Tensor], Tensor], image: Tensor, infill: Tensor, target: int, keep: Tensor
) -> tuple[float, float]:
    """Deterministic: log-odds of the SDR's composite minus those of the SSR's, plus existing code's penalties.

    And the former alone, the score; of both, lower is better.

    image, infill: [1, C, H, W]. keep: keep rates [1, 2, H, W], SSR first.
    """
    composites = infill + keep[0, :, None] * (image - infill)
    ssr, sdr = log_odds(model(composites), torch.tensor([target, target])).tolist()
    area = 0.5 * (keep[:, 0].sum() + (1 - keep[:, 1]).sum())
    variation = keep.diff(dim=-1).abs().sum() + keep.diff(dim=-2).abs().sum()
    return float(sdr - ssr + SPARSITY * area + VARIATION * variation), sdr - ssr


def race(classifier: models.Classifier, image: Tensor) -> dict[str, Any]:
    """Seconds of both on one image [1, C, H, W]."""
    model = classifier.model
    infill = sdfido.infill.Blur()(image)
    target = int(model(image).argmax())

    start = time.perf_counter()
    keep = existing.explain(model, image[0], target)
    before = time.perf_counter() - start
    goal, score = objective(model, image, infill, target, keep)

    steps: list[tuple[float, float, float]] = []  # seconds, objective and score after each
    looking = 0.0

    def look(now: sdfido.Progress) -> None:
        nonlocal looking
        begin = time.perf_counter()
        rates = reference.upsample(torch.sigmoid(now.logits), (image.shape[-2], image.shape[-1]))
        steps.append((begin - start - looking, *objective(model, image, infill, target, rates)))
        looking += time.perf_counter() - begin

    explainer = sdfido.FIDO(model, normalization=classifier.normalization)
    start = time.perf_counter()
    explainer.explain(image, target, callback=look)
    seconds = {
        "objective": next((seconds for seconds, value, _ in steps if value <= goal), None),
        "both": next((seconds for seconds, value, own in steps if value <= goal and own <= score), None),
        "all": steps[-1][0],
    }
    return {
        "existing": {"seconds": before, "objective": goal, "score": score, "steps": existing.STEPS},
        "sdfido": {"seconds": seconds, "objective": steps[-1][1], "score": steps[-1][2], "steps": len(steps)},
    }


def gains(results: dict[str, Any], goal: str) -> list[float]:
    """How many times faster to a goal, of each photo; 0 where it was not reached."""
    found = ((row["existing"]["seconds"], row["sdfido"]["seconds"][goal]) for row in results["photos"])
    return [before / after if after else 0.0 for before, after in found]


def fill(results: dict[str, Any], *, check: bool) -> None:
    rows = []
    for row, objective_gain, gain in zip(
        results["photos"], gains(results, "objective"), gains(results, "both"), strict=True
    ):
        before, after = row["existing"], row["sdfido"]
        rows.append(
            [
                row["photo"],
                f"{before['objective']:.1f} ({before['score']:.1f})",
                f"{before['seconds']:.1f}",
                f"{after['objective']:.1f} ({after['score']:.1f})",
                f"{after['seconds']['all']:.1f}",
                f"{objective_gain:.0f} ×",
                f"{gain:.1f} ×" if gain else "not reached",
            ]
        )
    header = ["photo", "existing code", "seconds", "sdfido", "seconds", "faster to the objective", "and to the score"]
    text = (
        f"\n{report.table(header, rows)}\n\nObjectives, and in brackets the scores in them. Medians: to the objective "
        f"{statistics.median(gains(results, 'objective')):.0f} times faster, to objective and score "
        f"{statistics.median(gains(results, 'both')):.1f} times; {results['threads']} threads of "
        f"{results['machine']['cpu']}.\n"
    )
    page = pages.marked(PAGE.read_text(), "race", lambda _: text)
    pages.put(PAGE, page, check=check, command="benchmarks/choices/race.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=6, help="how many of the photos")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    arguments = parser.parse_args()
    if arguments.check:
        return fill(json.loads(RESULTS.read_text()), check=True)
    classifier = models.load(models.DEMO)
    classifier.model.eval().requires_grad_(False)
    explainer = sdfido.FIDO(classifier.model, steps=3)  # warms up
    explainer.explain(classifier.preprocess(load(1)[0].image)[None])
    rows = []
    for photo in load(arguments.photos):
        row = {"photo": photo.name} | race(classifier, classifier.preprocess(photo.image)[None])
        print(row, flush=True)
        rows.append(row)
    results = {"machine": measuring.machine(), "threads": torch.get_num_threads(), "photos": rows}
    report.record(arguments.json, results)
    if arguments.json == RESULTS:
        fill(results, check=False)


if __name__ == "__main__":
    main()
