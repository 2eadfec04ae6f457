"""The pictures of the reliability: photos, what the regions leave of them, and the joint maps of two seeds.

    python -m benchmarks.studies.reliability.picture

draws them again from the maps that the last run of the study left in out/reliability.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.common import paths, records
from benchmarks.common.pictures import INK, MUTED, save
from benchmarks.common.records import Results
from benchmarks.common.report import percent
from benchmarks.studies.reliability.report import PICTURE, RESULTS
from sdfido.reports import heatmap
from sdfido.reports.style import OWN

SHOWN = ("goldfish", "jellyfish", "mastiff", "quokka", "retriever", "telephone")  # whose licences let others show them
FEW = ("goldfish", "jellyfish", "telephone")  # for the first picture of the README
CLASSIFIER = "efficientnet-lite0"
COLUMNS = {
    "pixels": ("Photo", "and its class"),
    "ssr": ("Only the SSR", "all else blurred"),
    "sdr": ("Without the SDR", "that blurred"),
    "joint": ("Joint map", "of one seed"),
    "again": ("Joint map", "of another seed"),
}
_SIDE, _GAP, _CAPTION, _HEAD = 1.75, 0.12, 0.5, 0.55  # in inches

Arrays = dict[str, NDArray[np.float32]]
"""Of one photo by the names of COLUMNS: pixels [3, H, W] in 0..1, and maps [H, W]."""


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
        few = [row for row in rows if row[0]["photo"] in FEW]
        save(figure(few), path.with_name(f"{path.stem}-few{path.suffix}"))


def figure(rows: list[tuple[Results, Arrays]]) -> Figure:
    width = len(COLUMNS) * (_SIDE + _GAP) + _GAP
    height = _HEAD + len(rows) * (_SIDE + _CAPTION)
    drawn = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for column, (name, (head, below)) in enumerate(COLUMNS.items()):
        x = (_GAP + column * (_SIDE + _GAP)) / width
        drawn.text(x, 1 - 0.24 / height, head, size=10.5, weight="bold", color=colour(name))
        drawn.text(x, 1 - 0.43 / height, below, size=9, color=MUTED)
    for row, (pair, arrays) in enumerate(rows):
        bottom = height - _HEAD - row * (_SIDE + _CAPTION) - _SIDE
        for column, name in enumerate(COLUMNS):
            x = _GAP + column * (_SIDE + _GAP)
            axes = drawn.add_axes((x / width, bottom / height, _SIDE / width, _SIDE / height))
            axes.imshow(_shown(arrays, name), aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
            axes.set_axis_off()
            for line, text in enumerate(captions(pair, name)):
                y = (bottom - 0.16 - 0.165 * line) / height
                drawn.text(x / width, y, text, size=9.5, weight="bold" if line else "normal", color=colour(name))
    return drawn


def colour(name: str) -> str:
    return OWN.get("joint" if name == "again" else name, INK)


def _shown(arrays: Arrays, name: str) -> NDArray[np.float64]:
    if arrays[name].ndim == 2:
        return heatmap(arrays[name], arrays["pixels"])
    return np.clip(arrays[name].transpose(1, 2, 0), 0, 1).astype(np.float64)


def captions(pair: Results, name: str) -> list[str]:
    """Below a picture: what it shows, and what the classifier says of it."""
    if name == "pixels":
        return [pair["label"], percent(pair["probability"])]
    if name in ("ssr", "sdr"):
        region = pair["regions"]["FIDO"]
        done = "kept" if name == "ssr" else "blurred"
        return [f"{100 * region[f'area {name}']:.0f}% {done}", percent(region[f"share {name}"] * pair["probability"])]
    return [] if name == "joint" else [f"rank correlation {pair['methods']['FIDO']['seeds joint rank']:.2f}"]


def main() -> None:
    maps = paths.OUT / "reliability/maps"
    if not maps.exists():
        sys.exit(f"{maps} is missing: run python -m benchmarks.studies.reliability, which measures and draws")
    draw(records.read(RESULTS), maps, PICTURE)


if __name__ == "__main__":
    main()
