"""Counter-based random state: a tensor (seed, step) that names a set of random words."""

import numbers

import torch
from torch import Tensor

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def make_rng(seed: int | torch.Generator, *, step: int = 0, device: torch.device | str | None = None) -> Tensor:
    """Make the random state from which masks are sampled: ``int64 [2] = (seed, step)`` on ``device``.

    The state is a name for random words, not a stream that is used up: the same state always gives the same masks, on
    every device. Take another ``step`` (see :func:`advance`) for fresh ones.

    Args:
        seed: an integer in [-2**63, 2**64), or a ``torch.Generator`` from which a seed is drawn.
        step: the index of the draw; its low 32 bits count, so it repeats after 2**32 steps.
        device: where the operands of the operators live; the CPU by default.

    Raises:
        TypeError: ``seed`` is neither an integer nor a generator, or ``step`` is not an integer.
        ValueError: ``seed`` or ``step`` does not fit into 64 bits.

    Example:
        >>> make_rng(7)
        tensor([7, 0])
    """
    if isinstance(seed, torch.Generator):
        drawn = torch.randint(_INT64_MIN, _INT64_MAX, (1,), generator=seed, device=seed.device, dtype=torch.int64)
        seed = int(drawn.item())
    for name, value, upper in (("seed", seed, 2**64 - 1), ("step", step, _INT64_MAX)):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
        if not _INT64_MIN <= value <= upper:
            raise ValueError(f"{name} must fit into 64 bits, got {value}")
    signed = int(seed) - 2**64 if seed > _INT64_MAX else int(seed)
    return torch.tensor([signed, int(step)], dtype=torch.int64, device=device)


def advance(rng: Tensor, steps: int = 1) -> Tensor:
    """Return a new state ``steps`` draws further on: ``(seed, step + steps)``; ``rng`` itself is not changed."""
    return rng + torch.tensor([0, steps], dtype=torch.int64, device=rng.device)
