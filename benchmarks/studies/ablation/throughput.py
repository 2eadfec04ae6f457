"""Images a minute, one by one and in batches, and whether a batch changes any bit.

    python benchmarks/choices/throughput.py [--photos N]

Explains the photos with sdfido's defaults: one at a time, all at once, all at once with more composites in memory, and
in bfloat16; then with early stopping switched off. Writes benchmarks/results/throughput.json and fills docs/choices.md.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.common import measuring
from benchmarks.common import markers
from benchmarks.common import records, report
from benchmarks.common.photos import load

import sdfido
from sdfido import models

RESULTS, PAGE = ROOT / "benchmarks/results/throughput.json", ROOT / "docs/choices.md"
WAYS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "alone": ("one after another", False, {}),
    "batch": ("all at once", True, {}),
    "wide": ("all at once, 16 composites in memory", True, {"max_batch": 16}),
    "bfloat16": ("all at once, in bfloat16", True, {"dtype": torch.bfloat16}),
    "all steps": ("all at once, no early stop", True, {"tolerance": 0.0}),
}


def explain(classifier: models.Classifier, images: torch.Tensor, together: bool, settings: dict[str, Any]) -> Any:
    explainer = sdfido.FIDO(classifier.model, normalization=classifier.normalization, **settings)
    if together:
        return explainer.explain(images)
    return sdfido.Explanation.stack([explainer.explain(images[i], streams=[i]) for i in range(len(images))])


def fill(results: dict[str, Any], *, check: bool) -> None:
    rows = [
        [WAYS[name][0], f"{way['per_minute']:.1f}", f"{way['steps']:.0f}", "yes" if way["same_bits"] else "no"]
        for name, way in results["ways"].items()
    ]
    header = [f"{results['images']} photos", "images a minute", "steps, mean", "same bits as alone"]
    text = "\n" + report.table(header, rows) + "\n"
    page = pages.marked(PAGE.read_text(), "throughput", lambda _: text)
    pages.put(PAGE, page, check=check, command="benchmarks/choices/throughput.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8, help="how many of the photos")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    arguments = parser.parse_args()
    if arguments.check:
        return fill(json.loads(RESULTS.read_text()), check=True)
    classifier = models.load(models.DEMO)
    classifier.model.eval().requires_grad_(False)
    images = torch.stack([classifier.preprocess(photo.image) for photo in load(arguments.photos)])
    explain(classifier, images[:1], True, {"steps": 3})  # warms up
    found, ways = {}, {}
    for name, (_, together, settings) in WAYS.items():
        start = time.perf_counter()
        found[name] = explain(classifier, images, together, settings)
        seconds = time.perf_counter() - start
        ways[name] = {
            "per_minute": 60 * len(images) / seconds,
            "steps": fmean(found[name].steps.tolist()),
            "same_bits": torch.equal(found[name].logits, found["alone"].logits)
            and torch.equal(found[name].ssr, found["alone"].ssr),
        }
        print(f"{WAYS[name][0]:40s} {ways[name]}", flush=True)
    results = {"machine": measuring.machine(), "threads": torch.get_num_threads(), "images": len(images), "ways": ways}
    report.record(arguments.json, results)
    if arguments.json == RESULTS:
        fill(results, check=False)


if __name__ == "__main__":
    main()
