"""What drawn birds can be classified by, and drawings without birds for pretraining."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.common import drawing

# Private parts of the drawings are used here: a change of that module would have all classifiers trained anew.
_CLUTTER = (drawing._leaf, drawing._twig, drawing._berry, drawing._blade)
_THINGS = 14  # in a drawing without a bird
_GROUPS = torch.tensor([0, 1, 1, 1, 2, 2, 2])

CLASSES = {"species": len(drawing.SPECIES), "group": 3, "facing": 2, "clutter": len(_CLUTTER)}
"""Classes of each task."""


def birds(indices: Sequence[int], task: str, *, seed: int) -> Tensor:
    """Labels [N] of drawn birds by a task, int64.

    ``species``: 0..6. ``group``: 0 the common bird, 1 a changed head (crest, ring, bill), 2 a changed body (bib, bars,
    tail). ``facing``: 1 where the bird faces right.
    """
    species = torch.tensor([index % len(drawing.SPECIES) for index in indices], dtype=torch.int64)
    if task == "species":
        return species
    return _GROUPS[species] if task == "group" else torch.tensor([faces_right(each, seed) for each in indices]).long()


def faces_right(index: int, seed: int) -> bool:
    """Whether the bird of image i of a seed faces right: by the same random numbers that it is drawn with."""
    size, reach, _ = drawing._KINDS["birds"]
    look = drawing._look(np.random.default_rng([seed, size, index]), size, reach)
    return bool(np.linalg.det(look.axes) > 0)


def clutter(indices: Sequence[int], *, seed: int) -> tuple[Tensor, Tensor]:
    """Drawings without birds: uint8 [N, 3, 112, 112], 0..255, and which kind of thing grows there, [N], 0..3.

    Image i shows leaves, twigs, berries or blades of grass, by i mod 4, on the backgrounds of the drawn birds.
    """
    size, reach, _ = drawing._KINDS["birds"]
    pixels = torch.empty(len(indices), 3, size, size, dtype=torch.uint8)
    labels = torch.tensor([index % len(_CLUTTER) for index in indices], dtype=torch.int64)
    for n, index in enumerate(indices):
        rng = np.random.default_rng([seed, size, index, 1])
        canvas = drawing._background(rng, size, 0, drawing._look(rng, size, reach))
        fine = canvas.resize((size * drawing._FINE,) * 2, Image.Resampling.BILINEAR)
        draw, green = ImageDraw.Draw(fine), rng.uniform(0.1, 0.45)
        for _ in range(_THINGS):
            _CLUTTER[labels[n]](draw, rng, fine.width, green)
        pixels[n] = torch.from_numpy(np.asarray(fine.reduce(drawing._FINE)).transpose(2, 0, 1).copy())
    return pixels, labels
