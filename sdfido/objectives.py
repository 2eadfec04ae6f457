"""Objectives: what a mask keeps or destroys. Each is a plain callable ``(logits [B, classes], targets [B]) -> [B]``."""

import torch
from torch import Tensor


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-odds of the target class, ``z_c - log sum_{j != c} exp z_j``: [B], unbounded, 0 at probability 1/2.

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, section 3.
    """
    chosen = targets[:, None]
    others = logits.scatter(1, chosen, float("-inf"))
    return logits.gather(1, chosen)[:, 0] - others.logsumexp(1)


def log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithm of the target class's probability, ``z_c - log sum_j exp z_j``: [B], at most 0."""
    return logits.log_softmax(1).gather(1, targets[:, None])[:, 0]


def probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Probability of the target class, ``softmax(z)_c``: [B], 0..1."""
    return torch.exp(log_probability(logits, targets))
