"""The picture of the study: birds with the part asked for outlined, and the maps of each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common.pictures import INK, OURS, OUTLINE, save
from benchmarks.studies.contrast.birds import PARTS, TWO, Birds
from sdfido.reports import heatmap

COLUMNS = {
    "contrast": "FIDO, A not B",
    "class": "FIDO, A",
    "grad-cam": "Grad-CAM",
    "integrated gradients": "Int. gradients",
}
_SIDE, _GAP, _HEAD, _SIDE_TEXT = 1.25, 0.06, 0.32, 0.95  # in inches


def draw(found: Birds, maps: Mapping[str, Tensor], path: Path) -> None:
    """Two rows for the first bird of the first and of the last species, a question each, with its part outlined."""
    first = [int((found.labels == species).nonzero()[0, 0]) for species in (TWO[0], TWO[-1])]
    rows = [2 * bird + part for bird in first for part in (0, 1)]
    width = _SIDE_TEXT + (len(COLUMNS) + 1) * (_SIDE + _GAP) + 2 * _GAP
    height = _HEAD + len(rows) * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=74, facecolor="white")
    for line, row in enumerate(rows):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        parts = PARTS[int(found.labels[row // 2])]
        words = f"{parts[0]},\n{parts[1]}\nrather than\n{parts[1 - row % 2]}"
        figure.text(_GAP / width, (bottom + _SIDE / 2) / height, words, size=10, color=INK, va="center")
        pixels, truth = found.pixels[row // 2], found.truth[row // 2, row % 2].float().numpy()
        for column, (name, title) in enumerate([("", "A"), *COLUMNS.items()]):
            left = _SIDE_TEXT + column * (_SIDE + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if line == 0:
                axes.set_title(title, size=10, color=OURS if name == "contrast" else INK, pad=4)
            shown = pixels.permute(1, 2, 0).numpy()
            if name:
                values = maps[name][row]
                shown = heatmap(values / values.max().clamp(min=1e-12), pixels)
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(truth, [0.5], colors=[OUTLINE], linewidths=1.0)
    save(figure, path)
