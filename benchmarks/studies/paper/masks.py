"""Mask quality over mini-batch sizes: at equal numbers of classifier calls, and at equal numbers of steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.concrete import Sampler, simplified_at_cells, standard_at_cells, standard_at_pixels
from benchmarks.common.statistics import interval
from benchmarks.common.variants import PLAIN, SampledFIDO
from sdfido import Explanation, evaluate
from sdfido.infills import Blur
from sdfido.ops.functional import penalties
from sdfido.scores import log_odds

SIZES = (1, 2, 4, 8, 16, 32)
FEW = (1, 2, 4, 8)  # sizes at equal numbers of steps
SHOWN = (1, 8, 32)  # sizes in the picture
ARMS: dict[str, tuple[Sampler, float]] = {  # with the temperature
    "standard, pixels": (standard_at_pixels, 0.1),
    "standard": (standard_at_cells, 0.1),
    "simplified": (simplified_at_cells, 0.1),
    "simplified, t = 1": (simplified_at_cells, 1.0),
}
OURS = "simplified"
SERIES = {"equal calls": SIZES, "equal steps": FEW}

Values = dict[str, Tensor]
"""Of each image [N], by name of the measure."""


def settings(size: int, steps: int) -> dict[str, Any]:
    """Those of a run: a rate that suits its number of steps, the rest by sdfido's defaults."""
    return {
        "num_samples": size,
        "steps": steps,
        "learning_rate": rate(steps),
        "tolerance": 0.0,
        "max_batch": 64,
    }


def rate(steps: int) -> float:
    """The default rate, and more where there are so few steps that the logits would get nowhere."""
    defaults = sdfido.Settings(**PLAIN)
    return defaults.learning_rate * max(1.0, defaults.steps / steps) ** 0.5


def steps_of(series: str, size: int, budget: int) -> int:
    """At equal calls a run has budget samples of each mask; at equal steps all have a quarter of that many steps."""
    return max(1, budget // (size if series == "equal calls" else 4))


def study(
    model: nn.Module, images: Tensor, targets: Tensor, truth: Tensor, *, budget: int, shown: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """All arms and sizes; and for the picture the joint maps of the first images by "arm, size".

    budget: samples of each mask in a run at equal calls.
    """
    found: dict[str, Any] = {"images": len(images), "budget": budget}
    pictures: dict[str, Tensor] = {}
    for series, sizes in SERIES.items():
        found[series] = {}
        first: dict[str, Values] = {}
        for size in sizes:
            steps = steps_of(series, size, budget)
            values: dict[str, Values] = {}
            for arm, (sampler, temperature) in ARMS.items():
                explainer = SampledFIDO(model, sampler, **PLAIN | {"temperature": temperature, **settings(size, steps)})
                explanation = explainer.explain(images, targets)
                values[arm] = measured(model, images, truth, explanation)
                if series == "equal calls":
                    pictures[f"{arm}, {size}"] = _joint(explanation)[:shown]
            first = first or values  # those of size 1, which comes first
            found[series][str(size)] = {"steps": steps} | {
                arm: {
                    "values": {name: interval(value) for name, value in of.items()},
                    "less ours": {name: interval(value - values[OURS][name]) for name, value in of.items()},
                    "less size 1": {name: interval(value - first[arm][name]) for name, value in of.items()},
                }
                for arm, of in values.items()
            }
            print(f"masks, {series}, mini-batches of {size}: done", flush=True)
    return found, pictures


@torch.no_grad()
def measured(model: nn.Module, images: Tensor, truth: Tensor, explanation: Explanation) -> Values:
    """All measures of the masks at the end of one run, for each image."""
    chosen = sdfido.Settings(**PLAIN)
    sparsity, smoothness = penalties(explanation.mask_logits)
    area = sparsity[:, 0] + 1 - sparsity[:, 1]
    penalty = chosen.sparsity_weight * area + chosen.smoothness_weight * smoothness.sum(1)
    kept, destroyed = (
        torch.cat(
            [log_odds(model(part), t) for part, t in zip(c.split(16), explanation.targets.split(16), strict=True)]
        )
        for c in explanation.composites(images, Blur()(images))
    )
    return {
        "iou": evaluate.intersection_over_union(_joint(explanation), truth),
        "variation": torch.stack([evaluate.total_variation(m) for m in explanation.masks.unbind(1)]).mean(0),
        "objective": destroyed - kept + penalty,
        "kept": explanation.prob_ssr,
        "destroyed": explanation.prob_sdr,
        "area": area / 2,
    }


def _joint(explanation: Explanation) -> Tensor:
    """``sqrt(ssr * sdr)`` of the masks at the end [N, H, W]."""
    ssr, sdr = explanation.masks.unbind(1)
    return (ssr * (1 - sdr)).sqrt()
