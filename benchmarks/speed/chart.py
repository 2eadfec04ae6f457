"""The chart of the benchmarks' results."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.common import pictures
from benchmarks.common.records import Results
from benchmarks.speed.report import median, operator_groups, ratio, title
from benchmarks.speed.whole_step import FORMS

COLOURS = {"fused": "#c8102e", "compiled": "#2f6690", "vectorised": "#7a9e7e", "loop": "#5c5c5c"}
MARKERS = {"compiled": "D", "vectorised": "s", "loop": "o"}
NAMES = {
    "fused": "sdfido, fused",
    "compiled": "torch.compile",
    "vectorised": "vectorised PyTorch",
    "loop": "PyTorch loop",
}
STAGE_COLOURS = {
    "mask samples": "#c8102e",
    "mask gradient": "#e98a96",
    "classifier forward": "#9aa5b1",
    "classifier backward": "#c9d0d8",
    "optimiser": "#d9a441",
}


def draw(results: Results, path: Path) -> None:
    figure = Figure(figsize=(10, 9.5), layout="constrained", dpi=150)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.9))
    left, right = upper.subfigures(1, 2)
    _main(left, results)
    _classifier(right, results)
    _cases(lower, results)
    pictures.save(figure, path)


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()


def _main(figure: SubFigure, results: Results) -> None:
    axes = figure.subplots()
    group = results["groups"]["main"]
    longest = max(median(group, name) for name in NAMES)
    for row, name in enumerate(NAMES):
        forward, total = median(group, name, "forward"), median(group, name)
        axes.barh(row, forward, color=COLOURS[name], height=0.62)
        axes.barh(row, total - forward, left=forward, color=COLOURS[name], alpha=0.55, height=0.62)
        factor = "" if name == "fused" else f"  {ratio(group, name):.1f}× fused"
        axes.text(total + 0.012 * longest, row, f"{total:.1f} ms{factor}", va="center", fontsize=9, fontweight="bold")
    axes.set_yticks(range(len(NAMES)), NAMES.values(), fontsize=9)
    axes.set_xlim(0, 1.6 * longest)
    axes.set_xlabel(f"ms for {group['title']}; forward is dark")
    _plain(axes, "Mask work of one step")


def _classifier(figure: SubFigure, results: Results) -> None:
    axes = figure.subplots()
    group = results["groups"]["classifier"]
    names = list(group["milliseconds"])[::-1]
    longest = max(median(group, name) for name in names)
    for row, name in enumerate(names):
        left = 0.0
        for stage, colour in STAGE_COLOURS.items():
            width = median(group, name, stage)
            axes.barh(row, width, left=left, color=colour, height=0.62, label=stage if row == 0 else None)
            left += width
        factor = "" if name == names[-1] else f"  {ratio(group, names[-1], name):.2f}× as fast"
        label = f"{median(group, name):.0f} ms{factor}"
        axes.text(left + 0.012 * longest, row, label, va="center", fontsize=9, fontweight="bold")
    axes.set_yticks(range(len(names)), [_form(name) for name in names], fontsize=9)
    axes.set_xlim(0, 1.9 * longest)
    axes.set_xlabel("ms for 16 composites")
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, ncols=3, columnspacing=1.2)
    _plain(axes, "Whole step with EfficientNet-Lite0")


def _form(name: str) -> str:
    implementation, form = name.split()
    return f"{implementation}\n{FORMS[form]}"


def _cases(figure: SubFigure, results: Results) -> None:
    axes = figure.subplots()
    groups = list(operator_groups(results).values())
    ratios = [{name: ratio(group, name) for name in MARKERS} for group in groups]
    most = max(max(values.values()) for values in ratios)
    least = min(1.0, *(min(values.values()) for values in ratios))
    for row, values in enumerate(ratios):
        axes.plot([1, max(values.values())], [row, row], color="#dddddd", linewidth=3, zorder=1, solid_capstyle="round")
        for name, value in values.items():
            label = NAMES[name] if row == 0 else None
            axes.plot(value, row, MARKERS[name], color=COLOURS[name], markersize=7, zorder=3, linestyle="", label=label)
        spread = f"{min(values.values()):.1f} – {max(values.values()):.1f}×"
        axes.text(1.02, row, spread, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.axvline(1, color=COLOURS["fused"], linewidth=2.5, zorder=2, label=NAMES["fused"])
    axes.set_xscale("log")
    axes.set_xlim(0.85 * least, 1.15 * most)
    ticks = [base * 10**power for power in range(-1, 1 + math.ceil(math.log10(most))) for base in (1, 2, 5)]
    shown = [tick for tick in ticks if 0.85 * least <= tick <= 1.15 * most]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}×" for tick in shown])
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.set_yticks(range(len(groups)), [title(results, group) for group in groups], fontsize=9)
    machine = results["machine"]
    conditions = f"{machine['cpu']} ({machine['cpu_isa']}), torch {machine['torch']}, {machine['date']}"
    axes.set_xlabel(f"time of each over that of the fused operator (log scale)\nmedians of one run: {conditions}")
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, ncols=4, columnspacing=1.2)
    _plain(axes, "How much faster the fused operator is")
