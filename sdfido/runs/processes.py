"""Explaining photos in several processes of one machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, cast

import torch

from ..checks import check_kind, check_number
from ..interrupts import held
from .batches import explain_in_batches
from .events import Event, OnEvent, Stepped, WriterLost, reason
from .items import Item
from .loader import Loaded, Loader
from .photo_explainer import PhotoExplainer
from .resume import tidy
from .sharing import Sharing, packed
from .writer import Writer, processes_that_pay, serve, starting

__all__ = ["Processes", "Throttle", "devices_for"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SECONDS_A_STEP = 0.5  # between two reports of a step by one worker


class _Ready(NamedTuple):
    """A worker has loaded its model."""


class _Broken(NamedTuple):
    """A worker could not make its explainer, or not go on."""

    message: str


class Processes:
    """Explains photos in several processes, each with a model of its own, and gives each its share of the cores.

    A process that ends before its time, for example for want of memory, is replaced, and what it had in hand is tried
    once more. The bits of a photo's maps are those of ``Serial`` with the same number of threads.

    Args:
        workers: how many processes.
        device: where they compute: "cpu"; "cuda" for all GPUs in turn, "cuda:1" for one of them; the explainer's by
            default.
        threads: of PyTorch in each; by default the threads of this process, shared out.

    Raises:
        TypeError, ValueError: an argument is not as it must be.

    Example:
        >>> run.execute(runs.Processes(4))

    A script that starts processes must have its own work behind ``if __name__ == "__main__":``.
    """

    def __init__(self, workers: int, *, device: str | None = None, threads: int | None = None) -> None:
        self.workers = check_number("workers", workers, int, 1)
        self.device = check_kind("device", device, (str, type(None)), "the name of a device")
        if threads is None:
            threads = max(1, torch.get_num_threads() // self.workers)
        self.threads = check_number("threads", threads, int, 1)

    def execute(self, explainer: PhotoExplainer, items: Sequence[Item], batch: int, report: OnEvent) -> None:
        """Explain photos, ``batch`` at once in each process, and write the results of each.

        Raises:
            ValueError: the explainer's classifier cannot be sent to a process.
            RuntimeError: no process could start.
        """
        if not items:
            return
        workers = min(self.workers, -(-len(items) // batch))
        devices = devices_for(self.device or explainer.device, workers)
        recipes = [packed(explainer, device, "workers") for device in devices]
        writers = -(-processes_that_pay(devices[0], len(items)) // workers)
        _Group(self, recipes, writers, Sharing(items, batch, report)).work()


def devices_for(device: str, workers: int) -> list[str]:
    """The device of each worker: "cuda" means all GPUs in turn."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{number % count}" if count else device for number in range(workers)]


class Throttle:
    """Passes events on, but of steps no more than two a second."""

    def __init__(self, report: OnEvent) -> None:
        self._report, self._next = report, 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _SECONDS_A_STEP
        self._report(event)


class _Worker(NamedTuple):
    number: int
    process: multiprocessing.process.BaseProcess
    connection: Connection


class _Group:
    """The processes of one run, seen from the one that started them."""

    def __init__(self, given: Processes, recipes: Sequence[bytes], writers: int, sharing: Sharing) -> None:
        self._given, self._recipes, self._writers, self._sharing = given, recipes, writers, sharing
        self._workers: dict[Connection, _Worker] = {}
        self._ready: set[Connection] = set()
        self._broken: dict[Connection, str] = {}
        self._unable = ""  #: why the last process that did not start has not

    def work(self) -> None:
        """Explain everything."""
        with held() as interrupts:
            try:
                for number in range(len(self._recipes)):
                    self._start(number)
                while not self._sharing.done:
                    if not self._workers:
                        raise RuntimeError(f"workers must be able to start, got none that did: {self._unable}")
                    with interrupts.allowed():
                        heard = wait(list(self._workers))
                    for connection in heard:
                        self._hear(self._workers[cast("Connection", connection)])
                    for worker in self._workers.values():
                        self._feed(worker)
                for worker in self._workers.values():
                    with contextlib.suppress(OSError):
                        worker.connection.send(None)
                with interrupts.allowed():
                    for worker in self._workers.values():
                        worker.process.join(10)
            finally:
                self._end()

    def _start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        arguments = (there, self._recipes[number], self._given.threads, self._writers)
        process = context.Process(target=_work, args=arguments, name=f"sdfido-worker-{number}")
        with _environment(dict.fromkeys(_THREADS, str(self._given.threads))), starting():
            process.start()
        there.close()
        self._workers[here] = _Worker(number, process, here)

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._lose(worker, _ending(worker.process.exitcode))
            return
        match message:
            case _Ready():
                self._ready.add(worker.connection)
            case _Broken():
                self._broken[worker.connection] = message.message
            case _:
                self._sharing.tell(worker.connection, worker.number, message)

    def _feed(self, worker: _Worker) -> None:
        """Give a worker a batch, and one to open meanwhile while there are enough for all."""
        if worker.connection not in self._ready:
            return
        batches = self._sharing.batches_in_hand(worker.connection)
        enough = self._sharing.batches_left > len(self._workers)
        if (batches == 0 or (batches == 1 and enough)) and (items := self._sharing.take(worker.connection)):
            with contextlib.suppress(OSError):  # that it is lost is heard
                worker.connection.send(items)

    def _lose(self, worker: _Worker, why: str) -> None:
        connection = worker.connection
        why = self._broken.pop(connection, why)
        del self._workers[connection]
        connection.close()
        lost = self._sharing.lose(connection, worker.number, why)
        for item in lost:
            tidy(item.folder)
        if connection not in self._ready:
            self._unable = why
        elif not self._sharing.done:
            self._start(worker.number)

    def _end(self) -> None:
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            for folder in self._sharing.folders(worker.connection):
                tidy(folder)
        for worker in self._workers.values():  # what they have said before they ended
            with contextlib.suppress(EOFError, OSError):
                while worker.connection.poll():
                    message = worker.connection.recv()
                    if not isinstance(message, _Ready | _Broken):
                        self._sharing.tell(worker.connection, worker.number, message)
            worker.connection.close()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started in the block; PyTorch reads these as it is imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


def _work(connection: Connection, recipe: bytes, threads: int, writers: int) -> None:
    """A process: explains what it is sent, and sends the events back."""
    serve((signal.SIGINT, signal.SIGTERM))  # both are the parent's business, which ends this process
    torch.set_num_threads(threads)
    sending = threading.Lock()

    def report(event: object) -> None:
        with sending:
            connection.send(event)

    try:
        explainer = PhotoExplainer(**pickle.loads(recipe))
        report(_Ready())
        with Writer(writers, lambda: report(WriterLost())) as writer, Loader(explainer) as loader:
            for batch in _received(connection, loader):
                explain_in_batches(explainer, batch, len(batch), writer, Throttle(report))
    except Exception as error:
        with contextlib.suppress(OSError):
            report(_Broken(reason(error)))


def _received(connection: Connection, loader: Loader) -> Iterator[list[Loaded]]:
    """Batches as they come; each is being opened from the moment that it comes."""
    arrived: queue.SimpleQueue[list[Loaded] | None] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while (items := connection.recv()) is not None:
                arrived.put([loader.begin(item) for item in items])
        except (EOFError, OSError, RuntimeError):  # RuntimeError: the loader is closed
            pass
        arrived.put(None)

    threading.Thread(target=receive, daemon=True).start()
    while (batch := arrived.get()) is not None:
        yield batch
