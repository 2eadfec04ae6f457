"""The picture of the study: for each species, the maps of its features on the image that has most of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common.drawing import SPECIES
from benchmarks.common.pictures import INK, MUTED, OURS, OUTLINE, save
from benchmarks.common.records import Results
from benchmarks.studies.concepts.maps import Found
from sdfido.reports import heatmap

_SIDE, _GAP, _HEAD, _LEFT = 0.86, 0.06, 0.2, 0.26  # in inches


def draw(found: Mapping[tuple[int, int], Found], results: Results, pixels: Tensor, path: Path) -> None:
    """A row for each species with a part of its own; a column for each feature, empty where it is dead.

    ``pixels`` [N, 3, H, W] are those of all held-out birds. The features of a species are in the order of what they
    add to its logit on average over its birds.
    """
    species = results["measures"]["species"]
    count = len(species[SPECIES[1]]["head"])
    width = _LEFT + count * (_SIDE + _GAP) + _GAP
    height = (len(SPECIES) - 1) * (_SIDE + _HEAD) + _GAP
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white")
    for line, name in enumerate(SPECIES[1:]):
        bottom = height - (line + 1) * (_SIDE + _HEAD)
        middle = (bottom + _SIDE / 2) / height
        figure.text(0.5 * _LEFT / width, middle, name, rotation=90, va="center", ha="center", size=9, color=INK)
        added = species[name]["contributions"]
        for column, k in enumerate(sorted(range(count), key=lambda k: -added[k])):
            left = _LEFT + column * (_SIDE + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if (line + 1, k) not in found:
                axes.text(0.5, 0.5, "dead", ha="center", va="center", size=9, color=MUTED, transform=axes.transAxes)
                continue
            each = found[line + 1, k]
            positive = species[name]["head"][k] > 0
            title = f"{added[k]:+.1f}".replace("-", "−")
            axes.set_title(title, size=8, pad=2, color=OURS if positive else MUTED)
            values = each.maps[0]
            shown = heatmap(values / values.max().clamp(min=1e-12), pixels[each.indices[0]])
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(each.outlines[0].float().numpy(), [0.5], colors=[OUTLINE], linewidths=0.8)
    save(figure, path)
