"""The picture of the study: the groups of each species, with the medoid first and those nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.common.pictures import INK, MUTED, save
from benchmarks.common.redundant import SPECIES
from benchmarks.studies.gallery.groups import LABELS

_SHOWN = 5  # crops of a group
_SIDE, _GAP, _BETWEEN, _HEAD, _LEFT = 0.7, 0.03, 0.2, 0.26, 0.36  # in inches


@dataclass(frozen=True)
class Group:
    """Pieces of one group."""

    crops: Sequence[np.ndarray[Any, np.dtype[np.uint8]]]  #: the medoid first
    on: list[int]  #: how many lie in each place


def title(on: Sequence[int]) -> str:
    """How many pieces there are, and where most of them lie."""
    most = max(range(len(on)), key=lambda place: on[place])
    return f"{sum(on)} pieces: {LABELS[most]} {on[most] / sum(on):.0%}"


def draw(found: Sequence[Sequence[Group]], path: Path) -> None:
    """A row for each species, with its groups side by side."""
    block = _SHOWN * (_SIDE + _GAP) + _BETWEEN
    width = _LEFT + max(map(len, found)) * block
    line = _SIDE + _HEAD + 2 * _GAP
    height = len(found) * line
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white")
    for row, (name, each) in enumerate(zip(SPECIES[1:], found, strict=True)):
        bottom = height - row * line - _HEAD - _SIDE
        lines = name.replace(", ", ",\n")
        figure.text(0.02 / width, (bottom + _SIDE / 2) / height, lines, rotation=90, va="center", size=8, color=MUTED)
        for column, group in enumerate(each):
            left = _LEFT + column * block
            figure.text(left / width, (bottom + _SIDE + 0.06) / height, title(group.on), size=9, color=INK)
            for k, pixels in enumerate(group.crops[:_SHOWN]):
                x = left + k * (_SIDE + _GAP)
                axes = figure.add_axes((x / width, bottom / height, _SIDE / width, _SIDE / height))
                axes.set_axis_off()
                axes.imshow(pixels, interpolation="lanczos")
    save(figure, path)
