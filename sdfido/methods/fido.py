"""FIDO: learns which pixels may be infilled without, and which with, changing a model's decision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from .. import _deprecated
from ..explanation import SSR_AND_SDR, Explanation
from ..normalization import Normalization
from ..ops import functional
from ..scores import ClassScore, Link, Model, Score
from . import regions
from .base import OnImage, OnStep, Scene
from .descent import Descent
from .learner import Drawn, Readout
from .sampled import SampledMasks
from .settings import FAST, Settings

__all__ = ["FIDO"]

_SIGNS = (-1.0, 1.0)  # the SSR keeps the score up, the SDR brings it down


class FIDO(SampledMasks):
    """FIDO (fill-in of the dropout region) explains a model's answers by two learned masks.

    For each image two masks of keep rates are learned together: the smallest sufficient region (SSR), which minimises
    ``-score + a * kept + b * variation``, and the smallest destroying region (SDR), which minimises
    ``score + a * removed + b * variation``. ``score`` is the mean over composites of image and infill by sampled
    masks, ``kept`` and ``removed`` are parts of the image, ``variation`` is the total variation a cell.

    The maps ``ssr`` and ``sdr`` average the keep rates over the steps, the t-th counting t times: they also rank what
    the masks, which end nearly binary, treat alike. The final region, which was tried, has a weight of its own in its
    map. ``joint = (ssr + sdr) / 2``.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score``. A module is
            put into eval mode for the time of ``explain``; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see ``sdfido.infills``), a tensor that
            broadcasts against the images, or a callable from images to infill.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``sdfido.Settings``, such as ``steps=200``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.FIDO(model).explain(images)
        >>> explanation.joint  # importance of each pixel, [N, H, W]

    Source: Chang et al., ICLR 2019, arXiv 1807.08024; Korsch et al., GCPR 2023, arXiv 2307.14825.
    """

    name = "fido"
    legend = SSR_AND_SDR
    settings_type = Settings
    fast = FAST
    settings: Settings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        objective: Link | None = None,
        **settings: Any,
    ) -> None:
        if objective is not None:
            _deprecated.warn("objective=", "FIDO(sdfido.ClassScore(model, link=…))")
            model = ClassScore(cast(Model, model), objective)
        super().__init__(model, infill=infill, normalization=normalization, **settings)

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Sequence[int] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
        **old: Callable[..., object],
    ) -> Explanation:
        given = _deprecated.keywords({"on_step": on_step, "on_image": on_image, **old}, _deprecated.EXPLAIN)
        return super().explain(images, targets, streams=streams, **given)

    def composites_per_image(self) -> int:
        return len(_SIGNS) * self.settings.repeats * self.settings.num_samples

    def start(self, scene: Scene) -> Tensor:
        cells, masks = self.settings.cells(*scene.size), len(_SIGNS) * self.settings.repeats
        return torch.zeros(len(scene), masks, *cells, dtype=torch.float32, device=scene.images.device)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        settings, samples = self.settings, self.sample(parameters, scene, step)
        ssr, sdr = samples.sparsity.chunk(2, dim=1)
        penalty = settings.sparsity_weight * torch.cat([ssr, 1 - sdr], 1)
        penalty = penalty + settings.smoothness_weight * samples.smoothness
        signs = _signs(settings.repeats, parameters.device)
        return Drawn(samples.composites, signs, settings.penalty_weight_at(step) * penalty)

    def slack(self, scores: Tensor, score_at: Callable[[float], Tensor]) -> Tensor:
        settings = self.settings
        kept, left = (score_at(share)[:, None] for share in (settings.kept_share, settings.left_share))
        ssr, sdr = scores.chunk(2, dim=1)
        return torch.cat([ssr - kept, left - sdr], 1)

    def updater(self, parameters: Tensor) -> Descent:
        settings = self.settings
        return Descent(parameters, settings.learning_rate_at, spread=settings.spread)

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        repeats = self.settings.repeats
        several = _by_region(rates)
        parts, scores = {"mask_logits": parameters}, {}
        if repeats > 1:
            final = _by_region(torch.sigmoid(parameters)).mean(2)
            parts = {"mask_logits": torch.logit(final, 1e-6), "disagreement": several.std(2, correction=0)}
            ssr, sdr = several[:, 0], 1 - several[:, 1]
            for name, each in (("ssr", ssr), ("sdr", sdr), ("joint", (ssr + sdr) / 2)):
                scores[f"agreement_{name}"] = regions.agreement(each)
        # Interpolation between ones rounds above 1.
        ssr, sdr = functional.upsample(several.mean(2), scene.size).clamp(0, 1).unbind(1)
        return Readout({"ssr": ssr, "sdr": 1 - sdr}, parts, scores)

    def conclude(self, scene: Scene, maps: Mapping[str, Tensor], *arguments: Any, **options: Any) -> Explanation:
        explanation = super().conclude(scene, maps, *arguments, **options)
        ssr, sdr = explanation.binary_masks.unbind(1)
        weight, regions = self.settings.region_weight, {"ssr": ssr, "sdr": 1 - sdr}
        return replace(explanation, maps={name: maps[name].lerp(region, weight) for name, region in regions.items()})


def _by_region(masks: Tensor) -> Tensor:
    """Masks [N, 2M, h, w] as [N, 2, M, h, w]."""
    return masks.view(len(masks), len(_SIGNS), masks.shape[1] // len(_SIGNS), *masks.shape[2:])


@functools.lru_cache(maxsize=8)  # tensors that a step would have to copy to a GPU, and wait
def _signs(repeats: int, device: torch.device) -> Tensor:
    """What each mask's mean score counts in the loss [2M]."""
    return torch.tensor(_SIGNS, dtype=torch.float32, device=device).repeat_interleave(repeats)
