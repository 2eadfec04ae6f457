"""What a caller's thread and process have set that results must not depend on."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence

import torch

# Two threads that take the first logarithms of a process at the same time may get 10 correct bits (torch 2.13, MKL).
torch.ones(1, dtype=torch.float32, device="cpu").log()

_turns: list[Turn] = []
_inherited: int | None = None  # PyTorch's threads at the fork that made this process, until that has been minded


class Turn:
    """A lock that one thread has at a time; free in a process that was forked, where the others do not exist."""

    def __init__(self) -> None:
        self.renew()
        _turns.append(self)

    def renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


_drawing = Turn()


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """A block in which models are asked: without autocast of the caller's, and after a fork with threads that run.

    A model that is to be asked under autocast is asked so by ``Execution(dtype=torch.bfloat16)``.
    """
    mind_fork()
    here = torch.accelerator.current_accelerator()
    kinds = [kind for kind in ("cpu", *([here.type] if here else [])) if torch.is_autocast_enabled(kind)]
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if kinds:
            # Autocast keeps the weights that it has cast: with the gradients, or without, of where that was.
            torch.clear_autocast_cache()
            stack.callback(torch.clear_autocast_cache)
        yield


@contextlib.contextmanager
def seeded(seed: int, devices: Sequence[int] = ()) -> Iterator[None]:
    """A block in which PyTorch's global random numbers start from a seed; afterwards they go on as before.

    Those of a GPU only if it is among ``devices``. Two threads are never in such blocks at the same time.
    """
    with _drawing, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for index in devices:
            with torch.cuda.device(index):
                torch.cuda.manual_seed(seed)
        yield


def mind_fork() -> None:
    """Compute with one thread in a process that was forked, unless it has chosen a number of threads of its own.

    The threads of the process that it was forked from do not exist in it: GNU's OpenMP, which PyTorch computes with on
    Linux, waits for them forever.
    """
    global _inherited
    if torch.compiler.is_compiling() or _inherited is None:
        return
    inherited, _inherited = _inherited, None
    if inherited > 1 and torch.get_num_threads() == inherited:
        torch.set_num_threads(1)
        warnings.warn(
            "this process was forked, and PyTorch's threads do not survive that: computing with one thread; start "
            'processes by multiprocessing.get_context("spawn") for more',
            stacklevel=4,
        )


def _forked() -> None:
    global _inherited
    _inherited = torch.get_num_threads()
    for turn in _turns:
        turn.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
