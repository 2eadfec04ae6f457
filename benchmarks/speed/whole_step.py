"""A whole FIDO step, with the demo's classifier: what the mask work is a part of.

Loop and fused differ in how the masks' composites are made; everything else is one piece of code, and what
sdfido.FIDO does in a step: the classifier is left at its input, and its gradient handed on to the masks.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

import sdfido
from benchmarks.common.measuring import Step
from benchmarks.speed import baselines
from sdfido import models
from sdfido.scores import log_odds

STAGES = ("mask samples", "classifier forward", "classifier backward", "mask gradient", "optimiser")
FORMS = {"float32": "float32, channels-first", "bfloat16": "bfloat16, channels-last"}

Composites = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # logits -> composites [K * S, 3, H, W], both penalties


def steps(size: int = 224, samples: int = 8, device: str = "cpu") -> dict[str, Step]:
    """Each implementation in each form, such as "loop float32"; one image, two masks, one logit a pixel."""
    classifier = models.load(models.DEMO, device)
    image = classifier.preprocess(models.demo_photo())[None, :, :size, :size].to(device)
    infill = F.avg_pool2d(image, 31, stride=1, padding=15)
    result = {}
    for form in FORMS:
        low = form == "bfloat16"
        dtype = torch.bfloat16 if low else torch.float32
        model = models.load(models.DEMO, device).model
        model.to(memory_format=torch.channels_last if low else torch.contiguous_format)  # type: ignore[call-overload]
        for name in ("loop", "fused"):
            composites = _composites(name, image, infill, samples, dtype, channels_last=low)
            result[f"{name} {form}"] = _step(composites, model, size, samples, dtype, device)
    return result


def _composites(
    name: str, image: Tensor, infill: Tensor, samples: int, dtype: torch.dtype, *, channels_last: bool
) -> Composites:
    count = itertools.count()

    def loop(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts, *penalties = baselines.loop(
            logits, image, infill, samples, 0.1, dtype=dtype, channels_last=channels_last
        )
        return (torch.cat(parts), *penalties)

    def fused(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rng = sdfido.make_rng(0, step=next(count), device=logits.device)
        made = sdfido.sample_composites(
            logits, image, infill, rng, num_samples=samples, dtype=dtype, channels_last=channels_last
        )
        return made.composites.flatten(0, 2), made.sparsity, made.smoothness

    return {"loop": loop, "fused": fused}[name]


def _step(make: Composites, model: torch.nn.Module, size: int, samples: int, dtype: torch.dtype, device: str) -> Step:
    logits = torch.zeros(1, 2, size, size, device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([logits], lr=0.05, weight_decay=0.0)
    targets = torch.full((2 * samples,), 281, device=device)
    weights = torch.tensor([-1.0, 1.0], device=device).repeat_interleave(samples) / samples
    low = dtype != torch.float32

    def step() -> Iterator[str]:
        composites, sparsity, smoothness = make(logits)
        yield "mask samples"
        batch = composites.detach().requires_grad_()
        with torch.autocast(device, dtype=dtype) if low else contextlib.nullcontext():
            scores = log_odds(model(batch).float(), targets)
        yield "classifier forward"
        (gradient,) = torch.autograd.grad((scores * weights).sum(), batch)
        yield "classifier backward"
        area = torch.stack([sparsity[:, 0], 1 - sparsity[:, 1]], dim=1)
        penalty = 25.0 * area + 25.0 * smoothness
        (logits.grad,) = torch.autograd.grad([composites, penalty], logits, [gradient, torch.ones_like(penalty)])
        del composites, batch, gradient
        yield "mask gradient"
        optimizer.step()
        yield "optimiser"

    return step
