"""Bootstrap intervals of means over photos that come in sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "Sample", "numbered"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_MANY = 1000  # sequences, of which no single one sways the mean


class Estimate(NamedTuple):
    """A mean over photos, or a difference of two, with its bootstrap interval over their sequences."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """In percent: "62% (55% to 70%)"."""
        if not math.isfinite(self.value):
            return "–"
        if not math.isfinite(self.low):
            return f"{self.value:.0%}"
        return f"{self.value:.0%} ({self.low:.0%} to {self.high:.0%})"


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def numbered(names: Sequence[str | None]) -> Numbers:
    """A number for each photo, the same for those of one sequence: [N]; photos without a name are alone."""
    numbers: dict[object, int] = {}
    keys = ((n,) if name is None else name for n, name in enumerate(names))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


class Sample:
    """The known values of some photos, and the sequences that they come in.

    Photos of one sequence are nearly the same photo. The bootstrap draws whole sequences with replacement, as many as
    there are, so that an interval is as wide as the number of sequences makes it, not that of photos.

    Args:
        values: of each photo [N], NaN where not known.
        sequences: the number of its sequence [N].

    Source: Davison & Hinkley, "Bootstrap methods and their application", 1997, section 3.8; Field & Welsh,
    "Bootstrapping clustered data", Journal of the Royal Statistical Society B 2007. Where each photo is a sequence by
    itself, this is the bootstrap of Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics
    1979.
    """

    def __init__(self, values: Array, sequences: Numbers) -> None:
        known = np.isfinite(values)
        self._values = values[known]
        present, self._sequences = np.unique(sequences[known], return_inverse=True)
        #: sequences with a known value
        self.sequences = len(present)

    def mean(self, level: float, resamples: int) -> Estimate:
        """The mean over photos, with its interval."""
        return _estimate(self._resampled(resamples, 0), level) if self.sequences else UNKNOWN

    def minus(self, other: Sample, level: float, resamples: int) -> Estimate:
        """The difference of both means, with its interval.

        Both are drawn by themselves. A sequence that has photos in both raises or lowers both means together, which
        makes the difference more certain than its interval says.
        """
        if not (self.sequences and other.sequences):
            return UNKNOWN
        return _estimate(self._resampled(resamples, 0) - other._resampled(resamples, 1), level)

    def _resampled(self, resamples: int, stream: int) -> Array:
        """The mean, and those of as many sequences drawn with replacement, again and again [1 + resamples].

        Of many sequences, the means are drawn from the normal distribution that they then have.
        """
        mean, count = self._values.mean(), self.sequences
        rng = np.random.default_rng([stream, count])
        if count > _MANY:
            deviations = np.bincount(self._sequences, self._values - mean)  # sums
            spread = np.sqrt(np.mean(deviations**2)) / (len(self._values) / count)
            drawn = mean + spread / math.sqrt(count) * rng.standard_normal(resamples)
        else:
            sums, photos = np.bincount(self._sequences, self._values), np.bincount(self._sequences)
            chosen = rng.integers(count, size=(resamples, count))
            drawn = sums[chosen].sum(1) / photos[chosen].sum(1)
        return np.array([mean, *drawn])


def _estimate(resampled: Array, level: float) -> Estimate:
    """The first is of the photos themselves, the others of the sequences resampled."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled[1:], [tail, 1 - tail])
    return Estimate(float(resampled[0]), float(low), float(high))
