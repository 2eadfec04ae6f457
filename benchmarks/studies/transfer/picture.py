"""The picture of the study: birds, the part that decides, and the relevance of each classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common import classifiers
from benchmarks.common.pictures import INK, OUTLINE, save
from benchmarks.studies.transfer.birds import NAMES
from sdfido.reports import heatmap

_ROWS = 4  # birds
_SIDE, _GAP, _HEAD = 1.15, 0.05, 0.3  # in inches


def draw(birds: tuple[Tensor, Tensor], maps: Mapping[str, Tensor], path: Path) -> None:
    """Rows of birds; a column for the image and for the map of each classifier."""
    images, truth = birds
    pixels = classifiers.NORMALIZATION.pixels(images).clamp(0, 1)
    columns = ["the part", *NAMES]
    rows = min(_ROWS, len(images))
    width = len(columns) * (_SIDE + _GAP) + _GAP
    height = _HEAD + rows * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=80, facecolor="white")
    for line in range(rows):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        for column, name in enumerate(columns):
            axes = figure.add_axes(
                ((_GAP + column * (_SIDE + _GAP)) / width, bottom / height, _SIDE / width, _SIDE / height)
            )
            axes.set_axis_off()
            if line == 0:
                axes.set_title(name, size=9, color=INK, pad=4)
            shown = heatmap(maps[name][line], pixels[line], signed=True) if column else pixels[line].permute(1, 2, 0)
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(truth[line].float().numpy(), [0.5], colors=[OUTLINE], linewidths=0.9)
    save(figure, path)
