"""A picture of a structured attention graph: layers of thumbnails, a patch fewer in each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from ..checks import check_count, check_kind
from ..graph import Edge, PatchGraph
from ..ops import functional
from . import style
from .style import INK, MUTED

__all__ = ["attention_graph"]

_DPI = 120
_SIDE, _GAP, _LAYER = 1.2, 0.16, 0.62  # of a thumbnail, and the room beside and below it, in inches
_MARGIN, _TITLE = 0.2, 0.75
_LINE, _LETTERS = 0.22, 12.5  # of the words below: height of a line in inches, letters an inch
_ROW = 12  # thumbnails in a layer, at most
_DARK = 0.1  # of the brightness that infilled patches keep
_REMOVED = "#e5172f"
_STEEP, _STEEPER = 0.2, 0.6  # losses from which a removed patch has a thicker outline


def attention_graph(
    graph: PatchGraph, pixels: Tensor, *, label: str = "the target", title: str | None = None, roots: int = 3
) -> Figure:
    """Roots of a graph and what is left of them, a layer for each patch removed.

    A node shows the photo with all that is infilled darkened to a tenth; below stands the share of the confidence that
    it keeps. The patch that was removed last is outlined in red: thicker where that costs more than 20 points, and
    thicker still above 60. The photo with numbered patches stands on the left.

    Args:
        graph: of one image.
        pixels: that image [C, H, W], 0..1, with 1 or 3 channels.
        label: name of the target.
        title: what stands on top.
        roots: how many roots are drawn, the first ones.

    Raises:
        TypeError, ValueError: an argument has a wrong type, shape or value.

    Example:
        >>> graph = sdfido.AttentionGraph.graphs(explanation)[0]
        >>> reports.save(reports.attention_graph(graph, normalization.pixels(images)[0]), "graph.png")
    """
    check_kind("graph", graph, PatchGraph, "a sdfido PatchGraph")
    check_count("roots", roots)
    photo = style.colours(pixels)
    if graph.grid[0] > photo.shape[0] or graph.grid[1] > photo.shape[1]:
        raise ValueError(f"pixels must have a pixel for each patch of the grid {graph.grid}, got {photo.shape[:2]}")
    layers, left_out = _layers(graph, graph.roots[:roots])
    edges = [edge for edge in graph.edges if {edge.parent, edge.child} <= {node for row in layers for node in row}]
    tall = _SIDE * photo.shape[0] / photo.shape[1]
    side = 2 * _SIDE  # of the photo on the left
    columns = max(len(row) for row in layers)
    begin = _MARGIN + side + 0.35
    width = max(begin + columns * (_SIDE + _GAP) - _GAP, 7.5) + _MARGIN
    words = _words(graph, len(graph.roots[:roots]), left_out)
    lines = [line for part in words for line in textwrap.wrap(part, int(_LETTERS * (width - 2 * _MARGIN)))]
    below = _MARGIN + _LINE * len(lines)
    height = _TITLE + max(len(layers) * (tall + _LAYER), 2 * tall + _LAYER) + below
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(_MARGIN, 0.42, title or f"What is enough for “{label}”?", size=17, weight="bold", color=INK)
    for i, line in enumerate(lines):
        axes.text(_MARGIN, height - below + _LINE * (i + 0.6), line, size=11, color=INK)
    _show(axes, photo, (_MARGIN, _TITLE, side, 2 * tall))
    _number(axes, graph.grid, (_MARGIN, _TITLE, side, 2 * tall))
    places = _places(layers, edges, begin, width - _MARGIN)
    boxes = {
        node: (places[node] - _SIDE / 2, _TITLE + depth * (tall + _LAYER), _SIDE, tall)
        for depth, row in enumerate(layers)
        for node in row
    }
    for edge in edges:
        (x0, y0), (x1, y1) = boxes[edge.parent][:2], boxes[edge.child][:2]
        ends = [x0 + _SIDE / 2, x1 + _SIDE / 2], [y0 + tall + 0.24, y1 - 0.03]
        axes.plot(*ends, color=MUTED, linewidth=0.8, zorder=1)
    for node, box in boxes.items():
        _draw(axes, graph, node, photo, box)
        for edge in edges:
            if edge.child == node:
                _outline(axes, graph, edge, box)
    return style.literal(figure)


def _layers(graph: PatchGraph, roots: Sequence[int]) -> tuple[list[list[int]], int]:
    """Nodes below some roots by the longest way from one, those that keep most if a layer is full; how many are not."""
    depths = dict.fromkeys(roots, 0)
    for parent in sorted(range(len(graph.nodes)), key=lambda node: -len(graph.nodes[node])):
        for edge in graph.edges:
            if edge.parent == parent and parent in depths:
                depths[edge.child] = max(depths.get(edge.child, 0), depths[parent] + 1)
    layers: list[list[int]] = []
    for depth in range(max(depths.values(), default=-1) + 1):
        shown = {node for row in layers for node in row}
        row = [node for node in depths if depths[node] == depth]
        if depth:  # what hangs from nothing that is drawn is left out, too
            row = [node for node in row if any(e.child == node and e.parent in shown for e in graph.edges)]
        layers.append(sorted(row, key=lambda node: -graph.shares[node])[:_ROW] if depth else row[:_ROW])
    layers = [row for row in layers if row]
    return layers, len(depths) - sum(map(len, layers))


def _places(layers: Sequence[Sequence[int]], edges: Sequence[Edge], begin: float, end: float) -> dict[int, float]:
    """The middle of each node from left to right; children stand below the mean of their parents."""
    places: dict[int, float] = {}
    step = _SIDE + _GAP
    for depth, row in enumerate(layers):
        wanted = {}
        for i, node in enumerate(row):
            above = [places[edge.parent] for edge in edges if edge.child == node and edge.parent in places]
            wanted[node] = sum(above) / len(above) if above else begin + (end - begin) * (i + 0.5) / len(row)
        ordered = sorted(row, key=lambda node: wanted[node])
        free = end - begin - len(ordered) * step + _GAP
        for i, node in enumerate(ordered):  # no further left than the nodes before it allow
            left = places[ordered[i - 1]] + step if i else begin + _SIDE / 2
            places[node] = min(max(wanted[node], left), begin + _SIDE / 2 + i * step + free) if depth else wanted[node]
        shift = sum(wanted[node] - places[node] for node in ordered) / len(ordered)
        shift = max(shift, begin + _SIDE / 2 - places[ordered[0]])
        for node in ordered:
            places[node] += min(shift, 0.0)
    return places


def _draw(axes: Axes, graph: PatchGraph, node: int, photo: NDArray[np.float64], box: tuple[float, ...]) -> None:
    cells = np.zeros(graph.grid[0] * graph.grid[1])
    cells[list(graph.nodes[node])] = 1
    kept = functional.upsample(from_numpy(cells.reshape(graph.grid)), (photo.shape[0], photo.shape[1])).numpy()
    _show(axes, photo * (_DARK + (1 - _DARK) * kept[..., None]), box)
    x, y, side, tall = box
    share = graph.shares[node]
    weight = "bold" if share >= graph.kept_share else "normal"
    colour = INK if share >= graph.kept_share else MUTED
    axes.text(x + side / 2, y + tall + 0.17, f"{share:.0%}", size=11, weight=weight, color=colour, ha="center")


def _show(axes: Axes, picture: NDArray[np.float64], box: tuple[float, ...]) -> None:
    x, y, side, tall = box
    axes.imshow(picture, extent=(x, x + side, y + tall, y), aspect="auto", interpolation="lanczos", zorder=2)


def _number(axes: Axes, grid: tuple[int, int], box: tuple[float, ...]) -> None:
    """The grid over the photo, with the patches' numbers."""
    x, y, side, tall = box
    down, across = tall / grid[0], side / grid[1]
    for row in range(grid[0]):
        for column in range(grid[1]):
            corner = (x + column * across, y + row * down)
            axes.add_patch(Rectangle(corner, across, down, fill=False, edgecolor="white", linewidth=0.4, zorder=3))
            text = f"{row * grid[1] + column}"
            size = min(8.0, 72 * min(down, across) * 0.42)
            near = (corner[0] + 0.08 * across, corner[1] + 0.08 * down)
            axes.text(*near, text, size=size, color="white", ha="left", va="top", zorder=4)


def _outline(axes: Axes, graph: PatchGraph, edge: Edge, box: tuple[float, ...]) -> None:
    """The patch that an edge removes, in the thumbnail of its child."""
    x, y, side, tall = box
    down, across = tall / graph.grid[0], side / graph.grid[1]
    row, column = divmod(edge.removed, graph.grid[1])
    loss = graph.shares[edge.parent] - graph.shares[edge.child]
    thick = 1.0 + 0.9 * (loss > _STEEP) + 0.9 * (loss > _STEEPER)
    corner = (x + column * across, y + row * down)
    axes.add_patch(Rectangle(corner, across, down, fill=False, edgecolor=_REMOVED, linewidth=thick, zorder=4))


def _words(graph: PatchGraph, shown: int, left_out: int) -> list[str]:
    found = len(graph.roots)
    sets = (
        f"Sufficient: {graph.formula}."
        if found <= shown
        else f"Sufficient, of which {shown} are drawn: {graph.formula}."
    )
    words = [sets, "Below each picture: the part of the whole photo's confidence that is kept."]
    if left_out:
        words[1] += f" {left_out} more nodes are not drawn."
    return words
