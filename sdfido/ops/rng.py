"""Counter-based random numbers: a state (seed, step), and the random words that it names."""

import torch
from torch import Tensor

from ..checks import check_device, check_number, check_seed, check_tensor

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_PHILOX_M = (0xD2511F53, 0xCD9E8D57)
_PHILOX_W = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def make_rng(seed: int | torch.Generator, *, step: int = 0, device: torch.device | str | None = None) -> Tensor:
    """Make the random state from which masks are sampled: ``int64 [2] = (seed, step)`` on ``device``.

    The state is a name for random words, not a stream that is used up: the same state always gives the same masks, on
    every device. Take another ``step`` (see ``advance``) for fresh ones.

    Args:
        seed: an integer in [-2**63, 2**64), or a ``torch.Generator`` from which a seed is drawn.
        step: the index of the draw; its low 32 bits count, so it repeats after 2**32 steps.
        device: where the operands of the operators live; PyTorch's default device, usually the CPU, if none is given.

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
    seed, step = check_seed("seed", seed), check_number("step", step, int, _INT64_MIN, _INT64_MAX)
    device = None if device is None else check_device("device", device, meta=True)
    signed = seed - 2**64 if seed > _INT64_MAX else seed
    return torch.tensor([signed, step], dtype=torch.int64, device=device)


def advance(rng: Tensor, steps: int = 1) -> Tensor:
    """Return a new state ``steps`` draws further on: ``(seed, step + steps)``; ``rng`` itself is not changed.

    Raises:
        TypeError: ``rng`` is no tensor, or ``steps`` is not an integer.
        ValueError: ``rng`` is not int64 [2], or ``steps`` does not fit into 64 bits.
    """
    check_rng(rng)
    steps = check_number("steps", steps, int, _INT64_MIN, _INT64_MAX)
    return rng + torch.tensor([0, steps], dtype=torch.int64, device=rng.device)


def check_rng(rng: Tensor) -> None:
    """Raise TypeError or ValueError for what is no state of ``make_rng``."""
    check_tensor("rng", rng, "int64 [2]", 1)
    if rng.dtype != torch.int64 or rng.shape[0] != 2:
        raise ValueError(f"rng must be int64 [2], got {rng.dtype} {list(rng.shape)}; use sdfido.make_rng(seed)")


def philox4x32_10(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox4x32-10, a counter-based random function: four 32-bit words (as int64) for each counter.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # The product of two 32-bit words wraps around in int64, which leaves all of its 64 bits in place.
        p0, p1 = c0 * _PHILOX_M[0], c2 * _PHILOX_M[1]
        c0, c1, c2, c3 = ((p1 >> 32) & _LOW) ^ c1 ^ k0, p1 & _LOW, ((p0 >> 32) & _LOW) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _PHILOX_W[0]) & _LOW, (k1 + _PHILOX_W[1]) & _LOW
    return c0, c1, c2, c3


def random_words(
    rng: Tensor, streams: Tensor, num_masks: int, num_samples: int, num_cells: int, antithetic: bool
) -> Tensor:
    """The 32-bit word (as int64) behind every mask value: [N, K, S, cells].

    ``counter = (cell, streams[n]*K + k, block, step)``, ``key = (low, high half of the seed)``. Sample s uses word
    s mod 4 of block s div 4; antithetic: samples 2j and 2j+1 share what sample j would use, the odd one complemented.
    """
    device = rng.device
    num_draws = (num_samples + 1) // 2 if antithetic else num_samples
    num_blocks = (num_draws + 3) // 4
    stream = streams[:, None] * num_masks + torch.arange(num_masks, device=device)
    cells = torch.arange(num_cells, device=device)
    blocks = torch.arange(num_blocks, device=device)
    counter = (cells, (stream & _LOW)[:, :, None, None], blocks[:, None], rng[1] & _LOW)
    words = philox4x32_10(counter, (rng[0] & _LOW, (rng[0] >> 32) & _LOW))
    shape = (streams.shape[0], num_masks, num_blocks, num_cells)
    out = torch.stack([word.expand(shape) for word in words], dim=3).flatten(2, 3)[:, :, :num_draws]
    if antithetic:
        out = torch.stack([out, out ^ _LOW], dim=3).flatten(2, 3)[:, :, :num_samples]
    return out
