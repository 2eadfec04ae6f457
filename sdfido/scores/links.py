"""Links: from class logits to the number that is maximised."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Link = Callable[[Tensor, Tensor], Tensor]


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
