"""Time of a step's mask work by formula and place, and of whole explanations at equal numbers of calls."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.concrete import (
    Sampler,
    places,
    simplified_at_cells,
    standard_at_cells,
    standard_at_pixels,
)
from benchmarks.common.measuring import TOTAL, Step, alternate, measure
from benchmarks.common.variants import PLAIN, SampledFIDO
from sdfido.ops.functional import blend, penalties

SIZE, SAMPLES, TEMPERATURE = 224, 8, 0.1
EAGER: dict[str, Sampler] = {
    "standard, pixels": standard_at_pixels,
    "standard": standard_at_cells,
    "simplified": simplified_at_cells,
}
FUSED = "sdfido, fused"


def study(model: nn.Module, images: Tensor, targets: Tensor, *, rounds: int, size: int = SIZE) -> dict[str, Any]:
    """Milliseconds of steps with masks of many and of few cells, and of explanations of the images, one by one.

    size: height and width of the steps' image. rounds: of the explanations; steps have ten times as many.
    """
    return {
        "size": size,
        "samples": SAMPLES,
        "calls": 2 * PLAIN["steps"] * PLAIN["num_samples"],
        "steps": {str(cells): _steps(size, cells, 10 * rounds) for cells in (size, size // 8)},
        "explanations": _explanations(model, images, targets, rounds),
    }


def _steps(size: int, cells: int, rounds: int) -> dict[str, float]:
    """Samples, composites and penalties of two masks, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, cells, cells, generator=generator).requires_grad_()
    image, infill = torch.randn(2, 1, 3, size, size, generator=generator)
    gradients = torch.randn(1, 2, SAMPLES, 3, size, size, generator=generator), torch.ones(1, 2), torch.ones(1, 2)

    def eager(sampler: Sampler) -> Callable[[], object]:
        rows, columns = places(sampler, logits, (size, size))

        def run() -> object:
            u = torch.rand(1, 2, SAMPLES, rows, columns)
            masks = sampler(logits[:, :, None], u, TEMPERATURE, (size, size))
            outputs = blend(masks, image[:, None, None], infill[:, None, None]), *penalties(logits)
            return torch.autograd.grad(outputs, [logits], gradients)

        return run

    def fused() -> object:
        rng = sdfido.make_rng(torch.default_generator)
        outputs = sdfido.sample_composites(logits, image, infill, rng, num_samples=SAMPLES, temperature=TEMPERATURE)
        return torch.autograd.grad(tuple(outputs), [logits], gradients)

    runs = {name: eager(sampler) for name, sampler in EAGER.items()} | {FUSED: fused}
    return {name: round(value, 3) for name, value in measure(runs, rounds).items()}


def _explanations(model: nn.Module, images: Tensor, targets: Tensor, rounds: int) -> dict[str, float]:
    """Median milliseconds an image, with the default number of steps and as many classifier calls for all."""

    def explaining(explainer: sdfido.FIDO) -> Step:
        def step() -> Iterator[str]:
            for image, target in zip(images, targets, strict=True):
                explainer.explain(image, target[None])
            yield from ()

        return step

    explainers: dict[str, sdfido.FIDO] = {
        n: SampledFIDO(model, sampler, tolerance=0.0, **PLAIN) for n, sampler in EAGER.items()
    }
    explainers[FUSED] = sdfido.FIDO(model, antithetic=False, tolerance=0.0, **PLAIN)
    steps = {name: explaining(explainer) for name, explainer in explainers.items()}
    times = alternate(steps, rounds=rounds, untimed=0, timed=1)
    return {name: round(statistics.median(values[TOTAL]) / len(images), 3) for name, values in times.items()}
