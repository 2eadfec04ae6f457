"""Finding the photos that a file of boxes, sites or labels means by its paths, wherever both were made."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..files import printable
from .detections import first
from .items import SUFFIXES

__all__ = ["Explained", "match", "match_places", "none_of"]

Parts = tuple[str, ...]


class Explained(Protocol):
    """What is known of the results of a photo; ``Result`` is one."""

    @property
    def folder(self) -> Path: ...
    @property
    def place(self) -> Path: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


def match(results: Sequence[Explained], names: Sequence[str], source: str) -> list[int | None]:
    """For each result the place among ``names`` of what means its photo; None where nothing does.

    Paths are compared from their ends, whatever their case and slashes; a name without a suffix of photos, with the
    paths without theirs. A name means a photo if the shorter of both paths is the end of the other; the longest such
    name counts. Where the folders differ, a file name is enough if only one photo and one name have it; and what is
    left is matched by its last folders, if these are the same once the front of all paths is exchanged for another one
    (``D:/traps/A/1.jpg`` for ``/data/A/1.jpg``).

    Args:
        results: of the photos.
        names: paths, relative or absolute.
        source: what the names are from, for messages.

    Raises:
        ValueError: a photo is meant by several names, or a name means several photos; the message names some.
    """
    return _match(results, [_paths(result) for result in results], names, source)


def _match(
    results: Sequence[Explained], paths: Sequence[Sequence[Parts]], names: Sequence[str], source: str
) -> list[int | None]:
    """What ``match`` finds, given the paths of the photos."""
    entries = [_parts(name) for name in names]
    named, ends = _by_ends(entries)
    alike: dict[str, set[Parts]] = {}
    for each in paths:
        alike.setdefault(each[0][-1], set()).add(each[0])
    found: list[int | None] = []
    unclear: list[str] = []
    for result, own in zip(results, paths, strict=True):
        best = _longest([*own, *(path for path in map(_without_suffix, own) if path not in own)], named, ends)
        same = ends.get(own[0][-1:], [])
        if not best and len(same) == 1 and len(alike[own[0][-1]]) == 1:
            best = same
        if len(best) > 1:
            unclear.append(f"{_photo(result)} (may be {first([names[place] for place in best], 2)})")
        found.append(best[0] if len(best) == 1 else None)
    if not unclear:
        _match_moved(found, paths, entries, ends)
    taken: dict[int, tuple[Parts, str]] = {}
    for result, own, chosen in zip(results, paths, found, strict=True):
        if chosen is not None and taken.setdefault(chosen, (own[0], _photo(result)))[0] != own[0]:
            unclear.append(f"{names[chosen]} (may be {first([taken[chosen][1], _photo(result)], 2)})")
    if unclear:
        raise ValueError(
            f"{source} must tell photos of the same file name apart, cannot for {first(unclear)}; give the paths in it "
            "with their folders"
        )
    return found


def match_places(results: Sequence[Explained], names: Sequence[str], source: str) -> list[int | None]:
    """As ``match``, but a name may also be a path from the explained folder, or the place of results in OUT."""
    by_name = {_parts(name): place for place, name in reversed(list(enumerate(names)))}
    all_paths = [_paths(result) for result in results]
    paths = [own[0] for own in all_paths]
    seen = [_parts(str(result.place.parent / Path(_photo(result)).name)) for result in results]
    shared = Counter(each for each, _ in dict.fromkeys(zip(seen, paths, strict=True)))
    meant: dict[Parts, int] = {}
    for path, relative, result in zip(paths, seen, results, strict=True):
        told = by_name.get(relative) if shared[relative] == 1 else None
        told = by_name.get(_parts(str(result.place))) if told is None else told
        if told is not None:
            meant.setdefault(path, told)
    found = [meant.get(path) for path in paths]
    left = [n for n, told in enumerate(found) if told is None]
    rest = sorted(set(range(len(names))) - set(meant.values()))
    others = [results[n] for n in left], [all_paths[n] for n in left], [names[place] for place in rest]
    for n, told in zip(left, _match(*others, source), strict=True):
        found[n] = None if told is None else rest[told]
    return found


def none_of(source: str, results: Sequence[Explained], names: Sequence[str]) -> ValueError:
    """Of a source that names no photo of the results."""
    has, photos = f"it has {first(names)}" if names else "it names none", first([_photo(each) for each in results])
    return ValueError(f"{source} must name the photos, but has none of {photos}; {has}")


def _by_ends(entries: Sequence[Parts]) -> tuple[dict[Parts, list[int]], dict[Parts, list[int]]]:
    """The places of the entries by the whole of them, and by each of their ends."""
    named: dict[Parts, list[int]] = {}
    ends: dict[Parts, list[int]] = {}
    for place, entry in enumerate(entries):
        named.setdefault(entry, []).append(place)
        for start in range(len(entry)):
            ends.setdefault(entry[start:], []).append(place)
    return named, ends


def _longest(paths: Sequence[Parts], named: Mapping[Parts, list[int]], ends: Mapping[Parts, list[int]]) -> list[int]:
    """The places of the entries that end in one of the paths, or that one of them ends in; of these, the longest."""
    longest, best = 0, set[int]()
    for path in paths:
        for length in range(len(path), max(longest, 1) - 1, -1):
            if found := ends.get(path) if length == len(path) else named.get(path[-length:]):
                best = best.union(found) if length == longest else set(found)
                longest = length
                break
    return sorted(best)


def _match_moved(
    found: list[int | None],
    paths: Sequence[Sequence[Parts]],
    entries: Sequence[Parts],
    ends: Mapping[Parts, list[int]],
) -> None:
    """Put in what is matched once the front that most of the paths differ in is exchanged."""
    taken = {place for place in found if place is not None}
    pairs: dict[tuple[Parts, Parts], list[tuple[int, int]]] = {}
    for n, own in enumerate(paths):
        for place in ends.get(own[0][-2:], []) if found[n] is None and len(own[0]) > 1 else []:
            tail = _tail(own[0], entries[place])
            if place not in taken:
                pairs.setdefault((own[0][:-tail], entries[place][:-tail]), []).append((n, place))
    best = sorted(pairs.values(), key=len, reverse=True)[:2]
    if len(best) == 1 or (best and len(best[0]) > len(best[1])):
        for n, place in best[0]:
            found[n] = place


def _photo(result: Explained) -> str:
    return str(result.summary["photo"])


def _paths(result: Explained) -> list[Parts]:
    """The photo's path on this machine, if the result says it, and as the user gave it."""
    about, given = result.summary, _photo(result)
    there = str(result.folder.resolve() / str(about["photo_path"])) if "photo_path" in about else given
    return list(dict.fromkeys([_parts(there), _parts(given)]))


def _without_suffix(path: Parts) -> Parts:
    """A path without the suffix of photos that it ends in; the same where that would leave another photo's name."""
    stem = next((path[-1][: -len(suffix)] for suffix in SUFFIXES if path[-1].endswith(suffix)), path[-1])
    return path if not stem or stem.endswith(SUFFIXES) else (*path[:-1], stem)


def _parts(path: str) -> Parts:
    found: list[str] = []
    for part in printable(Path(path)).replace("\\", "/").casefold().split("/"):
        if part == ".." and found:
            found.pop()
        elif part not in ("", ".", ".."):
            found.append(part)
    return tuple(found)


def _tail(path: Parts, entry: Parts) -> int:
    """How many parts are common at the end."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(reversed(path), reversed(entry), strict=False))
    return len(list(same))
