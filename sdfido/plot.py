"""Pictures of explanations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise ImportError(
        f'sdfido.plot needs the package {error.name}; install it with: pip install "sdfido[plot]"'
    ) from error

from .explanation import Explanation
from .files import replacing

__all__ = ["heatmap", "overview", "save"]

_INK, _MUTED = "#1b1b1f", "#6b6b76"
_PHOTO, _SSR, _SDR, _INFILL = "#4c566a", "#d1495b", "#3d6fb6", "#b4b4bd"


def heatmap(importance: Tensor | NDArray[Any], pixels: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """An importance map drawn over its photo: (1 − a)·grey + a·colour(m), with a = 0.85·m^0.7.

    importance: the map m, [H,W] in 0..1. pixels: [C,H,W] in 0..1 with 1 or 3 channels, shown as a dimmed grey photo.
    Returns colours [H,W,3] in 0..1. Raises ValueError for other shapes or ranges.
    """
    values = _array(importance)
    photo = _photo(pixels)
    if values.shape != photo.shape[:2]:
        raise ValueError(f"importance must be [H,W] like the pixels {photo.shape[:2]}, got shape {values.shape}")
    if not (np.isfinite(values).all() and values.min() >= -1e-6 and values.max() <= 1 + 1e-6):
        raise ValueError(f"importance must be in 0..1 everywhere, got {values.min():g}..{values.max():g}")
    values = values.clip(0, 1)[..., None]
    grey = 0.12 + 0.45 * (photo @ np.array([0.299, 0.587, 0.114]))[..., None]
    colour = np.asarray(colormaps["inferno"](0.15 + 0.85 * values[..., 0]), dtype=np.float64)[..., :3]
    picture: NDArray[np.float64] = grey + 0.85 * values**0.7 * (colour - grey)
    return picture


def overview(
    explanation: Explanation,
    pixels: Tensor,
    infill: Tensor,
    *,
    index: int = 0,
    label: str | None = None,
    title: str | None = None,
) -> Figure:
    """All that an explanation says about one image: photo, infill, the three maps, both composites, probabilities.

    explanation: of N images. pixels, infill: those images and their infill as pixels in 0..1, [N,3,H,W] (infill
    broadcastable to it). index: which of the N images. label: the target class's name, "class ID" by default.
    title: what stands on top. Raises ValueError for an index or shapes that do not fit the explanation.
    """
    count = explanation.ssr.shape[0]
    if not 0 <= index < count:
        raise ValueError(f"index must be one of the explanation's {count} images, 0..{count - 1}, got {index}")
    if pixels.dim() != 4 or pixels.shape[0] != count or pixels.shape[-2:] != explanation.ssr.shape[-2:]:
        raise ValueError(
            f"pixels must be [N,C,H,W] like the explanation's maps {tuple(explanation.ssr.shape)}, "
            f"got shape {tuple(pixels.shape)}"
        )
    ssr_composite, sdr_composite = explanation.composites(pixels, infill.expand(pixels.shape))
    photo = pixels[index]
    label = f"class {int(explanation.targets[index])}" if label is None else label

    def value(name: str) -> float:
        return float(getattr(explanation, name)[index])

    kept, removed = value("kept_ssr"), value("removed_sdr")

    column, gap, header, margin = 2.55, 0.26, 0.5, 0.15  # in inches
    row = column * photo.shape[-2] / photo.shape[-1]
    width, height = 4 * column + 3 * gap + 2 * margin + 0.3, 0.62 + 2 * (header + row) + gap + margin
    figure = Figure(figsize=(width, height), dpi=140, facecolor="white")
    figure.text(margin / width, 1 - 0.34 / height, title or f"Why “{label}”?", size=17, weight="bold", color=_INK)

    def place(line: int, position: int, extent: float = column, shift: float = 0.0) -> Axes:
        left = margin + position * (column + gap) + shift
        bottom = margin + (1 - line) * (header + row + gap)
        return figure.add_axes((left / width, bottom / height, extent / width, row / height))

    _image(place(0, 0), _photo(photo), "Photo", _says(label, value("prob_image")))
    _image(place(0, 1), heatmap(explanation.ssr[index], photo), "SSR: smallest sufficient", "enough on its own", _SSR)
    _image(place(0, 2), heatmap(explanation.sdr[index], photo), "SDR: smallest destroying", "lost without it", _SDR)
    _image(place(0, 3), heatmap(explanation.joint[index], photo), "Joint", "√(SSR · SDR)")
    _colour_bar(place(0, 3, extent=0.13, shift=column + 0.07))
    _image(place(1, 0), _photo(infill.expand(pixels.shape)[index]), "Infill alone", _says(label, value("prob_infill")))
    for position, composite, name, probability, colour in (
        (1, ssr_composite, f"SSR composite: {kept:.0%} kept", value("prob_ssr"), _SSR),
        (2, sdr_composite, f"SDR composite: {removed:.0%} gone", value("prob_sdr"), _SDR),
    ):
        _image(place(1, position), _photo(composite[index]), name, _says(label, probability), colour)
    bars = (
        ("photo", value("prob_image"), _PHOTO, False),
        ("infill", value("prob_infill"), _INFILL, False),
        ("SSR", value("prob_ssr"), _SSR, False),
        (f"cut at ½: {value('area_ssr'):.0%} kept", value("prob_ssr_binary"), _SSR, True),
        ("SDR", value("prob_sdr"), _SDR, False),
        (f"cut at ½: {value('area_sdr'):.0%} gone", value("prob_sdr_binary"), _SDR, True),
    )
    _probabilities(place(1, 3), label, bars, min(1.0, row / 2))
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as part:
        figure.savefig(part, format="png", facecolor=figure.get_facecolor())


def _image(axes: Axes, picture: NDArray[Any], title: str, subtitle: str, colour: str = _INK) -> None:
    axes.imshow(picture, aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
    axes.set_axis_off()
    _header(axes, title, subtitle, colour)


def _header(axes: Axes, title: str, subtitle: str, colour: str = _INK) -> None:
    for text, points, size, weight, ink in ((title, 21, 12.5, "bold", colour), (subtitle, 6, 11, "normal", _MUTED)):
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


def _says(label: str, probability: float) -> str:
    return f"{_short(label)}  {_percent(probability)}"


def _short(label: str) -> str:
    return label if len(label) <= 22 else label[:21].rstrip() + "…"


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability >= 0.001 or probability == 0 else "< 0.1%"


def _probabilities(axes: Axes, label: str, bars: Sequence[tuple[str, float, str, bool]], scale: float) -> None:
    """Bars (name, probability of the target, colour, minor); a minor one, thin and small, belongs to the one above.

    scale: of the texts, where the panel is too low for them.
    """
    bottom = 0.0
    for name, probability, colour, minor in bars:
        height, size, ink = (0.14, 9, _MUTED) if minor else (0.36, 11, _INK)
        top = bottom + (0.42 if minor else 0.56)
        bottom = top + height
        for text, x, side in ((name, 0, "left"), (_percent(probability), 1, "right")):
            axes.text(x, top - 0.05, text, size=scale * size, color=ink, va="bottom", ha=side)
        axes.barh(top, 1.0, height=height, align="edge", color="#f0f0f3")
        axes.barh(top, probability, height=height, align="edge", color=colour)
    axes.set(xlim=(0, 1), ylim=(bottom, 0))
    axes.set_axis_off()
    _header(axes, "Probability", f"of {_short(label)}")


def _colour_bar(bar: Axes) -> None:
    """The maps' scale, drawn as they are drawn, over a mid-grey photo."""
    scale = np.linspace(0, 1, 256)[:, None]
    bar.imshow(heatmap(scale, np.full((1, 256, 1), 0.5)), origin="lower", aspect="auto", extent=(0, 1, 0, 1))
    bar.set(xticks=[], yticks=[0, 0.5, 1])
    bar.set_yticklabels(["0", "½", "1"])
    bar.yaxis.tick_right()
    bar.tick_params(length=0, labelsize=11, labelcolor=_MUTED, pad=3)
    for spine in bar.spines.values():
        spine.set_visible(False)


def _array(values: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _photo(pixels: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """Pixels [1 or 3, H, W] as colours [H,W,3], clipped to 0..1."""
    values = _array(pixels)
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        raise ValueError(f"pixels must be [C,H,W] with 1 or 3 channels, got shape {values.shape}")
    return np.clip(np.broadcast_to(values.transpose(1, 2, 0), (*values.shape[1:], 3)), 0, 1)
