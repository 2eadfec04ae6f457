"""What is measured: sizes and options of a step without the classifier, and the implementations that do it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

import sdfido
from benchmarks.common.measuring import Step
from benchmarks.speed import baselines


@dataclass(frozen=True)
class Case:
    """One call of sample_composites, with K = 2 masks an image and 3 channels."""

    name: str
    title: str
    images: int = 1
    size: int = 224
    cells: int | None = None  # of a mask's side; None: one a pixel
    samples: int = 8
    temperature: float = 0.1
    antithetic: bool = False
    low: bool = False  # composites in bfloat16, channels-last
    threads: int = 2
    device: str = "cpu"

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.low else torch.float32

    @property
    def options(self) -> dict[str, Any]:
        return {"antithetic": self.antithetic, "dtype": self.dtype, "channels_last": self.low}

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, image and infill."""
        generator = torch.Generator().manual_seed(0)
        cells = self.cells or self.size
        logits = torch.randn(self.images, 2, cells, cells, generator=generator).to(self.device).requires_grad_()
        image, infill = torch.rand(2, self.images, 3, self.size, self.size, generator=generator).to(self.device)
        return logits, image, infill

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.low else torch.contiguous_format

    def gradient(self) -> Tensor:
        """Of the composites, [N * K * S, 3, H, W] in their layout; what a classifier would hand back."""
        shape = (self.images * 2 * self.samples, 3, self.size, self.size)
        values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        return values.to(self.device, self.dtype, memory_format=self.layout)

    @property
    def composite_bytes(self) -> int:
        return self.dtype.itemsize * 3 * 2 * self.samples * self.images * self.size**2

    def bytes_moved(self) -> dict[str, int]:
        """The least that memory must carry: every input read once, every output written once."""
        cells = (self.cells or self.size) ** 2
        logits, images = 4 * 2 * self.images * cells, 2 * 4 * 3 * self.images * self.size**2
        forward = logits + images + self.composite_bytes
        return {"forward": forward, "backward": forward + logits, "total": 2 * forward + logits}


CASES = [
    Case("main", "224 × 224, 2 masks × 8 samples"),
    Case("samples1", "1 sample", samples=1),
    Case("samples4", "4 samples", samples=4),
    Case("samples16", "16 samples", samples=16),
    Case("samples32", "32 samples", samples=32),
    Case("cells7", "masks of 7 × 7", cells=7),
    Case("cells28", "masks of 28 × 28", cells=28),
    Case("cells56", "masks of 56 × 56", cells=56),
    Case("size448", "448 × 448", size=448),
    Case("size600", "600 × 600", size=600),
    Case("images8", "8 images", images=8),
    Case("bfloat16", "bfloat16, channels-last", low=True),
    Case("antithetic", "antithetic samples", antithetic=True),
    Case("fractional", "τ 0.15 (1/τ not an integer)", temperature=0.15),
    Case("thread1", "1 thread", threads=1),
]
LEVELS = ("main", "cells56", "bfloat16")  # those measured at every instruction-set level
IMPLEMENTATIONS = ("loop", "vectorised", "compiled", "fused")


class Implementation(NamedTuple):
    """Forward gives all outputs, composites first; backward takes them to the gradient of the logits."""

    forward: Callable[[], list[Tensor]]
    backward: Callable[[list[Tensor]], Tensor]

    def step(self) -> Iterator[str]:
        outputs = self.forward()
        yield "forward"
        self.backward(outputs)
        del outputs
        yield "backward"


def implementations(case: Case) -> dict[str, Implementation]:
    """By name, for the same inputs and the same gradients of composites and penalties."""
    logits, image, infill = case.inputs()
    gradient, penalty = case.gradient(), torch.full((case.images, 2), 0.5, device=case.device)
    steps = itertools.count()

    def baseline(function: Callable[..., baselines.Result]) -> Callable[[], list[Tensor]]:
        def forward() -> list[Tensor]:
            composites, *penalties = function(logits, image, infill, case.samples, case.temperature, **case.options)
            return [*composites, *penalties]

        return forward

    def fused() -> list[Tensor]:
        rng = sdfido.make_rng(0, step=next(steps), device=case.device)
        samples = sdfido.sample_composites(
            logits, image, infill, rng, num_samples=case.samples, temperature=case.temperature, **case.options
        )
        return [samples.composites.flatten(0, 2), samples.sparsity, samples.smoothness]

    def implementation(forward: Callable[[], list[Tensor]], gradients: list[Tensor]) -> Implementation:
        given = [*gradients, penalty, penalty]
        return Implementation(forward, lambda outputs: torch.autograd.grad(outputs, logits, given)[0])

    samples = gradient.unflatten(0, (case.images, -1)).unbind(1)
    by_sample = [sample.contiguous(memory_format=case.layout) for sample in samples]
    torch._dynamo.reset()  # else the second shape would be compiled as a dynamic one
    return {
        "loop": implementation(baseline(baselines.loop), by_sample),
        "vectorised": implementation(baseline(baselines.vectorised), [gradient]),
        "compiled": implementation(baseline(torch.compile(baselines.vectorised, dynamic=False)), [gradient]),
        "fused": implementation(fused, [gradient]),
    }


def copy(case: Case) -> Step:
    """Copies a buffer of the composites' size: what the memory gives."""
    source = case.gradient()
    target = torch.empty_like(source)

    def step() -> Iterator[str]:
        target.copy_(source)
        yield from ()

    return step
