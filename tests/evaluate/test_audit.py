"""Statistics and flags of an audit on cases that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sdfido.evaluate.audit import MEASURES, SPREAD, Limits, Photos, flags, groups, suspicion
from sdfido.evaluate.background import PLACES

EACH = 10  # photos of each class


def photos(sites: list[str | None] | None = None, **backgrounds: list[float]) -> Photos:
    """Photos of as many classes as have backgrounds: the probabilities for the backgrounds of each class's photos."""
    names = list(backgrounds)
    classes = [name for name in names for _ in range(EACH)]
    values = {name: np.repeat(each, EACH) for name, each in backgrounds.items()}
    own = np.array([values[name][n] for n, name in enumerate(classes)])
    numbers = {name: np.full(len(classes), 0.5) for name in MEASURES} | {"background_alone": own}
    numbers |= {"outside": np.full(len(classes), 0.3), "outside_by_chance": np.full(len(classes), 0.9)}
    without = np.repeat(own[:, None], len(PLACES), 1)
    return Photos(classes, sites or [None] * len(classes), numbers, values, without)


def told(found: list[Any]) -> list[tuple[Any, ...]]:
    return [(flag.kind, flag.name, flag.site, flag.place) for flag in found]


def test_a_class_whose_backgrounds_speak_for_it() -> None:
    known = photos(fox=[0.9, 0.1, 0.1], hare=[0.05, 0.4, 0.4], deer=[0.05, 0.5, 0.5])
    (flag,) = flags(known)
    assert told([flag]) == [("background", "fox", None, SPREAD)]
    assert flag.estimate == pytest.approx((0.8, 0.8, 0.8))
    assert flag.reason == (
        "The background alone speaks for 'fox': with the animal filled in, the model still gives it 90% (90% to 90%) "
        "in the 10 photos explained for it, and 10% (10% to 10%) in the other photos. No edge or corner of the photo "
        "holds most of that: it is spread over the background."
    )


def test_the_place_that_holds_the_difference_is_named() -> None:
    known = photos(fox=[0.9, 0.1], hare=[0.1, 0.9])
    without = known.without.copy()
    for place, drop in (("bottom edge", 0.72), ("bottom left corner", 0.3), ("left edge", 0.2)):
        without[:EACH, PLACES.index(place)] -= drop
    (flag,) = flags(replace(known, without=without))
    assert (flag.name, flag.place) == ("fox", "bottom edge")
    assert "It goes with the bottom edge of the photo: filled in, that takes 90% of the difference away." in flag.reason
    without[:EACH, PLACES.index("top right corner")] -= 0.6  # smaller than an edge, and enough
    (flag,) = flags(replace(known, without=without))
    assert flag.place == "top right corner"


def test_what_others_gain_where_a_mark_is_missing_is_no_shortcut_of_theirs() -> None:
    known = photos(fox=[0.9, 0.1, 0.1], hare=[0.05, 0.6, 0.6], deer=[0.05, 0.3, 0.3])
    assert {each.name: each.numbers["background_rise"].value for each in groups(known)} == pytest.approx(
        {"fox": 0.8, "hare": 0.275, "deer": 0.125}
    )
    assert [flag.name for flag in flags(known)] == ["fox"]


def test_several_classes_can_be_flagged() -> None:
    known = photos(fox=[0.9, 0.05, 0.05], hare=[0.05, 0.9, 0.1], deer=[0.05, 0.05, 0.85])
    found = flags(known)
    assert [flag.name for flag in found] == ["fox", "hare"]  # what is left has nothing to be compared with
    assert "in the other photos (but for those of fox)" in found[1].reason


@pytest.mark.parametrize("rise", [0.1, 0.2])
def test_the_lower_end_of_the_interval_counts(rise: float) -> None:
    known = photos(fox=[0.0, 0.0], hare=[0.5, 0.5])
    values = np.concatenate([np.tile([0, 2 * rise], EACH // 2), np.zeros(EACH)])
    backgrounds = dict(known.backgrounds) | {"fox": values}
    assert flags(replace(known, backgrounds=backgrounds)) == []
    (fox,) = (each for each in groups(replace(known, backgrounds=backgrounds)) if each.name == "fox")
    estimate = fox.numbers["background_rise"]
    spread = 1.96 * rise / EACH**0.5  # of the mean of values 0 and 2 * rise
    assert estimate.value == pytest.approx(rise)
    assert (estimate.low, estimate.high) == pytest.approx((rise - spread, rise + spread), abs=0.25 * spread)


def test_few_photos_are_not_flagged() -> None:
    known = photos(fox=[0.9, 0.1], hare=[0.1, 0.9])
    assert flags(known, Limits(photos=EACH))
    assert not flags(known, Limits(photos=EACH + 1))


def test_a_class_alone_has_nothing_to_be_compared_with() -> None:
    known = photos(fox=[0.9])
    assert flags(known) == []
    assert np.isnan(groups(known)[0].numbers["background_rise"].value)


def test_a_site_whose_backgrounds_speak_for_a_class() -> None:
    sites: list[str | None] = [*["ridge"] * 8, *["lake"] * 8, *[None] * 4]
    known = photos(sites, fox=[0.1, 0.1], hare=[0.5, 0.5])
    values = np.array([0.8 if site == "ridge" else 0.1 for site in sites])
    without = np.repeat(values[:, None], len(PLACES), 1)
    found = flags(replace(known, backgrounds=dict(known.backgrounds) | {"fox": values}, without=without))
    assert told(found) == [("site", "fox", "ridge", SPREAD), ("background", "fox", None, SPREAD)]
    flag = found[0]
    assert flag.photos == 8
    # by itself, where a class's photos are as often as others, it is no shortcut
    mixed: list[str | None] = ["ridge", "lake"] * EACH
    values = np.array([0.8 if site == "ridge" else 0.1 for site in mixed])
    assert flags(replace(known, sites=mixed, backgrounds=dict(known.backgrounds) | {"fox": values})) == []
    assert "gives it 80% (80% to 80%) there, and 10% (10% to 10%) at the other sites." in flag.reason


def test_evidence_that_ignores_the_animal() -> None:
    known = photos(fox=[0.1, 0.1], hare=[0.5, 0.5])
    outside = np.where(np.arange(2 * EACH) < EACH, 0.9, 0.8)
    found = flags(replace(known, numbers=dict(known.numbers) | {"outside": outside}))
    assert told(found) == [("outside", "fox", None, None)]
    unknown = np.full(2 * EACH, np.nan)
    assert flags(replace(known, numbers=dict(known.numbers) | {"outside": unknown})) == []


def test_numbers_by_class_and_site() -> None:
    known = photos(["a"] * EACH + ["b"] * EACH, fox=[0.1, 0.1], hare=[0.5, 0.5])
    values = np.concatenate([[np.nan, 1.0], np.zeros(2 * EACH - 2)])
    found = groups(replace(known, numbers=dict(known.numbers) | {"animal_alone": values}))
    assert [(each.kind, each.name, each.photos) for each in found] == [
        ("class", "fox", 10), ("class", "hare", 10), ("site", "a", 10), ("site", "b", 10),
    ]  # fmt: skip
    assert found[0].numbers["animal_alone"].value == pytest.approx(1 / 9)  # of those that are known
    assert found[1].numbers["animal_alone"] == (0, 0, 0)


def test_many_photos_have_the_same_interval_as_a_normal_mean() -> None:
    known = photos(fox=[0.1])
    values = np.tile([0.0, 1.0], 1000)
    many = Photos(["fox"] * 2000, [None] * 2000, {"outside": values}, {"fox": values}, np.ones((2000, len(PLACES))))
    estimate = groups(many)[0].numbers["outside"]
    assert estimate == pytest.approx((0.5, 0.5 - 1.96 * 0.5 / 2000**0.5, 0.5 + 1.96 * 0.5 / 2000**0.5), abs=2e-3)
    assert known.numbers["outside"][0] == 0.3


def test_suspicion() -> None:
    known = photos(fox=[0.9])
    assert suspicion(known).tolist() == pytest.approx([0.4] * EACH)
