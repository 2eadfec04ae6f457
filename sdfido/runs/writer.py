"""Writing results while the classifier goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Protocol

from ..interrupts import check, held

__all__ = ["Writer", "processes_that_pay", "serve", "starting"]

Done = Callable[[BaseException | None], object]


class Writable(Protocol):
    """What can be written and pickled, such as ``Results``."""

    def write(self) -> None: ...


class Writer:
    """Writes results: at once, or in other processes, so that drawing does not keep a GPU waiting.

    When the ``with`` block is left, also by an interrupt, everything that was handed over is written; what a process
    left that ended before its time is written here.

    Args:
        processes: how many processes write; 0: results are written at once.
        on_lost: called once if a process has ended before its time.
    """

    def __init__(self, processes: int = 0, on_lost: Callable[[], object] = lambda: None) -> None:
        self._processes = processes
        self._on_lost = on_lost
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), serve)
        self._pending: set[Future[None]] = set()
        self._left: list[tuple[Writable, Done]] = []  # what the processes did not write

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            if self._left:
                self._do_without(self._pool)

    def write(self, results: Writable, done: Done) -> None:
        """Write results; ``done`` is told what went wrong, or None, perhaps from another thread."""
        if self._pool is None:
            _write_here(results, done)
            return
        while len(self._pending) >= 4 * self._processes:  # what waits takes memory
            self._pending = wait(self._pending, return_when=FIRST_COMPLETED).not_done
        try:
            self._hand_over(self._pool, results, done)
        except BrokenProcessPool:
            self._left.append((results, done))
            self._do_without(self._pool)
        except Exception as error:
            done(error)

    def _hand_over(self, pool: ProcessPoolExecutor, results: Writable, done: Done) -> None:
        def finish(finished: Future[None]) -> None:
            if isinstance(error := finished.exception(), BrokenProcessPool):
                self._left.append((results, done))
            else:
                done(error)

        # Pickled here, since a queue between processes would share tensors' memory, of which there may be little.
        pickled = pickle.dumps(results)
        with starting():  # a process starts here, and inherits that
            future = pool.submit(_write, pickled)
            self._pending.add(future)
            future.add_done_callback(finish)

    def _do_without(self, pool: ProcessPoolExecutor) -> None:
        """Write what processes have left, and all that follows, here, once none of them can be writing it too."""
        pool.shutdown()
        self._pool = None
        self._on_lost()
        left, self._left = self._left, []
        for results, done in left:
            _write_here(results, done)


def processes_that_pay(device: str, photos: int) -> int:
    """How many processes pay: none beside a classifier that needs the CPU itself, or for a few photos."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.startswith("cpu") else min(cores - 1, 8, photos // 4)


def _write_here(results: Writable, done: Done) -> None:
    with held():  # what is written is also told
        try:
            results.write()
        except Exception as error:
            check()  # an interrupt within the library that compresses may have become this error
            done(error)
        else:
            done(None)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """A block that interrupts do not break; processes started in it get none until they ``serve``."""
    with held():
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(pickled: bytes) -> None:
    pickle.loads(pickled).write()


def serve(ignored: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
    """A process's first task: an interrupt is the parent's business, and without the parent there is none."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
