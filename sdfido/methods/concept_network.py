"""The small networks behind concepts, one for each class, side by side, and the terms of their loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Weights",
    "contributions",
    "cosines",
    "decode",
    "encode",
    "faithfulness",
    "pull_away",
    "sparse_reconstruction",
]

Weights = dict[str, Tensor]
"""Parameters of the networks of C classes by name, the class first."""


def faithfulness(predicted: Tensor, logits: Tensor) -> Tensor:
    """``mean over images of (predicted - logit)^2`` [C], of predicted and true logits [C, B]."""
    return (predicted - logits).square().mean(1)


def sparse_reconstruction(rebuilt: Tensor, activations: Tensor, sharpness: float) -> Tensor:
    """``mean over units j of log(1 + q * mean over images i of (rebuilt_ij - activation_ij)^2)`` [C].

    The logarithm flattens large errors: some activations are rebuilt well, and the others are left alone.

    Args:
        rebuilt: by the decoder [C, B, D].
        activations: [B, D] or [C, B, D].
        sharpness: q.
    """
    return torch.log1p(sharpness * (rebuilt - activations).square().mean(1)).mean(1)


def pull_away(vectors: Tensor) -> Tensor:
    """Mean of ``cos^2`` over all pairs of vectors [C, V, n]: [C], 0..1; 0 where there is one vector alone.

    A vector of zeros has the cosine 0 with every other.
    """
    count = vectors.shape[1]
    if count < 2:
        return vectors.new_zeros(len(vectors))
    return cosines(vectors).square().mean(1)


def cosines(vectors: Tensor) -> Tensor:
    """Cosines of all pairs of vectors [C, V, n]: [C, V * (V - 1) / 2], in the order of ``itertools.combinations``."""
    units = F.normalize(vectors, dim=2, eps=1e-8)
    first, second = zip(*combinations(range(vectors.shape[1]), 2), strict=True)
    return (units @ units.transpose(1, 2))[:, first, second]


def names(weights: Weights) -> list[str]:
    """Those of the encoder and the head, which features and their contributions are made of."""
    return [name for name in weights if name.startswith("encoder") or name == "head"]


def encode(weights: Weights, activations: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Features [C, B, K] before their last rectifier, of activations [B, D] or [C, B, D]."""
    return _layers(weights, "encoder", activations, drop)


def decode(weights: Weights, features: Tensor) -> Tensor:
    """Rebuilt activations [C, B, D] of rectified features [C, B, K]."""
    return _layers(weights, "decoder", features)


def contributions(weights: Weights, features: Tensor) -> Tensor:
    """What each rectified feature adds to the logit, ``E_k * w_k``: [C, B, K], of features [C, B, K]."""
    return features * weights["head"][:, None]


def _layers(weights: Weights, part: str, x: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Linear layers with rectifiers between them; ``drop`` takes the output of the first of several."""
    depth = sum(name.startswith(f"{part}_weight") for name in weights)
    for layer in range(depth):
        weight = weights[f"{part}_weight_{layer}"]
        x = torch.baddbmm(weights[f"{part}_bias_{layer}"], x.expand(len(weight), *x.shape[-2:]), weight)
        if layer + 1 < depth:
            x = x.relu()
            x = drop(x) if drop is not None and layer == 0 else x
    return x


def units(activations: Tensor, logits: Tensor, normalized: bool) -> Weights:
    """What activations [N, D] and logits [C, N] are centred and divided by."""
    if not normalized:
        mean, zeros = activations.new_zeros(activations.shape[1]), logits.new_zeros(len(logits))
        return {
            "activation_mean": mean,
            "activation_scale": mean.new_ones(()),
            "logit_mean": zeros,
            "logit_scale": torch.ones_like(zeros),
        }
    mean = activations.mean(0)
    return {
        "activation_mean": mean,
        "activation_scale": (activations - mean).square().mean().sqrt().clamp(min=1e-12),
        "logit_mean": logits.mean(1),
        "logit_scale": logits.std(1, correction=0).clamp(min=1e-12),
    }


def scaled(units: Weights, activations: Tensor) -> Tensor:
    """Activations [N, D] in these units."""
    return (activations - units["activation_mean"]) / units["activation_scale"]
