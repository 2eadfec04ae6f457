"""How long sdfido takes to the objective of existing code, on the photos, side by side in one run.

    python -m benchmarks.studies.ablation.existing_code [--photos 6]

Existing code (benchmarks/common/existing.py) runs to its end. Of plain FIDO, the times are taken at
which its objective without sampling is as low, and at which the score in it is as low too: a mask of one value
everywhere pays nothing for variation, so the objective alone is reached at once. The time that it takes to look is not
counted. Writes benchmarks/results/existing_code.json; ``python -m benchmarks.pages`` puts it into
docs/studies/ablation.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sdfido
from benchmarks.common import existing, measuring, paths, records
from benchmarks.common.photos import load
from benchmarks.common.records import Results
from benchmarks.common.variants import PLAIN
from sdfido import models
from sdfido.infills import Blur
from sdfido.ops.functional import blend, upsample
from sdfido.scores import Model, log_odds

RESULTS = paths.RESULTS / "existing_code.json"
STEPS = 30  # of existing code
SPARSITY, VARIATION = 1e-3, 1e-2  # existing code's weights, of sums over pixels


def existing_rates(model: Model, image: Tensor, target: int, seed: int = 0) -> Tensor:
    """Keep rates [1, 2, H, W] after a whole run of existing code on one image [1, C, H, W].

    Masks of the image's size, 8 samples of each drawn and blended one after another, float32 composites in
    channels-first order, AdamW with learning rate 10 and eps 0.1, penalties that are sums over pixels.
    """
    torch.manual_seed(seed)
    fido = existing.OneByOneFIDO((image.shape[-2], image.shape[-1]), infill=Blur()(image)[0])
    fido.fit(image[0], target, existing.ScoredClassifier(model), existing.FIDOConfig(iterations=STEPS))
    return fido.keep_rates()


@torch.no_grad()
def objective(model: Model, image: Tensor, infill: Tensor, target: int, keep: Tensor) -> tuple[float, float]:
    """Log-odds of the SDR's composite minus those of the SSR's: with existing code's penalties, and alone.

    The first is the objective and the second the score in it; of both, lower is better.

    Args:
        image, infill: [1, C, H, W].
        keep: keep rates [1, 2, H, W], SSR first.

    Returns:
        Objective and score.
    """
    ssr, sdr = log_odds(model(blend(keep[0], image, infill)), torch.tensor([target, target])).tolist()
    area = 0.5 * (keep[:, 0].sum() + (1 - keep[:, 1]).sum())
    return float(sdr - ssr + SPARSITY * area + VARIATION * existing.variation(keep)), sdr - ssr


def compared(classifier: models.Classifier, image: Tensor) -> Results:
    """Seconds of both on one image [1, C, H, W]."""
    model = classifier.model
    infill = Blur()(image)
    target = int(model(image).argmax())

    start = time.perf_counter()
    keep = existing_rates(model, image, target)
    before = time.perf_counter() - start
    goal, score = objective(model, image, infill, target, keep)

    steps: list[tuple[float, float, float]] = []  # seconds, objective and score after each
    looking = 0.0

    def look(now: sdfido.Progress) -> None:
        nonlocal looking
        begin = time.perf_counter()
        rates = upsample(torch.sigmoid(now.parameters), (image.shape[-2], image.shape[-1]))
        steps.append((begin - start - looking, *objective(model, image, infill, target, rates)))
        looking += time.perf_counter() - begin

    explainer = sdfido.FIDO(model, normalization=classifier.normalization, **PLAIN)
    start = time.perf_counter()
    explainer.explain(image, target, on_step=look)
    seconds: dict[str, Any] = {
        "objective": next((seconds for seconds, value, _ in steps if value <= goal), None),
        "both": next((seconds for seconds, value, own in steps if value <= goal and own <= score), None),
        "all": steps[-1][0],
    }
    return {
        "existing": {"seconds": before, "objective": goal, "score": score, "steps": STEPS},
        "sdfido": {"seconds": seconds, "objective": steps[-1][1], "score": steps[-1][2], "steps": len(steps)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=6, help="how many of the photos")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    arguments = parser.parse_args()
    classifier = models.load(models.DEMO)
    classifier.model.eval().requires_grad_(False)
    explainer = sdfido.FIDO(classifier.model, **PLAIN | {"steps": 3})  # warms up
    explainer.explain(classifier.preprocess(load(1)[0].image)[None])
    rows = []
    for photo in load(arguments.photos):
        row = {"photo": photo.name} | compared(classifier, classifier.preprocess(photo.image)[None])
        print(row, flush=True)
        rows.append(row)
    results = {"machine": measuring.machine(), "threads": torch.get_num_threads(), "photos": rows}
    records.write(arguments.json, results)


if __name__ == "__main__":
    main()
