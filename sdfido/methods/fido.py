"""FIDO: learns which pixels may be infilled without, and which with, changing a model's decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from .. import _deprecated, ops
from ..explanation import SSR_AND_SDR, Explanation
from ..normalization import Normalization
from ..ops import functional, make_rng
from ..scores import ClassScore, Link, Model, Score
from .base import OnImage, OnStep, Scene
from .descent import Descent
from .learner import Drawn, MaskLearner
from .settings import Settings

__all__ = ["FIDO"]

_SIGNS = (-1.0, 1.0)  # the SSR keeps the score up, the SDR brings it down


class FIDO(MaskLearner):
    """FIDO (fill-in of the dropout region) explains a model's answers by two learned masks.

    For each image two masks of keep rates are learned together: the smallest sufficient region (SSR), which minimises
    ``-score + a * kept + b * variation``, and the smallest destroying region (SDR), which minimises
    ``score + a * removed + b * variation``. ``score`` is the mean over composites of image and infill by sampled
    masks, ``kept`` and ``removed`` are parts of the image, ``variation`` is the total variation a cell.

    The maps ``ssr`` and ``sdr`` average the keep rates over the steps, the t-th counting t times: they also rank what
    the masks, which end nearly binary, treat alike. ``joint = sqrt(ssr * sdr)``.

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
        return len(_SIGNS) * self.settings.num_samples

    def start(self, scene: Scene) -> Tensor:
        cells = self.settings.cells(*scene.size)
        return torch.zeros(len(scene), len(_SIGNS), *cells, dtype=torch.float32, device=scene.images.device)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        settings, samples = self.settings, self.sample(parameters, scene, step)
        area = torch.stack([samples.sparsity[:, 0], 1 - samples.sparsity[:, 1]], dim=1)
        penalty = settings.sparsity_weight * area + settings.smoothness_weight * samples.smoothness
        signs = torch.tensor(_SIGNS, dtype=torch.float32, device=parameters.device)
        return Drawn(samples.composites, signs, settings.penalty_weight_at(step) * penalty)

    def sample(self, mask_logits: Tensor, scene: Scene, step: int) -> ops.CompositeSamples:
        """The composites of a step and the penalties of mask logits [N, 2, h, w], differentiable."""
        settings = self.settings
        return ops.sample_composites(
            mask_logits,
            scene.images,
            scene.infill,
            make_rng(settings.seed, step=step, device=mask_logits.device),
            num_samples=settings.num_samples,
            temperature=settings.temperature_at(step),
            antithetic=settings.antithetic,
            streams=scene.streams,
            dtype=scene.execution.dtype,
            channels_last=bool(scene.execution.channels_last),
        )

    def updater(self, parameters: Tensor) -> Descent:
        return Descent(parameters, self.settings.learning_rate_at, spread=self.settings.spread)

    def earliest_convergence(self) -> float:
        return self.settings.warmup * self.settings.steps + super().earliest_convergence()

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        # Interpolation between ones rounds above 1.
        ssr, sdr = functional.upsample(rates, scene.size).clamp(0, 1).unbind(1)
        return {"ssr": ssr, "sdr": 1 - sdr}, {"mask_logits": parameters}
