"""FIDO: learns which pixels may be infilled without, and which with, changing a classifier's decision."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from . import infills, ops
from .checks import check_images, check_streams, check_targets
from .descent import Descent
from .explanation import Explanation
from .judge import Judge, Model, check_model, convolves, evaluating, probability
from .normalization import Normalization
from .objectives import log_odds
from .ops import functional, make_rng
from .settings import Settings

Objective = Callable[[Tensor, Tensor], Tensor]

_WINDOW = 10  # steps over which a mask must not change to count as settled
_SIGNS = (-1.0, 1.0)  # the SSR keeps the score up, the SDR brings it down


@dataclass(frozen=True)
class Progress:
    """Where an optimisation stands, for callbacks."""

    step: int  #: steps done, from 1
    steps: int  #: steps in all, at most
    objective: float  #: mean over the images, settled ones as they were; lower is better
    settled: int  #: images that need no more steps
    logits: Tensor  #: keep logits [N, 2, h, w], SSR first


class FIDO:
    """Explains a classifier's decisions by learned masks.

    For each image two masks of keep rates are learned together: the smallest sufficient region (SSR), which minimises
    ``-score + a * kept + b * variation``, and the smallest destroying region (SDR), which minimises
    ``score + a * removed + b * variation``. ``score`` is the mean objective over composites of image and infill by
    sampled masks, ``kept`` and ``removed`` are parts of the image, ``variation`` is the total variation a cell.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; a module or any callable. A module is put into eval mode
            for the time of :meth:`explain`; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see :mod:`sdfido.infills`), a tensor that
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
        check_model(model)
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
        finished: Callable[[int, Explanation], object] | None = None,
    ) -> Explanation:
        """Learn both masks of each image.

        Images that have settled leave the optimisation while the others go on.

        Args:
            images: [N, C, H, W], or one image [C, H, W], floating point, as the model takes them.
            targets: class index of each image, or one for all; the model's predictions by default.
            streams: which noise each image gets, 0, ..., N-1 by default. An image with the same seed, stream and target
                gets the same masks in every batch: bit for bit where the model is given one image's composites at a
                time (the default on CPUs) or does not round differently in other batches.
            callback: called with a :class:`Progress` after each step.
            finished: called with an image's index and its explanation (N = 1) as soon as it has settled.

        Raises:
            TypeError, ValueError: an argument does not fit, the model does not return logits [B, classes], or an image
                is not finite; the message says which. All of that is found before the optimisation starts.
        """
        with torch.inference_mode(False), evaluating(self.model):
            images = check_images(images)
            n, _, height, width = images.shape
            stream_tensor = check_streams(streams, n, images.device)
            cells = self.settings.cells(height, width)
            with torch.no_grad():  # an inpainter with parameters would keep its activations
                infill = infills.apply(self.infill, images.clone(), stream_tensor.tolist()).detach()
            judge = self._judge(images)
            scores = judge.classify(images, self._together(images.device))
            chosen = check_targets(targets, scores)
            if n:
                self._try_gradient(judge, images[:1], chosen[:1])
            task = _Task(judge, images, infill, chosen, stream_tensor, probability(scores, chosen))
            return self._optimise(task, cells, callback, finished)

    def describe(self) -> dict[str, Any]:
        """All settings as plain values, for records."""
        given = self.infill
        infill = f"tensor {list(given.tensor.shape)}" if isinstance(given, infills.Fixed) else repr(given)
        values = dict(vars(self.settings), infill=infill, objective=_name(self.objective))
        return values | {"dtype": str(self.settings.dtype).removeprefix("torch.")}

    def _optimise(
        self,
        task: "_Task",
        cells: tuple[int, int],
        callback: Callable[[Progress], object] | None,
        finished: Callable[[int, Explanation], object] | None,
    ) -> Explanation:
        settings, n = self.settings, len(task.images)
        start = time.perf_counter()
        logits = torch.zeros(n, 2, *cells, dtype=torch.float32, device=task.images.device)
        kept = torch.zeros_like(logits)  # keep rates, summed over the steps: the t-th counts t times
        history = torch.full((n, settings.steps), torch.nan, dtype=torch.float32)
        latest = torch.zeros(n, dtype=torch.float32)
        explanations: dict[int, Explanation] = {}
        going = torch.arange(n, device=logits.device)  # images that have not settled
        descent, rest = Descent(logits, settings.spread), _Rest(settings, logits)
        for step in range(settings.steps if n else 0):
            gradient, objective = self._gradient(descent.logits, task.of(going), step)
            latest[going.cpu()] = history[going.cpu(), step] = objective.cpu()
            if not latest.isfinite().all():
                raise RuntimeError(
                    f"the objective became {float(latest.mean())} in step {step + 1}; the model's logits for "
                    "composites of image and infill must be finite"
                )
            descent.step(gradient, settings.rate(step))
            logits[going] = descent.logits
            kept[going] += (step + 1) * torch.sigmoid(descent.logits)
            settled = rest.settled(descent.logits, step)
            if settled.any():
                for index in going[settled].tolist():
                    one = going.new_tensor([index])
                    seconds = time.perf_counter() - start
                    rates = self._averaged(kept[one], logits[one], step + 1)
                    explanations[index] = self._explanation(task.of(one), rates, logits[one], history[[index]], seconds)
                    if finished is not None:
                        finished(index, explanations[index])
                going = going[~settled]
                descent.keep(~settled)
            if callback is not None:
                callback(Progress(step + 1, settings.steps, float(latest.mean()), n - len(going), logits.clone()))
            if len(going) == 0:
                break
        if n == 0:
            return self._explanation(task, kept, logits, history, 0.0)
        whole = Explanation.stack([explanations[index] for index in range(n)])
        return replace(whole, seconds=time.perf_counter() - start)

    def _gradient(self, logits: Tensor, task: "_Task", step: int) -> tuple[Tensor, Tensor]:
        """The gradient of the logits and each image's objective [N], by as many images at once as max_batch allows."""
        parts = []
        for begin in range(0, len(logits), self._together(logits.device)):
            part = slice(begin, begin + self._together(logits.device))
            parts.append(self._gradient_at_once(logits[part], task.of(part), step))
        gradients, objectives = zip(*parts, strict=True)
        return torch.cat(gradients), torch.cat(objectives)

    def _gradient_at_once(self, logits: Tensor, task: "_Task", step: int) -> tuple[Tensor, Tensor]:
        settings = self.settings
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            samples = self._sample(logits, task, step)
            area = torch.stack([samples.sparsity[:, 0], 1 - samples.sparsity[:, 1]], dim=1)
            penalty = settings.sparsity_weight * area + settings.smoothness_weight * samples.smoothness
            # The classifier is left at once: its gradient is handed on.
            signs = torch.tensor(_SIGNS, dtype=torch.float32, device=logits.device)
            composites = samples.composites.detach()
            scores, gradient = self._score(task.judge, composites, task.targets, signs / settings.num_samples)
            weighted = settings.weight(step) * penalty
            (result,) = torch.autograd.grad(
                [samples.composites, weighted], [logits], [gradient, torch.ones_like(weighted)]
            )
        return result, (signs * scores + weighted.detach()).sum(1)

    def _sample(self, logits: Tensor, task: "_Task", step: int) -> ops.CompositeSamples:
        """The composites of a step and the penalties, differentiable; what other ways of sampling would replace."""
        settings = self.settings
        return ops.sample_composites(
            logits,
            task.images,
            task.infill,
            make_rng(settings.seed, step=step, device=logits.device),
            num_samples=settings.num_samples,
            temperature=settings.heat(step),
            antithetic=settings.antithetic,
            streams=task.streams,
            dtype=settings.dtype,
            channels_last=task.judge.channels_last,
        )

    def _score(self, judge: Judge, composites: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean scores [N, K] of composites [N, K, S, C, H, W], and the gradient of their weighted sum over samples."""
        n, k, s = composites.shape[:3]
        flat = composites.flatten(0, 2)
        gradient = torch.empty_like(composites)  # keeps channels-last strides
        flat_gradient = gradient.flatten(0, 2)
        labels = targets.repeat_interleave(k * s)
        factors = weights.repeat_interleave(s).repeat(n)
        scores = []
        size = self.settings.batch(composites.device)
        for begin in range(0, len(flat), size):
            part = slice(begin, begin + size)
            batch = flat[part].detach().requires_grad_()
            score = self.objective(judge.logits(batch.clone()), labels[part])  # a clone: models may work in place
            if score.shape != labels[part].shape:
                raise ValueError(
                    f"objective must return one score a composite, [{len(batch)}], got {list(score.shape)}"
                )
            if not score.requires_grad:
                raise ValueError("model and objective must be differentiable, got scores without a gradient")
            (flat_gradient[part],) = torch.autograd.grad((score * factors[part]).sum(), [batch])
            scores.append(score.detach())
        return torch.cat(scores).view(n, k, s).mean(2), gradient

    def _together(self, device: torch.device) -> int:
        """Images whose composites fit into max_batch, at least one."""
        return max(1, self.settings.batch(device) // (2 * self.settings.num_samples))

    def _judge(self, images: Tensor) -> Judge:
        """The model in the memory format that was asked for, or else in the faster one of those that it takes."""
        settings = self.settings
        if settings.channels_last is not None:
            return Judge(self.model, dtype=settings.dtype, channels_last=settings.channels_last)
        if len(images) and convolves(self.model):
            judge = Judge(self.model, dtype=settings.dtype, channels_last=True)
            try:
                with torch.enable_grad():
                    first = judge.stored(images[:1]).clone().requires_grad_()
                    torch.autograd.grad(judge.logits(first * 1).sum(), [first])
            except RuntimeError:  # such as from view() where channels come last; what else is wrong, shows again below
                pass
            else:
                return judge
        return Judge(self.model, dtype=settings.dtype)

    def _try_gradient(self, judge: Judge, image: Tensor, target: Tensor) -> None:
        """One image through model, objective and back: what does not work must not wait for the first step."""
        with torch.enable_grad():
            stored = judge.stored(image)[:, None, None]
            score, gradient = self._score(
                judge, stored, target, torch.ones(1, dtype=torch.float32, device=image.device)
            )
        if not (score.isfinite().all() and gradient.isfinite().all()):
            raise ValueError(
                f"model must give the target a finite score and gradient, got a score of {float(score):g} for the "
                f"first image and class {int(target)}"
            )

    def _averaged(self, kept: Tensor, logits: Tensor, done: int) -> Tensor:
        """The mean keep rates over all steps, the t-th counting t times; from the settled one on, they are at rest."""
        whole = self.settings.steps * (self.settings.steps + 1) // 2
        return (kept + (whole - done * (done + 1) // 2) * torch.sigmoid(logits)) / whole

    def _explanation(
        self, task: "_Task", rates: Tensor, logits: Tensor, history: Tensor, seconds: float
    ) -> Explanation:
        size = (task.images.shape[2], task.images.shape[3])
        # Interpolation between ones rounds above 1.
        mean_ssr, mean_sdr = functional.upsample(rates, size).clamp(0, 1).unbind(1)
        keep_ssr, keep_sdr = functional.upsample(torch.sigmoid(logits), size).clamp(0, 1).unbind(1)
        # The same with each cell wholly kept or infilled: a faint trace of the image everywhere cannot hide in it.
        binary_ssr, binary_sdr = functional.upsample((logits > 0).float(), size).unbind(1)

        def judged(images: Tensor) -> Tensor:
            return probability(task.judge.classify(images, self._together(images.device)), task.targets)

        def composites(keep: Tensor) -> Tensor:
            return task.infill + keep[:, None].to(task.images) * (task.images - task.infill)

        return Explanation(
            ssr=mean_ssr,
            sdr=1 - mean_sdr,
            targets=task.targets,
            prob_image=task.prob_image,
            prob_infill=judged(task.infill),
            prob_ssr=judged(composites(keep_ssr)),
            prob_sdr=judged(composites(keep_sdr)),
            prob_ssr_binary=judged(composites(binary_ssr)),
            prob_sdr_binary=judged(composites(binary_sdr)),
            logits=logits,
            objective=history.to(task.images.device),
            seconds=seconds,
            settings=self.describe(),
        )


@dataclass(frozen=True)
class _Task:
    """Images under explanation and what belongs to each."""

    judge: Judge
    images: Tensor  # [N, C, H, W]
    infill: Tensor  # [N, C, H, W], expanded
    targets: Tensor  # [N]
    streams: Tensor  # [N]
    prob_image: Tensor  # [N]

    def of(self, index: Tensor | slice) -> "_Task":
        """The same of some of the images."""
        tensors = (self.images, self.infill, self.targets, self.streams, self.prob_image)
        return _Task(self.judge, *(tensor[index] for tensor in tensors))


class _Rest:
    """Tells which images' masks have come to rest: whose keep rates have hardly changed over some steps."""

    def __init__(self, settings: Settings, logits: Tensor) -> None:
        self._settings = settings
        self._rates = torch.sigmoid(logits)

    def settled(self, logits: Tensor, step: int) -> Tensor:
        """Which of the images [N] that are still going need no more steps after this one, counted from 0: [N], bool."""
        settings, done = self._settings, step + 1
        if done == settings.steps:
            return torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        settled = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        if done % _WINDOW == 0:
            rates = torch.sigmoid(logits)
            if done >= settings.warmup * settings.steps + _WINDOW:
                settled = (rates - self._rates).abs().mean((2, 3)).amax(1) < settings.tolerance
            self._rates = rates[~settled]
        return settled


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
