"""What all pictures share: colours, headers, short texts, and a map drawn over its photo."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from torch import Tensor

from ..checks import check_flag, check_kind, check_tensor, from_array
from ..files import replacing, visible

INK, MUTED, PALE = "#1b1b1f", "#6b6b76", "#f0f0f3"
PHOTO, INFILL = "#4c566a", "#b4b4bd"
OWN = {"ssr": "#d1495b", "sdr": "#3d6fb6", "joint": "#5b2a86"}
"""Colours of maps and regions that have one of their own, by name."""
OTHERS = ("#009e73", "#e69f00", "#56b4e9", "#1b1b1f", "#a6761d", "#8a8a94")
"""Colours of all others, in this order; they can be told apart by colour-blind readers, too."""

# A map over its photo: how dark and how contrasty the photo is, and how the colour grows with importance.
GREY_FLOOR, GREY_RANGE = 0.12, 0.45
COLOUR_FLOOR, COLOUR_RANGE = 0.15, 0.85
OPACITY, GAMMA = 0.85, 0.7
_TITLE_LETTERS = 24  # of a title at full size over a panel
_LUMA = np.array([0.299, 0.587, 0.114])


def heatmap(
    importance: Tensor | NDArray[Any], pixels: Tensor | NDArray[Any], *, signed: bool = False
) -> NDArray[np.float64]:
    """A map drawn over its photo: ``(1 - a) * grey + a * colour(m)`` with ``a = 0.85 * |m| ** 0.7``.

    Args:
        importance: the map m [H, W], 0..1; -1..1 where it is signed.
        pixels: the photo [C, H, W], 0..1, with 1 or 3 channels; it is shown in dark grey.
        signed: whether the map may have values below 0; they are drawn in cold colours.

    Returns:
        Colours [H, W, 3], 0..1.

    Raises:
        ValueError: an argument has another shape or range.
    """
    check_flag("signed", signed)
    values = as_array("importance", importance)
    photo = colours(pixels)
    if values.shape != photo.shape[:2]:
        raise ValueError(f"importance must be [H, W] like the pixels {photo.shape[:2]}, got shape {values.shape}")
    least = -1 if signed else 0
    if not (np.isfinite(values).all() and values.min() >= least - 1e-6 and values.max() <= 1 + 1e-6):
        raise ValueError(f"importance must be in {least}..1 everywhere, got {values.min():g}..{values.max():g}")
    cold, values = values < 0, abs(values).clip(0, 1)[..., None]
    grey = GREY_FLOOR + GREY_RANGE * (photo @ _LUMA)[..., None]
    hot = np.asarray(colormaps["inferno"](COLOUR_FLOOR + COLOUR_RANGE * values[..., 0]), np.float64)[..., :3]
    hot = np.where(cold[..., None], hot[..., ::-1], hot)  # red and blue exchanged
    picture: NDArray[np.float64] = grey + OPACITY * values**GAMMA * (hot - grey)
    return picture


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG file, which appears whole or not at all."""
    check_kind("figure", figure, Figure, "a figure of matplotlib")
    with replacing(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        figure.savefig(part, format="png", facecolor=figure.get_facecolor())


def header(axes: Axes, title: str, subtitle: str, colour: str = INK) -> None:
    """A bold title and a muted subtitle above an axes; a long title is smaller, so that it fits over a panel."""
    fitting = 12.5 * min(1.0, _TITLE_LETTERS / max(len(title), 1))
    for text, points, size, weight, ink in ((title, 21, fitting, "bold", colour), (subtitle, 6, 11, "normal", MUTED)):
        axes.annotate(
            text,
            (0, 1),
            (0, points),
            xycoords="axes fraction",
            textcoords="offset points",
            size=size,
            weight=weight,
            color=ink,
            annotation_clip=False,
        )


def literal(figure: Figure) -> Figure:
    """The figure, whose texts are shown as they are: no formula between dollar signs, control characters as escapes."""
    for text in figure.findobj(Text):
        if isinstance(text, Text) and (text.get_text().count("$") > 1 or not text.get_text().isprintable()):
            text.set_parse_math(False)
            text.set_text("\n".join(map(visible, text.get_text().split("\n"))))
    return figure


def short(label: str) -> str:
    """A label cut to the width of a panel."""
    return label if len(label) <= 22 else label[:21].rstrip() + "…"


def percent(part: float) -> str:
    """A probability as text; a tiny one is not shown as 0."""
    return f"{part:.1%}" if part >= 0.001 or part == 0 else "< 0.1%"


def as_array(name: str, values: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """A tensor or array of numbers as float64 on the CPU; ``name`` is the argument's, for errors."""
    tensor = check_tensor(name, from_array(name, values), values=True)
    if tensor.is_complex():
        raise TypeError(f"{name} must be of real numbers, got {tensor.dtype}")
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def colours(pixels: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """Pixels [1 or 3, H, W] as colours [H, W, 3], clipped to 0..1.

    Raises:
        ValueError: the pixels have another shape.
    """
    values = as_array("pixels", pixels)
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"pixels must be [C, H, W] with 1 or 3 channels, got shape {values.shape}")
    return np.clip(np.broadcast_to(values.transpose(1, 2, 0), (*values.shape[1:], 3)), 0, 1)
