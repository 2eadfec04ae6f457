"""The pictures of the paper's claims: variance of gradients, measures of masks, and masks themselves.

    python -m benchmarks.studies.paper.picture

draws the first two again from benchmarks/results/paper.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from torch import Tensor

from benchmarks.common import paths, records
from benchmarks.common.pictures import INK, MUTED, OUTLINE, save
from benchmarks.common.records import Results
from benchmarks.studies.paper.masks import SHOWN
from benchmarks.studies.paper.report import ARMS, MEASURES, RESULTS
from sdfido.reports import heatmap

Maps = dict[str, Tensor]
"""Of the first birds [N, H, W]: joint masks by "arm, size", "truth"; and pixels [N, 3, H, W] as ""."""

_SIDE, _GAP, _HEAD = 1.15, 0.05, 0.6  # in inches
COLOURS = {
    "standard, pixels": "#8a6d3b",
    "standard": "#1f77b4",
    "simplified": "#c8102e",
    "simplified, t = 1": "#2a7f4f",
}
MARKERS = {"standard, pixels": "s", "standard": "o", "simplified": "x", "simplified, t = 1": "^"}
_FORMULAS = {  # colour, width and dashes
    "standard, e = 2.2e-16": ("#1f77b4", 2.6, "-"),
    "standard, e = 1e-07": ("#7fb3d9", 2.0, "-"),
    "simplified, e = 1e-07": ("#c8102e", 1.6, "--"),
    "sdfido": (INK, 1.4, ":"),
}
_BATCHES = {
    "standard, t = 0.1": ("#1f77b4", "o", "-"),
    "simplified, t = 0.1": ("#c8102e", "x", "--"),
    "standard, pixels, t = 0.1": ("#8a6d3b", "s", "-"),
    "simplified, pixels, t = 0.1": ("#e39b3d", "+", "--"),
    "standard, t = 1": ("#2a7f4f", "o", "-"),
    "simplified, t = 1": ("#7cc49a", "x", "--"),
}


def draw(results: Results, maps: Maps, folder: Path) -> None:
    """All of them."""
    charts(results, folder)
    shown(maps, folder / "paper-maps.webp")


def charts(results: Results, folder: Path) -> None:
    gradients(results, folder / "paper-gradients.webp")
    measures(results["masks"], folder / "paper-masks.webp")


def gradients(results: Results, path: Path) -> None:
    """Variance over logits, in two types, and over mini-batches."""
    figure = _figure(15, 4.6)
    float32, bfloat16, batches = figure.subplots(1, 3)
    found = results["elementwise"]
    for axes, dtype, title in (
        (float32, "float32", "One value, float32"),
        (bfloat16, "bfloat16", "One value, bfloat16"),
    ):
        ratios = found["ratios"][dtype]["0.1"]
        for name, (colour, width, dashes) in _FORMULAS.items():
            if name in ratios:
                values = [float("nan") if v is None else v for v in ratios[name]["variance"]]
                axes.plot(found["at"]["logits"], values, color=colour, linewidth=width, linestyle=dashes, label=name)
        axes.axhline(1, color=MUTED, linewidth=0.8, zorder=0)
        axes.set(ylim=(-0.08, 3.4), xlim=(-22, 22))
        _label(axes, f"{title}, t = 0.1", "keep logit ϑ", "variance of the gradient / exact")
    float32.legend(fontsize=9, frameon=False, loc="upper center")  # the lines leave room there
    for name, (colour, marker, dashes) in _BATCHES.items():
        values = results["gradients"]["arms"][name]["middle"]["batches"]
        sizes = [int(size) for size in values]
        batches.plot(sizes, list(values.values()), color=colour, marker=marker, linestyle=dashes, label=name)
    _sizes(batches, sizes)
    batches.set_yscale("log")
    _label(batches, "Through the classifier, in mid-run", "mini-batch", "variance of the mean gradient")
    batches.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, path)


def measures(found: Results, path: Path) -> None:
    """A column for each measure, at equal calls above and at equal steps below."""
    chosen = ("objective", "iou", "variation", "kept")
    figure = _figure(15, 7.2)
    grid = figure.subplots(2, len(chosen))
    for row, series in zip(grid, ("equal calls", "equal steps"), strict=True):
        sizes = [int(size) for size in found[series]]
        for axes, measure in zip(row, chosen, strict=True):
            for offset, (arm, label) in enumerate(ARMS.items()):
                values = [found[series][str(size)][arm]["values"][measure] for size in sizes]
                _intervals(axes, [s * 1.06 ** (offset - 1.5) for s in sizes], values, arm, label)
            _sizes(axes, sizes)
            _label(axes, f"{MEASURES[measure]}, {series}", "mini-batch", "")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=11, frameon=False)
    save(figure, path)


def shown(maps: Maps, path: Path) -> None:
    """A row for each bird, a column for the image and each arm and size."""
    columns = ["", *(f"{arm}, {size}" for arm in ARMS for size in SHOWN)]
    count, left = len(maps[""]), [i * (_SIDE + _GAP) + (i + 2) // 3 * 2 * _GAP + _GAP for i in range(len(columns))]
    width, height = left[-1] + _SIDE + _GAP, _HEAD + count * (_SIDE + _GAP)
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    for column, name in enumerate(columns):
        for row, pixels in enumerate(maps[""]):
            bottom = height - _HEAD - (row + 1) * (_SIDE + _GAP) + _GAP
            axes = figure.add_axes((left[column] / width, bottom / height, _SIDE / width, _SIDE / height))
            picture = heatmap(maps[name][row].clamp(0, 1), pixels) if name else pixels.permute(1, 2, 0).numpy()
            axes.imshow(picture, interpolation="lanczos", interpolation_stage="rgba")
            axes.contour(maps["truth"][row].numpy(), [0.5], colors=["white" if name else OUTLINE], linewidths=0.9)
            axes.set_axis_off()
        title = f"mini-batch {name.rsplit(', ')[-1]}" if name else "image and part"
        middle, line = (left[column] + _SIDE / 2) / width, 0.12 / height
        figure.text(middle, 1 - (_HEAD - _GAP) / height + line, title, ha="center", fontsize=10, color=INK)
        if column % 3 == 2:
            arm = list(ARMS)[column // 3]
            style = {"ha": "center", "fontsize": 12, "fontweight": "bold", "color": COLOURS[arm]}
            figure.text(middle, 1 - _HEAD / 2 / height + line / 2, ARMS[arm], **style)
    save(figure, path)


def _intervals(axes: Axes, x: list[float], values: list[dict[str, float]], arm: str, label: str) -> None:
    middle = [v["value"] for v in values]
    errors = [[v["value"] - v["low"] for v in values], [v["high"] - v["value"] for v in values]]
    style: dict[str, Any] = {"color": COLOURS[arm], "marker": MARKERS[arm], "markersize": 6, "linewidth": 1.6}
    axes.errorbar(x, middle, yerr=errors, elinewidth=0.9, label=label, **style)


def _sizes(axes: Axes, sizes: list[int]) -> None:
    """A logarithmic axis with the sizes as its only ticks."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=12, fontweight="bold", loc="left", color=INK)
    axes.set_xlabel(x, color=MUTED)
    axes.set_ylabel(y, color=MUTED)
    axes.grid(color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", dpi=100, facecolor="white")


if __name__ == "__main__":
    charts(records.read(RESULTS), paths.IMAGES)
