"""Search for small sufficient sets of patches, which are bit masks here, and for the graph of their subsets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attention_graph import AttentionGraphSettings

__all__ = ["Search", "Shares", "members", "windows"]

_SIZES = 12  # numbers of patches that a scan tries first, evenly on a logarithmic scale
_SINGLY = 4  # so many spare patches are removed one by one, more of them up to half at once
_SPACES = 60  # combinations of shared patches that are tried in a round


class Shares:
    """What part of the image's confidence each set of patches keeps; every set is asked for once.

    Args:
        ask: the shares of several sets.
        patches: of the image; all of them keep 1.
    """

    def __init__(self, ask: Callable[[list[int]], list[float]], patches: int) -> None:
        self.patches = patches
        self.everything = (1 << patches) - 1
        self.asked = 0
        self._ask = ask
        self._known = {self.everything: 1.0}

    def __call__(self, sets: Iterable[int]) -> list[float]:
        """Shares of several sets, by one question."""
        wanted = list(sets)
        new = [each for each in dict.fromkeys(wanted) if each not in self._known]
        if new:
            self.asked += len(new)
            self._known.update(zip(new, self._ask(new), strict=True))
        return [self._known[each] for each in wanted]

    def __getitem__(self, one: int) -> float:
        return self([one])[0]


def members(one: int) -> list[int]:
    """The patches in a set, ascending."""
    return [patch for patch in range(one.bit_length()) if one >> patch & 1]


def windows(cells: tuple[int, int], side: int) -> list[int]:
    """All squares of so many patches along each side, as sets, row by row; none of side 0."""
    rows, columns = cells
    height, width = min(side, rows), min(side, columns)
    if not side:
        return []
    square = _union(((1 << width) - 1) << (row * columns) for row in range(height))
    places = itertools.product(range(rows - height + 1), range(columns - width + 1))
    return [square << (row * columns + column) for row, column in places]


class Search:
    """Finds independent roots: sets that keep their share, and without any one of their patches do not.

    Args:
        shares: of the image.
        order: its patches, those first that the guide ranks highest.
        settings: of the search.
        windows: sets of patches to look for roots in, before anything else.
    """

    def __init__(
        self, shares: Shares, order: Sequence[int], settings: AttentionGraphSettings, windows: Sequence[int] = ()
    ) -> None:
        self.shares, self.order, self.settings, self.windows = shares, list(order), settings, windows

    def roots(self) -> list[int]:
        """The roots that were found, the smallest first; at least one.

        Each round searches a space of patches that is sufficient as a whole: first all patches, then those that no
        root has yet, then those and as many patches of roots as two roots may share. With windows these are the
        spaces, the one that keeps most first, without the patches of roots.
        """
        if self._suffices(0):
            return [0]
        candidates: list[int] = []
        roots: list[int] = []
        tried: set[int] = set()
        while len(roots) < self.settings.max_roots and (not roots or self._has_time()):
            space = self._next_space(roots, tried)
            if space is None:
                break
            tried.add(space)
            candidates += [each for each in self._explore(space) if each not in candidates]
            roots = self._independent(candidates)
        return roots

    def graph(self, roots: Sequence[int]) -> list[int]:
        """Roots and their subsets by single removals, each once, level after level.

        A node is expanded while it keeps more than ``expanded_share``; its children are those that lose most.
        """
        settings, nodes = self.settings, dict.fromkeys(roots)
        level = list(roots)
        while level:
            following: list[int] = []
            for node in level:
                if self.shares[node] <= settings.expanded_share:
                    continue
                children = _without_one(node)
                ranked = sorted(zip(self.shares(children), children, strict=True))[: settings.max_children]
                for _, child in ranked:
                    if child not in nodes and len(nodes) < settings.max_nodes:
                        nodes[child] = None
                        following.append(child)
            level = following
        return list(nodes)

    def minimal(self, one: int) -> int:
        """A subset of a sufficient set without a patch to spare; the most dispensable patches go first."""
        while spare := self._spare(one):
            counts = [len(spare) // 2, len(spare) // 4, 1] if len(spare) > _SINGLY else [1]
            smaller = [one & ~_union(1 << patch for patch in spare[:count]) for count in counts]
            one = next(each for each, share in zip(smaller, self.shares(smaller), strict=True) if self._reaches(share))
        return one

    def _explore(self, space: int) -> list[int]:
        """Roots in a sufficient space: those that a beam finds if they are smaller than one by removals; else that."""
        removed = self.minimal(self._least_prefix(space))
        return self._beam(space, removed.bit_count() - 1) or [removed]

    def _beam(self, space: int, levels: int) -> list[int]:
        """Minimal sets from the first level on which sets of a beam suffice, with at most so many patches.

        It takes three quarters of the evaluations that are left, so that other spaces get their turn.
        """
        settings, beam = self.settings, [0]
        last = 0.25 * self.shares.asked + 0.75 * settings.max_evaluations
        order = [patch for patch in self.order if space >> patch & 1]
        for _ in range(levels):
            if self.shares.asked >= last:
                break
            successors: dict[int, None] = {}
            for one in beam:
                free = itertools.islice((patch for patch in order if not one >> patch & 1), settings.branching)
                successors.update((one | 1 << patch, None) for patch in free)
            ranked = self._ranked(successors)
            good = [one for one in ranked if self._suffices(one)]
            if good:
                return list(dict.fromkeys(self.minimal(one) for one in good[: settings.max_roots]))
            beam = ranked[: settings.beam_width]
        return []

    def _least_prefix(self, space: int) -> int:
        """The fewest patches of a sufficient space that suffice, in the guide's order; found by a scan."""
        order = [patch for patch in self.order if space >> patch & 1]
        prefixes = [0, *itertools.accumulate((1 << patch for patch in order), int.__or__)]
        low, high = 0, len(order)
        tried = sorted({round(high ** (i / _SIZES)) for i in range(_SIZES)} - {high})
        while tried:
            shares = self.shares(prefixes[size] for size in tried)
            high = min([size for size, share in zip(tried, shares, strict=True) if self._reaches(share)] + [high])
            low = max([size for size in tried if size < high] + [low])
            tried = sorted({low + round((high - low) * i / 4) for i in (1, 2, 3)} - {low, high})
        return prefixes[high]

    def _next_space(self, roots: Sequence[int], tried: set[int]) -> int | None:
        """The next sufficient space for another root that shares at most ``max_overlap`` patches with the others."""
        used = _union(roots)
        free = self.shares.everything & ~used
        if self.windows:
            ranked = self._ranked({window & free: None for window in self.windows if window & free not in tried})
            if ranked and self._suffices(ranked[0]):
                return ranked[0]
            if roots:
                return None
        for overlap in range(min(self.settings.max_overlap, used.bit_count()) + 1):
            patches = (patch for patch in self.order if used >> patch & 1)
            shared = itertools.islice(itertools.combinations(patches, overlap), _SPACES)
            spaces = (free | _union(1 << patch for patch in some) for some in shared)
            ranked = self._ranked(space for space in spaces if space not in tried)
            if ranked and self._suffices(ranked[0]):
                return ranked[0]
        return None

    def _independent(self, candidates: Sequence[int]) -> list[int]:
        """As many candidates as pairwise share at most ``max_overlap`` patches, without those that contain another.

        Of several such choices, the first in the order of size, then of share.
        """
        ranked = sorted(candidates, key=lambda one: (one.bit_count(), -self.shares[one]))
        ranked = [one for one in ranked if not any(other != one and other & ~one == 0 for other in ranked)]
        best: list[int] = []

        def choose(chosen: list[int], rest: list[int]) -> None:
            nonlocal best
            if len(chosen) > len(best):
                best = chosen
            for i, one in enumerate(rest):
                if len(chosen) + len(rest) - i <= len(best):
                    return
                overlap = self.settings.max_overlap
                choose([*chosen, one], [other for other in rest[i + 1 :] if (one & other).bit_count() <= overlap])

        choose([], ranked[: 2 * self.settings.max_roots])
        return best[: self.settings.max_roots]

    def _spare(self, one: int) -> list[int]:
        """Patches without any one of which a set still suffices, those first without which it keeps most."""
        shares = self.shares(_without_one(one))
        ranked = sorted(zip(shares, members(one), strict=True), key=lambda pair: -pair[0])
        return [patch for share, patch in ranked if self._reaches(share)]

    def _ranked(self, sets: Iterable[int]) -> list[int]:
        """Sets, those first that keep most; equals in their order."""
        every = list(sets)
        shares = self.shares(every)
        return [every[i] for i in sorted(range(len(every)), key=lambda i: -shares[i])]

    def _suffices(self, one: int) -> bool:
        return self._reaches(self.shares[one])

    def _reaches(self, share: float) -> bool:
        return share >= self.settings.kept_share

    def _has_time(self) -> bool:
        return self.shares.asked < self.settings.max_evaluations


def _without_one(one: int) -> list[int]:
    """A set without each of its patches."""
    return [one & ~(1 << patch) for patch in members(one)]


def _union(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found
