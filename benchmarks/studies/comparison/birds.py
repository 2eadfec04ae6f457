"""The compared methods on drawn birds, where it is known which pixels decide."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.common import classifiers, drawing
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits, interval
from benchmarks.studies.birds.__main__ import chosen
from benchmarks.studies.comparison.methods import METHODS, Settings
from benchmarks.studies.reliability.methods import Case, ChannelsLast
from sdfido import evaluate

SEED = 11  # of drawings that no other study measures
COUNT = 24
_DRAWN = 70  # birds, of which the first that the classifier gets right are explained


def compare(count: int, given: Mapping[str, Settings]) -> Results:
    """How well each map of each method points out the deciding pixels, by the settings that are given, or its own."""
    classifier = classifiers.strong()
    drawings, accuracy = chosen(classifier, drawing.birds(range(_DRAWN), seed=SEED), count)
    model = ChannelsLast(classifier.model)
    images = classifier.normalization.normalize(drawings.pixels)
    cases = [
        Case(model, image[None], pixels, label)
        for image, pixels, label in zip(images, drawings.pixels, drawings.labels.tolist(), strict=True)
    ]
    found = {}
    for name, method in METHODS.items():
        every = [method.explain(case, 0, **given.get(name, {})) for case in cases]
        found[name] = {each: measured(torch.cat([maps[each] for maps in every]), drawings.truth) for each in every[0]}
        print(f"{count} birds by {name}", flush=True)
    return {"count": count, "accuracy": digits(accuracy), "maps": found}


def measured(maps: Tensor, truth: Tensor) -> dict[str, dict[str, float]]:
    """Of maps [N, H, W]: means over the images with 95% intervals."""
    return {
        "iou": interval(evaluate.intersection_over_union(maps, truth)),
        "pointing": interval(evaluate.pointing_game(maps, truth)),
    }
