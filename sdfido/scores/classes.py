"""The score of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import outputs
from ..checks import check_integers
from .base import Model, ModelScore
from .links import Link, log_odds, log_probability, probability

_INVERSE: dict[Link, Callable[[Tensor], Tensor]] = {
    log_odds: torch.logit,
    log_probability: torch.log,
    probability: lambda confidence: confidence,
}
"""From a probability to the score by a link."""


class OfClasses(ModelScore):
    """What scores of class logits share."""

    part: outputs.Output = None  #: of what the model returns: the logits

    def logits(self, images: Tensor) -> Tensor:
        """Class logits [B, classes], float32, of images [B, C, H, W]; the model may work in place on the images.

        Raises:
            TypeError, ValueError: the model does not return class logits; the message says what it returns.
        """
        return outputs.class_logits(self.output(images), len(images), self.part)

    def indices(self, images: Tensor, targets: Any) -> Tensor:
        """Class indices [B], int64, of those that a user gave: one for all images or one for each.

        Raises:
            TypeError, ValueError: they are not class indices that the model has.
        """
        if len(images) == 0:
            return images.new_zeros(0, dtype=torch.int64)
        return checked_indices(targets, len(images), self.logits(images[:1]).shape[1], images.device)


def checked_indices(targets: Any, n: int, count: int, device: torch.device, kind: str = "class") -> Tensor:
    """Indices [n], int64, of classes, labels or outputs of which there are ``count``: one given for all or n.

    Raises:
        TypeError, ValueError: they are not such indices; the message says why.
    """
    what, hint = f"{kind} indices (integers)", ""
    if isinstance(targets, str):
        hint = "; a classifier's find() looks up names"
    elif callable(targets) or (isinstance(targets, Sequence) and any(map(callable, targets))):
        hint = "; sdfido.scores.TargetScore(model) takes callables on the output"
    chosen = check_integers("targets", targets, what, device, hint=hint)
    if chosen.dim() == 0:
        chosen = chosen.expand(n)
    if chosen.shape != (n,):
        raise ValueError(f"targets must be one {kind} index, or one for each of {n} images, got {list(chosen.shape)}")
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise ValueError(f"targets must be {kind} indices in 0..{count - 1}, got {int(outside[0])}")
    return chosen.contiguous()


class ClassScore(OfClasses):
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
        super().__init__(model)
        if not callable(link):
            raise TypeError(f"link must be a callable (logits, targets) -> scores, got {type(link).__name__}")
        self.link = link
        self.part = output

    def __str__(self) -> str:
        return str(getattr(self.link, "__qualname__", repr(self.link)))

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the classes ``targets`` [B]."""
        return self.link(self.logits(images), targets)

    def resolve(self, images: Tensor, targets: int | Sequence[int] | Tensor | None = None) -> Tensor:
        """Class indices [B], int64: those given, one for all or one for each image, or else the model's predictions.

        Raises:
            TypeError, ValueError: the targets are not class indices that the model has.
        """
        if targets is None:
            return self.logits(images).argmax(1) if len(images) else images.new_zeros(0, dtype=torch.int64)
        return self.indices(images, targets)

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
