"""One picture of all that an explanation says about one image."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ..checks import check_broadcast, check_flag, check_kind, check_list, check_number, check_tensor, describe
from ..explanation import Explanation
from ..scores import PROBABILITY, Scale
from . import style
from .style import INK, MUTED, OTHERS, OWN, PALE, PHOTO, heatmap

__all__ = ["Bar", "Panel", "draw", "overview"]

_DPI = 140
_COLUMN, _GAP, _MARGIN = 2.55, 0.26, 0.15  # in inches
_TITLE, _HEADER = 0.62, 0.5  # room above the panels, and above each panel
_SCALE_WIDTH, _SCALE_SHIFT, _SCALE_ROOM = 0.13, 0.07, 0.3  # the maps' colour scale, right of the last one
_LINE, _LETTERS = 0.22, 12.5  # of the words below: height of a line in inches, letters an inch
_PANEL_UNITS = 3.7  # height of the panel with the bars in their own units, at least: FIDO's four bars fill it


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture with a title and a subtitle."""

    image: Tensor | NDArray[Any]  #: a map [H, W] or pixels [C, H, W], 0..1
    title: str
    subtitle: str = ""
    colour: str = INK  #: of the title
    signed: bool = False  #: whether the map is in -1..1

    def __post_init__(self) -> None:
        _check_texts(self, "title", "subtitle")
        _check_colour(self.colour)
        check_flag("signed", self.signed)
        check_kind("image", self.image, (Tensor, np.ndarray), "a map [H, W] or pixels [C, H, W]")


@dataclass(frozen=True)
class Bar:
    """A named confidence."""

    name: str
    value: float  #: where the bar ends, 0..1 of the panel's width
    colour: str = PHOTO
    text: str = ""  #: of the value; in percent where none is given
    start: float = 0.0  #: where the bar begins

    def __post_init__(self) -> None:
        _check_texts(self, "name", "text")
        _check_colour(self.colour)
        for name in ("value", "start"):
            check_kind(name, getattr(self, name), Real, "a number")


def _check_texts(owner: Panel | Bar, *names: str) -> None:
    for name in names:
        check_kind(name, getattr(owner, name), str, "a text")


def _check_colour(colour: Any) -> None:
    if not isinstance(colour, str) or not is_color_like(colour):
        raise ValueError(f'colour must be one of matplotlib\'s, such as "#aa3300", got {describe(colour)}')


def overview(
    explanation: Explanation,
    pixels: Tensor,
    infill: Tensor,
    *,
    index: int = 0,
    label: str | None = None,
    title: str | None = None,
) -> Figure:
    """Photo, infill, maps, composites and probabilities of one explained image in one picture.

    Args:
        explanation: of N images, by any method.
        pixels: those images as pixels [N, 3, H, W], 0..1.
        infill: their infill as pixels, broadcasts against ``pixels``.
        index: which of the N images is drawn.
        label: name of the target, "class ID" by default.
        title: what stands on top.

    Raises:
        ValueError: the index or a shape does not fit the explanation.

    Example:
        >>> figure = reports.overview(explanation, normalization.pixels(images), normalization.pixels(infill))
        >>> reports.save(figure, "overview.png")
    """
    check_kind("explanation", explanation, Explanation, "a sdfido Explanation")
    index = check_number("index", index, int)
    for name, text in (("label", label), ("title", title)):
        if text is not None:
            check_kind(name, text, str, "a text")
    check_tensor("pixels", pixels, "[N, C, H, W]", floating=True, values=True)
    check_tensor("infill", infill, "that broadcasts against pixels", floating=True, values=True)
    count, shape = len(explanation), tuple(next(iter(explanation.maps.values())).shape)
    if not 0 <= index < count:
        raise ValueError(f"index must be one of the explanation's {count} images, 0..{count - 1}, got {index}")
    if pixels.dim() != 4 or pixels.shape[1] not in (1, 3) or pixels.shape[0] != count or pixels.shape[-2:] != shape[1:]:
        raise ValueError(
            f"pixels must be [N, C, H, W] like the explanation's maps {shape}, got shape {tuple(pixels.shape)}"
        )
    check_broadcast("infill", infill, "pixels", pixels)
    one, photo = explanation[index], pixels[index : index + 1]
    filling = infill.expand(pixels.shape)[index : index + 1]
    label = one.scale.called(one.targets[0]) if label is None else label
    write = one.scale.text
    numbers = {name: float(value[0]) for name, value in one.numbers.items()}

    def says(name: str) -> str:
        return f"{style.short(label)}  {write(numbers[name])}" if name in numbers else ""

    legend, missing = one.legend, set(one.missing[0])
    colour = dict(zip((name for name in legend if name not in OWN), OTHERS * len(legend), strict=False)) | OWN
    maps = [
        Panel(one[name][0], info.title, info.note, INK if info.of else colour[name], info.signed)
        for name, info in legend.items()
        if name not in missing or one[name].any()
    ]
    composites = one.composites(photo, filling) if one.regions else ()
    masked, bars = [], [("photo", "prob_image", PHOTO), ("infill", "prob_infill", style.INFILL)]
    for region, composite in zip(one.regions, composites, strict=True):
        if region in missing:
            continue
        name, does = legend[region].heading, "kept" if legend[region].role == "keep" else "gone"
        size, said = float(one.area(region)[0]), f"prob_{region}_binary"
        masked.append(Panel(composite[0], f"{name}: {size:.0%} of the photo {does}", says(said), colour[region]))
        if said in numbers:
            bars.append((f"{name}: {size:.0%} {does}", said, colour[region]))
    top = [Panel(photo[0], "Photo", says("prob_image")), *maps]
    bottom = [Panel(filling[0], "Infill alone", says("prob_infill")), *masked]
    words = [*_sentences(one, numbers), *one.notes[0]]
    heading, shown = one.scale.heading, _as_bars(bars, numbers, one.scale)
    return draw(top, bottom, shown, label=label, title=title or f"Why “{label}”?", words=words, heading=heading)


def draw(
    top: Sequence[Panel],
    bottom: Sequence[Panel],
    bars: Sequence[Bar],
    *,
    label: str,
    title: str | None = None,
    words: Sequence[str] = (),
    heading: str = PROBABILITY.heading,
) -> Figure:
    """Two rows of pictures, bars with probabilities at the end of the lower row, and a few sentences below.

    Args:
        top: panels of the upper row, of which the first is the photo that maps [H, W] are drawn over.
        bottom: panels of the lower row.
        bars: what the model says of the target.
        label: name of the target.
        title: what stands on top.
        words: paragraphs below the pictures, broken into lines.
        heading: what the bars show.

    Raises:
        ValueError: the first panel is no photo, or a map does not fit it.
    """
    top, bottom = (check_list(name, row, Panel, "panels") for name, row in (("top", top), ("bottom", bottom)))
    bars, words = check_list("bars", bars, Bar, "bars"), check_list("words", words, str, "paragraphs")
    for name, text in (("label", label), ("title", "" if title is None else title), ("heading", heading)):
        check_kind(name, text, str, "a text")
    if not top:
        raise ValueError("top must have at least one panel, the photo, got none")
    photo = style.colours(top[0].image)
    columns = max(len(top), len(bottom) + 1)
    row = _COLUMN * photo.shape[0] / photo.shape[1]
    width = columns * _COLUMN + (columns - 1) * _GAP + 2 * _MARGIN + _SCALE_ROOM
    lines = [line for part in words for line in textwrap.wrap(part, int(_LETTERS * (width - 2 * _MARGIN)))]
    foot = _MARGIN + (_GAP / 2 + _LINE * len(lines) if lines else 0)
    height = _TITLE + 2 * (_HEADER + row) + _GAP + foot
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    if title:
        figure.text(_MARGIN / width, 1 - 0.34 / height, title, size=17, weight="bold", color=INK)
    for i, text in enumerate(reversed(lines)):
        figure.text(_MARGIN / width, (_MARGIN + _LINE * i) / height, text, size=11, color=INK)

    def place(line: int, position: int, extent: float = _COLUMN, shift: float = 0.0) -> Axes:
        left = _MARGIN + position * (_COLUMN + _GAP) + shift
        bottom = foot + (1 - line) * (_HEADER + row + _GAP)
        return figure.add_axes((left / width, bottom / height, extent / width, row / height))

    last = max((i for i, panel in enumerate(top) if _is_map(panel)), default=None)
    for line, panels in enumerate((top, bottom)):
        for position, panel in enumerate(panels):
            if _is_map(panel):
                picture = heatmap(panel.image, top[0].image, signed=panel.signed)
            else:
                picture = style.colours(panel.image)
            _picture(place(line, position), picture, panel)
        if line == 0 and last is not None:
            _colour_scale(place(0, last, _SCALE_WIDTH, _COLUMN + _SCALE_SHIFT), top[last].signed)
    _bars(place(1, len(bottom)), heading, label, bars, min(1.0, row / 2))
    return style.literal(figure)


def _sentences(explanation: Explanation, numbers: Mapping[str, float]) -> list[str]:
    """What the final regions say, in one paragraph."""
    told = []
    for region in explanation.regions:
        said, info = numbers.get(f"prob_{region}_binary"), explanation.legend[region]
        if said is None or region in explanation.missing[0]:
            continue
        write = explanation.scale.text
        size, says = f"{numbers[f'area_{region}']:.0%} of the photo", write(said)
        if info.role == "keep":
            told.append(f"{info.heading}: {size} alone says {says}, the whole photo {write(numbers['prob_image'])}.")
        else:
            told.append(f"{info.heading}: without {size}, {says} is left.")
        if f"agreement_{region}" in numbers:
            told.append(f"Repeats overlap by {numbers[f'agreement_{region}']:.0%}.")
    paragraphs = [" ".join(told)] if told else []
    if "seeds" in numbers and explanation.regions:
        paragraphs.append(_seeds(explanation, numbers))
    return paragraphs


def _seeds(explanation: Explanation, numbers: Mapping[str, float]) -> str:
    """How far seeds agree, in a line."""
    count = int(numbers["seeds"])
    agree = [
        f"{explanation.legend[name].heading}s overlap by {numbers[f'seeds_overlap_{name}']:.0%}, "
        f"{numbers[f'core_{name}']:.1%} of the photo is in {'both' if count == 2 else 'all'}"
        for name in explanation.regions
    ]
    return f"{count} seeds: {'; '.join(agree)}."


def _is_map(panel: Panel) -> bool:
    return panel.image.ndim == 2


def _picture(axes: Axes, picture: NDArray[Any], panel: Panel) -> None:
    axes.imshow(picture, aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
    axes.set_axis_off()
    style.header(axes, panel.title, panel.subtitle, panel.colour)


def _as_bars(named: Sequence[tuple[str, str, str]], numbers: Mapping[str, float], scale: Scale) -> list[Bar]:
    """Bars of confidences by name: of probabilities from 0 to 1, of others over the range that they take with 0."""
    shown = [scale.sign * numbers[key] for _, key, _ in named]
    low, high = (0.0, 1.0) if scale.percent else (min(0.0, *shown), max(0.0, *shown))
    width = high - low or 1.0
    return [
        Bar(name, (value - low) / width, colour, scale.text(numbers[key]), (0.0 - low) / width)
        for (name, key, colour), value in zip(named, shown, strict=True)
    ]


def _bars(axes: Axes, heading: str, label: str, bars: Sequence[Bar], scale: float) -> None:
    """Bars one below the other; scale: of their texts, where the panel is low."""
    tops = [0.56 + 0.92 * i for i in range(len(bars))]
    units = max(0.92 * len(bars), _PANEL_UNITS)
    scale *= _PANEL_UNITS / units
    for bar, top in zip(bars, tops, strict=True):
        for text, x, side in ((bar.name, 0, "left"), (bar.text or style.percent(bar.value), 1, "right")):
            axes.text(x, top - 0.05, text, size=scale * 11, color=INK, va="bottom", ha=side)
        axes.barh(top, 1.0, height=0.36, align="edge", color=PALE)
        axes.barh(top, bar.value - bar.start, left=bar.start, height=0.36, align="edge", color=bar.colour)
    axes.set(xlim=(0, 1), ylim=(units, 0))
    axes.set_axis_off()
    style.header(axes, heading, f"of {style.short(label)}")


def _colour_scale(axes: Axes, signed: bool) -> None:
    """The maps' scale, drawn as they are drawn, over a mid-grey photo."""
    scale = np.linspace(-1 if signed else 0, 1, 256)[:, None]
    drawn = heatmap(scale, np.full((1, 256, 1), 0.5), signed=signed)
    axes.imshow(drawn, origin="lower", aspect="auto", extent=(0, 1, 0, 1))
    axes.set(xticks=[], yticks=[0, 0.5, 1])
    axes.set_yticklabels(["−", "0", "+"] if signed else ["0", "½", "1"])
    axes.yaxis.tick_right()
    axes.tick_params(length=0, labelsize=11, labelcolor=MUTED, pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
