"""The score of a class against another one: why A rather than B?"""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from ..checks import check_integers, check_tensor
from .base import Model
from .classes import OfClasses
from .scale import Scale


class ContrastScore(OfClasses):
    """How much more a classifier says that an image shows class A than class B.

    ``score = z_A - z_B``, the log-odds of A if there were only these two; the confidence is ``sigmoid(z_A - z_B)``,
    the probability of A of the two, 1/2 where neither is more likely. What A and B have in common cancels out, so the
    smallest sufficient region is what tells A from B, not what tells A from all others.

    Where nothing of either is shown, the confidence is near 1/2, not 0: a region that leaves 10% leaves 10% of the way
    from the infill's confidence to the image's (``sdfido.scores.Scale``). It takes away what speaks for A, and need not
    make B win.

    Targets are pairs (A, B) of class indices, int64 [B, 2].

    Args:
        model: maps images [B, C, H, W] to class logits [B, classes]; a module or any callable.
        rather_than: class B of every image where targets name only A; by default, the strongest rival of A in the
            image.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> score = sdfido.ContrastScore(model)
        >>> sdfido.FIDO(score).explain(images, (281, 282))  # why a tabby rather than a tiger cat?
        >>> sdfido.FIDO(score).explain(images)  # why the predicted class rather than the second best?

    Source: contrastive questions are those of Lipton, "Contrastive explanation", 1990; for images Prabhushankar et al.,
    "Contrastive explanations in neural networks", ICIP 2020, whose loss takes the other class as its target.
    """

    scale = Scale(
        name="probability of the two",
        meaning="sigmoid of the difference of the two classes' logits: the probability of A, were there only A and B",
        target="{} rather than {}",
        zero=False,
    )

    def __init__(self, model: Model, rather_than: int | None = None) -> None:
        super().__init__(model)
        if rather_than is not None and (
            isinstance(rather_than, bool) or not isinstance(rather_than, numbers.Integral) or rather_than < 0
        ):
            raise ValueError(f"rather_than must be a class index, 0 or above, got {rather_than!r}")
        self.rather_than = None if rather_than is None else int(rather_than)

    def __str__(self) -> str:
        return "contrast"

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for pairs of classes [B, 2]."""
        chosen, other = self.logits(images).gather(1, targets).unbind(1)
        return chosen - other

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Pairs (A, B) of class indices [B, 2], int64.

        Args:
            images: [B, C, H, W].
            targets: a tuple (A, B) for all images; pairs [B, 2]; or A alone, one for all or one for each image, by
                default the predicted class. B is then ``rather_than``, or the class with the highest logit but A's.

        Raises:
            TypeError, ValueError: these are not classes that the model has, or A is B.
        """
        if len(images) == 0:
            return images.new_zeros(0, 2, dtype=torch.int64)
        if isinstance(targets, tuple) and len(targets) == 2 and all(map(_is_index, targets)):
            pair = check_integers("targets", list(map(int, targets)), "class indices (integers)", images.device)
            targets = pair.expand(len(images), 2)
        given = None if targets is None or callable(targets) else _tensor(targets, images.device)
        if given is not None and given.dim() == 2:
            if given.shape != (len(images), 2):
                raise ValueError(
                    "targets must be a pair (A, B) of class indices for all images, or one for each of "
                    f"{len(images)}, got {list(given.shape)}"
                )
            chosen, other = (self.indices(images, each.contiguous()) for each in given.unbind(1))
        else:
            logits = self.logits(images)
            chosen = logits.argmax(1) if targets is None else self.indices(images, targets)
            if self.rather_than is None:
                other = logits.scatter(1, chosen[:, None], float("-inf")).argmax(1)
            else:
                other = self.indices(images, self.rather_than)
        if (same := (chosen == other).nonzero()[:, 0]).numel():
            place = int(same[0])
            raise ValueError(
                f"targets must be two different classes, got {int(chosen[place])} rather than {int(other[place])} for "
                f"image {place}; name another class to explain, or another one that it is set against"
            )
        return torch.stack([chosen, other], 1)

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a confidence [B]: its log-odds."""
        return torch.logit(confidence)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Probability of A of the two classes ``targets`` [B, 2]: ``sigmoid(z_A - z_B)``, [B], 0..1."""
        return torch.sigmoid(self(images, targets))


def _is_index(value: Any) -> bool:
    """Whether this is one integer: Python's, NumPy's, or a tensor without axes."""
    if isinstance(value, Tensor):
        return value.dim() == 0 and not value.is_floating_point() and value.dtype != torch.bool
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _tensor(targets: Any, device: torch.device) -> Tensor | None:
    """What a user gave as a tensor; None where it is none, which is told elsewhere."""
    if isinstance(targets, Tensor):
        check_tensor("targets", targets, values=True)
    try:
        return torch.as_tensor(targets, device=device)
    except (TypeError, ValueError, RuntimeError):
        return None
