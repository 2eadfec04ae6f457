"""Maps as 16-bit PNG files and regions as 8-bit ones, at the size of the photos."""

from __future__ import annotations

import numpy as np

from .base import Exportable, Format, save_png, sixteen_bits

__all__ = ["Png"]


class Png(Format):
    """``KEY.MAP.png``: 0..65535 is 0..1 (-1..1 for signed maps); ``KEY.MAP.region.png``: 255 is inside."""

    name = "png"
    help = "maps as 16-bit PNG at photo size, 0..65535 for 0..1, and regions as 0 and 255"

    def add(self, photo: Exportable) -> None:
        for name in photo.names:
            values = sixteen_bits(photo.map(name), photo.explanation.legend[name].signed)
            save_png(values, self.folder / f"{photo.key}.{name}.png")
        for name in photo.regions:
            inside = photo.region(name).astype(np.uint8) * 255
            save_png(inside, self.folder / f"{photo.key}.{name}.region.png")
