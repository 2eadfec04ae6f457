"""Classification with and without masks: scenes with small birds, a classifier that has seen few, both formulas."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import drawing
from benchmarks.common.classifiers import NORMALIZATION, TEST_SEED, thumbnails
from benchmarks.common.concrete import AT_CELLS
from benchmarks.common.statistics import interval
from benchmarks.common.variants import SampledFIDO
from sdfido import enhance

BLENDS = ("infill", "original")
ALONE = "image alone"
_AT_ONCE = 42


def study(model: nn.Module, scenes: int, steps: int) -> dict[str, Any]:
    """Accuracy of the classifier alone, and averaged with its second look at what masks of either formula leave.

    No label is used: the classifier's own prediction is explained.
    """
    right: dict[str, list[Tensor]] = {}
    for begin in range(0, scenes, _AT_ONCE):
        drawn = drawing.scenes(range(begin, min(begin + _AT_ONCE, scenes)), seed=TEST_SEED)
        originals = NORMALIZATION.normalize(drawn.pixels)
        images = thumbnails(originals)
        for formula, sampler in AT_CELLS.items():
            explanation = SampledFIDO(model, sampler, steps=steps, max_batch=64).explain(images)
            for blend in BLENDS:
                looks = enhance(model, images, explanation, originals=originals, blend=blend)
                right.setdefault(f"{formula}, {blend}", []).append(looks.predictions == drawn.labels)
        right.setdefault(ALONE, []).append(looks.predictions_image == drawn.labels)
    found = {name: torch.cat(parts).double() for name, parts in right.items()}
    masked = [name for name in found if name != ALONE]
    return {
        "scenes": scenes,
        "steps": steps,
        "accuracy": {name: interval(values) for name, values in found.items()},
        "gain": {name: interval(found[name] - found[ALONE]) for name in masked},
        "simplified - standard": {
            blend: interval(found[f"simplified, {blend}"] - found[f"standard, {blend}"]) for blend in BLENDS
        },
    }
