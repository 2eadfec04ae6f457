"""FIDO with every switch that was tried: by default it computes what ``sdfido.FIDO`` does, and tests check that.

It runs sdfido's own loop. What was learned with it is in docs/studies/ablation.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

import sdfido
from sdfido import ClassScore, Scene
from sdfido.methods.descent import Descent
from sdfido.methods.learner import Drawn
from sdfido.ops.functional import upsample
from sdfido.smoothing import gaussian_weights, smooth

_DEFAULT = sdfido.Settings()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one trial does; the defaults are those of sdfido.FIDO."""

    steps: int = _DEFAULT.steps
    samples: int = _DEFAULT.num_samples
    antithetic: bool = _DEFAULT.antithetic
    cells: tuple[tuple[float, int], ...] = ((0.0, 28),)  #: (from which part of the steps, cells of a side)
    temperature: float | tuple[float, float] = _DEFAULT.temperature  #: first and last, geometric between
    rule: Literal["mask", "cell"] = "mask"  #: what has a step size of its own: each mask, or each cell (Adam)
    learning_rate: float = _DEFAULT.learning_rate
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = 0.9
    memory: float = 0.99
    spread: float = _DEFAULT.spread  #: of the gradient's smoothing, in cells
    sparsity: float = _DEFAULT.sparsity_weight
    smoothness: float = _DEFAULT.smoothness_weight
    warmup: float = _DEFAULT.warmup
    emphasis: float = 1.0  #: how keep rates are averaged into the maps: the t-th step's count by t to this power
    blur: float = 0.0  #: of the maps, in cells
    cap: bool = False  #: whether an SSR's score above the image's own is not rewarded
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Those of ``sdfido.FIDO``, without an early stop."""
        return {
            "mask_size": self.cells[-1][1],
            "steps": self.steps,
            "num_samples": self.samples,
            "learning_rate": self.learning_rate,
            "spread": self.spread,
            "temperature": self.temperature,
            "sparsity_weight": self.sparsity,
            "smoothness_weight": self.smoothness,
            "warmup": self.warmup,
            "antithetic": self.antithetic,
            "tolerance": 0.0,
            "seed": self.seed,
        }

    @property
    def composites(self) -> int:
        """Images that the classifier sees, forward and backward."""
        return 2 * self.samples * self.steps


class TrialDescent(Descent):
    """The descent with a step size for each mask or for each cell, and with masks whose cells become finer."""

    def __init__(self, parameters: Tensor, rate: Callable[[int], float], trial: Trial) -> None:
        self.trial = trial
        super().__init__(parameters, rate, spread=trial.spread, momentum=trial.momentum, memory=trial.memory)

    def squared(self, gradient: Tensor) -> Tensor:
        return gradient * gradient if self.trial.rule == "cell" else super().squared(gradient)

    def step(self, gradient: Tensor, step: int) -> None:
        super().step(gradient, step)
        for begin, cells in self.trial.cells:
            if step < begin * self.trial.steps <= step + 1:
                self.resize((cells, cells))


class CappedScore(ClassScore):
    """Log-odds that count up to a limit: targets are class indices [B], or classes and limits [B, 2]."""

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        if targets.dim() == 1:
            return super().__call__(images, targets)
        return super().__call__(images, targets[:, 0].long()).minimum(targets[:, 1].float())


class TrialFIDO(sdfido.FIDO):
    """FIDO with the switches of a trial."""

    def __init__(self, model: Callable[[Tensor], Tensor], trial: Trial, **options: Any) -> None:
        super().__init__(CappedScore(model), **trial.settings(), **options)
        self.trial = trial

    def start(self, scene: Scene) -> Tensor:
        cells = self.trial.cells[0][1]
        return super().start(scene).new_zeros(len(scene), 2, cells, cells)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        drawn = super().draw(parameters, scene, step)
        if not self.trial.cap:
            return drawn
        limits = torch.logit(scene.confidence.double(), eps=1e-12)
        views = torch.stack([limits, torch.full_like(limits, math.inf)], dim=1)
        classes = scene.targets[:, None].expand_as(views).double()
        return drawn._replace(targets=torch.stack([classes, views], dim=2))

    def updater(self, parameters: Tensor) -> TrialDescent:
        trial = self.trial
        rate = self.settings.learning_rate_at if trial.schedule == "cosine" else lambda _: trial.learning_rate
        return TrialDescent(parameters, rate, trial)

    def keep_rates(self, parameters: Tensor) -> Tensor:
        finest = self.trial.cells[-1][1]
        rates = super().keep_rates(parameters)
        return rates if rates.shape[-1] >= finest else upsample(rates, (finest, finest))

    def emphasis(self, step: int) -> float:
        power = self.trial.emphasis
        return super().emphasis(step) if power == 1 else ((step + 1) / self.trial.steps) ** power

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        blur = self.trial.blur
        return super().readout(scene, parameters, smooth(rates, gaussian_weights(blur, math.ceil(3 * blur))))
