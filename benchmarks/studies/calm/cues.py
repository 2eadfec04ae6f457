"""Pairs of species with exact truth: the same bird drawn as either, and the pixels in which the two drawings differ."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import drawing

PAIRS = tuple(itertools.combinations(range(len(drawing.SPECIES)), 2))


@dataclass(frozen=True)
class Cues:
    """Images of pairs of species."""

    pixels: Tensor  #: [N, 3, H, W], 0..1
    shown: Tensor  #: the species that the image shows [N], int64
    other: Tensor  #: the one that it is told apart from [N], int64
    truth: Tensor  #: where the two differ [N, H, W], bool: the parts of both, in hulls of their own

    @property
    def pairs(self) -> Tensor:
        """[N, 2], int64."""
        return torch.stack([self.shown, self.other], 1)

    @property
    def parts(self) -> Tensor:
        """In how many parts the two differ [N], int64: 1 where either is the common bird, else 2."""
        return 1 + (self.pairs > 0).all(1).long()


def draw(each: int, *, seed: int) -> Cues:
    """``each`` birds of every pair, drawn as the one and as the other species; all birds are different ones."""
    count, size = 2 * each * len(PAIRS), drawing.SIZE
    pixels = torch.empty(count, 3, size, size)
    truth = torch.zeros(count, size, size, dtype=torch.bool)
    shown, other = torch.empty(2, count, dtype=torch.int64)
    for n, (pair, _) in enumerate(itertools.product(PAIRS, range(each))):
        common, *both = drawing.render(n, seed=seed, kind="birds", species=(0, *pair))
        hulls = [drawing.hull(differs) for one in both if (differs := (one != common).any(2)).any()]
        for k in range(2):
            place = 2 * n + k
            pixels[place] = torch.from_numpy(both[k].transpose(2, 0, 1) / np.float32(255))
            shown[place], other[place] = pair[k], pair[1 - k]
            truth[place] = torch.from_numpy(np.logical_or.reduce(hulls))
    return Cues(pixels, shown, other, truth)
