"""FIDO's optimisation with every switch that was tried; `sdfido.FIDO` is one of its settings (tests hold them equal).

Written for trials: one image at a time, nothing checked. What was learned with it is in docs/choices.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import sdfido
from sdfido import reference
from sdfido.descent import gaussian
from sdfido.infill import smooth
from sdfido.objectives import log_odds

SIGNS = (-1.0, 1.0)
_DEFAULT = sdfido.Settings()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one trial does; the defaults are those of sdfido.FIDO."""

    steps: int = _DEFAULT.steps
    samples: int = _DEFAULT.num_samples
    antithetic: bool = _DEFAULT.antithetic
    cells: tuple[tuple[float, int], ...] = ((0.0, int(_DEFAULT.mask_size or 0)),)  #: (from which part of steps, cells)
    temperature: float | tuple[float, float] = _DEFAULT.temperature  #: first and last, geometric between
    rule: Literal["mask", "cell"] = "mask"  #: what the momentum is divided by: see `_Rule`
    learning_rate: float = _DEFAULT.learning_rate
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = 0.9
    memory: float = 0.99
    spread: float = _DEFAULT.spread  #: of the gradient's smoothing, in cells
    sparsity: tuple[float, float] = (_DEFAULT.sparsity_weight,) * 2  #: weight, first and last, geometric between
    smoothness: float = _DEFAULT.smoothness_weight
    warmup: float = _DEFAULT.warmup
    emphasis: float = 1.0  #: how keep rates are averaged into the maps: the t-th step's count by t to this power
    blur: float = 0.0  #: of the maps, in cells
    cap: bool = False  #: whether an SSR's score above the image's own is not rewarded
    seed: int = 0


class _Rule:
    """Momentum over the root of a running mean square: of each cell ("cell": Adam) or of each mask."""

    def __init__(self, trial: Trial, logits: Tensor) -> None:
        self.trial, self.logits, self.count = trial, logits, 0
        self.mean, self.square = torch.zeros_like(logits), torch.zeros_like(logits)
        self.weights = gaussian(trial.spread)

    def step(self, gradient: Tensor, rate: float) -> None:
        trial = self.trial
        self.count += 1
        gradient = smooth(gradient, self.weights)
        square = gradient * gradient
        if trial.rule == "mask":
            square = square.mean((2, 3), keepdim=True).expand_as(square)
        self.mean = trial.momentum * self.mean + (1 - trial.momentum) * gradient
        self.square = trial.memory * self.square + (1 - trial.memory) * square
        scale = (self.square / (1 - trial.memory**self.count)).sqrt() + 1e-12
        self.logits = self.logits - rate * (self.mean / (1 - trial.momentum**self.count) / scale)

    def resize(self, cells: int) -> None:
        self.logits, self.mean, self.square = (
            reference.upsample(t, (cells, cells)) for t in (self.logits, self.mean, self.square)
        )


@dataclass(frozen=True)
class Outcome:
    """Keep rates and logits [1, 2, h, w], SSR first, and what they took."""

    rates: Tensor
    logits: Tensor
    composites: int


def run(trial: Trial, model: Callable[[Tensor], Tensor], image: Tensor, infill: Tensor, target: Tensor) -> Outcome:
    """Learn both masks of one image [1, C, H, W] of a convolutional model, for its class target [1]."""
    stages, finest = list(trial.cells), trial.cells[-1][1]
    cells = stages.pop(0)[1]
    rule = _Rule(trial, torch.zeros(1, 2, cells, cells))
    signs = torch.tensor(SIGNS)
    settings = sdfido.Settings(steps=trial.steps, temperature=trial.temperature, warmup=trial.warmup)
    with torch.no_grad():
        best = log_odds(model(image.contiguous(memory_format=torch.channels_last)), target)
    summed, total = torch.zeros(1, 2, finest, finest), 0.0
    for step in range(trial.steps):
        done = step / trial.steps
        if stages and done >= stages[0][0]:
            rule.resize(stages.pop(0)[1])
        logits = rule.logits.detach().requires_grad_()
        samples = sdfido.sample_composites(
            logits,
            image,
            infill,
            sdfido.make_rng(trial.seed, step=step),
            num_samples=trial.samples,
            temperature=settings.heat(step),
            antithetic=trial.antithetic,
            channels_last=True,
        )
        batch = samples.composites.detach().flatten(0, 2).requires_grad_()
        scores = log_odds(model(batch), target.expand(len(batch))).view(2, trial.samples)
        if trial.cap:
            scores = torch.stack([scores[0].minimum(best), scores[1]])
        (gradient,) = torch.autograd.grad((signs[:, None] / trial.samples * scores).sum(), [batch])
        area = torch.stack([samples.sparsity[:, 0], 1 - samples.sparsity[:, 1]], dim=1)
        first, last = trial.sparsity
        penalty = settings.weight(step) * (
            first * (last / first) ** done * area + trial.smoothness * samples.smoothness
        )
        (slope,) = torch.autograd.grad(
            [samples.composites, penalty], [logits], [gradient.view_as(samples.composites), torch.ones_like(penalty)]
        )
        fall = 0.5 * (1 + math.cos(math.pi * done)) if trial.schedule == "cosine" else 1.0
        rule.step(slope, trial.learning_rate * fall)
        counts = ((step + 1) / trial.steps) ** trial.emphasis
        summed += counts * reference.upsample(torch.sigmoid(rule.logits), (finest, finest))
        total += counts
    rates = smooth(summed / total, gaussian(trial.blur))
    return Outcome(rates, rule.logits, 2 * trial.samples * trial.steps)
