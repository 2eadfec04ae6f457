"""FIDO: learns which pixels may be infilled without, and which with, changing a classifier's decision."""

import contextlib
import math
import numbers
import operator
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import infill as infills
from . import ops, reference
from .explanation import Explanation
from .normalization import Normalization
from .objectives import log_odds
from .rng import make_rng

Model = Callable[[Tensor], Tensor]
Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Progress:
    """Where an optimisation stands, for callbacks."""

    step: int  #: steps done, from 1
    steps: int  #: steps in all
    objective: float  #: mean over the images, lower is better
    logits: Tensor  #: keep logits [N, 2, h, w], SSR first


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How FIDO optimises; the defaults suit photos and classifiers of about 224 x 224 pixels."""

    mask_size: int | tuple[int, int] | None = 28  #: cells of a mask (rows, columns), upsampled; None: one a pixel
    steps: int = 150  #: optimisation steps
    num_samples: int = 2  #: mask samples S of each of the two masks in a step
    learning_rate: float = 1.0  #: of AdamW, falling along a cosine to 0
    temperature: float = 0.2  #: of the mask samples; lower is closer to binary
    sparsity_weight: float = 25.0  #: of the kept (SSR) and removed (SDR) part of the image
    smoothness_weight: float = 25.0  #: of the keep rates' total variation a cell
    warmup: int = 20  #: steps over which both weights rise linearly
    antithetic: bool = True  #: samples in pairs with opposite noise
    seed: int = 0  #: of the mask samples
    max_batch: int = 64  #: composites given to the classifier at once
    channels_last: bool = False  #: give composites in channels-last memory format
    dtype: torch.dtype = torch.float32  #: of the composites; below float32 the classifier runs under autocast

    def __post_init__(self) -> None:
        for name in ("steps", "num_samples", "max_batch"):
            self._set_number(name, int, 1)
        self._set_number("warmup", int, 0)
        for name in ("learning_rate", "temperature"):
            self._set_number(name, float, 0)
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be positive, got 0")
        for name in ("sparsity_weight", "smoothness_weight"):
            self._set_number(name, float, 0)
        for name in ("antithetic", "channels_last"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if isinstance(self.seed, torch.Generator):
            raise TypeError("seed must be an integer, got a torch.Generator; draw one with generator.initial_seed()")
        make_rng(self.seed)
        if self.dtype not in (torch.float32, torch.bfloat16):
            # float16 is left out: without scaling, the gradients of the composites vanish in it.
            raise ValueError(f"dtype must be torch.float32 or torch.bfloat16, got {self.dtype}")
        if self.mask_size is not None:
            size = self.mask_size
            pair = (size, size) if isinstance(size, numbers.Integral) else size
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"mask_size must be an integer, a pair (rows, columns) or None, got {size!r}")
            for cells in pair:
                _check_number("mask_size", cells, int, 1)

    def _set_number(self, name: str, kind: type, least: float) -> None:
        object.__setattr__(self, name, _check_number(name, getattr(self, name), kind, least))

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a mask's cells for images of this size."""
        if self.mask_size is None:
            return height, width
        if not isinstance(self.mask_size, tuple):
            return min(int(self.mask_size), height), min(int(self.mask_size), width)
        rows, columns = self.mask_size
        if rows > height or columns > width:
            raise ValueError(f"mask_size must not exceed the image, {height}x{width} pixels, got {rows}x{columns}")
        return rows, columns

    def weight(self, step: int) -> float:
        """Part of the penalties' weights that holds in this step, counted from 0."""
        return 1.0 if step >= self.warmup else (step + 1) / (self.warmup + 1)

    def rate(self, step: int) -> float:
        """Learning rate of this step, counted from 0."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


class FIDO:
    """Explains a classifier's decisions by learned masks.

    For each image two masks of keep rates are learned together: the smallest sufficient region (SSR), which minimises
    ``-score + a * kept + b * variation``, and the smallest destroying region (SDR), which minimises
    ``score + a * removed + b * variation``. ``score`` is the mean objective over composites of image and infill by
    sampled masks, ``kept`` and ``removed`` are parts of the image, ``variation`` is the total variation a cell.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; a module or any callable. A module is put into eval mode
            for the time of :meth:`explain`; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see :mod:`sdfido.infill`), a tensor that
            broadcasts against the images, or a callable from images to infill.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        objective: from logits [B, classes] and targets [B] to scores [B]; see :mod:`sdfido.objectives`.
        settings: any field of :class:`Settings`, such as ``steps=200``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.FIDO(model).explain(images)
        >>> explanation.joint  # importance of each pixel, [N, H, W]

    Source: Chang et al., ICLR 2019, arXiv 1807.08024; Korsch et al., GCPR 2023, arXiv 2307.14825.
    """

    def __init__(
        self,
        model: Model,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        objective: Objective = log_odds,
        **settings: Any,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model must be a module or a callable, got {type(model).__name__}")
        if not callable(objective):
            raise TypeError(f"objective must be a callable (logits, targets) -> scores, got {type(objective).__name__}")
        self.model = model
        self.settings = Settings(**settings)
        self.infill = infills.from_spec(infill, normalization, seed=self.settings.seed)
        self.objective = objective

    def explain(
        self,
        images: Tensor,
        targets: int | Sequence[int] | Tensor | None = None,
        *,
        streams: Sequence[int] | None = None,
        callback: Callable[[Progress], object] | None = None,
    ) -> Explanation:
        """Learn both masks of each image.

        Args:
            images: [N, C, H, W], or one image [C, H, W], floating point, as the model takes them.
            targets: class index of each image, or one for all; the model's predictions by default.
            streams: which noise each image gets, 0, ..., N-1 by default. An image with the same seed, stream and target
                gets the same masks in every batch, as far as the model itself treats it the same.
            callback: called with a :class:`Progress` after each step.

        Raises:
            TypeError, ValueError: an argument does not fit, the model does not return logits [B, classes], or an image
                is not finite; the message says which. All of that is found before the optimisation starts.
        """
        with torch.inference_mode(False), _evaluating(self.model):
            images = _check_images(images)
            n, _, height, width = images.shape
            size = self.settings.cells(height, width)
            stream_tensor = _check_streams(streams, n, images.device)
            infill = infills.apply(self.infill, images.clone(), stream_tensor.tolist())
            scores = self._classify(images)
            chosen = _check_targets(targets, scores)
            self._try_gradient(images, chosen)
            start = time.perf_counter()
            logits, history = self._optimise(images, infill, chosen, stream_tensor, size, callback)
            seconds = time.perf_counter() - start
            keep_ssr, keep_sdr = reference.upsample(torch.sigmoid(logits), (height, width)).unbind(1)
            # The same with each cell wholly kept or infilled: a faint trace of the image everywhere cannot hide in it.
            binary_ssr, binary_sdr = reference.upsample((logits > 0).float(), (height, width)).unbind(1)

            def probability(keep: Tensor) -> Tensor:
                composites = infill + keep[:, None].to(images) * (images - infill)
                return _probability(self._classify(composites), chosen)

            return Explanation(
                ssr=keep_ssr,
                sdr=1 - keep_sdr,
                targets=chosen,
                prob_image=_probability(scores, chosen),
                prob_infill=_probability(self._classify(infill), chosen),
                prob_ssr=probability(keep_ssr),
                prob_sdr=probability(keep_sdr),
                prob_ssr_binary=probability(binary_ssr),
                prob_sdr_binary=probability(binary_sdr),
                logits=logits,
                objective=torch.tensor(history, dtype=torch.float32),
                seconds=seconds,
                settings=self.describe(),
            )

    def describe(self) -> dict[str, Any]:
        """All settings as plain values, for records."""
        given = self.infill
        infill = f"tensor {list(given.tensor.shape)}" if isinstance(given, infills.Fixed) else repr(given)
        values = dict(vars(self.settings), infill=infill, objective=_name(self.objective))
        return values | {"dtype": str(self.settings.dtype).removeprefix("torch.")}

    def _optimise(
        self,
        images: Tensor,
        infill: Tensor,
        targets: Tensor,
        streams: Tensor,
        size: tuple[int, int],
        callback: Callable[[Progress], object] | None,
    ) -> tuple[Tensor, list[float]]:
        settings = self.settings
        logits = torch.zeros(images.shape[0], 2, *size, dtype=torch.float32, device=images.device, requires_grad=True)
        optimizer = torch.optim.AdamW([logits], lr=settings.learning_rate, weight_decay=0.0)
        history: list[float] = []
        for step in range(settings.steps):
            optimizer.param_groups[0]["lr"] = settings.rate(step)
            objective = self._step(logits, images, infill, targets, streams, step)
            history.append(float(objective.mean()) if len(images) else 0.0)
            if not math.isfinite(history[-1]):
                raise RuntimeError(
                    f"the objective became {history[-1]} in step {step + 1}; the model's logits for composites of "
                    "image and infill must be finite"
                )
            optimizer.step()
            if callback is not None:
                callback(Progress(step + 1, settings.steps, history[-1], logits.detach().clone()))
        return logits.detach(), history

    def _step(
        self, logits: Tensor, images: Tensor, infill: Tensor, targets: Tensor, streams: Tensor, step: int
    ) -> Tensor:
        """Sets the gradient of the logits and returns each image's objective [N]."""
        settings = self.settings
        with torch.enable_grad():
            samples = ops.sample_composites(
                logits,
                images,
                infill,
                make_rng(settings.seed, step=step, device=images.device),
                num_samples=settings.num_samples,
                temperature=settings.temperature,
                antithetic=settings.antithetic,
                streams=streams,
                dtype=settings.dtype,
                channels_last=settings.channels_last,
            )
            area = torch.stack([samples.sparsity[:, 0], 1 - samples.sparsity[:, 1]], dim=1)
            penalty = settings.sparsity_weight * area + settings.smoothness_weight * samples.smoothness
            # SSR keeps the score up, SDR brings it down. The classifier is left at once: its gradient is handed on.
            signs = torch.tensor([-1.0, 1.0], dtype=torch.float32, device=images.device)
            scores, gradient = self._score(samples.composites.detach(), targets, signs / settings.num_samples)
            weighted = settings.weight(step) * penalty
            (logits.grad,) = torch.autograd.grad(
                [samples.composites, weighted], [logits], [gradient, torch.ones_like(weighted)]
            )
        return (signs * scores + weighted.detach()).sum(1)

    def _score(self, composites: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean scores [N, K] of composites [N, K, S, C, H, W], and the gradient of their weighted sum over samples."""
        n, k, s = composites.shape[:3]
        flat = composites.flatten(0, 2)
        gradient = torch.empty_like(composites)  # keeps channels-last strides
        flat_gradient = gradient.flatten(0, 2)
        labels = targets.repeat_interleave(k * s)
        factors = weights.repeat_interleave(s).repeat(n)
        scores = []
        for begin in range(0, len(flat), self.settings.max_batch):
            part = slice(begin, begin + self.settings.max_batch)
            batch = flat[part].detach().requires_grad_()
            score = self.objective(self._logits(batch.clone()), labels[part])  # a clone: models may work in place
            if score.shape != labels[part].shape:
                raise ValueError(
                    f"objective must return one score a composite, [{len(batch)}], got {list(score.shape)}"
                )
            if not score.requires_grad:
                raise ValueError("model and objective must be differentiable, got scores without a gradient")
            (flat_gradient[part],) = torch.autograd.grad((score * factors[part]).sum(), [batch])
            scores.append(score.detach())
        mean = torch.cat(scores).view(n, k, s).mean(2) if scores else weights.new_zeros(n, k)
        return mean, gradient

    def _try_gradient(self, images: Tensor, targets: Tensor) -> None:
        """One image through model, objective and back: what does not work must not wait for the first step."""
        if len(images) == 0:
            return
        with torch.enable_grad():
            first = self._stored(images[:1])[:, None, None]
            score, gradient = self._score(first, targets[:1], torch.ones(1, dtype=torch.float32, device=images.device))
        if not (score.isfinite().all() and gradient.isfinite().all()):
            raise ValueError(
                f"model must give the target a finite score and gradient, got a score of {float(score):g} for the "
                f"first image and class {int(targets[0])}"
            )

    def _stored(self, images: Tensor) -> Tensor:
        """Images in the composites' dtype and memory format."""
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return images.to(self.settings.dtype, memory_format=layout)

    def _logits(self, batch: Tensor) -> Tensor:
        low = self.settings.dtype != torch.float32
        with torch.autocast(batch.device.type, dtype=self.settings.dtype) if low else contextlib.nullcontext():
            logits = self.model(batch)
        if not isinstance(logits, Tensor):
            raise TypeError(f"model must return a tensor of logits [B, classes], got {type(logits).__name__}")
        if logits.dim() != 2 or logits.shape[0] != len(batch) or logits.shape[1] < 2:
            raise ValueError(
                f"model must return logits [B, classes] with at least two classes, got {list(logits.shape)} for "
                f"{len(batch)} images"
            )
        return logits.float()

    def _classify(self, images: Tensor) -> Tensor:
        """Logits [N, classes], without gradients, in chunks."""
        if len(images) == 0:
            return images.new_zeros((0, 2))  # the number of classes is not known, and does not matter
        with torch.no_grad():
            images = self._stored(images)
            size = self.settings.max_batch
            parts = (images[begin : begin + size].clone() for begin in range(0, len(images), size))
            return torch.cat([self._logits(part) for part in parts])


def _probability(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.softmax(1).gather(1, targets[:, None])[:, 0]


_evaluated: dict[int, tuple[int, list[nn.Module]]] = {}  # by model: explanations under way, modules to set back
_evaluated_lock = threading.Lock()


@contextlib.contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Every part of a module in eval mode inside; as it was when the last of several threads leaves."""
    if not isinstance(model, nn.Module):
        yield
        return
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ValueError("model must not be made under torch.inference_mode: its gradient is needed")
    with _evaluated_lock:
        users, training = _evaluated.get(id(model), (0, []))
        if users == 0:
            training = [module for module in model.modules() if getattr(module, "training", False)]
            for module in training:
                module.training = False
        _evaluated[id(model)] = users + 1, training
    try:
        yield
    finally:
        with _evaluated_lock:
            users, training = _evaluated.pop(id(model))
            if users > 1:
                _evaluated[id(model)] = users - 1, training
            else:
                for module in training:
                    module.training = True


def _check_number(name: str, value: Any, kind: type, least: float) -> Any:
    """The value as a plain number of that kind; NumPy's count, booleans do not."""
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if whole else numbers.Real):
        raise TypeError(f"{name} must be {'an integer' if whole else 'a number'}, got {value!r}")
    if not least <= float(value) < math.inf:
        raise ValueError(f"{name} must be finite and at least {least}, got {value}")
    return kind(value)


def _check_images(images: Tensor) -> Tensor:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a floating-point tensor, normalised as the model takes it, got {got}")
    if images.dim() == 3:
        images = images[None]
    if images.dim() != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images must be [N, C, H, W] or [C, H, W], got {list(images.shape)}")
    if not images.isfinite().all():
        raise ValueError("images must be finite, got NaN or infinity; check the preprocessing")
    return images.detach().clone().float()


def _check_targets(targets: int | Sequence[int] | Tensor | None, scores: Tensor) -> Tensor:
    n, classes = scores.shape
    if targets is None:
        return scores.argmax(1)
    if isinstance(targets, str):
        raise TypeError(
            f"targets must be class indices (integers), got {targets!r}; a classifier's find() looks up names"
        )
    chosen = torch.as_tensor(targets if n or isinstance(targets, int) else (), device=scores.device)
    if n == 0:
        return chosen.new_zeros(0, dtype=torch.int64)
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise TypeError(f"targets must be class indices (integers), got {chosen.dtype}")
    if chosen.dim() == 0:
        chosen = chosen.expand(n)
    if chosen.shape != (n,):
        raise ValueError(f"targets must be one class index, or one for each of {n} images, got {list(chosen.shape)}")
    outside = chosen[(chosen < 0) | (chosen >= classes)]
    if len(outside):
        raise ValueError(f"targets must be class indices in 0..{classes - 1}, got {int(outside[0])}")
    return chosen.to(torch.int64).contiguous()


def _check_streams(streams: Sequence[int] | None, n: int, device: torch.device) -> Tensor:
    if streams is None:
        return torch.arange(n, device=device)
    if not isinstance(streams, Sequence | Tensor) or len(streams) != n:
        raise ValueError(f"streams must be one integer for each of {n} images, got {streams!r}")
    try:
        values = [operator.index(stream) for stream in streams]
    except TypeError as error:
        raise TypeError(f"streams must be integers, got {streams!r}") from error
    return torch.tensor(values, dtype=torch.int64, device=device)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
