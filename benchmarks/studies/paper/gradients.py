"""Noise and signal of the gradient of FIDO's score through a classifier, by formula, place and temperature."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.concrete import AT_CELLS, AT_PIXELS, Sampler, places, uniform
from benchmarks.common.statistics import digits, interval
from benchmarks.common.variants import PLAIN
from sdfido.infills import Blur
from sdfido.scores import log_odds

TEMPERATURE = 0.1  # of existing code
TEMPERATURES = (0.1, 0.5, 1.0)
SIZES = (1, 2, 4, 8, 16, 32)  # of mini-batches
FAR = 14.0  # logits beyond which the standard formula goes wrong in float32
STATES = ("start", "middle", "end")
_SIGNS = torch.tensor([-1.0, 1.0])  # of SSR and SDR


def study(model: nn.Module, images: Tensor, targets: Tensor, samples: int, **settings: Any) -> dict[str, Any]:
    """All arms at the logits that a run of sdfido.FIDO has at its start, in its middle and at its end.

    images: [N, C, H, W]. samples: gradients of each image, state and arm.
    """
    arms = {f"{name}, t = {t:g}": (sampler, t) for t in TEMPERATURES for name, sampler in AT_CELLS.items()}
    arms |= {f"{name}, pixels, t = {TEMPERATURE:g}": (s, TEMPERATURE) for name, s in AT_PIXELS.items()}
    states = logits_of_a_run(model, images, targets, **settings)
    reach, beyond = (
        {state: digits(float(of(logits.abs()))) for state, logits in zip(STATES, states, strict=True)}
        for of in (Tensor.max, lambda size: (size > FAR).double().mean())
    )
    found: dict[str, Any] = {"images": len(images), "samples": samples, "reach": reach, "beyond": beyond}
    found |= {"arms": {}, "ratios": {}}
    noise: dict[str, dict[str, Tensor]] = {}
    for name, (sampler, temperature) in arms.items():
        found["arms"][name], noise[name] = {}, {}
        for state, logits in zip(STATES, states, strict=True):
            gradients = [
                sampled_gradients(model, images[i], logits[i], targets[i], sampler, temperature, samples, stream=i)
                for i in range(len(images))
            ]
            found["arms"][name][state], noise[name][state] = summary(torch.stack(gradients))
    for name in (name for name in arms if name.startswith("simplified")):
        other = noise[name.replace("simplified", "standard")]
        found["ratios"][name.removeprefix("simplified, ")] = {s: interval(v, other[s]) for s, v in noise[name].items()}
    found["antithetic"] = _antithetic(model, images, targets, states, samples)
    found["rounding"] = _rounding(model, images, targets, states, samples)
    return found


def sampled_gradients(
    model: nn.Module,
    image: Tensor,
    logits: Tensor,
    target: Tensor,
    sampler: Sampler,
    temperature: float,
    samples: int,
    *,
    stream: int,
    opposite: bool = False,
) -> Tensor:
    """Gradients of the score of one mask sample each, [samples, K, h, w].

    image: [C, H, W]. logits: [K, h, w]. stream: which uniform numbers. opposite: 1 - u in place of u.
    """
    size = (image.shape[-2], image.shape[-1])
    infill = Blur()(image[None].float()).to(image)
    parts = []
    for begin in range(0, samples, 32):
        count = min(32, samples - begin)
        u = uniform((len(logits), count, *places(sampler, logits, size)), 0, begin, [stream])[0].to(logits)
        if opposite:
            u = 1 - u - 2.0**-24
        own = logits[:, None].expand(-1, count, -1, -1).clone().requires_grad_()  # each sample has its gradient
        masks = sampler(own, u, temperature, size)
        batch = sdfido.blend(masks[None], image[None], infill).flatten(0, 2)
        scores = log_odds(model(batch), target.expand(len(batch))).view(len(logits), count)
        (gradient,) = torch.autograd.grad((_SIGNS[:, None].to(scores) * scores).sum(), [own])
        parts.append(gradient.transpose(0, 1))
    return torch.cat(parts)


def logits_of_a_run(model: nn.Module, images: Tensor, targets: Tensor, **settings: Any) -> list[Tensor]:
    """Of a run's start, middle and end, each [N, 2, h, w]."""
    kept: list[Tensor] = []
    explainer = sdfido.FIDO(model, max_batch=64, tolerance=0.0, **PLAIN | settings)
    explainer.explain(images, targets, on_step=lambda progress: kept.append(progress.parameters))
    return [torch.zeros_like(kept[0]), kept[len(kept) // 2], kept[-1]]


def summary(gradients: Tensor) -> tuple[dict[str, Any], Tensor]:
    """Of gradients [N, R, K, h, w]: noise (trace of the covariance) against signal (square of the mean); noise [N].

    The signal is unbiased. ``batches`` are variances of means over mini-batches as measured, means over the images.
    """
    flat = gradients.double().flatten(2)
    samples = flat.shape[1]
    noise = flat.var(1).sum(1)
    signal = flat.mean(1).square().sum(1) - noise / samples
    batches = {}
    for size in SIZES:
        if samples // size > 1:
            means = flat[:, : samples // size * size].unflatten(1, (-1, size)).mean(2)
            batches[str(size)] = digits(float(means.var(1).sum(1).mean()))
    return {"noise": interval(noise), "signal_to_noise": interval(signal / noise), "batches": batches}, noise


def _antithetic(
    model: nn.Module, images: Tensor, targets: Tensor, states: list[Tensor], samples: int
) -> dict[str, Any]:
    """Variance of the mean over a pair with opposite noise, over that of a pair with independent noise."""
    sampler, found = AT_CELLS["simplified"], {}
    for state, logits in zip(STATES, states, strict=True):
        pairs, singles = [], []
        for i in range(len(images)):
            one, other = (
                sampled_gradients(
                    model, images[i], logits[i], targets[i], sampler, TEMPERATURE, samples, stream=i, opposite=opposite
                ).double()
                for opposite in (False, True)
            )
            pairs.append(((one + other) / 2).var(0).sum())
            singles.append((one.var(0).sum() + other.var(0).sum()) / 4)
        found[state] = interval(torch.stack(pairs), torch.stack(singles))
    return found


def _rounding(model: nn.Module, images: Tensor, targets: Tensor, states: list[Tensor], samples: int) -> dict[str, Any]:
    """Norms of differences between gradients of the same noise over the norm in float64: median of all samples."""
    precise = copy.deepcopy(model).double()
    differences: dict[str, list[Tensor]] = {}
    for logits in states:
        for i in range(len(images)):

            def gradients(name: str, dtype: torch.dtype, logits: Tensor = logits[i], i: int = i) -> Tensor:
                operands = images[i].to(dtype), logits.to(dtype), targets[i]
                judge = precise if dtype == torch.float64 else model
                found = sampled_gradients(judge, *operands, AT_CELLS[name], TEMPERATURE, samples, stream=i)
                return found.double().flatten(1)

            exact = gradients("simplified", torch.float64)
            standard, simplified = (gradients(name, torch.float32) for name in ("standard", "simplified"))
            for name, one, other in (
                ("standard - simplified", standard, simplified),
                ("simplified - float64", simplified, exact),
                ("standard - float64", standard, exact),
            ):
                differences.setdefault(name, []).append((one - other).norm(dim=1) / exact.norm(dim=1))
    return {name: digits(float(torch.cat(parts).median())) for name, parts in differences.items()}
