"""A feature of concepts as a score, for any method that explains scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import describe
from ..scores import Model, Scale
from . import concept_network as network
from .concept_network import Weights
from .layers import Layer, activations_of

__all__ = ["ConceptScore"]


class ConceptScore:
    """How strongly an image has a feature of ``sdfido.Concepts``, in units of the logit.

    ``score = |w_k| z_k``, where the feature is ``E_k = max(0, z_k)``: without its rectifier, so that an image without
    the feature still has a gradient towards it. The confidence is ``|w_k| E_k``, the size of the contribution.

    Targets are pairs (class, feature) [B, 2]: a method explains as many features at once as it is given. The sign of
    ``w_k`` is left out: also of a feature that speaks against the class, higher is more of it.

    Example:
        >>> sdfido.FIDO(concepts.score()).explain(images, (3, 0))  # the first feature of class 3
    """

    scale = Scale(
        name="contribution",
        meaning="size of what the feature adds to the logit of its class, or takes from it",
        target="the feature",
        percent=False,
    )

    def __init__(
        self, model: Model, layer: Layer, pooling: str, classes: Sequence[int], count: int, tensors: Weights
    ) -> None:
        self.model = model  # explainers look for it, and may put a folded copy in its place
        self._layer, self._pooling = layer, pooling
        self._classes, self._count, self._tensors = list(classes), count, tensors

    def __str__(self) -> str:
        return "concept"

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for their pairs of class and feature [B, 2]."""
        activations, _ = activations_of(self.model, self._layer, self._pooling, images)
        tensors = self._tensors
        activations = network.scaled(tensors, activations)
        scores = activations.new_zeros(len(activations))
        for label in sorted(set(targets[:, 0].tolist())):
            row, here = self._classes.index(label), targets[:, 0] == label
            one = {name: tensors[name][row : row + 1] for name in network.names(tensors)}
            values = network.encode(one, activations[here])[0] * (one["head"] * tensors["logit_scale"][row]).abs()
            scores = scores.masked_scatter(here, values.gather(1, targets[here, 1:])[:, 0])
        return scores

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Pairs [B, 2], int64, those given, one for all or one for each image.

        Or else, of the class that the model answers, or the likeliest that has features, the feature that contributes
        most.

        Raises:
            TypeError, ValueError: the targets are not pairs of a class that has features and one of these.
        """
        n = len(images)
        if targets is None:
            return self._strongest(images) if n else torch.zeros(0, 2, dtype=torch.int64, device=images.device)
        try:
            pairs = torch.as_tensor(targets, device=images.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"targets must be pairs (class, feature), got {describe(targets)}") from error
        if pairs.is_floating_point() or pairs.dtype == torch.bool:
            raise TypeError(f"targets must be pairs (class, feature) of integers, got {pairs.dtype}")
        if pairs.shape == (2,):
            pairs = pairs.expand(n, 2)
        if pairs.shape != (n, 2):
            raise ValueError(
                f"targets must be one pair (class, feature), or one for each of {n} images, got {list(pairs.shape)}"
            )
        if unknown := set(pairs[:, 0].tolist()) - set(self._classes):
            raise ValueError(f"targets must be of the classes {self._classes}, got {min(unknown)}")
        outside = pairs[(pairs[:, 1] < 0) | (pairs[:, 1] >= self._count)]
        if len(outside):
            raise ValueError(f"targets must be of the features 0..{self._count - 1}, got {int(outside[0, 1])}")
        return pairs.to(torch.int64).contiguous()

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """What the features add to or take from the logits of their classes [B], at least 0."""
        return self(images, targets).relu()

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a contribution [B]."""
        return confidence

    def _strongest(self, images: Tensor) -> Tensor:
        activations, logits = activations_of(self.model, self._layer, self._pooling, images)
        tensors = self._tensors
        features = network.encode(tensors, network.scaled(tensors, activations)).relu()
        rows = logits[:, self._classes].argmax(1)
        added = network.contributions(tensors, features)[rows, torch.arange(len(rows), device=rows.device)]
        return torch.stack([torch.tensor(self._classes, device=rows.device)[rows], added.argmax(1)], 1)
