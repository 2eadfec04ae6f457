"""Finding the photos that a file of boxes or sites means by its paths, wherever both were made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import printable
from .detections import first
from .results import Result

__all__ = ["match"]

Parts = tuple[str, ...]


def match(results: Sequence[Result], names: Sequence[str], source: str) -> list[int | None]:
    """For each result the place among ``names`` of what means its photo; None where nothing does.

    Paths are compared from their ends, whatever their case and slashes. A name means a photo if the shorter of both
    paths is the end of the other; the longest such name counts. Where the folders differ, a file name is enough if only
    one photo and one name have it; and what is left is matched by its last folders, if these are the same once the
    front of all paths is exchanged for another one (``D:/traps/A/1.jpg`` for ``/data/A/1.jpg``).

    Args:
        results: of the photos.
        names: paths, relative or absolute.
        source: what the names are from, for messages.

    Raises:
        ValueError: a photo is meant by several names, or a name means several photos; the message names some.
    """
    paths = [_paths(result) for result in results]
    entries = [_parts(name) for name in names]
    named: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        named.setdefault(entry[-1] if entry else "", []).append(place)
    alike: dict[str, set[Parts]] = {}
    for each in paths:
        alike.setdefault(each[0][-1], set()).add(each[0])
    found: list[int | None] = []
    unclear: list[str] = []
    for result, own in zip(results, paths, strict=True):
        candidates = named.get(own[0][-1], [])
        common = {place: max(_full(path, entries[place]) for path in own) for place in candidates}
        longest = max(common.values(), default=0)
        best = [place for place in candidates if common[place] == longest] if longest else []
        if not best and len(candidates) == 1 and len(alike[own[0][-1]]) == 1:
            best = candidates
        if len(best) > 1:
            unclear.append(f"{result.photo} (may be {first([names[place] for place in best], 2)})")
        found.append(best[0] if len(best) == 1 else None)
    if not unclear:
        _match_moved(found, paths, entries, named)
    taken: dict[int, tuple[Parts, str]] = {}
    for result, own, chosen in zip(results, paths, found, strict=True):
        if chosen is not None and taken.setdefault(chosen, (own[0], result.photo))[0] != own[0]:
            unclear.append(f"{names[chosen]} (may be {first([taken[chosen][1], result.photo], 2)})")
    if unclear:
        raise ValueError(
            f"{source} must tell photos of the same file name apart, cannot for {first(unclear)}; give the paths in it "
            "with their folders"
        )
    return found


def _match_moved(
    found: list[int | None], paths: Sequence[Sequence[Parts]], entries: Sequence[Parts], named: Mapping[str, list[int]]
) -> None:
    """Put in what is matched once the front that most of the paths differ in is exchanged."""
    taken = {place for place in found if place is not None}
    pairs: dict[tuple[Parts, Parts], list[tuple[int, int]]] = {}
    for n, own in enumerate(paths):
        for place in named.get(own[0][-1], []) if found[n] is None else []:
            tail = _tail(own[0], entries[place])
            if place not in taken and tail > 1:
                pairs.setdefault((own[0][:-tail], entries[place][:-tail]), []).append((n, place))
    best = sorted(pairs.values(), key=len, reverse=True)[:2]
    if len(best) == 1 or (best and len(best[0]) > len(best[1])):
        for n, place in best[0]:
            found[n] = place


def _paths(result: Result) -> list[Parts]:
    """The photo's path on this machine, if the result says it, and as the user gave it."""
    about = result.summary
    there = str(result.folder.resolve() / str(about["photo_path"])) if "photo_path" in about else result.photo
    return list(dict.fromkeys([_parts(there), _parts(result.photo)]))


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


def _full(path: Parts, entry: Parts) -> int:
    """How many parts are common, if the shorter path is the end of the other; otherwise 0."""
    length = min(len(path), len(entry))
    return length if length and path[-length:] == entry[-length:] else 0
