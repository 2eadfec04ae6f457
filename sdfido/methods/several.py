"""Sufficient regions: learns several disjoint regions of an image that each suffice, so that redundancy shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import ops
from ..checks import set_count, set_number
from ..explanation import Explanation, MapInfo
from ..normalization import Normalization
from ..ops import functional
from ..scores import Model, Score
from ..smoothing import gaussian_weights, smooth
from . import regions
from .base import Scene
from .descent import Descent
from .learner import Drawn, Readout, image_by_image
from .sampled import SampledMasks
from .settings import SampledSettings

__all__ = ["RegionsSettings", "SufficientRegions"]


@dataclass(frozen=True, kw_only=True)
class RegionsSettings(SampledSettings):
    """How sufficient regions are learned; what FIDO has too means the same.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    steps: int = 52  #: optimisation steps, at most
    num_samples: int = 1  #: mask samples S of each mask in a step
    learning_rate: float = 0.6  #: root mean square move of a mask's logits in a step, falling along a cosine to 0
    count: int = 3  #: regions M that are looked for
    #: composites of each mask in a step, evenly on the path from the infill up to it, as I-GOS has them; weights do not
    #: adapt then. 0: samples of the mask, as FIDO has them
    path_points: int = 0
    overlap_weight: float = 250.0  #: of what masks share, falling evenly to 0 in the first half of the steps
    reach: float = 3.0  #: standard deviation of the Gaussian that spreads what others hold, in cells; 0: none
    parting: float = 2.0  #: mask logits by which the masks favour different sides of the image at the start
    largest: float = 0.5  #: part of the image up to which a region counts as one, 0..1

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "count")
        set_count(self, "path_points", 0)
        set_number(self, "overlap_weight", float, 0)
        set_number(self, "reach", float, 0)
        set_number(self, "parting", float, 0)
        set_number(self, "largest", float, 0, most=1)

    def overlap_weight_at(self, step: int) -> float:
        """Weight of what masks share in this step, counted from 0."""
        return self.overlap_weight * max(0.0, 1 - 2 * step / self.steps)


class SufficientRegions(SampledMasks):
    """Learns M disjoint regions of an image at once, each of which alone suffices for the model's answer.

    For each image M masks of keep rates r_i are learned together. With prices q_i that adapt as FIDO's, they minimise::

        sum_i -score_i + q_i * (a * kept_i + b * variation_i + c / 2 * mean over cells of r_i G(sum_{j != i} r_j))

    where G spreads what the others hold by a Gaussian. At the start mask i favours the side of the image at the angle
    2 pi i / M. The weight c falls to 0 in the first half of the steps: by then the masks are apart where there is
    evidence for several, and where there is not, they may meet. ``score`` is the mean over samples of the mask, as in
    FIDO, or, with ``path_points``, over the points of a path up to it, as in I-GOS.

    Then the regions are cut, the smallest first: that of each mask takes as many of its most important cells as keep
    ``kept_share`` of the image's confidence, the smallest of all is taken, and its cells are no other's. A mask of
    which nothing suffices any more, or only more than ``largest`` of the image, has no region.

    The maps ``region_1``, ..., ``region_M`` are in order of size. ``explanation.count`` [N] is how many regions there
    are; where there are fewer than M, the last maps are all zero, their ``area_region_k`` is 0, and a note says so.
    ``found`` lists what there is. A map is the keep rate of its mask in the region, and half of it outside; no two maps
    share a cell: those outside of all regions belong to the mask that claims them most.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score``. A module is
            put into eval mode for the time of ``explain``; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see ``sdfido.infills``), a tensor that
            broadcasts against the images, or a callable from images to infill.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``RegionsSettings``, such as ``count=2``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.SufficientRegions(model, count=3).explain(images)
        >>> sdfido.SufficientRegions.found(explanation)
        [('region_1', 'region_2'), ('region_1',)]

    Source: the masks and their prices are those of ``sdfido.FIDO``.
    """

    name = "regions"
    settings_type = RegionsSettings
    settings: RegionsSettings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model, infill=infill, normalization=normalization, **settings)
        self.legend = {
            f"region_{number}": MapInfo(f"Region {number}", "enough on its own", "keep")
            for number in range(1, self.settings.count + 1)
        }

    @staticmethod
    def found(explanation: Explanation) -> list[tuple[str, ...]]:
        """The names of the regions that each image has, smallest first."""
        return [explanation.regions[: int(count)] for count in explanation.scores["count"].tolist()]

    def composites_per_image(self) -> int:
        return self.settings.count * (self.settings.path_points or self.settings.num_samples)

    def start(self, scene: Scene) -> Tensor:
        rows, columns = self.settings.cells(*scene.size)
        count = self.settings.count
        y, x = (
            (torch.arange(length, dtype=torch.float32, device="cpu") + 0.5) / length * 2 - 1
            for length in (rows, columns)
        )
        angles = [2 * math.pi * i / count for i in range(count)]
        sides = torch.stack([math.cos(angle) * x + math.sin(angle) * y[:, None] for angle in angles]).clamp(-1, 1)
        logits = (self.settings.parting if count > 1 else 0.0) * sides
        return logits.expand(len(scene), -1, -1, -1).clone().to(scene.images.device)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        settings = self.settings
        samples = self.path(parameters, scene) if settings.path_points else self.sample(parameters, scene, step)
        penalty = settings.sparsity_weight * samples.sparsity + settings.smoothness_weight * samples.smoothness
        overlap = settings.overlap_weight_at(step) * image_by_image(self.shared, parameters)
        signs = -torch.ones(settings.count, dtype=torch.float32, device=parameters.device)
        return Drawn(samples.composites, signs, settings.penalty_weight_at(step) * penalty + overlap)

    def path(self, mask_logits: Tensor, scene: Scene) -> ops.CompositeSamples:
        """Composites on the path from the infill up to the masks of keep rates r, ``infill + s U(r) (image - infill)``.

        ``s = 1/S, ..., 1``: their mean score has the integrated gradient. Nothing is drawn at random.
        """
        points = self.settings.path_points
        shares = torch.arange(1, points + 1, dtype=mask_logits.dtype, device=mask_logits.device) / points
        rates = image_by_image(torch.sigmoid, mask_logits)
        composites = scene.blend(shares[:, None, None] * rates[:, :, None])  # U(s r) = s U(r)
        sparsity = image_by_image(lambda logits: functional.penalties(logits)[0], mask_logits)
        smoothness = image_by_image(lambda logits: functional.penalties(logits)[1], mask_logits)
        return ops.CompositeSamples(composites, sparsity, smoothness)

    def prices(self, prices: Tensor, scores: Tensor, scene: Scene, step: int) -> Tensor:
        if self.settings.path_points:  # the mean score of a path says little of its end
            return prices
        return super().prices(prices, scores, scene, step)

    def shared(self, mask_logits: Tensor) -> Tensor:
        """Half of what each mask shares with the others [N, M]: mean over cells of ``r_i G(sum_{j != i} r_j) / 2``."""
        rates, reach = torch.sigmoid(mask_logits), self.settings.reach
        weights = gaussian_weights(reach, math.ceil(min(3 * reach, max(rates.shape[-2:]))))
        others = smooth(rates.sum(1, keepdim=True) - rates, weights)
        return 0.5 * (rates * others).mean((2, 3))

    def slack(self, scores: Tensor, score_at: Callable[[float], Tensor]) -> Tensor:
        return scores - score_at(self.settings.kept_share)[:, None]

    def updater(self, parameters: Tensor) -> Descent:
        return Descent(parameters, self.settings.learning_rate_at, spread=self.settings.spread)

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        maps, last = torch.zeros_like(rates), self.keep_rates(parameters)
        masks, kept = torch.zeros_like(rates), torch.zeros_like(rates, dtype=torch.bool)
        count = rates.new_zeros(len(scene))
        for n in range(len(scene)):
            cut = self.cut(scene[n : n + 1], rates[n])
            count[n] = len(cut)
            claims = rates[n, list(cut)]
            for place, inside in enumerate(cut.values()):
                claims[:, inside] = -1.0
                claims[place, inside] = 2.0
            for place, (mask, inside) in enumerate(cut.items()):
                own = claims.argmax(0) == place
                maps[n, place] = rates[n, mask] * own * (0.5 + 0.5 * inside)
                masks[n, place], kept[n, place] = last[n, mask] * own, inside
        shown = functional.upsample(maps, scene.size).clamp(0, 1)
        return Readout(
            dict(zip(self.legend, shown.unbind(1), strict=True)),
            {"masks": masks, "kept_cells": kept},
            {"count": count},
        )

    def cut(self, scene: Scene, rates: Tensor) -> dict[int, Tensor]:
        """The final regions of one image by keep rates [M, h, w]: cells [h, w] by mask, smallest first."""
        cells, share, pruning = (rates.shape[1], rates.shape[2]), self.settings.kept_share, self.settings.pruning
        free = torch.ones(cells, dtype=torch.bool, device=rates.device)
        small = math.floor(self.settings.largest * free.numel())
        maps = functional.upsample(rates, scene.size)
        candidates: dict[int, Tensor] = {}
        left, taken = list(range(len(rates))), {}
        while left and free.any():
            for mask in left.copy():
                inside = candidates.get(mask)
                if inside is None or (inside & ~free).any():
                    inside = candidates[mask] = regions.smallest(maps[mask], cells, True, scene, share, pruning, free)
                    enough = scene.masked_confidences(inside[None, None, None].float()) >= scene.level(share)
                    if not (enough and 0 < inside.sum() <= small):
                        left.remove(mask)
            if left:
                best = min(left, key=lambda mask: int(candidates[mask].sum()))
                left.remove(best)
                taken[best] = candidates[best]
                free = free & ~candidates[best]
        return dict(sorted(taken.items(), key=lambda item: int(item[1].sum())))
