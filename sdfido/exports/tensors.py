"""Maps and cells as safetensors files."""

from __future__ import annotations

import json

from ..models import packages
from .base import COMMAND, Exportable, Format

__all__ = ["SafeTensors"]


class SafeTensors(Format):
    """``KEY.safetensors``: ``maps/NAME`` as the classifier saw the photo [H, W], ``cells/NAME`` of regions [h, w].

    The metadata has the summary, with geometry and settings, as JSON under ``sdfido``.
    """

    name = "safetensors"
    help = "maps and cells as tensors, a file a photo, with settings and geometry as metadata"
    packages = ("safetensors.torch",)

    def add(self, photo: Exportable) -> None:
        torch = packages.require("safetensors.torch", "format 'safetensors'", COMMAND)
        explanation = photo.explanation
        tensors = {f"maps/{name}": explanation[name][0].contiguous().clone() for name in photo.names}
        for name in photo.regions:
            cells = explanation.final_cells[0, explanation.regions.index(name)]
            tensors[f"cells/{name}"] = cells.contiguous().clone()
        about = photo.result.summary | {"geometry": photo.window.described()}
        path = self.folder / f"{photo.key}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save_file(tensors, path, {"sdfido": json.dumps(about)})
