"""The loop in which masks are learned by gradients; a method says what is learned and from which composites."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..checks import check_tensor
from ..execution import chunks
from ..explanation import Explanation
from .base import Explainer, OnImage, OnStep, Progress, Scene
from .settings import MaskSettings

__all__ = ["Drawn", "MaskLearner", "Readout", "Updater"]

_WINDOW = 10  # steps over which a mask must not change to count as converged


class Drawn(NamedTuple):
    """The composites of one step: V views of each image, S samples each.

    ``loss = sum over views of (sign * mean score of the samples + price * penalty)``.
    """

    composites: Tensor  #: [N, V, S, C, H, W]
    signs: Tensor  #: what a view's mean score counts in the loss [V]: -1 raises the score, 1 lowers it
    penalty: Tensor  #: what does not depend on the model [N, V]
    targets: Tensor | None = None  #: targets of each view [N, V, ...]; None: the scene's


class Readout(NamedTuple):
    """What was learned of N images."""

    maps: dict[str, Tensor]  #: importance by name [N, H, W], 0..1
    parts: dict[str, Tensor] = {}  # noqa: RUF012 (never changed)  #: what else there is, by name [N, ...]
    scores: dict[str, Tensor] = {}  # noqa: RUF012  #: numbers by name [N]


class Updater(Protocol):
    """What moves the parameters [N, K, h, w] against their gradient; ``sdfido.methods.descent.Descent`` is one."""

    @property
    def parameters(self) -> Tensor:
        """The parameters as they are now."""

    def step(self, gradient: Tensor, step: int) -> object:
        """Move the parameters, in a step counted from 0."""

    def __getitem__(self, keep: Tensor) -> Updater:
        """The same for those images alone whose place in ``keep`` [N], bool, is true."""


def image_by_image(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(*tensors)`` of elements alone [N, ...]; on CPUs each image's for itself.

    There PyTorch rounds what does not fill a vector otherwise, so that bits would depend on the batch.
    """
    if not len(tensors[0]) or tensors[0].device.type != "cpu":
        return function(*tensors)
    return torch.cat([function(*(tensor[i : i + 1] for tensor in tensors)) for i in range(len(tensors[0]))])


@dataclass
class _State:
    """Images that have not converged, and all that is carried from step to step for them."""

    places: Tensor  # of the images in the scene [M]
    updater: Updater
    summed: Tensor  # keep rates, summed over the steps by their emphasis [M, K, h, w]
    earlier: Tensor  # keep rates at the begin of the window [M, K, h, w]
    prices: Tensor  # of the penalties of each view [M, V]

    def __getitem__(self, keep: Tensor) -> _State:
        some = self.places[keep], self.updater[keep], self.summed[keep], self.earlier[keep], self.prices[keep]
        return _State(*some)


class MaskLearner(Explainer):
    """Learns masks by gradients. A method says what it learns: ``start``, ``draw``, ``updater`` and ``readout``.

    The loop draws composites, asks the model for their scores in chunks that fit into memory, hands the gradient of the
    loss back through the composites, and lets the updater move the parameters. Images that have converged stop early,
    while the others go on.
    """

    settings: MaskSettings

    @abstractmethod
    def start(self, scene: Scene) -> Tensor:
        """The parameters before the first step [N, K, h, w], float32."""

    @abstractmethod
    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        """The composites of a step, counted from 0, and the penalty, both differentiable in the parameters."""

    @abstractmethod
    def updater(self, parameters: Tensor) -> Updater:
        """What moves the parameters."""

    @abstractmethod
    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        """What was learned, from the last parameters and the keep rates averaged over the steps, both [N, K, h, w]."""

    def keep_rates(self, parameters: Tensor) -> Tensor:
        """The keep rate of each cell that parameters stand for, 0..1; here they are mask logits."""
        return image_by_image(torch.sigmoid, parameters)

    def prices(self, prices: Tensor, scores: Tensor, scene: Scene, step: int) -> Tensor:
        """What the penalties count in the next step [N, V], given what they counted and the mean scores [N, V].

        They begin at 1, and stay there here.
        """
        return prices

    def advance(
        self, updater: Updater, gradient: Tensor, loss: Tensor, scene: Scene, step: int, prices: Tensor
    ) -> None:
        """Move the parameters, given the gradient and each image's loss [N]; here by a step of the updater.

        A search along the gradient asks ``losses`` for the loss elsewhere.
        """
        updater.step(gradient, step)

    def emphasis(self, step: int) -> float:
        """What a step, counted from 0, counts in the average of the keep rates: here the t-th counts t times."""
        return step + 1

    def earliest_convergence(self) -> float:
        """Steps after which an image may count as converged."""
        return _WINDOW

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Sequence[int] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        with self.scene(images, targets, streams, on_step=on_step, on_image=on_image) as scene:
            return self.learn(scene, on_step, on_image)

    def portions(self, count: int, scene: Scene) -> Iterable[slice]:
        """The parts in which so many composites are given to the model: here as large as the execution allows."""
        return chunks(count, scene.execution.max_batch or scene.composites)

    def check_size(self, height: int, width: int) -> None:
        self.settings.cells(height, width)

    def learn(self, scene: Scene, on_step: OnStep | None = None, on_image: OnImage | None = None) -> Explanation:
        """Learn the masks of a scene; callbacks and errors as those of ``explain``."""
        n, steps, begin = len(scene), self.settings.steps, time.perf_counter()
        parameters = self.start(scene)
        rates = self.keep_rates(parameters)
        places = torch.arange(n, device=parameters.device)
        ones = rates.new_ones(n, 1)
        state = _State(places, self.updater(parameters), torch.zeros_like(rates), rates, ones)
        trace = torch.full((n, steps), torch.nan, dtype=torch.float32, device=scene.images.device)
        latest = torch.zeros(n, dtype=torch.float32, device=scene.images.device)
        last: dict[int, Tensor] = {}  # the parameters of images that have converged
        explanations: dict[int, Explanation] = {}
        going = scene
        # Between the checks nothing here waits for a GPU.
        for step in range(steps if n else 0):
            prices = state.prices
            gradient, loss, scores = self._gradient(state.updater.parameters, going, step, prices)
            state.prices = self.prices(prices, scores, going, step)
            latest.index_copy_(0, state.places, loss.float())
            trace[:, step].index_copy_(0, state.places, loss.float())
            checking = step in (0, steps - 1) or (step + 1) % _WINDOW == 0
            if checking:
                _check_finite(trace[state.places, : step + 1], gradient if step == 0 else None)
            self.advance(state.updater, gradient, loss, going, step, prices)
            if checking:
                self._check_parameters(state.updater.parameters, step)
            rates = self.keep_rates(state.updater.parameters)
            state.summed += self.emphasis(step) * rates
            converged = self._converged(state, rates, step + 1) if checking else None
            if converged is not None and converged.any():
                seconds = time.perf_counter() - begin
                done, averaged = state[converged], self._averaged(state.summed[converged], rates[converged], step + 1)
                for row, place in enumerate(done.places.tolist()):
                    one, final = done.places[[row]], done.updater.parameters[[row]]
                    read, losses = Readout(*self.readout(scene[one], final, averaged[[row]])), trace[[place]]
                    last[place] = final
                    explanations[place] = self.conclude(
                        scene[one], read.maps, read.parts, scores=read.scores, trace=losses, seconds=seconds
                    )
                    if on_image is not None:
                        on_image(place, explanations[place])
                state = state[~converged]
                going = scene[state.places]
            if on_step is not None:
                now = last | dict(zip(state.places.tolist(), state.updater.parameters[:, None], strict=True))
                every = torch.cat([now[place] for place in range(n)])
                on_step(Progress(step + 1, steps, float(latest.mean()), len(last), every))
            if len(last) == n:
                break
        if n == 0:
            read = Readout(*self.readout(scene, parameters, rates))
            return self.conclude(scene, read.maps, read.parts, scores=read.scores, trace=trace, seconds=0.0)
        whole = Explanation.stack([explanations[place] for place in range(n)])
        return replace(whole, seconds=time.perf_counter() - begin)

    def _gradient(self, parameters: Tensor, scene: Scene, step: int, prices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The parameters' gradient, each image's loss [N], and the scores [N, V], by as many images at once as fit."""
        parts = [
            self._gradient_at_once(parameters[part], scene[part], step, prices[part])
            for part in chunks(len(scene), scene.images_at_once)
        ]
        gradients, losses, scores = zip(*parts, strict=True)
        return torch.cat(gradients), torch.cat(losses), torch.cat(scores)

    def _gradient_at_once(
        self, parameters: Tensor, scene: Scene, step: int, prices: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            parameters = parameters.detach().requires_grad_()
            drawn = self.draw(parameters, scene, step)
            # The model is left at once: its gradient is handed on.
            scores, gradient = self._score(drawn, scene)
            prices = prices.expand_as(drawn.penalty)
            (result,) = torch.autograd.grad([drawn.composites, drawn.penalty], [parameters], [gradient, prices])
        return result, (drawn.signs * scores + prices * drawn.penalty.detach()).sum(1), scores

    def losses(self, parameters: Tensor, scene: Scene, step: int, prices: Tensor) -> Tensor:
        """Each image's loss [N] in a step, by other parameters than those that it begins with; without gradients."""
        found = []
        with torch.no_grad():
            for part in chunks(len(scene), scene.images_at_once):
                drawn = self.draw(parameters[part], scene[part], step)
                scores, _ = self._score(drawn, scene[part], differentiate=False)
                found.append((drawn.signs * scores + prices[part] * drawn.penalty).sum(1))
        return torch.cat(found)

    def _score(self, drawn: Drawn, scene: Scene, *, differentiate: bool = True) -> tuple[Tensor, Tensor]:
        """Mean scores [N, V] of drawn composites, and the gradient of their weighted sum over the views' samples."""
        composites = drawn.composites.detach()
        n, v, s = composites.shape[:3]
        flat = composites.flatten(0, 2)
        gradient = torch.empty_like(composites)  # keeps channels-last strides
        flat_gradient = gradient.flatten(0, 2)
        if drawn.targets is None:
            targets = scene.targets.repeat_interleave(v * s, 0)
        else:
            targets = drawn.targets.flatten(0, 1).repeat_interleave(s, 0)
        factors = (drawn.signs / s).repeat_interleave(s).repeat(n)
        units = scene.unit.repeat_interleave(v * s)
        scores = []
        for part in self.portions(len(flat), scene):
            batch = flat[part].detach().requires_grad_(differentiate)
            score = scene.score(batch.clone(), targets[part])  # a clone: models may work in place
            if check_tensor("score", score, "[B], one number an image").shape != factors[part].shape:
                raise ValueError(f"score must be one number an image, [{len(batch)}], got {list(score.shape)}")
            score = score / units[part]
            if differentiate:
                found = None
                if score.requires_grad:
                    (found,) = torch.autograd.grad((score * factors[part]).sum(), [batch], allow_unused=True)
                if found is None:  # what the model has learned may still have a gradient
                    raise ValueError("score must be differentiable in the images, got one without a gradient")
                flat_gradient[part] = found
            scores.append(score.detach())
        return torch.cat(scores).view(n, v, s).mean(2), gradient

    def _check_parameters(self, parameters: Tensor, step: int) -> None:
        if not parameters.isfinite().all():
            rate = getattr(self.settings, "learning_rate", None)
            remedy = "" if rate is None else f"; learning_rate must be smaller, got {rate:g}"
            raise ValueError(f"what is learned became infinite or NaN by step {step + 1}{remedy}")

    def _converged(self, state: _State, rates: Tensor, done: int) -> Tensor:
        """Which of the images that still go on need no more steps after so many: bool [M]; moves the window on."""
        if done == self.settings.steps:
            return torch.ones(len(rates), dtype=torch.bool, device=rates.device)
        converged = torch.zeros(len(rates), dtype=torch.bool, device=rates.device)
        if done % _WINDOW == 0:
            if done >= self.earliest_convergence():
                converged = (rates - state.earlier).abs().mean((2, 3)).amax(1) < self.settings.tolerance
            state.earlier = rates
        return converged

    def _averaged(self, summed: Tensor, rates: Tensor, done: int) -> Tensor:
        """The mean keep rates over all steps by their emphasis; after convergence, they count as they are."""
        weights = [self.emphasis(step) for step in range(self.settings.steps)]
        return (summed + sum(weights[done:]) * rates) / sum(weights)


def _check_finite(losses: Tensor, gradient: Tensor | None) -> None:
    """Raise where a loss [N, steps], or the gradient of the first step, is not finite.

    Raises:
        ValueError: in the first step: the score itself is at fault.
        RuntimeError: in a later one.
    """
    if gradient is not None and not (losses.isfinite().all() and gradient.isfinite().all()):
        of = "a finite gradient" if gradient.isfinite().all() else "a gradient that is not finite"
        raise ValueError(
            "score must be finite and have a finite gradient for composites of image and infill, got a loss of "
            f"{float(losses.mean()):g} with {of} in the first step"
        )
    if not losses.isfinite().all():
        step = int((~losses.isfinite()).any(0).int().argmax())
        raise RuntimeError(
            f"the loss became {float(losses[:, step].mean())} in step {step + 1}; the model's scores for composites of "
            "image and infill must be finite"
        )
