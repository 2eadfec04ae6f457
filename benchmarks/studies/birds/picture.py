"""The picture of the comparison: birds with the truth outlined, and what each method makes of them."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common.drawing import SPECIES, Drawings
from benchmarks.common.pictures import INK, OURS, OUTLINE, save
from sdfido.reports import heatmap

COLUMNS = {
    "fido ssr": "SSR",
    "fido sdr": "SDR",
    "fido joint": "joint",
    "plain joint": "plain,\njoint",
    "standard joint": "standard\nsampling, joint",
    "published joint": "as published,\njoint",
    "saliency map": "Saliency",
    "integrated gradients map": "Integrated\nGradients",
    "occlusion map": "Occlusion",
    "grad-cam map": "Grad-CAM",
}
_SIDE, _GAP, _HEAD, _LEFT = 1.25, 0.06, 0.62, 0.32  # in inches


def draw(drawings: Drawings, maps: dict[str, Tensor], path: Path) -> None:
    """A row for the first drawing of each species; a column for the drawing and each map, scaled to a highest of 1."""
    rows = [int((drawings.labels == species).nonzero()[0]) for species in range(1, len(SPECIES))]
    columns = len(COLUMNS) + 1
    width = _LEFT + columns * (_SIDE + _GAP) + _GAP
    height = _HEAD + len(rows) * (_SIDE + _GAP) + 0.3
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for line, index in enumerate(rows):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        species = SPECIES[int(drawings.labels[index])]
        middle = (bottom + _SIDE / 2) / height
        figure.text(0.5 * _LEFT / width, middle, species, rotation=90, va="center", ha="center", size=10, color=INK)
        for column, (name, title) in enumerate({"": "image and truth", **COLUMNS}.items()):
            left = _LEFT + column * (_SIDE + _GAP) + (_GAP if column else 0)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            if name:
                values = maps[name][index].clamp(min=0)
                shown = heatmap(values / values.max().clamp(min=1e-12), drawings.pixels[index])
            else:
                shown = drawings.pixels[index].permute(1, 2, 0).numpy()
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            outline = {"colors": ["white"], "linewidths": 0.7} if name else {"colors": [OUTLINE], "linewidths": 1.2}
            axes.contour(drawings.truth[index].float().numpy(), [0.5], **outline)
            axes.set_axis_off()
            if line == 0:
                ours = name.startswith("fido")
                axes.set_title(
                    title,
                    size=10,
                    color=OURS if ours else INK,
                    weight="bold" if ours else "normal",
                    pad=4,
                )
    save(figure, path)
