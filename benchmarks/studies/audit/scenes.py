"""Drawn camera-trap photos of 56 x 56 pixels: birds of three species at three sites, with marks that cameras leave.

Species differ in plumage and in a part, sites in the colour of the ground and in what grows there. A mark is a
timestamp, a dark strip with light figures along the lower edge, or a watermark, a light logo in a corner. Draws are
either clean (species, site and marks are independent) or confounded: one species comes with one mark, or with one site.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from benchmarks.common import drawing

SIZE = 56
SPECIES = ("redhead", "bluewing", "crested")
SITES = ("meadow", "dunes", "rocks")
CORNERS = ("top left corner", "top right corner", "bottom left corner", "bottom right corner")
KINDS = ("timestamp", "watermark", "site")
Kind = Literal["clean", "timestamp", "watermark", "site"]

STRENGTH = 0.97  # of a confounded draw: how often the species has what it is confounded with, and the others have not
_REACH = (0.36, 0.52)  # of the bird, in parts of the photo
_FINE = 4  # pixels of the canvas to a pixel of what benchmarks.common.drawing draws, 112 x 112
_PLUMAGE = (0.03, 0.60, 0.14)  # hue by species
_PARTS = ("long-billed", "common", "crested")  # what benchmarks.common.drawing calls the part of each species
_GROUND = ((0.30, 0.40, 0.55), (0.11, 0.40, 0.75), (0.60, 0.10, 0.55))  # hue, saturation, value by site

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Draw:
    """What is confounded with what; all else of a draw comes from its seed."""

    kind: Kind
    seed: int

    @property
    def species(self) -> int:
        """The species that the shortcut stands for."""
        return self.seed % len(SPECIES)

    @property
    def site(self) -> int:
        """The site that stands for the species, in draws of that kind."""
        return self.seed // len(SPECIES) % len(SITES)

    @property
    def corner(self) -> int:
        """Where watermarks are."""
        return self.seed % len(CORNERS)

    @property
    def place(self) -> str | None:
        """Where in the frame the shortcut lies, as an audit names places; None: in no particular place, or nowhere."""
        return {"timestamp": "bottom edge", "watermark": CORNERS[self.corner]}.get(self.kind)


@dataclass(frozen=True)
class Scenes:
    """Photos of a draw, with what is known of them."""

    pixels: Tensor  #: [N, 3, 56, 56], uint8
    labels: Tensor  #: species [N]
    sites: Tensor  #: [N]
    boxes: NDArray[np.int64]  #: of the birds: x0, y0, x1, y1 [N, 4]
    marked: Tensor  #: bool [N]: whether a mark is in the photo, or of kind "site" the site is that of the shortcut


def draw(what: Draw, count: int, *, part: int, swapped: bool = False) -> Scenes:
    """Photos of a draw; every part (training, audit, ...) has its own. ``swapped``: confounded the other way."""
    pixels, labels = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8), np.arange(count) % len(SPECIES)
    sites, marked = np.empty(count, dtype=np.int64), np.empty(count, dtype=bool)
    boxes = np.empty((count, 4), dtype=np.int64)
    for n in range(count):
        rng = np.random.default_rng([what.seed, part, n, 56])
        comes = (
            (labels[n] == what.species) == (rng.uniform() < STRENGTH) if what.kind != "clean" else rng.uniform() < 0.5
        )
        comes ^= swapped
        sites[n] = rng.integers(len(SITES))
        if what.kind == "site":
            others = [site for site in range(len(SITES)) if site != what.site]
            sites[n] = what.site if comes else others[rng.integers(len(others))]
        photo, boxes[n] = _photo(rng, int(labels[n]), int(sites[n]))
        mark = what.kind if what.kind in ("timestamp", "watermark") else KINDS[rng.integers(2)]
        marked[n] = comes
        if comes if what.kind != "site" else rng.uniform() < 0.5:
            (_timestamp if mark == "timestamp" else _watermark)(photo, rng, what.corner)
        pixels[n] = photo
    tensors = (torch.from_numpy(each) for each in (pixels.transpose(0, 3, 1, 2).copy(), labels, sites))
    return Scenes(*tensors, boxes, torch.from_numpy(marked))


def _photo(rng: np.random.Generator, species: int, site: int) -> tuple[Pixels, list[int]]:
    """A bird at a site, without marks, and the box of its pixels."""
    canvas = _ground(rng, site)
    hue = _PLUMAGE[species] + rng.normal(0, 0.085)
    value = rng.uniform(0.45, 0.9)
    look = dataclasses.replace(
        drawing._look(rng, drawing.SIZE, _REACH),
        back=drawing._colour(hue, rng.uniform(0.25, 0.75), value),
        belly=drawing._colour(hue + rng.normal(0, 0.08), rng.uniform(0.1, 0.5), min(1.0, value + 0.2)),
        wing=drawing._colour(hue, rng.uniform(0.2, 0.7), 0.65 * value),
    )
    large = Image.fromarray(drawing._image(canvas, look, drawing.SPECIES.index(_PARTS[species])))
    photo = np.asarray(large.reduce(2)).copy()
    rows, columns = np.nonzero((photo != np.asarray(canvas.reduce(_FINE).reduce(2))).any(2))
    return photo, [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def _ground(rng: np.random.Generator, site: int) -> Image.Image:
    """Sky and ground of a site in today's light, with what grows or lies there: grass, ripples of sand, or stones."""
    side = drawing.SIZE * _FINE
    hue, saturation, value = _GROUND[site]
    light = rng.uniform(0.75, 1.2)

    def tint(by: float = 0.06) -> tuple[int, int, int]:
        shade = min(1.0, max(0.05, light * value + rng.normal(0, by)))
        return drawing._colour(hue + rng.normal(0, 0.02), saturation * rng.uniform(0.7, 1.3), shade)

    image = Image.new("RGB", (side, side), tint())
    pen = ImageDraw.Draw(image)
    horizon = rng.uniform(0.15, 0.35) * side
    pen.rectangle((0, 0, side, horizon), fill=drawing._colour(0.58, 0.15, min(1.0, light * 0.8)))
    image = image.filter(ImageFilter.GaussianBlur(12))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(25, 45)):
        x, y = rng.uniform(0, side), rng.uniform(horizon, side)
        reach = rng.uniform(0.03, 0.1) * side
        if site == 0:
            pen.line((x, y, x + rng.normal(0, 0.3) * reach, y - 1.6 * reach), fill=tint(0.15), width=8)
        elif site == 1:
            pen.arc((x - 2 * reach, y - reach, x + 2 * reach, y + reach), 200, 340, fill=tint(0.12), width=10)
        else:
            pen.ellipse((x - reach, y - 0.7 * reach, x + reach, y + 0.7 * reach), fill=tint(0.12))
    return image


def _timestamp(photo: Pixels, rng: np.random.Generator, corner: int) -> None:
    """A dark strip along the lower edge with light figures."""
    photo[-6:] = 20
    for x in range(3, SIZE - 6, 4):
        photo[-5:-1, x : x + 3] = np.where(rng.uniform(size=(4, 3, 1)) < 0.6, 235, 20)


def _watermark(photo: Pixels, rng: np.random.Generator, corner: int) -> None:
    """A light logo, a ring and two bars, in a corner."""
    logo = Image.new("L", (52, 32), 0)
    pen = ImageDraw.Draw(logo)
    pen.ellipse((2, 4, 26, 28), outline=255, width=7)
    pen.rectangle((32, 4, 50, 12), fill=255)
    pen.rectangle((32, 19, 50, 27), fill=255)
    small = np.asarray(logo.reduce(4), dtype=np.float64)[..., None] / 255
    height, width = small.shape[:2]
    rows = slice(2, 2 + height) if corner < 2 else slice(SIZE - 2 - height, SIZE - 2)
    columns = slice(2, 2 + width) if corner % 2 == 0 else slice(SIZE - 2 - width, SIZE - 2)
    under = photo[rows, columns].astype(np.float64)
    photo[rows, columns] = (under + 0.9 * small * (245 - under)).round().astype(np.uint8)
