"""The score of a class in a segment of an image."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import outputs
from .base import ModelScore, one_by_one
from .scale import Scale

OUTSIDE = -1
"""What targets hold for pixels outside of the segment."""


class SegmentScore(ModelScore):
    """How surely a segmentation model says that the pixels of a segment are of their class.

    With p_i the softmax probability of pixel i's class and the mean over the pixels of the segment,
    ``confidence = mean p_i`` and ``score = log mean p_i - log mean (1 - p_i)``: its log-odds.

    Targets are the class of each pixel, -1 outside of the segment: int64 [B, H, W].

    Args:
        model: maps images [B, C, H, W] to class logits [B, classes, h, w], as a tensor, as ``["out"]`` (torchvision) or
            as ``.logits`` (transformers); smaller ones are upsampled bilinearly. A single one z, of a model with one
            sigmoid, stands for two classes, 0 and z. A module or any callable.

    Raises:
        TypeError: the model cannot be called.

    Example:
        >>> score = sdfido.scores.SegmentScore(model)
        >>> sdfido.FIDO(score).explain(images, 12)  # where the model sees class 12: why does it?
        >>> sdfido.FIDO(score).explain(images, (12, mask))  # class 12 in a mask of one's own
    """

    scale = Scale(
        meaning="mean softmax probability of their classes over the pixels of the segment",
        target="the segment",
    )

    def __str__(self) -> str:
        return "segment"

    def logits(self, images: Tensor) -> Tensor:
        """Class logits [B, classes, H, W], float32, of images [B, C, H, W].

        Raises:
            TypeError, ValueError: the model does not return class logits of pixels.
        """
        form = "class logits of pixels [B, classes, h, w]"
        output = self.output(images)
        found = outputs.obvious(output, "out", "logits")
        if found is None:
            raise TypeError(
                f"model must return {form}, or have them as 'out' or 'logits', got {outputs.parts_of(output)}"
            )
        if found.dim() != 4 or len(found) != len(images) or found.shape[1] < 1:
            raise ValueError(f"model must return {form}, got {list(found.shape)} for {len(images)} images")
        found, size = found.float(), images.shape[2:]
        if found.shape[1] == 1:
            found = torch.cat([torch.zeros_like(found), found], 1)
        return found if found.shape[2:] == size else F.interpolate(found, size, mode="bilinear")

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the classes of their pixels [B, H, W]."""
        logits = self.logits(images)
        inside, index = targets != OUTSIDE, targets.clamp(min=0)[:, None]
        whole = logits.logsumexp(1)
        chosen = logits.gather(1, index)[:, 0] - whole
        others = logits.scatter(1, index, -math.inf).logsumexp(1) - whole
        says, denies = (each.masked_fill(~inside, -math.inf).flatten(1).logsumexp(1) for each in (chosen, others))
        return says - denies

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """The class of each pixel, -1 outside of the segment: int64 [B, H, W].

        Args:
            images: [B, C, H, W].
            targets: a class: the pixels where the model sees it; a class and a mask [H, W] or [B, H, W], bool; the
                classes of the pixels [B, H, W], int64; None: every pixel's predicted class.

        Raises:
            TypeError, ValueError: a target is none of these, has no pixels, or a class that the model does not have.
        """
        shape = (len(images), *images.shape[2:])
        if len(images) == 0:
            return images.new_zeros(shape, dtype=torch.int64)
        if targets is None:
            predicted: Tensor = self.logits(images).argmax(1)
            return predicted
        classes = self.logits(images[:1]).shape[1]
        if isinstance(targets, numbers.Integral) and not isinstance(targets, bool):
            wanted = _check_class(targets, classes)
            predicted = one_by_one(lambda image: self.logits(image).argmax(1), images)
            chosen = torch.where(predicted == wanted, predicted, OUTSIDE)
            what = f"class {targets}, which the model sees nowhere in"
        else:
            chosen = _pixels(targets, shape, classes).to(images.device)
            what = "a segment that is empty in"
        empty = (chosen == OUTSIDE).flatten(1).all(1).nonzero()[:, 0]
        if len(empty):
            raise ValueError(f"targets must be segments with pixels, got {what} image {int(empty[0])}")
        return chosen

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a confidence [B]: its log-odds."""
        return torch.logit(confidence)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Mean probability of their classes over the pixels of the segment: [B], 0..1."""
        return torch.sigmoid(self(images, targets))


def _pixels(targets: Any, shape: tuple[int, ...], classes: int) -> Tensor:
    """Targets of pixels [B, H, W] from a class and a mask, or as they were given."""
    if isinstance(targets, tuple) and len(targets) == 2:
        chosen, mask = targets
        chosen = _check_class(chosen, classes)
        mask = mask if isinstance(mask, Tensor) else torch.as_tensor(mask, device="cpu")
        if mask.dtype != torch.bool:
            raise TypeError(f"targets must have a mask of truth values, got {mask.dtype}; use mask > 0")
        if mask.shape not in (shape, shape[1:]):
            raise ValueError(f"targets must have a mask {list(shape[1:])} or {list(shape)}, got {list(mask.shape)}")
        return torch.where(mask, chosen, OUTSIDE).expand(shape).contiguous()
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        got = targets.dtype if isinstance(targets, Tensor) else type(targets).__name__
        raise TypeError(f"targets must be a class, (class, mask), or the pixels' classes [B, H, W], int64, got {got}")
    if targets.shape != shape:
        raise ValueError(f"targets must be the classes of pixels {list(shape)}, got {list(targets.shape)}")
    if targets.min() < OUTSIDE or targets.max() >= classes:
        wrong = int(targets.min()) if targets.min() < OUTSIDE else int(targets.max())
        raise ValueError(f"targets must be classes in 0..{classes - 1}, or -1 outside of the segment, got {wrong}")
    return targets


def _check_class(index: Any, classes: int) -> int:
    if isinstance(index, bool) or not isinstance(index, numbers.Integral) or not 0 <= int(index) < classes:
        raise ValueError(f"targets must be a class in 0..{classes - 1}, got {index!r}")
    return int(index)
