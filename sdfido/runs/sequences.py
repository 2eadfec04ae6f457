"""Sequences of photos: those that a camera took at one trigger, by a table, by a data set, or by their time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..checks import check_number
from ..files import printable
from .results import Result
from .truth import Truth, column

__all__ = ["GAP", "PHOTOS", "SOURCES", "Sequences"]

GAP = 60.0
"""Seconds between two photos of a sequence, at most: what most camera-trap projects take for one event."""

PHOTOS = "photos"
"""Each photo is a sequence by itself."""

SOURCES = ("table", "truth", "time", "alone")
"""What may say which sequence a photo is of; ``alone`` where nothing does."""

Said = tuple[str | None, str]
"""The sequence of a photo, None where it is alone, and the one of ``SOURCES`` that says it."""


class Sequences:
    """Which photos were taken at one trigger: of each photo, the first that says it.

    * a table: photos with the same value in the column sequence;
    * the truth: photos with the same ``seq_id``, as COCO Camera Traps have it;
    * Exif data: photos of one site, or where it has no name, of one folder, of which each was taken at most ``gap``
      seconds after the one before;
    * else the photo is alone.

    Args:
        results: of the photos.
        truth: whose files may say it.
        given: the table, a CSV file with the columns photo and sequence; or "photos": each is alone.
        gap: in seconds.

    Raises:
        ValueError: the table cannot be read, or does not tell the photos apart; or the gap is negative.
    """

    def __init__(
        self,
        results: Sequence[Result],
        truth: Truth,
        given: str | os.PathLike[str] | None = None,
        gap: float = GAP,
    ) -> None:
        self._gap = check_number("sequence_gap", gap, float, 0)
        self._alone = given is not None and str(given) == PHOTOS
        in_table: list[str | None] = [None] * len(results)
        if given is not None and not self._alone:
            in_table = column("sequence", results, given, PHOTOS)
        self._said: dict[str, Said] = {}
        for result, name in zip(results, in_table, strict=True):
            if name:
                self._said[printable(result.place)] = name, "table"
            elif (name := truth.sequence(result)) is not None and not self._alone:
                self._said[printable(result.place)] = name, "truth"

    def of(self, rows: Sequence[Mapping[str, Any]], sites: Mapping[str, str | None]) -> dict[str, Said]:
        """The sequences of all photos that are measured, by the folders of their results.

        Args:
            rows: what is measured of them, ``taken`` among it, see ``sdfido.runs.audit_rows``.
            sites: by the folders of their results.
        """
        found = {row["results"]: self._said.get(row["results"], (None, "alone")) for row in rows}
        timed: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
        for row in () if self._alone else rows:
            place, time = row["results"], _time(row["taken"])
            if time is not None and found[place][1] == "alone":
                site = sites[place]
                where = "site" if site else "folder", site or place.rpartition("/")[0]
                timed.setdefault(where, []).append((time, place))
        for (_, shared), photos in timed.items():
            name, before = "", datetime.min
            for time, place in sorted(photos):
                if not name or (time - before).total_seconds() > self._gap:
                    name = f"{shared} {time}".strip()
                found[place], before = (name, "time"), time
        return found


def _time(text: str | None) -> datetime | None:
    """What ``sdfido.runs.audit_rows`` writes; None for anything else."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
