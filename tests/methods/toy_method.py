"""A method of one's own, as short as can be: a random map for each image, and the mask that keeps its upper half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from sdfido import Explainer, MapInfo


@dataclass(frozen=True)
class ToySettings:
    """All that the method can be set to."""

    seed: int = 0
    cells: int = 4


class Toy(Explainer):
    """Draws importance at random."""

    name = "toy"
    legend: ClassVar = {"noise": MapInfo("Noise: drawn at random", "what chance gives", "keep")}
    settings_type = ToySettings

    def explain(self, images, targets=None, *, streams=None, on_step=None, on_image=None):
        with self.scene(images, targets, streams) as scene:
            shape = (1, self.settings.cells, self.settings.cells)
            seeds = [self.settings.seed + stream for stream in scene.streams.tolist()]
            noise = torch.stack([torch.rand(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
            maps = torch.nn.functional.interpolate(noise, scene.size)[:, 0]
            return self.conclude(scene, {"noise": maps}, {"masks": (noise > 0.5).float()})
