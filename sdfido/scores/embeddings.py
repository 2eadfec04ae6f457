"""The score of an embedding: how similar is the image to it?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_tensor
from .base import ModelScore
from .scale import Scale


class EmbeddingScore(ModelScore):
    """How similar an image's embedding is to another one: of a photo, of a group's mean, of a text.

    ``score = cos(f(image), e) = <f, e> / (|f| |e|)``, which is the confidence, too: -1..1. It has no zero, as unrelated
    images are seldom at right angles: a region that keeps 90% keeps 90% of the way from the similarity of the infill
    alone to that of the image (``sdfido.scores.Scale``).

    Targets are embeddings [B, D].

    Args:
        model: maps images [B, C, H, W] to embeddings [B, D], as a tensor, or as ``image_embeds`` or ``pooler_output``
            (transformers); a module or any callable.

    Raises:
        TypeError: the model cannot be called.

    Example:
        >>> score = sdfido.scores.EmbeddingScore(encoder)
        >>> sdfido.FIDO(score).explain(images, encoder(others).mean(0))  # what makes them alike?
    """

    scale = Scale(
        name="similarity",
        meaning="cosine of the angle between the image's embedding and the target, -1..1",
        target="the embedding",
        percent=False,
        zero=False,
    )

    def __str__(self) -> str:
        return "similarity"

    def embeddings(self, images: Tensor) -> Tensor:
        """Embeddings [B, D], float32, of images [B, C, H, W]."""
        return self.numbers(images, "embeddings [B, D]", (2,), ("image_embeds", "pooler_output"))

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the embeddings ``targets`` [B, D]."""
        return F.cosine_similarity(self.embeddings(images), targets)

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Embeddings [B, D], float32: those given, [D] for all images or [B, D]; else the images' own.

        Raises:
            TypeError, ValueError: the targets are no embeddings of the model's size, not finite, or zero.
        """
        if targets is None:
            return self.embeddings(images).detach()
        check_tensor("targets", targets, "[D] or [B, D] of embeddings", (1, 2), floating=True, values=True)
        size = self.embeddings(images[:1]).shape[1] if len(images) else targets.shape[-1]
        fits = targets.shape in ((size,), (1, size), (len(images), size))
        if not fits:
            raise ValueError(
                f"targets must be one embedding [{size}], or [{len(images)}, {size}], got {list(targets.shape)}"
            )
        if not targets.isfinite().all() or not targets.any(-1).all():
            raise ValueError("targets must be finite embeddings that are not zero everywhere, got others")
        given: Tensor = targets.detach().to(images.device, torch.float32)
        return given.expand(len(images), size).contiguous()

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a similarity [B]: the same number."""
        return confidence

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Cosine similarity to the embeddings ``targets`` [B, D]: [B], -1..1."""
        return self(images, targets)
