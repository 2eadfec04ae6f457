"""Writing results while the classifier goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from . import results
from .common import complain

Done = Callable[[BaseException | None], object]


class Writer:
    """Calls :func:`results.write`: at once, or in so many processes, where drawing would keep a GPU waiting.

    When the ``with`` block is left, also by an interrupt, all that was handed over is written: here, what processes
    that ended before their time have left.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _serve)
        self._pending: set[Future[None]] = set()
        self._left: list[tuple[tuple[Any, ...], Done]] = []  # what the processes did not write

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            if self._left:
                self._do_without(self._pool)

    def write(self, arguments: tuple[Any, ...], done: Done) -> None:
        """Write a photo's results; `done` is told what went wrong, or None, perhaps from another thread."""
        if self._pool is None:
            _write_here(arguments, done)
            return
        while len(self._pending) >= 4 * self._processes:  # what waits takes memory
            self._pending = wait(self._pending, return_when=FIRST_COMPLETED).not_done
        try:
            self._hand_over(self._pool, arguments, done)
        except BrokenProcessPool:
            self._left.append((arguments, done))
            self._do_without(self._pool)
        except Exception as error:
            done(error)

    def _hand_over(self, pool: ProcessPoolExecutor, arguments: tuple[Any, ...], done: Done) -> None:
        def finish(finished: Future[None]) -> None:
            if isinstance(error := finished.exception(), BrokenProcessPool):
                self._left.append((arguments, done))
            else:
                done(error)

        # Pickled here, since a queue between processes would share tensors' memory, of which there may be little.
        pickled = pickle.dumps(arguments)
        with _interrupts_held():  # a process starts here, and inherits that
            future = pool.submit(_write, pickled)
            self._pending.add(future)
            future.add_done_callback(finish)

    def _do_without(self, pool: ProcessPoolExecutor) -> None:
        """Write what processes have left, and all that follows, here, once none of them can be writing it too."""
        pool.shutdown()
        self._pool = None
        complain("Note: a process that writes results has ended before its time; they are written without it")
        left, self._left = self._left, []
        for arguments, done in left:
            _write_here(arguments, done)


def processes(device: str, photos: int) -> int:
    """How many processes pay: none beside a classifier that needs the CPU itself, or for a few photos."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.startswith("cpu") else min(cores - 1, 8, photos // 4)


def _write_here(arguments: tuple[Any, ...], done: Done) -> None:
    try:
        results.write(*arguments)
    except Exception as error:
        done(error)
    else:
        done(None)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Interrupts wait until the block is left, where the system can do that; processes started in it get none."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(pickled: bytes) -> None:
    results.write(*pickle.loads(pickled))


def _serve() -> None:
    """A process's first task: an interrupt is the command's business, and without the command there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_command, daemon=True).start()


def _end_with_command() -> None:
    command = multiprocessing.parent_process()
    assert command is not None
    command.join()
    os._exit(1)
