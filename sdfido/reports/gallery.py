"""A page and a contact sheet of the parts that suffice for each class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ..files import visible
from .html import BEGINS

__all__ = ["Part", "crop", "gallery_page", "gallery_sheet"]

_SIDE = 112  # of a crop, in pixels
_DIMMED = 0.45  # brightness of a crop outside its region
_MARGIN = 0.1  # around a region, as a part of its longer side
_STYLE = """
body { margin: 2rem; font: 15px/1.5 system-ui, sans-serif; color: #1b1b1f; background: #f0f0f3 }
h1 { margin: 0; font-size: 1.5rem }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.2rem }
p, figcaption { color: #55555f; margin: 0 }
section { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; padding: 1rem; border-radius: 8px; background: white }
figure img { display: inline-block; width: 64px; vertical-align: bottom }
figure img:first-child { width: 128px }
@media (prefers-color-scheme: dark) {
body { color: #e6e6ea; background: #1b1b1f } figure { background: #2a2a30 } p, figcaption { color: #a8a8b3 } }
""".strip()


@dataclass(frozen=True, eq=False)
class Part:
    """A cluster of pieces of regions of one class."""

    count: int  #: pieces in it
    crops: Sequence[NDArray[np.uint8]]  #: some of them [h, w, 3]; the medoid first
    names: Sequence[str]  #: of the photos that they are of


def gallery_page(classes: Sequence[tuple[str, str, Sequence[Part]]], about: str) -> str:
    """The page as text, with the pictures inside: for each class its name, a remark, and its parts."""
    sections = []
    for label, remark, parts in classes:
        total = sum(part.count for part in parts)
        figures = "".join(_figure(part, total) for part in parts)
        sections.append(f"<h2>{_text(label)}</h2>\n<p>{_text(remark)}</p>\n<section>{figures}</section>")
    title = "Parts that suffice"
    return (
        f"{BEGINS}<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n<h1>{title}</h1>\n<p>{_text(about)}</p>\n"
        + "\n".join(sections)
        + "\n</html>\n"
    )


def gallery_sheet(classes: Sequence[tuple[str, str, Sequence[Part]]]) -> Image.Image:
    """A row for each class: its name, and the medoid and count of each part."""
    columns = max(len(parts) for _, _, parts in classes)
    step = _SIDE + 24
    sheet = Image.new("RGB", (max(columns * (_SIDE + 8) + 8, 320), len(classes) * (step + 20)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, _, parts) in enumerate(classes):
        top = row * (step + 20)
        draw.text((8, top + 4), visible(label).encode("latin-1", "replace").decode("latin-1"), fill="#1b1b1f")
        for column, part in enumerate(parts):
            left = 8 + column * (_SIDE + 8)
            sheet.paste(_resized(part.crops[0]), (left, top + 20))
            draw.text((left, top + 22 + _SIDE), f"{part.count}", fill="#55555f")
    return sheet


def _text(text: str) -> str:
    """A text as it is, for HTML."""
    return escape(visible(text), quote=True)


def crop(pixels: Tensor, mask: Tensor) -> NDArray[np.uint8]:
    """A square around a region of pixels [3, H, W], darker outside of it: [h, w, 3]."""
    rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
    ends = [(int(each[0]), int(each[-1]) + 1) for each in (rows, columns)]
    side = max(end - begin for begin, end in ends)
    side = min(side + 2 * round(_MARGIN * side) + 2, *mask.shape)
    corner = [
        min(max((begin + end - side) // 2, 0), length - side)
        for (begin, end), length in zip(ends, mask.shape, strict=True)
    ]
    part = (slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
    shown = pixels[(slice(None), *part)] * torch.where(mask[part], 1.0, _DIMMED)
    found: NDArray[np.uint8] = (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return found


def _figure(part: Part, total: int) -> str:
    pictures = "".join(_picture(crop, name) for crop, name in zip(part.crops, part.names, strict=True))
    return f"<figure>{pictures}<figcaption>{part.count} of {total} pieces</figcaption></figure>"


def _picture(crop: NDArray[np.uint8], name: str) -> str:
    buffer = io.BytesIO()
    _resized(crop).save(buffer, format="WEBP", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    title = _text(name)
    return f'<img src="data:image/webp;base64,{data}" alt="piece of {title}" title="{title}">'


def _resized(crop: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(crop).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
