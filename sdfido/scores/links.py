"""Links: from class logits to the number that is maximised."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_tensor

Link = Callable[[Tensor, Tensor], Tensor]


# In the loop over the steps: nothing here reads from the device.


def _check(logits: Tensor, targets: Tensor) -> None:
    check_tensor("logits", logits, "[B, classes]", 2, floating=True)
    check_tensor("targets", targets, "[B]", 1)
    if targets.dtype != torch.int64 or len(targets) != len(logits) or targets.device != logits.device:
        raise ValueError(
            f"targets must be int64 [{len(logits)}] on the device of logits, {logits.device}, got {targets.dtype} "
            f"{list(targets.shape)} on {targets.device}"
        )


def _of(targets: Tensor, values: Tensor) -> Tensor:
    """The targets' own of values [B, classes]: [B]."""
    try:
        return values.gather(1, targets[:, None])[:, 0]
    except RuntimeError as error:  # which a CPU raises
        raise ValueError(f"targets must be classes in 0..{values.shape[1] - 1}, got {targets.tolist()}") from error


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-odds of the target class, ``z_c - log sum_{j != c} exp z_j``: [B], unbounded, 0 at probability 1/2.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, section 3.
    """
    _check(logits, targets)
    chosen = _of(targets, logits)
    others = logits.scatter(1, targets[:, None], float("-inf"))
    return chosen - others.logsumexp(1)


def log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Logarithm of the target class's probability, ``z_c - log sum_j exp z_j``: [B], at most 0.

    Args:
        logits: class logits [B, classes].
        targets: class indices [B], int64.
    """
    _check(logits, targets)
    return _of(targets, logits.log_softmax(1))


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
    _check(logits, targets)
    chosen = _of(targets, logits)
    others = logits.scatter(1, targets[:, None], float("-inf"))
    return chosen - others.amax(1)
