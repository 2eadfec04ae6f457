"""The picture of the study: birds with both parts outlined, and the explanations of each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.common.pictures import INK, OURS, OUTLINE, save
from benchmarks.common.redundant import PAIRS, Birds
from benchmarks.studies.redundancy.methods import MOST, Separate
from sdfido.reports import heatmap

COLUMNS = {"regions": "Region", "fine graph": "SAG, root", "three seeds": "FIDO, seed"}
"""The methods that are shown, and what their explanations are called, counted from 1."""
OTHER = "#2d7dff"  # outline of the second part
_ROWS = 1  # birds of each species
_SIDE, _GAP, _HEAD = 1.25, 0.06, 0.32  # in inches


def draw(birds: Birds, found: Mapping[str, Separate], path: Path) -> None:
    """Rows of birds, the first of each species; a column for the image and each of the first explanations."""
    rows = [
        int(index)
        for species in range(1, len(PAIRS) + 1)
        for index in (birds.labels == species).nonzero()[:_ROWS, 0].tolist()
    ]
    cells = [(name, k, f"{title} {k + 1}") for name, title in COLUMNS.items() for k in range(MOST)]
    width = (len(cells) + 1) * (_SIDE + _GAP) + 2 * _GAP
    height = _HEAD + len(rows) * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white")
    for line, index in enumerate(rows):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        for column, (name, k, title) in enumerate([("", 0, "both parts"), *cells]):
            left = _GAP + column * (_SIDE + _GAP) + (_GAP if column else 0)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if line == 0:
                axes.set_title(title, size=10, color=OURS if name == "regions" else INK, pad=4)
            if name and not found[name].regions[index, k].any():
                axes.text(0.5, 0.5, "none", ha="center", va="center", color=INK, transform=axes.transAxes)
                continue
            pixels = birds.pixels[index]
            if name:
                values = found[name].maps[index, k]
                shown = heatmap(values / values.max().clamp(min=1e-12), pixels)
            else:
                shown = pixels.permute(1, 2, 0).numpy()
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            for part, colour in enumerate((OUTLINE, OTHER)):
                axes.contour(birds.truth[index, part].float().numpy(), [0.5], colors=[colour], linewidths=1.0)
    save(figure, path)
