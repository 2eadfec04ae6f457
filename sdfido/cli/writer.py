"""Writing results while the classifier goes on."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from types import TracebackType
from typing import Any

from . import results


class Writer:
    """Calls :func:`results.write`: at once, or in so many processes, where drawing would keep a GPU waiting.

    When the ``with`` block is left, also by an interrupt, all that was handed over is written.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _serve)
        self._pending: set[Future[None]] = set()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def write(self, arguments: tuple[Any, ...], done: Callable[[BaseException | None], object]) -> None:
        """Write a photo's results; `done` is told what went wrong, or None, perhaps from another thread."""
        if self._pool is None:
            try:
                results.write(*arguments)
            except Exception as error:
                done(error)
            else:
                done(None)
            return
        while len(self._pending) >= 4 * self._processes:  # what waits takes memory
            self._pending = wait(self._pending, return_when=FIRST_COMPLETED).not_done
        # Pickled here, since a queue between processes would share tensors' memory, of which there may be little.
        future = self._pool.submit(_write, pickle.dumps(arguments))
        self._pending.add(future)
        future.add_done_callback(lambda finished: done(finished.exception()))


def processes(device: str, photos: int) -> int:
    """How many processes pay: none beside a classifier that needs the CPU itself, or for a few photos."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.startswith("cpu") else min(cores - 1, 8, photos // 4)


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
