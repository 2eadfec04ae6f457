"""The score of a predicted value: what drives it up, or down?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import check_choice
from .base import Model, ModelScore
from .classes import checked_indices
from .scale import Scale


class RegressionScore(ModelScore):
    """How high, or how low, a value is that a model predicts.

    ``score = v_o``, or ``-v_o`` for "down"; the confidence is the same number, which pictures show as the value. The
    scale of a value has no zero: a region that keeps 90% keeps 90% of the way from the value of the infill alone to
    that of the image (``sdfido.scores.Scale``). Where the infill's value is as high as the image's, nothing in the
    image drives it up, and a note says so.

    Targets are indices of outputs, int64 [B].

    Args:
        model: maps images [B, C, H, W] to values [B] or [B, outputs].
        direction: "up" explains what makes the value high, "down" what makes it low.

    Raises:
        TypeError, ValueError: the model cannot be called, or the direction is another one.

    Example:
        >>> explanation = sdfido.FIDO(sdfido.scores.RegressionScore(model)).explain(images)
        >>> explanation.prob_image  # the values that the model predicts, [N]
    """

    def __init__(self, model: Model, direction: Literal["up", "down"] = "up") -> None:
        super().__init__(model)
        self.direction = check_choice("direction", direction, ("up", "down"))
        self.sign = 1 if direction == "up" else -1
        self.scale = Scale(
            name="value",
            meaning="the value that the model predicts" + ("" if direction == "up" else "; minus it in tables"),
            target="a high value" if direction == "up" else "a low value",
            percent=False,
            zero=False,
            sign=self.sign,
        )

    def __str__(self) -> str:
        return f"value {self.direction}"

    def values(self, images: Tensor) -> Tensor:
        """Predicted values [B, outputs], float32, of images [B, C, H, W]."""
        found = self.numbers(images, "values [B] or [B, outputs]", (1, 2))
        return found[:, None] if found.dim() == 1 else found

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the outputs ``targets`` [B]."""
        return self.sign * self.values(images).gather(1, targets[:, None])[:, 0]

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Indices of outputs [B], int64: those given, one for all or one for each image; 0 of a model with one output.

        Raises:
            TypeError, ValueError: the model has several outputs and none is named, or not that one.
        """
        if len(images) == 0:
            return images.new_zeros(0, dtype=torch.int64)
        outputs = self.values(images[:1]).shape[1]
        if targets is None:
            if outputs > 1:
                raise ValueError(f"targets must name the output to explain, 0..{outputs - 1}, got None")
            targets = 0
        return checked_indices(targets, len(images), outputs, images.device, "output")

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a confidence [B]: the same number."""
        return confidence

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """The value of the outputs ``targets`` [B], minus it for "down": [B], unbounded."""
        return self(images, targets)
