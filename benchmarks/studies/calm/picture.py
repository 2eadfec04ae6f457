"""The picture of the study: birds with the parts in which two species differ, and each method's map of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common.pictures import INK, OURS, OUTLINE, save
from benchmarks.studies.calm.cues import Cues
from sdfido.reports import heatmap

COLUMNS = {
    "calm em": "CALM, EM",
    "calm ml": "CALM, ML",
    "cam": "CAM",
    "grad-cam": "Grad-CAM",
    "ig": "IG",
    "fido": "FIDO",
}
"""The methods that are shown, by what they are called."""
PAIRS = ((1, 0), (4, 0), (2, 6))  # species that is shown, and the other one
_SIDE, _GAP, _HEAD = 1.12, 0.06, 0.32  # in inches


def draw(cues: Cues, maps: Mapping[str, Tensor], path: Path) -> None:
    """A row for the first image of each pair; a column for the image and each method."""
    rows = [int(((cues.shown == first) & (cues.other == second)).nonzero()[0]) for first, second in PAIRS]
    width = (len(COLUMNS) + 1) * (_SIDE + _GAP) + 2 * _GAP
    height = _HEAD + len(rows) * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white")
    for line, index in enumerate(rows):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        for column, (name, title) in enumerate({"": "differ here", **COLUMNS}.items()):
            left = _GAP + column * (_SIDE + _GAP) + (_GAP if column else 0)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if line == 0:
                axes.set_title(title, size=10, color=OURS if name.startswith("calm") else INK, pad=4)
            pixels = cues.pixels[index]
            if name:
                values = maps[name][index]
                shown = heatmap(values / values.max().clamp(min=1e-12), pixels)
            else:
                shown = pixels.permute(1, 2, 0).numpy()
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(cues.truth[index].float().numpy(), [0.5], colors=[OUTLINE], linewidths=1.0)
    save(figure, path)
