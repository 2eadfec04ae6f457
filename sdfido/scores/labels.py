"""The score of one of several labels, each of which an image may have or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_flag
from .base import Model, ModelScore
from .classes import checked_indices
from .scale import Scale


class LabelScore(ModelScore):
    """How much a model of several labels, or of one, says that an image has a label.

    For models that end in a sigmoid for each label, as multi-label classifiers do and binary ones with one logit.
    ``score = z_l``, the log-odds of the label; the confidence is its probability ``sigmoid(z_l)``.

    Targets are label indices, int64 [B].

    Args:
        model: maps images [B, C, H, W] to logits [B, labels], or [B] of a single label; without the sigmoid.
        present: whether to explain that the label is there; False: that it is not, ``score = -z_l``.

    Raises:
        TypeError: the model cannot be called, or ``present`` is no truth value.

    Example:
        >>> sdfido.FIDO(sdfido.scores.LabelScore(model)).explain(images, 3)
    """

    def __init__(self, model: Model, present: bool = True) -> None:
        super().__init__(model)
        self.present = bool(check_flag("present", present))
        self.scale = Scale(
            meaning=f"sigmoid of the label's logit{'' if present else ', taken from 1'}",
            target="{}" if present else "no {}",
        )

    def __str__(self) -> str:
        return "label" if self.present else "no label"

    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, labels], float32, of images [B, C, H, W]."""
        found = self.numbers(images, "logits [B, labels] or [B]", (1, 2))
        return found[:, None] if found.dim() == 1 else found

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the labels ``targets`` [B]."""
        logits = self.logits(images).gather(1, targets[:, None])[:, 0]
        return logits if self.present else -logits

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Label indices [B], int64: those given, one for all or one for each image, or else the likeliest (the least
        likely where absence is explained).

        Raises:
            TypeError, ValueError: the targets are not label indices that the model has.
        """
        if len(images) == 0:
            return images.new_zeros(0, dtype=torch.int64)
        if targets is None:
            logits = self.logits(images)
            return logits.argmax(1) if self.present else logits.argmin(1)
        return checked_indices(targets, len(images), self.logits(images[:1]).shape[1], images.device, "label")

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a probability [B]: its log-odds."""
        return torch.logit(confidence)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Probability of the labels ``targets`` [B], or of their absence: [B], 0..1."""
        return torch.sigmoid(self(images, targets))
