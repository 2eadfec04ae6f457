"""Intervals over sequences of photos: right where photos come in bursts, and as ever where each is alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sdfido.evaluate.audit import MEASURES, Limits, Photos, flags, groups
from sdfido.evaluate.background import PLACES
from sdfido.evaluate.bootstrap import Sample, numbered

BURST = 5  # photos
LEVEL = 0.95


def by_photos(known: np.ndarray[Any, Any], stream: int, resamples: int) -> np.ndarray[Any, Any]:
    """The mean and its resamples, photo by photo (Efron 1979)."""
    rng = np.random.default_rng([stream, len(known)])
    if len(known) > 1000:
        drawn = known.mean() + known.std() / math.sqrt(len(known)) * rng.standard_normal(resamples)
    else:
        drawn = known[rng.integers(len(known), size=(resamples, len(known)))].mean(1)
    return np.array([known.mean(), *drawn])


def interval(resampled: np.ndarray[Any, Any]) -> tuple[float, ...]:
    return (resampled[0], *np.quantile(resampled[1:], [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2]))


@pytest.mark.parametrize("n", [1, 7, 300, 1500])
def test_with_one_photo_a_sequence_the_bits_are_those_of_photos(n: int) -> None:
    rng = np.random.default_rng(n)
    values, others = rng.random(n), rng.random(n + 3)
    values[1::4] = np.nan
    known = values[np.isfinite(values)]
    for names in ([None] * n, [f"s{(7 * k) % n}" for k in range(n)] if n % 7 else [str(k) for k in range(n)]):
        sample = Sample(values, numbered(names))
        assert sample.sequences == len(known)
        assert sample.mean(LEVEL, 500) == interval(by_photos(known, 0, 500))
        other = Sample(others, numbered([None] * len(others)))
        drawn = by_photos(known, 0, 500) - by_photos(others, 1, 500)
        assert sample.minus(other, LEVEL, 500) == interval(drawn)


def test_bursts_of_equal_photos_say_as_much_as_one_photo_of_each() -> None:
    values = np.random.default_rng(0).random(40)
    once = Sample(values, numbered([None] * 40)).mean(LEVEL, 500)
    bursts = [f"{n}" for n in range(40) for _ in range(BURST)]
    assert Sample(np.repeat(values, BURST), numbered(bursts)).mean(LEVEL, 500) == pytest.approx(once)
    many = np.random.default_rng(1).random(1200)
    once = Sample(many, numbered([None] * 1200)).mean(LEVEL, 500)
    bursts = [f"{n}" for n in range(1200) for _ in range(BURST)]
    assert Sample(np.repeat(many, BURST), numbered(bursts)).mean(LEVEL, 500) == pytest.approx(once)


def test_sequences_of_several_lengths_by_hand() -> None:
    sample = Sample(np.array([1.0, 0.0, 0.0, 0.0, np.nan]), numbered(["a", "b", "b", "b", "c"]))
    assert sample.sequences == 2
    # drawn are aa, with the mean 1, in a quarter of the cases, ab with 1/4 in half of them, and bb with 0
    assert sample.mean(0.4, 2000) == (0.25, 0.25, 0.25)
    assert sample.mean(0.6, 2000) == (0.25, 0, 1)


def test_many_sequences_of_several_lengths_have_the_interval_of_fewer() -> None:
    """Drawn from a normal distribution, beyond 1000 sequences, as wide as the bootstrap itself is."""
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 8, 1100)
    names = [str(n) for n, length in enumerate(lengths) for _ in range(length)]
    values = np.repeat(rng.random(1100), lengths)
    estimate = Sample(values, numbered(names)).mean(LEVEL, 20000)
    sums, drawn = np.bincount(numbered(names), values), rng.integers(1100, size=(4000, 1100))
    low, high = np.quantile(sums[drawn].sum(1) / lengths[drawn].sum(1), [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize("whole", [True, False])
def test_intervals_over_sequences_cover_the_truth(whole: bool) -> None:
    """Rates of bursts, known to be 30% in the mean, as an interval by sequences knows, and one by photos does not."""
    draws, bursts = 400, 60
    covered = 0
    for seed in range(draws):
        rates = np.random.default_rng([seed, 16]).beta(1.5, 3.5, bursts)
        names: list[str | None] = [str(n) if whole else None for n in range(bursts) for _ in range(BURST)]
        estimate = Sample(np.repeat(rates, BURST), numbered(names)).mean(LEVEL, 400)
        covered += estimate.low <= 0.3 <= estimate.high
    if whole:
        assert abs(covered - LEVEL * draws) <= 2.58 * math.sqrt(draws * LEVEL * (1 - LEVEL))  # 99% of draws are within
    else:
        assert covered < 0.75 * draws  # 95% intervals that are too narrow by √5 cover it in 62%


def photos(seed: int, planted: float, bursts: int = 8) -> Photos:
    """Photos of three classes, of each as many bursts, whose backgrounds say something by the burst.

    They say it whatever the class, but for ``planted``, which the backgrounds of foxes say more.
    """
    rng = np.random.default_rng([seed, 17])
    names = np.repeat(["fox", "hare", "deer"], bursts)
    values = {name: np.where(rng.random(3 * bursts) < 0.3, 0.95, 0.05) for name in ("fox", "hare", "deer")}
    values["fox"] = np.where(names == "fox", np.minimum(values["fox"] + planted, 1), values["fox"])
    values = {name: np.repeat(each, BURST) for name, each in values.items()}
    classes = np.repeat(names, BURST).tolist()
    own = np.array([values[name][n] for n, name in enumerate(classes)])
    numbers = {name: np.full(len(classes), 0.5) for name in MEASURES} | {"outside": np.full(len(classes), 0.1)}
    sequences = [str(n // BURST) for n in range(len(classes))]
    without = np.repeat(own[:, None], len(PLACES), 1)
    return Photos(classes, [None] * len(classes), numbers, values, without, sequences)


def test_a_clean_model_is_accused_less_and_a_planted_shortcut_is_found() -> None:
    clean = [photos(seed, 0) for seed in range(120)]
    assert sum(bool(flags(each)) for each in clean) <= 0.03 * len(clean)
    photo_by_photo = [flags(replace(each, sequences=None)) for each in clean]
    assert sum(map(bool, photo_by_photo)) >= 0.06 * len(clean)
    planted = [photos(seed, 0.9) for seed in range(20)]
    assert sum("fox" in [flag.name for flag in flags(each)] for each in planted) >= 0.95 * len(planted)


def test_a_flag_counts_its_sequences() -> None:
    known = photos(0, 0.9)
    flag = flags(known)[0]
    assert (flag.name, flag.photos, flag.sequences) == ("fox", 40, 8)
    assert "in the 40 photos (8 sequences) explained for it" in flag.reason
    assert [(each.photos, each.sequences) for each in groups(known)] == [(40, 8)] * 3
    assert flags(known, Limits(photos=8))
    assert not flags(known, Limits(photos=9))  # of a sequence, all photos count as one
