"""The pictures of the photos: photos.webp and photos-methods.webp.

    python -m benchmarks.studies.photos.picture

draws them again from the maps that the last run of the study left in out/photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.common import paths, records
from benchmarks.common.pictures import save
from benchmarks.common.records import Results
from benchmarks.common.report import percent
from benchmarks.studies.photos.report import ATTRIBUTIONS, RESULTS
from sdfido.reports import heatmap
from sdfido.reports.style import INK, MUTED, OWN

MAPS = paths.OUT / "photos/maps.npz"

Arrays = dict[str, NDArray[np.float32]]
"""By name: ``pixels`` and the two composites [N, 3, H, W] in 0..1, and every method's map [N, H, W]."""


@dataclass(frozen=True)
class Cell:
    """A picture [H, W, 3] and the lines below it; the important ones are bold."""

    picture: NDArray[np.float64]
    lines: tuple[str, ...] = ()
    bold: tuple[bool, ...] = (False, True)
    colour: str = INK


def draw(results: Results, arrays: Arrays, folder: Path) -> None:
    """Both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    save(gallery(results, arrays), folder / "photos.webp")
    save(methods(results, arrays), folder / "photos-methods.webp")


def gallery(results: Results, arrays: Arrays) -> Figure:
    """A row for each photo: photo, SSR, SDR and joint map, what the SSR keeps, what the SDR leaves."""
    columns = [
        ("Photo", "and its class", INK),
        ("SSR", "smallest sufficient region", OWN["ssr"]),
        ("SDR", "smallest destroying region", OWN["sdr"]),
        ("Joint", "(SSR + SDR) / 2", INK),
        ("Only the SSR", "all else blurred", OWN["ssr"]),
        ("Without the SDR", "that blurred", OWN["sdr"]),
    ]

    def cells(index: int, name: str) -> list[Cell]:
        photo, pixels = results["photos"][name], arrays["pixels"][index]

        def composite(which: str, shown: str, done: str, colour: str) -> Cell:
            area, probability = photo[f"area_{which}"], photo[f"prob_{which}_binary"]
            return Cell(
                _photo(arrays[shown][index]), (f"{100 * area:.0f}% {done}", percent(probability)), colour=colour
            )

        return [
            _original(results, arrays, index, name),
            *(Cell(heatmap(arrays[method][index], pixels)) for method in ("ssr", "sdr", "joint")),
            composite("ssr", "only ssr", "kept", OWN["ssr"]),
            composite("sdr", "without sdr", "blurred", OWN["sdr"]),
        ]

    return _rows("What is enough, and what is needed?", columns, list(results["photos"]), cells)


def methods(results: Results, arrays: Arrays) -> Figure:
    """A row for each photo: photo, joint map, that of existing FIDO, and the maps of other methods."""
    shown = ("joint", "existing joint", *ATTRIBUTIONS)
    columns = [
        ("Photo", "and its class", INK),
        ("sdfido", "joint map", OWN["ssr"]),
        ("Existing FIDO", "joint map", INK),
        ("Integrated Gradients", "absolute values", INK),
        ("Occlusion", "positive part", INK),
        ("Grad-CAM", "positive part", INK),
    ]

    def cells(index: int, name: str) -> list[Cell]:
        areas = {m: {of: results["methods"][of][m][index] for of in shown} for m in ("insertion", "deletion")}
        best = max(areas["insertion"].values()), min(areas["deletion"].values())

        def cell(method: str) -> Cell:
            values = areas["insertion"][method], areas["deletion"][method]
            importance = arrays[method][index]
            return Cell(
                heatmap(_scaled(importance) if method in ATTRIBUTIONS else importance, arrays["pixels"][index]),
                (f"insertion {values[0]:.2f}", f"deletion {values[1]:.2f}"),
                (values[0] == best[0], values[1] == best[1]),
            )

        return [_original(results, arrays, index, name), *map(cell, shown)]

    return _rows("The same photos by other methods", columns, list(results["photos"]), cells)


def _original(results: Results, arrays: Arrays, index: int, name: str) -> Cell:
    photo = results["photos"][name]
    return Cell(_photo(arrays["pixels"][index]), (photo["label"], percent(photo["prob_image"])))


def _photo(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.clip(pixels.transpose(1, 2, 0), 0, 1).astype(np.float64)


def _scaled(importance: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map of any scale in 0..1: its positive part over what 99.5 % of its pixels do not exceed."""
    positive = importance.clip(0)
    return np.clip(positive / max(float(np.quantile(positive, 0.995)), 1e-12), 0, 1)


def _rows(
    title: str, columns: list[tuple[str, str, str]], names: Sequence[str], cells: Callable[[int, str], list[Cell]]
) -> Figure:
    """A grid of pictures with captions, and the columns' titles above the first row."""
    side, gap, caption, margin, top = 1.75, 0.12, 0.5, 0.12, 1.1  # in inches
    width = 2 * margin + len(columns) * (side + gap) - gap
    height = top + len(names) * (side + caption)
    figure = Figure(figsize=(width, height), dpi=96, facecolor="white")
    figure.text(margin / width, 1 - 0.38 / height, title, size=18, weight="bold", color=INK)
    for column, (head, below, colour) in enumerate(columns):
        x = (margin + column * (side + gap)) / width
        figure.text(x, 1 - (top - 0.27) / height, head, size=10.5, weight="bold", color=colour)
        figure.text(x, 1 - (top - 0.09) / height, below, size=9, color=MUTED)
    _scale(figure, width - margin - side, height - 0.42, side)
    for row, name in enumerate(names):
        bottom = height - top - row * (side + caption) - side
        for column, cell in enumerate(cells(row, name)):
            x = margin + column * (side + gap)
            axes = figure.add_axes((x / width, bottom / height, side / width, side / height))
            axes.imshow(cell.picture, aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
            axes.set_axis_off()
            for line, (text, bold) in enumerate(zip(cell.lines, cell.bold, strict=False)):
                y = (bottom - 0.15 - 0.165 * line) / height
                figure.text(x / width, y, text, size=10, weight="bold" if bold else "normal", color=cell.colour)
    return figure


def _scale(figure: Figure, x: float, y: float, length: float) -> None:
    """What the maps' colours mean, drawn as they are drawn, over a mid-grey photo; in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((x / width, y / height, length / width, 0.11 / height))
    axes.imshow(heatmap(np.linspace(0, 1, 256)[None], np.full((1, 1, 256), 0.5)), aspect="auto")
    axes.set_axis_off()
    for text, place, side in (("0", 0.0, "left"), ("importance", 0.5, "center"), ("1", 1.0, "right")):
        figure.text((x + place * length) / width, (y + 0.16) / height, text, size=9.5, color=MUTED, ha=side)


def main() -> None:
    if not MAPS.exists():
        sys.exit(f"{MAPS} is missing: run python -m benchmarks.studies.photos, which measures and draws")
    with np.load(MAPS) as file:
        arrays = {name: file[name].astype(np.float32) for name in file.files}
    draw(records.read(RESULTS), arrays, paths.IMAGES)


if __name__ == "__main__":
    main()
