"""What the page shows of one photo: the photo and its infill as the model saw them, its maps, and its final regions.

All of it is one small JSON object in a script, ``sdfidoView({...});``, since a page that is opened from the file system
may load scripts but read no other files:

    photo, infill    WebP pictures in base64
    maps             {name: {size: [rows, columns], values: bytes in base64, signed}}: 0..1 as 0..255, -1..1 likewise
    regions          {name: {size, kept: bits in base64, row by row}}: the cells that the composite keeps
"""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .. import json_file
from ..explanation import Explanation

__all__ = ["as_script", "read", "view"]

_SIDE = 240  # of the photo, in pixels, at most
_QUALITY = 75  # of the WebP pictures
_CELLS = 56  # along a side of a map, at most
_MOST_CELLS = 4096  # along a side, in files of others
_BEGINS, _ENDS = "sdfidoView(", ");\n"


def view(explanation: Explanation, pixels: Tensor, infill: Tensor) -> dict[str, Any]:
    """What is shown of one explained image.

    Args:
        explanation: of the image (N = 1).
        pixels: the image [1, C, H, W], 0..1, with 1 or 3 channels.
        infill: what replaces pixels, 0..1; broadcasts against ``pixels``.

    Raises:
        ImportError: Pillow is not installed.
    """
    shown: dict[str, Any] = {"photo": _picture(pixels), "infill": _picture(infill.expand_as(pixels)), "maps": {}}
    cells = explanation.mask_size if explanation.regions else (_CELLS, _CELLS)
    for name, info in explanation.legend.items():
        small = _averaged(explanation[name], cells)
        values = (small.clamp(-1, 1) + 1) / 2 if info.signed else small.clamp(0, 1)
        shown["maps"][name] = {
            "size": list(values.shape),
            "values": _text((values * 255).round().byte().cpu().numpy()),
            "signed": info.signed,
        }
    shown["regions"] = {}
    if explanation.regions:
        final = explanation.final_cells[0]
        for region, chosen in zip(explanation.regions, final, strict=True):
            kept = chosen if explanation.legend[region].role == "keep" else ~chosen
            shown["regions"][region] = {"size": list(kept.shape), "kept": _text(np.packbits(kept.cpu().numpy()))}
    return shown


def as_script(shown: dict[str, Any]) -> str:
    """A view as the text of a script file."""
    return f"{_BEGINS}{json.dumps(shown, separators=(',', ':'))}{_ENDS}"


def read(path: Path) -> dict[str, Any] | None:
    """The view in a script file; None where there is none, or the file is something else, such as another script."""
    try:
        if not path.is_file() or path.stat().st_size > json_file.MOST_BYTES:  # a pipe would be waited for
            return None
        text = path.read_text(encoding="utf-8")
        if not text.startswith(_BEGINS) or not text.endswith(_ENDS):
            return None
        found = json_file.parse(text.removeprefix(_BEGINS).removesuffix(_ENDS))
        return found if _is_view(found) else None
    except (OSError, ValueError):
        return None


def _is_view(found: Any) -> bool:
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("photo", "infill")):
        return False
    tables = [(found.get("maps"), "values"), (found.get("regions"), "kept")]
    return all(
        isinstance(table, dict) and all(isinstance(each, dict) and _are_cells(each, key) for each in table.values())
        for table, key in tables
    )


def _are_cells(each: dict[str, Any], key: str) -> bool:
    size = each.get("size")
    if not isinstance(size, list) or len(size) != 2 or not isinstance(each.get(key), str):
        return False
    return all(isinstance(length, int) and 0 < length <= _MOST_CELLS for length in size)


def _averaged(values: Tensor, cells: tuple[int, int]) -> Tensor:
    """A map [1, H, W] as means over at most so many rows and columns."""
    rows, columns = (min(most, _CELLS, length) for most, length in zip(cells, values.shape[1:], strict=True))
    return functional.adaptive_avg_pool2d(values.float(), (rows, columns))[0]


def _picture(pixels: Tensor) -> str:
    """Pixels [1, C, H, W] as a small WebP picture in base64."""
    from PIL import Image

    values = pixels[0].detach().cpu().float().clamp(0, 1)
    values = values.expand(3, *values.shape[1:]) if len(values) == 1 else values
    picture = Image.fromarray((values * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
    scale = min(1.0, _SIDE / max(picture.size))
    if scale < 1:
        picture = picture.resize((math.ceil(picture.width * scale), math.ceil(picture.height * scale)))
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=_QUALITY, method=2)  # half the time of 4, for 4% of the size
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _text(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
