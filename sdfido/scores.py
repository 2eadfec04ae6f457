"""What is explained: scores, one number per image that is higher the more an image shows of what is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from . import outputs
from .models.adapters import network_of

__all__ = ["ClassScore", "Score", "as_score", "eval_mode", "log_odds", "log_probability", "margin", "probability"]

Model = Callable[[Tensor], Any]
Link = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Score(Protocol):
    """What an explainer asks of a model: one differentiable number per image.

    Targets say, image by image, what the score is about: a tensor whose first axis is the image, such as class
    indices [B] or embeddings [B, D].
    """

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for their targets [B, ...]: differentiable, higher is more of it."""
        ...

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """The targets [B, ...] that a user means for these images; the model's own answer where none are given."""
        ...

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """The score as people read it [B]: for classifiers the probability of the target, 0..1."""
        ...


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-odds of the target class, ``z_c - log sum_{j != c} exp z_j``: [B], unbounded, 0 at probability 1/2.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, section 3.
    """
    chosen = targets[:, None]
    others = logits.scatter(1, chosen, float("-inf"))
    return logits.gather(1, chosen)[:, 0] - others.logsumexp(1)


def log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithm of the target class's probability, ``z_c - log sum_j exp z_j``: [B], at most 0.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.
    """
    return logits.log_softmax(1).gather(1, targets[:, None])[:, 0]


def probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Probability of the target class, ``softmax(z)_c``: [B], 0..1.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.
    """
    return torch.exp(log_probability(logits, targets))


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """Lead of the target class over the best other one, ``z_c - max_{j != c} z_j``: [B], unbounded.

    Of two classes it is the log-odds.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.
    """
    chosen = targets[:, None]
    others = logits.scatter(1, chosen, float("-inf"))
    return logits.gather(1, chosen)[:, 0] - others.amax(1)


_INVERSE: dict[Link, Callable[[Tensor], Tensor]] = {
    log_odds: torch.logit,
    log_probability: torch.log,
    probability: lambda confidence: confidence,
}
"""From a probability to the score by a link."""


class ClassScore:
    """How much a classifier says that an image shows a class.

    ``score = link(model(images), targets)``; the confidence is the softmax probability of the target. Images below
    float32 are classified under autocast.

    Args:
        model: maps images [B, C, H, W] to class logits [B, classes], or to a single logit [B] or [B, 1] that stands for
            two classes: a module, any callable, a ``sdfido.models.Classifier``, or a pipeline of Hugging Face.
        link: maps class logits [B, classes] and class indices [B] to scores [B]: ``log_odds``, ``log_probability``,
            ``probability`` or a callable of your own.
        output: which part of what the model returns are the logits, if it returns several: a name, a place, or a
            function; see ``sdfido.outputs.tensor_of``.

    Raises:
        TypeError: the model or the link cannot be called.

    Example:
        >>> score = sdfido.ClassScore(model)
        >>> sdfido.FIDO(score).explain(images)  # the same as sdfido.FIDO(model)
    """

    def __init__(self, model: Model, link: Link = log_odds, output: outputs.Output = None) -> None:
        model = network_of(model)
        if not callable(link):
            raise TypeError(f"link must be a callable (logits, targets) -> scores, got {type(link).__name__}")
        self.model = model
        self.link = link
        self.output = output

    def __str__(self) -> str:
        return str(getattr(self.link, "__qualname__", repr(self.link)))

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the classes ``targets`` [B]."""
        return self.link(self.logits(images), targets)

    def logits(self, images: Tensor) -> Tensor:
        """Class logits [B, classes], float32, of images [B, C, H, W]; the model may work in place on the images.

        Raises:
            TypeError, ValueError: the model does not return class logits; the message says what it returns.
        """
        low = images.dtype in (torch.bfloat16, torch.float16)
        with torch.autocast(images.device.type, dtype=images.dtype) if low else contextlib.nullcontext():
            returned = outputs.ask(self.model, images)
        return outputs.class_logits(returned, len(images), self.output)

    def resolve(self, images: Tensor, targets: int | Sequence[int] | Tensor | None = None) -> Tensor:
        """Class indices [B], int64: those given, one for all or one for each image, or else the model's predictions.

        Raises:
            TypeError, ValueError: the targets are not class indices that the model has.
        """
        n, classes = len(images), 0
        if targets is None:
            return self.logits(images).argmax(1) if n else images.new_zeros(0, dtype=torch.int64)
        if isinstance(targets, str):
            raise TypeError(
                f"targets must be class indices (integers), got {targets!r}; a classifier's find() looks up names"
            )
        chosen = torch.as_tensor(targets if n or isinstance(targets, int) else (), device=images.device)
        if n == 0:
            return chosen.new_zeros(0, dtype=torch.int64)
        if chosen.is_floating_point() or chosen.dtype == torch.bool:
            raise TypeError(f"targets must be class indices (integers), got {chosen.dtype}")
        if chosen.dim() == 0:
            chosen = chosen.expand(n)
        if chosen.shape != (n,):
            raise ValueError(
                f"targets must be one class index, or one for each of {n} images, got {list(chosen.shape)}"
            )
        classes = self.logits(images[:1]).shape[1]
        outside = chosen[(chosen < 0) | (chosen >= classes)]
        if len(outside):
            raise ValueError(f"targets must be class indices in 0..{classes - 1}, got {int(outside[0])}")
        return chosen.to(torch.int64).contiguous()

    def answer(self, images: Tensor) -> Tensor:
        """The model's predictions and their softmax probabilities in one pass: [B, 2], float64."""
        logits = self.logits(images)
        chosen = logits.argmax(1)
        return torch.stack([chosen.double(), probability(logits, chosen).double()], 1)

    def at_confidence(self, confidence: Tensor) -> Tensor | None:
        """The score that means a probability [B]; None for links of one's own."""
        inverse = _INVERSE.get(self.link)
        return None if inverse is None else inverse(confidence)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Softmax probability of the classes ``targets`` [B] for images [B, C, H, W]: [B], 0..1."""
        return probability(self.logits(images), targets)


def as_score(model: Model | Score) -> Score:
    """A score as it is; a classifier as its ``ClassScore``.

    Raises:
        TypeError: the argument is neither a score nor a model that can be called.
    """
    if isinstance(model, Score):
        return model
    return ClassScore(model)


def module_of(score: Score | Model) -> nn.Module | None:
    """The module behind a score or a model, if there is one."""
    for candidate in (score, getattr(score, "model", None)):
        if isinstance(candidate, nn.Module):
            return candidate
    return None


_modules: dict[int, tuple[int, list[nn.Module]]] = {}  # in eval mode: by module, users and parts to set back
_lock = threading.Lock()


@contextlib.contextmanager
def eval_mode(score: Score | Model) -> Iterator[None]:
    """Put every part of the module behind a score into eval mode, and back when the last of several threads leaves.

    Raises:
        ValueError: the module was made under ``torch.inference_mode``.
    """
    module = module_of(score)
    if module is None:
        yield
        return
    if any(parameter.is_inference() for parameter in module.parameters()):
        raise ValueError("model must not be made under torch.inference_mode: its gradient is needed")
    with _lock:
        users, training = _modules.get(id(module), (0, []))
        if users == 0:
            training = [part for part in module.modules() if getattr(part, "training", False)]
            for part in training:
                part.training = False
        _modules[id(module)] = users + 1, training
    try:
        yield
    finally:
        with _lock:
            users, training = _modules.pop(id(module))
            if users > 1:
                _modules[id(module)] = users - 1, training
            else:
                for part in training:
                    part.training = True
