"""The picture of the study: a suspicious photo of each kind of shortcut, and what the model says of its parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from benchmarks.common.classifiers import NORMALIZATION
from benchmarks.common.pictures import INK, MUTED, OUTLINE, save
from benchmarks.studies.audit.scenes import KINDS, SIZE, SPECIES, Draw
from sdfido.evaluate import from_around
from sdfido.evaluate.background import PLACES, places

_SIDE, _GAP, _HEAD, _FOOT = 1.5, 0.08, 0.3, 0.26  # in inches
_TITLES = ("photo", "animal alone", "background alone", "without the mark")


def draw(folder: Path, seed: int, path: Path) -> None:
    """One row for each kind of shortcut, from the audits in a folder."""
    width, line = len(_TITLES) * (_SIDE + _GAP) + _GAP, _SIDE + _FOOT + _GAP
    height = _HEAD + len(KINDS) * line
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white")
    for row, kind in enumerate(KINDS):
        for column, (picture, below, box) in enumerate(_cells(folder / f"{kind}-{seed}", Draw(kind, seed))):
            left, bottom = _GAP + column * (_SIDE + _GAP), height - _HEAD - row * line - _SIDE
            axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.set_axis_off()
            if row == 0:
                axes.set_title(_TITLES[column], size=10, color=INK, pad=5)
            axes.imshow(picture, interpolation="nearest")
            if box is not None:
                x0, y0, x1, y1 = box
                axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=OUTLINE, lw=1.2))
            axes.text(0.5, -0.04, below, ha="center", va="top", size=9, color=MUTED, transform=axes.transAxes)
    save(figure, path)


def _worst(record: dict[str, Any], name: str) -> int:
    """The most suspicious photo that is explained for a class."""
    return next(int(n) for n in record["worst"] if record["photos"][n]["class"] == name)


def _cells(folder: Path, what: Draw) -> list[tuple[Any, str, tuple[int, ...] | None]]:
    """Pictures, what stands below, and the box that is drawn."""
    record = json.loads((folder / "results/audit.json").read_text())
    name = SPECIES[what.species]
    index = int(Path(record["photos"][_worst(record, name)]["photo"]).stem)
    truth = json.loads((folder / "truth.json").read_text())["annotations"][index]["bbox"]
    x0, y0, x1, y1 = truth[0], truth[1], truth[0] + truth[2], truth[1] + truth[3]
    pixels = torch.from_numpy(np.asarray(Image.open(folder / f"photos/{index:03}.png"))).permute(2, 0, 1)[None] / 255
    hidden = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    hidden[:, y0:y1, x0:x1] = True
    grey = torch.tensor(NORMALIZATION.mean)[:, None, None].expand_as(pixels)
    model = torch.jit.load(folder / "model.pt")
    shown = [pixels, torch.where(hidden, pixels, grey), from_around(pixels, hidden)]
    if what.place is not None:
        shown.append(from_around(pixels, hidden | places(SIZE, SIZE)[PLACES.index(what.place)]))
    with torch.no_grad():
        said = [float(model(NORMALIZATION.normalize(each)).softmax(1)[0, what.species]) for each in shown]
    pictures = [each[0].permute(1, 2, 0).numpy() for each in shown]
    texts = [f"{name} {value:.0%}" for value in said]
    return list(zip(pictures, texts, [(x0, y0, x1, y1), None, None, None], strict=False))
