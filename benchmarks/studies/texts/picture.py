"""The picture of the study: birds with the named part outlined, the maps, and that for a text of random letters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.common.drawing import Drawings
from benchmarks.common.pictures import INK, OURS, OUTLINE, save
from benchmarks.studies.texts.model import TEXTS
from sdfido.reports import heatmap

COLUMNS = {"fido": "FIDO", "grad-cam": "Grad-CAM", "integrated gradients": "Int. gradients"}
_SIDE, _GAP, _HEAD, _LEFT, _RIGHT = 1.25, 0.06, 0.3, 1.05, 1.5  # in inches


@dataclass(frozen=True)
class Nonsense:
    """What a text of random letters gets for one bird."""

    bird: int  #: its place among the birds
    text: str
    map: Tensor  #: [H, W], FIDO's
    flagged: bool


def draw(birds: Drawings, maps: Mapping[str, Tensor], nonsense: Sequence[Nonsense], path: Path) -> None:
    """A row for each bird that also got random letters: the bird, its maps by method, and that for the letters."""
    titles = ["bird", *COLUMNS.values(), "random letters"]
    width = _LEFT + len(titles) * (_SIDE + _GAP) + _RIGHT
    height = _HEAD + len(nonsense) * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=92, facecolor="white")
    for line, found in enumerate(nonsense):
        bottom = height - _HEAD - (line + 1) * (_SIDE + _GAP)
        words = "\n".join(textwrap.wrap(TEXTS[int(birds.labels[found.bird])], 12))
        letters = "\n".join([*textwrap.wrap(f"“{found.text}”", 14), "", "flagged" if found.flagged else "not flagged"])
        right = _LEFT + len(titles) * (_SIDE + _GAP) + _GAP
        for left, text in ((_GAP, f"“{words}”"), (right, letters)):
            figure.text(left / width, (bottom + _SIDE / 2) / height, text, size=10, color=INK, va="center")
        pixels, truth = birds.pixels[found.bird], birds.truth[found.bird].float().numpy()
        for column, values in enumerate([None, *(maps[name][found.bird] for name in COLUMNS), found.map]):
            left = _LEFT + column * (_SIDE + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if line == 0:
                axes.set_title(titles[column], size=10, color=OURS if column == 1 else INK, pad=4)
            shown = pixels.permute(1, 2, 0).numpy()
            if values is not None:
                shown = heatmap(values / values.max().clamp(min=1e-12), pixels)
            axes.imshow(shown, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(truth, [0.5], colors=[OUTLINE], linewidths=1.0)
    save(figure, path)
