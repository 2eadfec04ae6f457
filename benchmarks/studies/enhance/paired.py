"""Two classifications of the same images: how much the second is better, and how sure that is."""

from __future__ import annotations

import math
from typing import TypedDict

from torch import Tensor

_Z = 1.959964  # of the normal distribution, for 95%


class Change(TypedDict):
    """Of the accuracy, from the first classification to the second."""

    accuracy: float  # of the second, 0..1
    difference: float  # to that of the first
    low: float  # the difference's confidence interval
    high: float
    gained: int  # images that only the second has right
    lost: int  # images that only the first has right
    p: float  # of as unequal numbers of both by chance


def change(first: Tensor, second: Tensor) -> Change:
    """The change between two rows of right (True) and wrong, image by image."""
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    both, n = int((first & second).sum()), len(first)
    low, high = interval(both, gained, lost, n - both - gained - lost)
    return Change(
        accuracy=round(float(second.float().mean()), 5),
        difference=round((gained - lost) / n, 5),
        low=round(low, 5),
        high=round(high, 5),
        gained=gained,
        lost=lost,
        p=float(f"{mcnemar(gained, lost):.3g}"),
    )


def interval(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """95% confidence interval of the difference of two paired proportions: (gained − lost) / n.

    Wilson's intervals of both proportions, added by their squares, less what their correlation takes away.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17 (1998), method 10.
    """
    n = both + gained + lost + neither
    p, q = (both + gained) / n, (both + lost) / n
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    excess = both * neither - gained * lost
    corrected = max(excess - n / 2, 0) if excess > 0 else excess
    phi = corrected / math.sqrt(margins) if margins else 0.0
    (p_low, p_high), (q_low, q_high) = _wilson(p, n), _wilson(q, n)

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return p - q - distance(p - p_low, q_high - q), p - q + distance(p_high - p, q - q_low)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided probability of numbers at least as unequal, where each would be as likely as the other."""
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**n)


def _wilson(p: float, n: int) -> tuple[float, float]:
    z2 = _Z * _Z
    middle, half = p + z2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
