"""Drawn birds whose species differ in one small part, with the pixels of that part.

Species 0 is the common bird. Each other species is the common bird with one part changed: a crest, a ring around the
eye, a long curved bill, a bib, bars on the wing, or a forked tail. All else (pose, colours, background, clutter) comes
from random numbers of the image's own, which are the same for every species.

The truth of an image is the convex hull of the pixels in which it differs from the common bird drawn with the same
numbers: outside of it both are equal, and the common bird has none. Clutter (leaves, twigs, berries, blades of grass)
is drawn behind the bird and has none of the parts.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

SPECIES = ("common", "crested", "ring-eyed", "long-billed", "bibbed", "bar-winged", "fork-tailed")
SIZE = 112
_FINE = 4  # pixels of the canvas to a pixel of the image, along each side

Kind = Literal["birds", "scenes"]
_KINDS = {"birds": (SIZE, (0.80, 1.0), 10), "scenes": (2 * SIZE, (0.30, 0.45), 26)}  # size, bird's reach, clutter

Points = NDArray[np.float64]  # [n, 2]: x to the right, y down
Colour = tuple[int, int, int]

# The bird faces right, in units of its own: the body is about 2 long, with its middle at the origin.
_BODY = ((0.95, -0.30), (0.85, -0.72), (0.50, -0.86), (0.22, -0.66), (-0.06, -0.44), (-0.50, -0.20), (-0.92, 0.06))
_BODY += ((-0.88, 0.26), (-0.48, 0.48), (0.02, 0.60), (0.52, 0.48), (0.86, 0.12))
_BELLY = ((-0.86, 0.20), (-0.40, 0.27), (0.10, 0.30), (0.50, 0.16), (0.86, 0.08), (0.54, 0.47), (0.02, 0.60))
_BELLY += ((-0.48, 0.48),)
_WING = ((0.40, -0.12), (0.20, -0.36), (-0.18, -0.32), (-0.66, -0.10), (-1.08, 0.20), (-0.62, 0.24), (-0.10, 0.26))
_WING += ((0.28, 0.14),)
_BARS = (((0.17, -0.32), (0.24, -0.08), (0.12, 0.20)), ((-0.21, -0.28), (-0.12, -0.05), (-0.24, 0.20)))
_FEATHERS = (((-0.36, 0.10), (-0.96, 0.19)), ((-0.44, -0.03), (-0.88, 0.11)))
_TAIL = ((-0.70, -0.06), (-1.36, 0.20), (-1.46, 0.36), (-1.40, 0.52), (-0.72, 0.26))
_FORK = ((-0.70, -0.06), (-1.52, -0.04), (-1.60, 0.06), (-1.06, 0.24), (-1.50, 0.70), (-1.38, 0.78), (-0.72, 0.26))
_BIB = ((0.44, 0.00), (0.72, -0.18), (0.96, -0.18), (0.91, 0.08), (0.72, 0.38), (0.50, 0.24))
# From here on in units around the head's middle, so that the head can be raised and lowered.
_HEAD, _RADIUS = (0.58, -0.58), 0.45
_CREST = ((0.22, -0.34), (0.10, -0.62), (-0.22, -0.98), (-0.22, -0.66), (-0.56, -0.80), (-0.40, -0.48), (-0.72, -0.50))
_CREST += ((-0.42, -0.14),)
_EYE, _EYE_RADIUS, _RING_RADIUS = (0.15, -0.09), 0.115, 0.255
_BILL = ((0.38, -0.16), (0.62, -0.02), (0.74, 0.09), (0.58, 0.12), (0.36, 0.16))
_LONG_BILL = ((0.38, -0.16), (0.76, -0.06), (1.04, 0.22), (1.12, 0.58), (0.94, 0.36), (0.68, 0.22), (0.36, 0.16))


@dataclass(frozen=True)
class Drawings:
    """Images with what is known of them; image i of a seed is the same in whatever selection it is drawn."""

    pixels: Tensor  #: [N, 3, H, W], 0..1
    labels: Tensor  #: species [N], int64
    truth: Tensor  #: where the species shows [N, H, W], bool
    #: of the truth: first row, first column, last row + 1, last column + 1 [N, 4]; zeros where it is empty
    boxes: Tensor

    def some(self, index: Tensor | slice) -> Drawings:
        """The drawings at these places."""
        return Drawings(self.pixels[index], self.labels[index], self.truth[index], self.boxes[index])


@dataclass(frozen=True)
class _Look:
    """All that the bird's own random numbers decide."""

    axes: NDArray[np.float64]  # [2, 2], bird's units to pixels of the canvas
    middle: NDArray[np.float64]
    nod: float  # of the head, in radians
    back: Colour
    belly: Colour
    wing: Colour
    feather: Colour
    bill: Colour
    mark: Colour  # of ring, bars
    bib: Colour
    eye: Colour
    leg: Colour


def birds(indices: Sequence[int], *, seed: int = 0) -> Drawings:
    """Birds that fill their images of 112 x 112 pixels; image i shows species i mod 7."""
    return _draw(indices, seed, "birds")


def scenes(indices: Sequence[int], *, seed: int = 0) -> Drawings:
    """Small birds somewhere in scenes of 224 x 224 pixels; image i shows species i mod 7."""
    return _draw(indices, seed, "scenes")


def render(index: int, *, seed: int, kind: Kind, species: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Image i of a seed once for each of these species, [H, W, 3]: nothing but the species' parts differs."""
    size, reach, clutter = _KINDS[kind]
    rng = np.random.default_rng([seed, size, index])
    look = _look(rng, size, reach)
    canvas = _background(rng, size, clutter, look)
    return [_image(canvas, look, each) for each in species]


def _draw(indices: Sequence[int], seed: int, kind: Kind) -> Drawings:
    size = _KINDS[kind][0]
    pixels = torch.empty(len(indices), 3, size, size)
    labels = torch.tensor([index % len(SPECIES) for index in indices], dtype=torch.int64)
    truth = torch.zeros(len(indices), size, size, dtype=torch.bool)
    boxes = torch.zeros(len(indices), 4, dtype=torch.int64)
    for n, index in enumerate(indices):
        image, common = render(index, seed=seed, kind=kind, species=(index % len(SPECIES), 0))
        pixels[n] = torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))
        differs = (image != common).any(2)
        if differs.any():
            truth[n] = torch.from_numpy(hull(differs))
            rows, columns = np.nonzero(differs)
            boxes[n] = torch.tensor([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    return Drawings(pixels, labels, truth, boxes)


def _look(rng: np.random.Generator, size: int, reach: tuple[float, float]) -> _Look:
    """The bird's pose and colours; whatever its species, all of it is inside of the image."""
    angle, nod = np.radians(rng.uniform(-22, 22)), np.radians(rng.uniform(-14, 14))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = turn @ np.diag([rng.choice([-1.0, 1.0]), 1.0])
    heads = np.array(_CREST + _LONG_BILL) @ _rotation(nod).T + _HEAD
    outline = np.concatenate([np.array(_BODY + _TAIL + _FORK + ((0.1, 1.0),)), heads]) @ axes.T
    low, high = outline.min(0), outline.max(0)
    canvas = size * _FINE
    axes = axes * (scale := rng.uniform(*reach) * canvas / (high - low).max() * 0.97)
    room = canvas - scale * (high - low)
    middle = rng.uniform(0.02, 0.98, 2) * room - scale * low
    hue, tone = rng.uniform(), rng.uniform(0.35, 0.9)
    back = _colour(hue, rng.uniform(0.25, 0.8), tone)
    belly = _colour(hue + rng.normal(0, 0.12), rng.uniform(0.1, 0.55), min(1.0, tone + rng.uniform(0.1, 0.4)))
    dark = rng.uniform(0.45, 0.75)
    wing = _colour(hue + rng.normal(0, 0.06), rng.uniform(0.3, 0.7), tone * dark)
    feather = _colour(hue, 0.4, tone * dark * 0.7)
    bill = _colour(rng.uniform(0.03, 0.14), rng.uniform(0.3, 0.95), rng.uniform(0.35, 1.0))
    mark = _colour(rng.uniform(0.08, 0.17), rng.uniform(0.0, 0.45), rng.uniform(0.92, 1.0))
    bib = _colour(rng.uniform(), rng.uniform(0.3, 0.9), rng.uniform(0.08, 0.3))
    eye = _colour(rng.uniform(), rng.uniform(0.1, 0.6), rng.uniform(0.02, 0.14))
    leg = _colour(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.7))
    return _Look(axes, middle, nod, back, belly, wing, feather, bill, mark, bib, eye, leg)


def _image(background: Image.Image, look: _Look, species: int) -> NDArray[np.uint8]:
    """The bird before its background, [H, W, 3]."""
    canvas = background.copy()
    draw = ImageDraw.Draw(canvas)
    name = SPECIES[species]
    unit = float(np.sqrt(abs(np.linalg.det(look.axes))))
    head = _rotation(look.nod)

    def place(points: Sequence[Sequence[float]], of_head: bool = False) -> Points:
        given = np.array(points)
        return (given @ head.T + _HEAD if of_head else given) @ look.axes.T + look.middle

    def fill(points: Sequence[Sequence[float]], colour: Colour, of_head: bool = False, sharp: bool = False) -> None:
        outline = place(points, of_head)
        draw.polygon(list(map(tuple, (outline if sharp else _smooth(outline)).tolist())), fill=colour)

    def stroke(points: Sequence[Sequence[float]], colour: Colour, width: float) -> None:
        _stroke(draw, _smooth(place(points), closed=False), colour, width * unit)

    def disc(point: Sequence[float], radius: float, colour: Colour) -> None:
        _disc(draw, place([point], of_head=True)[0], radius * unit, colour)

    for x in (-0.10, 0.16):
        stroke([(x, 0.5), (x - 0.02, 0.72), (x + 0.02, 0.92)], look.leg, 0.055)
        stroke([(x - 0.10, 0.95), (x + 0.02, 0.92), (x + 0.16, 0.95)], look.leg, 0.055)
    fill(_FORK if name == "fork-tailed" else _TAIL, look.wing, sharp=True)
    if name == "crested":
        fill(_CREST, look.wing, of_head=True, sharp=True)
    fill(_BODY, look.back)
    fill(_BELLY, look.belly)
    if name == "bibbed":
        fill(_BIB, look.bib)
    fill(_WING, look.wing)
    for line in _FEATHERS:
        stroke(line, look.feather, 0.035)
    if name == "bar-winged":
        for line in _BARS:
            stroke(line, look.mark, 0.11)
    disc((0, 0), _RADIUS, look.back)
    fill(_LONG_BILL if name == "long-billed" else _BILL, look.bill, of_head=True)
    if name == "ring-eyed":
        disc(_EYE, _RING_RADIUS, look.mark)
    disc(_EYE, _EYE_RADIUS, look.eye)
    disc((_EYE[0] + 0.035, _EYE[1] - 0.04), 0.03, (255, 255, 255))
    return np.asarray(canvas.reduce(_FINE))


def _background(rng: np.random.Generator, size: int, clutter: int, look: _Look) -> Image.Image:
    """Soft light in two colours, things that grow there, and the twig that the bird stands on."""
    canvas = size * _FINE
    hue = rng.uniform()
    colours = [_colour(hue + rng.normal(0, 0.08), rng.uniform(0.1, 0.45), rng.uniform(0.35, 0.95)) for _ in range(4)]
    soft = Image.fromarray(np.array(colours, dtype=np.uint8).reshape(2, 2, 3)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(soft)
    for _ in range(clutter):
        spot = _colour(hue + rng.normal(0, 0.1), rng.uniform(0.1, 0.5), rng.uniform(0.35, 0.95))
        _disc(draw, rng.uniform(0, size, 2), SIZE * rng.uniform(0.04, 0.13), spot)
    soft = soft.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 4.0)))
    image = soft.resize((canvas, canvas), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    kinds = rng.permutation([_leaf, _twig, _berry, _blade])[: rng.integers(2, 5)]
    green = rng.uniform(0.1, 0.45)
    for _ in range(rng.integers(clutter // 2, clutter + 1)):
        kinds[rng.integers(len(kinds))](draw, rng, canvas, green)
    along = look.axes @ np.array([1.0, rng.uniform(-0.3, 0.3)])
    foot = look.axes @ np.array([0.03, 0.98]) + look.middle
    bent = (
        foot
        + np.outer(np.linspace(-6, 6, 5), along)
        + rng.normal(0, 0.02 * SIZE * _FINE, (5, 2)) * [[1], [1], [0], [1], [1]]
    )
    _stroke(draw, _smooth(bent, closed=False), _bark(rng), SIZE * _FINE * rng.uniform(0.02, 0.04))
    return image


def _leaf(draw: ImageDraw.ImageDraw, rng: np.random.Generator, canvas: int, green: float) -> None:
    angle, length = rng.uniform(0, 2 * np.pi), SIZE * _FINE * rng.uniform(0.10, 0.24)
    width = rng.uniform(0.18, 0.3)
    shape = np.array([(-0.5, 0), (-0.2, -width), (0.15, -0.8 * width), (0.5, 0), (0.15, 0.8 * width), (-0.2, width)])
    base = rng.uniform(0, canvas, 2)
    tint = (green + rng.normal(0, 0.03), rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.75))
    outline = _smooth(length * shape @ _rotation(angle).T + base)
    draw.polygon(list(map(tuple, outline.tolist())), fill=_colour(*tint))
    rib = length * np.array([(-0.6, 0), (0.4, 0)]) @ _rotation(angle).T + base
    _stroke(draw, rib, _colour(tint[0], tint[1], 0.75 * tint[2]), 0.008 * SIZE * _FINE)


def _twig(draw: ImageDraw.ImageDraw, rng: np.random.Generator, canvas: int, green: float) -> None:
    steps = np.cumsum(rng.normal(0, 0.35, 4)) * 0.3 + rng.uniform(0, 2 * np.pi)
    length = SIZE * _FINE * rng.uniform(0.12, 0.25)
    points = rng.uniform(0, canvas, 2) + np.cumsum(length * np.stack([np.cos(steps), np.sin(steps)], 1), 0)
    _stroke(draw, _smooth(points, closed=False), _bark(rng), SIZE * _FINE * rng.uniform(0.008, 0.022))


def _berry(draw: ImageDraw.ImageDraw, rng: np.random.Generator, canvas: int, green: float) -> None:
    middle, radius = rng.uniform(0, canvas, 2), SIZE * _FINE * rng.uniform(0.015, 0.04)
    hue, value = rng.uniform(-0.06, 0.12), rng.uniform(0.5, 0.95)
    _disc(draw, middle, radius, _colour(hue, 0.85, value))
    _disc(draw, middle - 0.35 * radius, 0.3 * radius, _colour(hue, 0.4, min(1.0, value + 0.25)))


def _blade(draw: ImageDraw.ImageDraw, rng: np.random.Generator, canvas: int, green: float) -> None:
    x, lean, height = rng.uniform(0, canvas), rng.normal(0, 0.12), SIZE * _FINE * rng.uniform(0.15, 0.6)
    tip = (x + lean * 2.2 * height, canvas - height)
    width = SIZE * _FINE * rng.uniform(0.008, 0.02)
    outline = [(x - width, canvas), (x + 0.6 * lean * height - 0.7 * width, canvas - 0.55 * height), tip]
    outline += [(x + 0.6 * lean * height + 0.7 * width, canvas - 0.55 * height), (x + width, canvas)]
    draw.polygon(outline, fill=_colour(green + rng.normal(0, 0.03), rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.7)))


def _bark(rng: np.random.Generator) -> Colour:
    return _colour(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.5))


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _disc(draw: ImageDraw.ImageDraw, middle: NDArray[np.float64], radius: float, colour: Colour) -> None:
    (x, y) = middle
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _stroke(draw: ImageDraw.ImageDraw, points: Points, colour: Colour, width: float) -> None:
    """A line with round joints and ends."""
    draw.line(list(map(tuple, points.tolist())), fill=colour, width=max(1, round(width)), joint="curve")
    for end in (points[0], points[-1]):
        _disc(draw, end, 0.5 * width - 0.5, colour)


def _smooth(points: Points, closed: bool = True, between: int = 8) -> Points:
    """A Catmull-Rom curve through the points."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    p = np.concatenate([before, points, after])
    t = np.linspace(0, 1, between, endpoint=False)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels whose middles lie in the convex hull of the middles of the mask's pixels."""
    rows, columns = np.nonzero(mask)
    points = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inside = (x >= columns.min()) & (x <= columns.max()) & (y >= rows.min()) & (y <= rows.max())
    for ordered in (points, points[::-1]):  # the upper, then the lower half, by Andrew's monotone chain
        chain: list[tuple[int, int]] = []
        for point in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], *point) <= 0:
                chain.pop()
            chain.append(point)
        for a, b in itertools.pairwise(chain):
            inside &= _turn(a, b, x, y) >= 0
    return inside


def _turn(a: tuple[int, int], b: tuple[int, int], x: Any, y: Any) -> Any:
    """Positive where (x, y) is on one side of the line from a to b, negative on the other."""
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
