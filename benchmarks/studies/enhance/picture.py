"""The pictures of a second look: examples, and how much each way of cropping changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from torch import Tensor

import sdfido
from benchmarks.common.drawing import SPECIES
from benchmarks.common.pictures import INK, MUTED, save
from benchmarks.common.records import Results
from benchmarks.studies.enhance.report import ARMS, LABELS, best
from sdfido import Enhancement
from sdfido.models import Classifier

RIGHT, WRONG = "#2a7f4f", "#c8102e"
MENDED, SPOILT = 4, 1

Guess = tuple[str, float]


@dataclass(frozen=True)
class Example:
    """One image, its box and what was said of it."""

    scene: Tensor  # pixels [3, H, W]
    crop: Tensor  # pixels [3, h, w]
    box: list[int]
    name: str  # the true class, or the photo's name
    known: bool  # whether the name is the true class
    first: Guess
    second: Guess
    both: Guess


def examples(
    originals: Tensor, labels: Tensor, result: Enhancement, normalization: sdfido.Normalization
) -> list[Example]:
    """The first images that the second look mended, and the first that it spoilt: not the best ones."""
    first, both = result.predictions_image == labels, result.predictions == labels
    mended, spoilt = (~first & both).nonzero()[:MENDED, 0], (first & ~both).nonzero()[:SPOILT, 0]
    looks = [result.logits_image.softmax(1), result.logits_crop.softmax(1), result.probabilities]

    def guess(probabilities: Tensor) -> Guess:
        return SPECIES[int(probabilities.argmax())], float(probabilities.max())

    return [
        Example(
            normalization.pixels(originals[i]),
            normalization.pixels(result.crops[i]),
            result.boxes[i].tolist(),
            SPECIES[int(labels[i])],
            True,
            *(guess(of[i]) for of in looks),
        )
        for i in (*mended.tolist(), *spoilt.tolist())
    ]


def photo(name: str, original: Tensor, result: Enhancement, classifier: Classifier) -> Example:
    """A photo [3, H, W] and the second look at it alone."""
    looks = [result.logits_image.softmax(1), result.logits_crop.softmax(1), result.probabilities]
    pixels = classifier.normalization.pixels
    guesses = ((classifier.label(int(of.argmax())), float(of.max())) for of in looks)
    return Example(pixels(original), pixels(result.crops[0]), result.boxes[0].tolist(), name, False, *guesses)


def draw(results: Results, shown: list[Example], path: Path) -> None:
    figure = _figure(13, 10.8)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.45, 1), hspace=0.03)
    upper.suptitle("Scenes whose class changed: the first that were mended, the first that was spoilt", **_TITLE)
    _examples(upper, shown)
    _changes(lower, results)
    save(figure, path)


def draw_photos(shown: list[Example], path: Path) -> None:
    figure = _figure(2.9 * max(3, len(shown)), 7)
    _examples(figure, shown)
    save(figure, path)


def _figure(width: float, height: float) -> Figure:
    engine = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1)
    return Figure(figsize=(width, height), layout=engine, dpi=110, facecolor="white")


def _examples(figure: Figure | SubFigure, shown: list[Example]) -> None:
    grid = figure.subplots(2, max(1, len(shown)), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for (above, below), example in zip(grid.T, shown, strict=False):
        y0, x0, y1, x1 = example.box
        _image(above, example.scene)
        for colour, width in (("black", 3.4), ("white", 1.6)):
            frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, edgecolor=colour, linewidth=width)
            frame.set(fill=False, clip_on=False)
            above.add_patch(frame)
        _image(below, example.crop)
        above.set_title(f"{example.name}\n", fontsize=12, fontweight="bold", color=INK, loc="left")  # the guess below
        _says(above, "first look", example.first, example, above=True)
        _says(below, "crop", example.second, example, above=True)
        _says(below, "averaged", example.both, example, above=False)


def _image(axes: Axes, pixels: Tensor) -> None:
    axes.imshow(pixels.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="lanczos", interpolation_stage="rgba")


def _says(axes: Axes, name: str, guess: Guess, example: Example, *, above: bool) -> None:
    colour = INK if not example.known else RIGHT if guess[0] == example.name else WRONG
    axes.annotate(
        f"{name}: {guess[0]} {guess[1]:.0%}",
        (0, 1 if above else 0),
        (0, 5 if above else -5),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom" if above else "top",
        fontsize=10.5,
        fontweight="normal" if name != "averaged" else "bold",
        color=colour,
    )


def _changes(figure: SubFigure, results: Results) -> None:
    figure.suptitle("Change of the accuracy by a second look, in points, with its 95% interval", **_TITLE)
    columns = figure.subplots(1, len(ARMS), sharex=True, sharey=True)
    names = [name for name in LABELS if name in results["arms"]["scenes"]["methods"]]
    for axes, arm in zip(columns, ARMS, strict=True):
        chosen, _ = best(results, arm)
        for row, name in enumerate(names):
            of = results["arms"][arm]["methods"].get(name)
            if of is None:
                axes.text(0, row, "not applicable", va="center", ha="center", fontsize=9, color=MUTED)
                continue
            change = of["averaged"]
            colour = RIGHT if change["low"] > 0 else WRONG if change["high"] < 0 else MUTED
            axes.plot([100 * change["low"], 100 * change["high"]], [row, row], color=colour, linewidth=2.2)
            axes.plot(100 * change["difference"], row, "D" if name == chosen else "o", color=colour, markersize=8)
        axes.axvline(0, color=INK, linewidth=1, zorder=0)
        before = results["arms"][arm]["before"]
        axes.set_title(f"{_short(arm)}\nfirst look {before:.1%}", fontsize=10.5, loc="left", color=INK)
        axes.set_yticks(range(len(names)), [LABELS[name] for name in names], fontsize=10)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#eeeeee", zorder=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    columns[0].invert_yaxis()
    figure.supxlabel(
        "◆ chosen on other images   green: better, red: worse, grey: not told apart", fontsize=10, color=MUTED
    )


def _short(arm: str) -> str:
    return {
        "scenes": "Scenes, crops of the original",
        "shrunk": "Same boxes, crops of the shrunk scene",
        "close-ups": "Close-ups, seen in full",
    }[arm]


_TITLE = {"fontsize": 13, "fontweight": "bold", "color": INK, "x": 0.01, "ha": "left"}
