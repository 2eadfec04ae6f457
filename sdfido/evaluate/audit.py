"""Statistics of an audit: numbers by class and by site with bootstrap intervals, and flags with reasons in words."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..checks import check_kind, check_list, set_count, set_number
from .background import PLACES
from .bootstrap import Estimate, Numbers, Sample, numbered

__all__ = ["MEASURES", "SPREAD", "Estimate", "Flag", "Group", "Limits", "Photos", "flags", "groups", "suspicion"]

Array = NDArray[np.float64]
Chosen = NDArray[np.bool_]

MEASURES = {
    "prob_image": "probability of the class for the photo",
    "animal_alone": "probability of the class for the animal alone, all else an even grey",
    "background_alone": "probability of the class for the background alone, the animal filled in from around it",
    "outside": "part of the evidence map outside the animal",
    "outside_by_chance": "part of the photo outside the animal: what a map that ignores the animal gets",
    "sufficient_area": "part of the photo that suffices for the class",
    "necessary_area": "part of the photo without which the class is lost",
}
"""What is averaged over the photos of a class or a site, each 0..1."""

SPREAD = "spread over the background"


@dataclass(frozen=True)
class Limits:
    """What counts as a shortcut; chosen on drawn scenes (docs/studies/audit.md) of which no result is reported."""

    background: float = 0.15  #: by how much backgrounds must raise a class, at the lower end of the interval
    site: float = 0.15  #: likewise by how much the backgrounds of a site must
    outside: float = 0.95  #: part of what chance puts outside the animal that evidence must have there
    place: float = 0.6  #: part of the rise that must go with a place, for that to be named
    photos: int = 8  #: fewer are no group; those of a sequence count as one
    level: float = 0.95  #: of the intervals
    resamples: int = 2000  #: of the bootstrap

    def __post_init__(self) -> None:
        for name in ("background", "site", "place"):
            set_number(self, name, float, 0, most=1)
        set_number(self, "outside", float, 0)
        set_number(self, "level", float, above=0, below=1)
        set_count(self, "photos")
        set_count(self, "resamples")

    @property
    def drawn(self) -> tuple[float, int]:
        """Level and resamples of each interval."""
        return self.level, self.resamples


@dataclass(frozen=True)
class Photos:
    """What is known of N photos; intervals are over their sequences, see ``sdfido.evaluate.bootstrap.Sample``."""

    classes: Sequence[str]  #: that is explained in each photo [N]
    sites: Sequence[str | None]  #: where the camera stood [N]
    numbers: Mapping[str, Array]  #: those of ``MEASURES`` by name [N], NaN where not known
    backgrounds: Mapping[str, Array]  #: by class, its probability for the background alone of every photo [N]
    without: Array  #: of the explained class for the background without each of ``PLACES`` [N, places]
    sequences: Sequence[str | None] | None = None  #: each photo's [N], None where it is alone; by default all are

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_list("classes", self.classes, str, "classes, one for each photo"))
        sites = check_list("sites", self.sites, (str, type(None)), "sites, or None, one for each photo")
        object.__setattr__(self, "sites", sites)
        n = len(self.classes)
        if self.sequences is not None:
            given = check_list("sequences", self.sequences, (str, type(None)), "sequences, or None, one for each photo")
            object.__setattr__(self, "sequences", given)
        for name, names in (("sites", self.sites), ("sequences", self.sequences)):
            if names is not None and len(names) != n:
                raise ValueError(f"{name} must be one for each of {n} photos, got {len(names)}")
        for name in ("numbers", "backgrounds"):
            arrays = check_kind(name, getattr(self, name), Mapping, "arrays [N] by name")
            for key, array in arrays.items():
                _check_array(f"{name}[{key!r}]", array, (n,))
        _check_array("without", self.without, (n, len(PLACES)))
        _check_names("backgrounds", self.backgrounds, self.classes)

    def of(self, name: str, value: str) -> Chosen:
        """Which photos have this class or site: [N]."""
        return np.array([each == value for each in (self.classes if name == "class" else self.sites)], dtype=bool)

    @functools.cached_property
    def numbered(self) -> Numbers:
        """The number of each photo's sequence [N]."""
        return numbered(self.sequences or [None] * len(self.classes))

    def counts(self, chosen: Chosen) -> tuple[int, int]:
        """How many photos these are, and how many sequences."""
        return int(chosen.sum()), len(np.unique(self.numbered[chosen]))

    def sample(self, values: Array, chosen: Chosen) -> Sample:
        """The values of some photos, and the sequences that they come in."""
        return Sample(values[chosen], self.numbered[chosen])


def _check_names(name: str, arrays: Mapping[str, Array], needed: Sequence[str]) -> None:
    if missing := [each for each in needed if each not in arrays]:
        raise ValueError(f"{name} must have {missing[0]!r}, got {', '.join(map(str, arrays)) or 'none'}")


def _check_array(name: str, array: Array, shape: tuple[int, ...]) -> None:
    check_kind(name, array, np.ndarray, f"an array {list(shape)}")
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"{name} must be floating-point {list(shape)}, got {array.dtype} {list(array.shape)}")


@dataclass(frozen=True)
class Group:
    """The photos of a class or of a site."""

    kind: Literal["class", "site"]
    name: str
    photos: int
    sequences: int  #: that these are of
    numbers: Mapping[str, Estimate]  #: those of ``MEASURES``, and ``background_rise`` of classes


@dataclass(frozen=True)
class Flag:
    """Something that a person should look at, and why."""

    kind: Literal["background", "site", "outside"]
    name: str  #: the class
    site: str | None  #: whose backgrounds it is about, if it is about a site
    place: str | None  #: where in the frame it lies: one of ``PLACES``, or ``SPREAD``
    estimate: Estimate  #: of the number that was compared with the limit
    photos: int  #: that speak for it
    sequences: int  #: that these are of
    reason: str  #: one or several sentences


def _limits(photos: Photos, limits: Limits | None) -> Limits:
    check_kind("photos", photos, Photos, "sdfido.evaluate.audit.Photos")
    if limits is not None:
        check_kind("limits", limits, Limits, "sdfido.evaluate.audit.Limits")
    return limits or Limits()


def groups(photos: Photos, limits: Limits | None = None) -> list[Group]:
    """The numbers of each class and each site, classes first, both sorted by name."""
    limits = _limits(photos, limits)
    found = []
    for kind, names in (("class", photos.classes), ("site", photos.sites)):
        for name in sorted({each for each in names if each is not None}):
            chosen = photos.of(kind, name)
            samples = {each: photos.sample(values, chosen) for each, values in photos.numbers.items()}
            numbers = {each: sample.mean(*limits.drawn) for each, sample in samples.items()}
            if kind == "class":
                own, others = (photos.sample(photos.backgrounds[name], each) for each in (chosen, ~chosen))
                numbers["background_rise"] = own.minus(others, *limits.drawn)
            found.append(Group("class" if kind == "class" else "site", name, *photos.counts(chosen), numbers))
    return found


def flags(photos: Photos, limits: Limits | None = None) -> list[Flag]:
    """What speaks for a shortcut: backgrounds of classes and sites, the strongest first, and then evidence outside.

    * ``background``: the backgrounds of a class's photos raise its probability over what the backgrounds of the other
      photos get: ``mean of p(class | background) in its photos - the same in all others``. Where the background without
      a place of the frame loses most of that rise, the place is named.
    * ``site``: where no place is named, whether the backgrounds of a site raise that class over those of all other
      sites, whatever their photos show. By itself that is no shortcut: every model says something of empty photos, and
      not the same everywhere.
    * ``outside``: the evidence of a class lies outside the animal as far as chance would put it there.

    A difference counts if the lower end of its interval is above the limit. What one class gains by a mark, the others
    gain where it is missing; so the strongest comes first, and the photos of a flagged class or site are left out of
    what the others are compared with. Without others to compare with, nothing is flagged.
    """
    limits = _limits(photos, limits)
    _check_names("numbers", photos.numbers, ("outside", "outside_by_chance"))
    backgrounds = _of_backgrounds(photos, limits)
    backgrounds += _of_sites(photos, [flag.name for flag in backgrounds if flag.place == SPREAD], limits)
    names = sorted(set(photos.classes))
    outside = [flag for name in names for flag in _of_outside(photos, name, photos.of("class", name), limits)]
    return [
        *sorted(backgrounds, key=lambda flag: -flag.estimate.value),
        *sorted(outside, key=lambda flag: -flag.estimate.value),
    ]


def suspicion(photos: Photos) -> Array:
    """How much more the background alone says than the animal alone, [N], -1..1; NaN where not known."""
    check_kind("photos", photos, Photos, "sdfido.evaluate.audit.Photos")
    _check_names("numbers", photos.numbers, ("background_alone", "animal_alone"))
    return photos.numbers["background_alone"] - photos.numbers["animal_alone"]


def _of_backgrounds(photos: Photos, limits: Limits) -> list[Flag]:
    found: list[Flag] = []
    left_out = np.zeros(len(photos.classes), dtype=bool)
    chosen = {name: photos.of("class", name) for name in sorted(set(photos.classes))}
    for name in sorted(chosen, key=lambda each: -_step(photos, each, chosen[each], ~chosen[each])):
        here, there = chosen[name], ~chosen[name] & ~left_out
        rise = _compared(photos, name, here, there, limits.background, limits)
        if rise is not None:
            without = f" (but for those of {', '.join(flag.name for flag in found)})" if found else ""
            found.append(_of_background(photos, name, here, there, without, rise, limits))
            left_out |= here
    return found


def _of_background(
    photos: Photos, name: str, here: Chosen, there: Chosen, but: str, rise: Estimate, limits: Limits
) -> Flag:
    values = photos.backgrounds[name]
    drops = {
        place: float(np.nanmean(values[here] - photos.without[here, k])) / rise.value for k, place in enumerate(PLACES)
    }
    place = next((each for each in PLACES if drops[each] >= limits.place), None)  # small ones first
    if place is not None:
        place = max((each for each in PLACES if _kind(each) == _kind(place)), key=lambda each: drops[each])
        part = min(drops[place], 1)
        where = f"It goes with the {place} of the photo: filled in, that takes {part:.0%} of the difference away."
    else:
        where = "No edge or corner of the photo holds most of that: it is spread over the background."
    own, others = (photos.sample(values, each).mean(*limits.drawn).text for each in (here, there))
    counts = photos.counts(here)
    reason = (
        f"The background alone speaks for {name!r}: with the animal filled in, the model still gives it {own} in the "
        f"{_told(*counts)} explained for it, and {others} in the other photos{but}. {where}"
    )
    return Flag("background", name, None, place or SPREAD, rise, *counts, reason)


def _of_sites(photos: Photos, names: Sequence[str], limits: Limits) -> list[Flag]:
    found: list[Flag] = []
    left_out = np.zeros(len(photos.sites), dtype=bool)
    chosen = {site: photos.of("site", site) for site in sorted({each for each in photos.sites if each is not None})}
    pairs = [(name, site) for name in names for site in chosen]
    for name, site in sorted(pairs, key=lambda pair: -_step(photos, pair[0], chosen[pair[1]], ~chosen[pair[1]])):
        here, there = chosen[site], ~chosen[site] & ~left_out
        rise = _compared(photos, name, here, there, limits.site, limits)
        if rise is not None:
            own, others = (
                photos.sample(photos.backgrounds[name], each).mean(*limits.drawn).text for each in (here, there)
            )
            but = list(dict.fromkeys(flag.site for flag in found if flag.site not in (None, site)))
            without = f" (but for {', '.join(map(str, but))})" if but else ""
            reason = (
                f"The background of site {site!r} speaks for {name!r}: with all animals filled in, the model gives it "
                f"{own} there, and {others} at the other sites{without}."
            )
            found.append(Flag("site", name, site, SPREAD, rise, *photos.counts(here), reason))
            left_out |= here
    return found


def _of_outside(photos: Photos, name: str, chosen: Chosen, limits: Limits) -> list[Flag]:
    outside, chance = (photos.numbers[each] for each in ("outside", "outside_by_chance"))
    excess = photos.sample(outside - limits.outside * chance, chosen)
    if excess.sequences < limits.photos or excess.mean(*limits.drawn).low <= 0:
        return []
    found = photos.sample(outside, chosen).mean(*limits.drawn)
    reason = (
        f"The evidence for {name!r} lies where the animal is not: {found.text} of the map is outside the animal, and "
        f"{np.nanmean(chance[chosen]):.0%} of the photo is."
    )
    return [Flag("outside", name, None, None, found, *photos.counts(chosen), reason)]


def _compared(photos: Photos, name: str, here: Chosen, there: Chosen, limit: float, limits: Limits) -> Estimate | None:
    """By how much some backgrounds give a class more than others, if that is above a limit."""
    own, others = (photos.sample(photos.backgrounds[name], each) for each in (here, there))
    if min(own.sequences, others.sequences) < limits.photos or _step(photos, name, here, there) <= limit:
        return None
    rise = own.minus(others, *limits.drawn)
    return rise if rise.low > limit else None


def _step(photos: Photos, name: str, here: Chosen, there: Chosen) -> float:
    """By how much some backgrounds give a class more than others; -1 where that is not known."""
    own, others = (photos.backgrounds[name][each] for each in (here, there))
    is_known = np.isfinite(own).any() and np.isfinite(others).any()
    return float(np.nanmean(own) - np.nanmean(others)) if is_known else -1.0


def _told(photos: int, sequences: int) -> str:
    """How many there are: "18 photos", "18 photos (4 sequences)"."""
    of = f" ({sequences} sequence{'s' if sequences > 1 else ''})" if sequences < photos else ""
    return f"{photos} photos{of}"


def _kind(place: str) -> str:
    """An edge or a corner."""
    return place.split()[-1]
