"""Mean and variance of dz/dlogit over the uniform numbers that a type can hold, against exact integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.concrete import SIMPLIFIED_EPSILON, STANDARD_EPSILON, simplified, standard
from sdfido.ops.reference import odds

TEMPERATURES = (0.1, 0.2, 0.5, 1.0)
BITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}  # of torch.rand's uniform numbers
EDGE = 2048  # numbers at either end of 0..1 that are all taken
_AT_ONCE = 32  # logits

Variant = Callable[[Tensor, Tensor, float], Tensor]
"""From logits [L, 1], the uniform numbers' integers k [G] and the temperature to samples [L, G]."""


def _standard(epsilon: float) -> Variant:
    def sample(logits: Tensor, k: Tensor, temperature: float) -> Tensor:
        return standard(torch.sigmoid(logits), _u(k, logits.dtype), temperature, epsilon)

    return sample


def _simplified(logits: Tensor, k: Tensor, temperature: float) -> Tensor:
    return simplified(logits, _u(k, logits.dtype), temperature)


def _fused(logits: Tensor, k: Tensor, temperature: float) -> Tensor:
    """As sdfido samples: odds of (k + 1/2) / 2**24, which are never 0 or infinite."""
    noise = -odds(k << 8, logits.dtype).log()
    return torch.sigmoid((logits + noise) / temperature)


VARIANTS: dict[str, Variant] = {
    f"standard, e = {STANDARD_EPSILON:g}": _standard(STANDARD_EPSILON),
    f"standard, e = {SIMPLIFIED_EPSILON:g}": _standard(SIMPLIFIED_EPSILON),
    "standard, e = 0": _standard(0.0),
    f"simplified, e = {SIMPLIFIED_EPSILON:g}": _simplified,
    "sdfido": _fused,
}


def study(step: float) -> dict[str, Any]:
    """Means and variances of all variants in float32, and in the half types at temperature 0.1, as ratios to the exact.

    step: between the logits -30, ..., 30.
    """
    logits = torch.arange(-30, 30 + step / 2, step, dtype=torch.float64)
    exact = {temperature: exact_moments(logits, temperature) for temperature in TEMPERATURES}
    cases = [(torch.float32, temperature) for temperature in TEMPERATURES]
    cases += [(torch.bfloat16, 0.1), (torch.float16, 0.1)]
    ratios: dict[str, Any] = {}
    for dtype, temperature in cases:
        for name, variant in VARIANTS.items():
            if variant is _fused and dtype != torch.float32:  # sdfido computes masks in float32
                continue
            mean, variance = moments(variant, logits.to(dtype), temperature)
            expected_mean, expected_variance = exact[temperature]
            place = ratios.setdefault(str(dtype).removeprefix("torch."), {}).setdefault(f"{temperature:g}", {})
            place[name] = {"mean": _list(mean / expected_mean), "variance": _list(variance / expected_variance)}
    return {
        "at": {"logits": logits.tolist()},
        "exact": {
            f"{temperature:g}": {"mean": _list(mean), "variance": _list(variance)}
            for temperature, (mean, variance) in exact.items()
        },
        "ratios": ratios,
    }


def _u(k: Tensor, dtype: torch.dtype) -> Tensor:
    return (k.double() / 2.0 ** BITS[dtype]).to(dtype)


def exact_moments(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of z(1 - z)/t over logistic noise, by the trapezoidal rule in float64."""
    x = torch.linspace(-60, 60, 24001, dtype=torch.float64)  # argument of the outer sigmoid
    width = temperature * float(x[1] - x[0])
    slope = torch.sigmoid(x) * torch.sigmoid(-x) / temperature
    noise = temperature * x - logits[:, None]
    density = torch.sigmoid(noise) * torch.sigmoid(-noise)
    mean, square = ((slope**power * density).sum(1) * width for power in (1, 2))
    return mean, square - mean**2


def moments(variant: Variant, logits: Tensor, temperature: float, edge: int = EDGE) -> tuple[Tensor, Tensor]:
    """Mean and variance of the gradient by autograd in the logits' dtype, over the grid of uniform numbers."""
    k, weights = _grid(BITS[logits.dtype], edge)
    means, squares = [], []
    for some in logits.split(_AT_ONCE):
        expanded = some[:, None].expand(-1, len(k)).clone().requires_grad_()
        (slope,) = torch.autograd.grad(variant(expanded, k, temperature).sum(), [expanded])
        slope = slope.double()
        means.append((slope * weights).sum(1))
        squares.append((slope**2 * weights).sum(1))
    mean = torch.cat(means)
    return mean, torch.cat(squares) - mean**2


def _grid(bits: int, edge: int) -> tuple[Tensor, Tensor]:
    """Integers k of the uniform numbers k / 2**bits with weights that sum to 1.

    All of them where there are few; else all at both ends, and between these ever wider classes by their middles.
    """
    count = 2**bits
    if count <= 4 * edge:
        return torch.arange(count), torch.full((count,), 1 / count, dtype=torch.float64)
    classes = int(edge * math.log(count / 2 / edge))
    ends = torch.linspace(0, math.log(count / 2 / edge), classes, dtype=torch.float64)
    bounds = torch.unique((edge * ends.exp()).round().long())
    k = torch.cat([torch.arange(edge), (bounds[1:] + bounds[:-1] - 1) // 2])
    weights = torch.cat([torch.ones(edge, dtype=torch.int64), bounds.diff()]).double() / count
    return torch.cat([k, count - 1 - k]), torch.cat([weights, weights])


def _list(values: Tensor) -> list[float | None]:
    """To five digits; None where a value is not a number, for JSON has none."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values.tolist()]
