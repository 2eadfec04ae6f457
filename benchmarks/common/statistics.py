"""Means and ratios with bootstrap confidence intervals over images."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.common.records import Results

RESAMPLES = 4000


def interval(values: Tensor, over: Tensor | None = None, *, resamples: int = RESAMPLES) -> dict[str, float]:
    """Mean of values [N], or their sum over that of others [N], with its 95% percentile interval.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    values = values.double()
    over = torch.ones_like(values) if over is None else over.double()
    drawn = torch.randint(len(values), (resamples, len(values)), generator=torch.Generator().manual_seed(0))
    ratios = values[drawn].sum(1) / over[drawn].sum(1)
    low, high = ratios.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    found = {"value": float(values.sum() / over.sum()), "low": low, "high": high}
    return {name: digits(value) for name, value in found.items()}


def digits(value: float) -> float:
    """The number to six digits, for files that people read."""
    return float(f"{value:.6g}")


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def means(rows: list[Results]) -> dict[str, float]:
    """Of rows of numbers with the same names."""
    return {name: mean([row[name] for row in rows]) for name in rows[0]}
