"""Images a minute, one by one and in batches, and whether a batch changes any bit.

    python -m benchmarks.studies.ablation.throughput [--photos 8]

Explains the photos with sdfido's defaults: one at a time, all at once, all at once with more composites in memory, and
in bfloat16; then with early stopping switched off. Writes benchmarks/results/throughput.json; ``python -m
benchmarks.pages`` puts it into docs/studies/ablation.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sdfido
from benchmarks.common import measuring, paths, records
from benchmarks.common.photos import load
from benchmarks.common.statistics import mean
from benchmarks.common.variants import PLAIN
from sdfido import models

RESULTS = paths.RESULTS / "throughput.json"
WAYS: dict[str, dict[str, Any]] = {  # "alone" explains one photo after another, all others explain them together
    "alone": {},
    "batch": {},
    "wide": {"max_batch": 16},
    "bfloat16": {"dtype": torch.bfloat16},
    "all steps": {"tolerance": 0.0},
}


def explain(classifier: models.Classifier, images: Tensor, name: str, **settings: Any) -> sdfido.Explanation:
    chosen = PLAIN | WAYS[name] | settings
    explainer = sdfido.FIDO(classifier.model, normalization=classifier.normalization, **chosen)
    if name != "alone":
        return explainer.explain(images)
    return sdfido.Explanation.stack([explainer.explain(images[i], streams=[i]) for i in range(len(images))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8, help="how many of the photos")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    arguments = parser.parse_args()
    classifier = models.load(models.DEMO)
    classifier.model.eval().requires_grad_(False)
    images = torch.stack([classifier.preprocess(photo.image) for photo in load(arguments.photos)])
    explain(classifier, images[:1], "batch", steps=3)  # warms up
    found, ways = {}, {}
    for name in WAYS:
        start = time.perf_counter()
        found[name] = explain(classifier, images, name)
        seconds = time.perf_counter() - start
        ways[name] = {
            "per_minute": 60 * len(images) / seconds,
            "steps": mean(found[name].steps.tolist()),
            "same_bits": torch.equal(found[name].mask_logits, found["alone"].mask_logits)
            and torch.equal(found[name].ssr, found["alone"].ssr),
        }
        print(f"{name:12s} {ways[name]}", flush=True)
    results = {"machine": measuring.machine(), "threads": torch.get_num_threads(), "images": len(images), "ways": ways}
    records.write(arguments.json, results)


if __name__ == "__main__":
    main()
