"""The picture of the comparison: photos, and what each method makes of them at its own settings.

    python -m benchmarks.studies.comparison.picture

draws it again from the maps that the last run of the study left in out/comparison.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import paths, records
from benchmarks.common.pictures import INK, MUTED, OURS, save
from benchmarks.common.records import Results
from benchmarks.studies.comparison.report import PICTURE, RESULTS
from sdfido.reports import heatmap

SHOWN = ("goldfish", "jellyfish", "mastiff")  # whose licences let others show them
CLASSIFIER = "efficientnet-lite0"
COLUMNS = {
    "pixels": ("Photo", ""),
    "FIDO": ("FIDO", "joint"),
    "I-GOS": ("I-GOS", ""),
    "iGOS++": ("iGOS++", "joint"),
    "Extremal": ("Extremal", "perturbations"),
    "SAG": ("SAG", ""),
    "RISE": ("RISE", ""),
    "IG": ("Int. Gradients", ""),
    "IG, SmoothGrad": ("Int. Gradients", "with SmoothGrad"),
    "Occlusion": ("Occlusion", ""),
    "Grad-CAM": ("Grad-CAM", ""),
}
_OWN = ("FIDO", "I-GOS", "iGOS++", "Extremal", "SAG")
_ENDS = (0.01, 0.995)  # parts of the pixels below what is shown as 0, and as 1
_SIDE, _GAP, _CAPTION, _HEAD = 1.1, 0.05, 0.22, 0.42  # in inches

Arrays = dict[str, NDArray[np.float32]]
"""Of one photo by the names of COLUMNS: pixels [3, H, W] in 0..1, and maps [H, W]."""


def visible(importance: Tensor) -> Tensor:
    """A map scaled for the eye: its lowest values to 0, its highest to 1, whatever few pixels stand out."""
    low, high = importance.float().quantile(importance.new_tensor(_ENDS, dtype=torch.float32)).clamp(min=0)
    found: Tensor = ((importance - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return found


def draw(results: Results, maps: Path, path: Path) -> None:
    """A row for each photo that was explained and whose maps are there; nothing if there is none."""
    rows = []
    for pair in results["pairs"]:
        file = maps / f"{pair['photo']}.npz"
        if pair["classifier"] == CLASSIFIER and pair["photo"] in SHOWN and file.exists():
            with np.load(file) as stored:
                rows.append((pair, {name: stored[name].astype(np.float32) for name in COLUMNS}))
    if rows:
        save(figure(rows), path)


def figure(rows: list[tuple[Results, Arrays]]) -> Figure:
    width = len(COLUMNS) * (_SIDE + _GAP) + _GAP
    height = _HEAD + len(rows) * (_SIDE + _CAPTION)
    drawn = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for column, (name, (head, below)) in enumerate(COLUMNS.items()):
        x = (_GAP + column * (_SIDE + _GAP)) / width
        colour = OURS if name in _OWN else INK
        drawn.text(x, 1 - 0.18 / height, head, size=9.5, weight="bold", color=colour)
        drawn.text(x, 1 - 0.34 / height, below, size=8.5, color=MUTED)
    for row, (pair, arrays) in enumerate(rows):
        bottom = height - _HEAD - row * (_SIDE + _CAPTION) - _SIDE
        for column, name in enumerate(COLUMNS):
            x = (_GAP + column * (_SIDE + _GAP)) / width
            axes = drawn.add_axes((x, bottom / height, _SIDE / width, _SIDE / height))
            axes.imshow(_shown(arrays, name), aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
            axes.set_axis_off()
            drawn.text(x, (bottom - 0.15) / height, caption(pair, name), size=8.5, color=INK)
    return drawn


def _shown(arrays: Arrays, name: str) -> NDArray[np.float64]:
    if name == "pixels":
        return np.clip(arrays[name].transpose(1, 2, 0), 0, 1).astype(np.float64)
    return heatmap(arrays[name], arrays["pixels"])


def caption(pair: Results, name: str) -> str:
    """Below a picture: the class of a photo, and insertion less deletion of a map."""
    return str(pair["label"]) if name == "pixels" else f"{pair['own'][name]['difference']:.2f}"


def main() -> None:
    maps = paths.OUT / "comparison/maps"
    if not maps.exists():
        sys.exit(f"{maps} is missing: run python -m benchmarks.studies.comparison, which measures and draws")
    draw(records.read(RESULTS), maps, PICTURE)


if __name__ == "__main__":
    main()
