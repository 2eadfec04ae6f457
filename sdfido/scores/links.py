"""Links: from class logits to the number that is maximised."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_tensor

# In the loop over the steps: the shapes alone are checked, and what a CPU's values are.


def _columns(logits: Tensor, targets: Tensor) -> Tensor:
    """The targets [B, 1], where both arguments fit each other."""
    check_tensor("logits", logits, "[B, classes]", 2, floating=True)
    check_tensor("targets", targets, "[B]", 1)
    if targets.dtype != torch.int64 or len(targets) != len(logits) or targets.device != logits.device:
        raise ValueError(
            f"targets must be int64 [{len(logits)}] on the device of logits, {logits.device}, got {targets.dtype} "
            f"{list(targets.shape)} on {targets.device}"
        )
    classes = logits.shape[1]
    if targets.device.type == "cpu" and len(targets) and not ((targets >= 0) & (targets < classes)).all():
        raise ValueError(f"targets must be classes in 0..{classes - 1}, got {targets.tolist()}")
    return targets[:, None]


Link = Callable[[Tensor, Tensor], Tensor]


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-odds of the target class, ``z_c - log sum_{j != c} exp z_j``: [B], unbounded, 0 at probability 1/2.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, section 3.
    """
    chosen = _columns(logits, targets)
    others = logits.scatter(1, chosen, float("-inf"))
    return logits.gather(1, chosen)[:, 0] - others.logsumexp(1)


def log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithm of the target class's probability, ``z_c - log sum_j exp z_j``: [B], at most 0.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.
    """
    chosen = _columns(logits, targets)
    return logits.log_softmax(1).gather(1, chosen)[:, 0]


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
    chosen = _columns(logits, targets)
    others = logits.scatter(1, chosen, float("-inf"))
    return logits.gather(1, chosen)[:, 0] - others.amax(1)
