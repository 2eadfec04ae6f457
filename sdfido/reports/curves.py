"""A picture of evaluation curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..checks import check_kind
from ..evaluate import Curve
from . import style
from .style import INK, MUTED, OTHERS, OWN, header, short

__all__ = ["curves"]

_DASHES: tuple[tuple[float, tuple[float, ...]], ...] = ((0, ()), (0, (4, 1.5)), (0, (1, 1.2)))
_LINE = 0.215  # height of a line below the panels, in inches


def curves(*panels: Mapping[str, Curve], title: str | None = None) -> Figure:
    """Curves of several methods, averaged over their images: a panel for each measure, the areas below, best first.

    A method has the same colour in all panels; those named SSR, SDR and joint have their colours of ``overview``.

    Args:
        panels: for each panel the curves by the methods' names, all of one measure.
        title: what stands on top.

    Raises:
        TypeError: a panel holds something else than curves.
        ValueError: a panel holds no curves, curves of several measures, or curves of no image.

    Example:
        >>> figure = reports.curves({"SSR": probe.keep(explanation.ssr)}, {"SDR": probe.remove(explanation.sdr)})
        >>> reports.save(figure, "curves.png")
    """
    _check(panels)
    if title is not None:
        check_kind("title", title, str, "a text")
    styles = _styles(list(dict.fromkeys(name for panel in panels for name in panel)))
    side, gap, left, right = 3.5, 0.85, 0.72, 0.25  # in inches
    top = 0.62 + (0.42 if title else 0)
    rows = max(len(panel) for panel in panels) + 1
    table = _LINE * rows
    width, height = left + len(panels) * (side + gap) - gap + right, top + side * 0.8 + 0.62 + table + 0.1
    figure = Figure(figsize=(width, height), dpi=140, facecolor="white")
    if title:
        figure.text(0.15 / width, 1 - 0.36 / height, title, size=16, weight="bold", color=INK)
    for position, panel in enumerate(panels):
        x = left + position * (side + gap)
        bottom = height - top - side * 0.8
        axes = figure.add_axes((x / width, bottom / height, side / width, side * 0.8 / height))
        _draw(axes, panel, styles)
        below = figure.add_axes((x / width, (bottom - 0.62 - table) / height, side / width, table / height))
        _areas(below, panel, styles, rows)
    return style.literal(figure)


Style = tuple[str, tuple[float, Sequence[float]]]  # colour and dashes


def _check(panels: Sequence[Mapping[str, Curve]]) -> None:
    for panel in panels:
        check_kind("panels", panel, Mapping, "mappings from names to curves")
    if not panels or not all(panels):
        raise ValueError("panels must hold at least one curve each, got none")
    for panel in panels:
        for name, curve in panel.items():
            if not isinstance(curve, Curve):
                raise TypeError(f"panels must map names to sdfido.evaluate.Curve, got {type(curve).__name__} as {name}")
            if len(curve.values) == 0:
                raise ValueError(f"panels must hold curves of at least one image, got none as {name}")
        measures = {curve.measure for curve in panel.values()}
        if len(measures) > 1:
            raise ValueError(f"panels must hold curves of one measure each, got {', '.join(sorted(measures))}")


def _styles(names: Sequence[str]) -> dict[str, Style]:
    others = [name for name in names if name.lower() not in OWN]
    free = [(colour, dashes) for dashes in _DASHES for colour in OTHERS]
    styles: dict[str, Style] = {name: free[i % len(free)] for i, name in enumerate(others)}
    return styles | {name: (OWN[name.lower()], _DASHES[0]) for name in names if name.lower() in OWN}


def _draw(axes: Axes, panel: Mapping[str, Curve], styles: Mapping[str, Style]) -> None:
    first = next(iter(panel.values()))
    for name, curve in panel.items():
        colour, dashes = styles[name]
        fractions, values = curve.fractions.cpu().numpy(), curve.values.mean(0).cpu().numpy()
        marker = "o" if len(fractions) <= 12 else None
        own = name.lower() in OWN
        axes.plot(
            fractions,
            values,
            color=colour,
            linestyle=dashes,
            linewidth=2.2 if own else 1.5,
            marker=marker,
            markersize=4,
            zorder=3 if own else 2,
            clip_on=False,
        )
    last = max(float(curve.fractions[-1]) for curve in panel.values())
    axes.set(xlim=(0, last or 1), ylim=(0, 1), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    verb = "kept" if first.direction == "higher" else "infilled"
    axes.set_xlabel(f"most important pixels {verb}", size=10, color=MUTED)
    axes.set_ylabel("probability of the class", size=10, color=MUTED)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=MUTED, pad=8)
    axes.grid(color="#e6e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    header(axes, first.measure.capitalize(), f"{first.direction} is better")


def _areas(axes: Axes, panel: Mapping[str, Curve], styles: Mapping[str, Style], rows: int) -> None:
    """A legend with the mean areas, best first, in so many rows."""
    areas = {name: float(curve.area.double().mean()) for name, curve in panel.items()}
    ordered = sorted(areas, key=areas.__getitem__, reverse=next(iter(panel.values())).direction == "higher")
    numbers = {len(curve.values) for curve in panel.values()}
    images = f", mean of {numbers.pop()} images" if len(numbers) == 1 and numbers != {1} else ""
    axes.set(xlim=(0, 1), ylim=(rows, 0))
    axes.set_axis_off()
    whole = all(float(curve.fractions[-1] - curve.fractions[0]) == 1 for curve in panel.values())
    what = "area under the curve" if whole else "mean height of the curve"
    axes.text(1, 0.5, f"{what}{images}", size=9.5, color=MUTED, ha="right", va="center")
    for row, name in enumerate(ordered, start=1):
        colour, dashes = styles[name]
        axes.add_line(Line2D([0, 0.1], [row + 0.5] * 2, color=colour, linestyle=dashes, linewidth=2.2))
        axes.text(0.13, row + 0.5, short(name), size=10.5, color=INK, va="center")
        axes.text(1, row + 0.5, f"{areas[name]:.3f}", size=10.5, color=INK, ha="right", va="center")
