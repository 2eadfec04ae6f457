"""The masks of existing FIDO code as a problem of the learner: what is drawn, asked and updated in an iteration."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .. import ops
from ..checks import describe
from ..explanation import Explanation, MapInfo
from ..methods.base import Scene
from ..methods.learner import Drawn, MaskLearner, Readout
from ..methods.settings import MaskSettings
from ..ops import functional, make_rng
from .concrete import concrete_dropout
from .config import FIDOConfig

TEMPERATURE = 0.1  # of the mask samples

Metrics = MutableMapping[str, list[float]]


class Classifier(Protocol):
    """What is explained."""

    def log_odds(self, x: Tensor, *, c: Any) -> tuple[Tensor, Tensor]:
        """Probability and log-odds of class ``c`` for images [B, C, H, W]: two [B]; the second is differentiated."""


class DropoutMasks(Protocol):
    """The module whose parameters are learned: ``sdfido.compat.FIDO``."""

    optimized: bool
    infill: Tensor

    @property
    def params(self) -> list[nn.Parameter]: ...

    @property
    def ssr_dropout_rate(self) -> Tensor: ...

    @property
    def sdr_dropout_rate(self) -> Tensor: ...


def sample(X: Tensor, infill: Tensor, logit_p: Tensor, batch_size: int, optimized: bool) -> ops.CompositeSamples:
    """Composites [1, 1, batch_size, C, H, W] of an image by samples of a mask, and the mask's penalties [1, 1].

    Args:
        X: image [C, H, W].
        infill: broadcasts against the image.
        logit_p: dropout logits [h, w].
        batch_size: number of samples.
        optimized: by simplified concrete dropout, fused; else by standard concrete dropout.
    """
    keep_logits = -logit_p[None, None]
    if optimized:
        rng = make_rng(torch.default_generator, device=X.device)
        return ops.sample_composites(keep_logits, X[None], infill, rng, num_samples=batch_size, temperature=TEMPERATURE)
    masks = concrete_dropout(torch.sigmoid(logit_p).expand(1, 1, batch_size, -1, -1), TEMPERATURE)
    return ops.CompositeSamples(functional.blend(masks, X, infill), *functional.penalties(keep_logits))


def log_odds(clf: Classifier, x: Tensor, y: Any) -> tuple[Tensor, Tensor]:
    """Probabilities and log-odds of composites [B, C, H, W]: two [B], checked."""
    if not callable(getattr(clf, "log_odds", None)):
        raise TypeError(f"clf must have a method log_odds(x, c=y) -> (prob, log_odds), got {describe(clf)}")
    prob, score = clf.log_odds(x, c=y)
    for value in (prob, score):
        if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"clf.log_odds must return two tensors [{len(x)}], one number an image, got {got}")
    if not score.requires_grad:
        raise ValueError("clf.log_odds must be differentiable, got log-odds without a gradient")
    return prob, score


@dataclass
class _Found:
    """One mask in one iteration, before its update."""

    sign: int  # what the log-odds count in the objective
    objective: Tensor  # with penalties
    l1: Tensor
    tv: Tensor
    probs: list[Tensor] = field(default_factory=list)


class _LogOdds:
    """The score of composites: the classifier's log-odds of the class ``y``, which also notes the probabilities."""

    def __init__(self, clf: Classifier, y: Any, samples: int) -> None:
        self.clf, self.y, self.samples = clf, y, samples
        self.found: list[_Found] = []  # of this iteration, SSR first

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        prob, score = log_odds(self.clf, images, self.y)
        latest = self.found[-1]
        latest.probs.append(prob.detach())
        latest.objective = latest.objective + (latest.sign * score.sum() / self.samples).detach()
        return score

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        return torch.zeros(len(images), dtype=torch.int64, device=images.device)  # ``y`` may be anything

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.clf.log_odds(images, c=self.y)[0]


class _AdamW:
    """AdamW on the parameters of a module, which a callback may change meanwhile."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        config = masks.config
        self.optimizer = torch.optim.AdamW(masks.fido.params, lr=config.learning_rate, eps=0.1, weight_decay=config.l2)
        self.rows = torch.arange(2, device=masks.image.device)

    @property
    def parameters(self) -> Tensor:
        return torch.stack(tuple(self.masks.fido.params)).detach()[self.rows, None]

    def step(self, gradient: Tensor, step: int) -> None:
        self.masks.record()
        for parameter, found in zip(self.masks.fido.params, gradient, strict=True):
            parameter.grad = found[0]
        self.optimizer.step()

    def __getitem__(self, keep: Tensor) -> _AdamW:
        some = copy.copy(self)
        some.rows = self.rows[keep]
        return some


class Masks(MaskLearner):
    """The dropout logits of a ``FIDO`` module, SSR and SDR, as two images of a scene that shows its image twice.

    They are drawn one after the other, so that their composites take half the memory.

    Args:
        fido: the module.
        X: its image [C, H, W], checked.
        y: the class, handed to the classifier as it is.
        clf: the classifier.
        config: of the fit.
        metrics: what to append numbers to, or None.
    """

    name = "fido"
    legend: Mapping[str, MapInfo] = {"keep": MapInfo("Keep rate", role="keep")}
    settings_type = MaskSettings

    def __init__(
        self, fido: DropoutMasks, X: Tensor, y: Any, clf: Classifier, config: FIDOConfig, metrics: Metrics | None
    ) -> None:
        self.asked = _LogOdds(clf, y, config.batch_size)
        super().__init__(
            self.asked,
            infill=fido.infill,
            steps=config.iterations,
            tolerance=0,  # all iterations, always
            max_batch=config.batch_size,
            channels_last=False,
            fold_batch_norm=False,
        )
        self.fido, self.image, self.config, self.metrics = fido, X, config, metrics

    def twice(self) -> Scene:
        """The scene: the image, once for each mask."""
        images = self.image.expand(2, *self.image.shape)
        nothing = torch.zeros(2, dtype=torch.int64, device=images.device)
        return Scene(
            score=self.asked,
            execution=self.execution,
            composites=self.config.batch_size,
            images=images,
            infill=self.fido.infill.expand_as(images),
            targets=nothing,
            streams=torch.arange(2, device=images.device),
            confidence=nothing,
            floor=nothing,
            unit=torch.ones(2, device=images.device),
        )

    def start(self, scene: Scene) -> Tensor:
        return torch.stack(tuple(self.fido.params)).detach()[:, None]

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        config, (logit_p,) = self.config, parameters.unbind(1)
        drawn = sample(scene.images[0], self.fido.infill, logit_p[0], config.batch_size, self.fido.optimized)
        # SSR keeps the log-odds up with a small kept area, SDR brings them down with a small removed one.
        kept = drawn.sparsity.sum()
        sign, area = (-1, kept) if int(scene.streams[0]) == 0 else (1, 1 - kept)
        # The operator's penalties are means over cells, of keep rates.
        l1, tv = 0.5 * logit_p.numel() * area, logit_p.numel() * drawn.smoothness.sum()
        penalty = config.warmup(step) * (config.l1 * l1 + config.tv * tv)
        self.asked.found.append(_Found(sign, penalty.detach(), l1.detach(), tv.detach()))
        return Drawn(drawn.composites, penalty.new_tensor([sign]), penalty[None, None])

    def portions(self, count: int, scene: Scene) -> Iterable[slice]:
        parts = torch.arange(count, device="cpu").tensor_split(self.config.approx_steps or 1)
        return (slice(int(part[0]), int(part[-1]) + 1) for part in parts)

    def keep_rates(self, parameters: Tensor) -> Tensor:
        return torch.sigmoid(-parameters)

    def updater(self, parameters: Tensor) -> _AdamW:
        return _AdamW(self)

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        return Readout({"keep": functional.upsample(rates[:, 0], scene.size)}, {"mask_logits": -parameters})

    def conclude(
        self, scene: Scene, maps: Mapping[str, Tensor], parts: Mapping[str, Tensor] | None = None, **others: Any
    ) -> Explanation:
        """Without further questions to the classifier."""
        return Explanation(self.name, dict(maps), {}, scene.targets, dict(parts or {}), legend=self.legend)

    def record(self) -> None:
        """Append the metrics of an iteration, as it is before the update."""
        (ssr, sdr), self.asked.found = self.asked.found, []
        if self.metrics is None:
            return
        thresh = self.config.thresh
        values = {
            "objective": ssr.objective + sdr.objective,
            "ssr_prob": torch.cat(ssr.probs).mean(),
            "sdr_prob": torch.cat(sdr.probs).mean(),
            "l1": ssr.l1 + sdr.l1,
            "tv": ssr.tv + sdr.tv,
            "ssr_area": (1 - self.fido.ssr_dropout_rate > thresh).float().mean(),
            "sdr_area": (self.fido.sdr_dropout_rate > thresh).float().mean(),
        }
        for name, value in values.items():
            self.metrics.setdefault(name, []).append(float(value))
