"""Explaining photos on a Ray cluster."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..checks import check_kind, check_number
from .batches import explain_in_batches
from .events import Event, OnEvent, Stepped, WriterLost
from .items import Item
from .loader import Loader
from .photo_explainer import PhotoExplainer
from .sharing import Sharing, packed
from .writer import Writer, processes_that_pay

__all__ = ["RayExecutor"]

_BATCHES = 4  # in one call of an actor: those behind the first are opened ahead


class RayExecutor:
    """Explains photos by Ray actors, each with a model of its own.

    Actors get paths, open the photos themselves, write the results themselves and return small events, so that nothing
    large passes through Ray's object store. Photos, OUT and the working folder must lie where every node finds them
    under the same path. An actor that ends before its time, alone or with its node, is replaced as soon as the cluster
    has room for it, and what it had in hand is tried once more. The bits of a photo's maps are those of ``Serial``
    with the same number of threads.

    Args:
        address: of the cluster: "auto" for the one that this machine belongs to, "ray://HOST:10001" or "HOST:PORT" for
            another, "local" for a new one on this machine alone; None: the one that is connected or found, or else a
            new one.
        workers: number of actors; by default as many as fit into the cluster.
        device: where they compute: "cpu", or "cuda" for a GPU each; the explainer's by default.
        num_cpus: cores of each actor, and threads of PyTorch in it.

    Raises:
        ImportError: Ray is not installed.
        TypeError, ValueError: an argument is not as it must be.

    Example:
        >>> run.execute(runs.RayExecutor("auto", num_cpus=4))
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        device: str | None = None,
        num_cpus: int = 1,
    ) -> None:
        self.workers = None if workers is None else check_number("workers", workers, int, 1)
        self.num_cpus = check_number("num_cpus", num_cpus, int, 1)
        self.address = check_kind("address", address, (str, type(None)), "an address, as text")
        self.device = check_kind("device", device, (str, type(None)), "the name of a device")
        try:
            self._ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ImportError(
                'Ray is needed to explain on a cluster; install it with: pip install "sdfido[ray]"'
            ) from error

    def execute(self, explainer: PhotoExplainer, items: Sequence[Item], batch: int, report: OnEvent) -> None:
        """Explain photos, ``batch`` at once in each actor, and write the results of each.

        Raises:
            ConnectionError: there is no cluster at the address.
            ValueError: the explainer's classifier cannot be sent to an actor.
            RuntimeError: no actor could start.
        """
        if not items:
            return
        device = self.device or explainer.device
        recipe = packed(explainer, device, "actors")
        started = not self._ray.is_initialized()
        if started:
            self._ray.init(address=self.address, include_dashboard=False, log_to_driver=False, logging_level="error")
        gpus = 0 if device.startswith("cpu") else 1
        options = {"num_cpus": self.num_cpus, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        count = min(self.workers or self._fitting(gpus), -(-len(items) // batch))
        made = self._ray.remote(**options)(_Actor)
        start = (recipe, self.num_cpus, batch, os.getcwd(), list(sys.path))
        group = _Group(self._ray, lambda: made.remote(*start), count, Sharing(items, batch, report))
        try:
            group.work()
        finally:
            group.end()
            if started:
                self._ray.shutdown()

    def _fitting(self, gpus: int) -> int:
        """How many actors the cluster has room for, at least one."""
        there = self._ray.cluster_resources()
        return max(1, int(there.get("GPU", 0) if gpus else there.get("CPU", 1) // self.num_cpus))


@dataclass(eq=False)
class _Worker:
    number: int
    handle: Any
    calls: set[Any] = field(default_factory=set)  #: that have not returned
    ready: bool = False


class _Group:
    """The actors of one run, seen from the driver."""

    def __init__(self, ray: Any, make: Any, count: int, sharing: Sharing) -> None:
        self._ray, self._make, self._sharing = ray, make, sharing
        self._calls: dict[Any, _Worker] = {}
        self._workers: list[_Worker] = []
        self._unable = ""
        for number in range(count):
            self._start(number)

    def work(self) -> None:
        """Explain everything."""
        while not self._sharing.done:
            if not self._workers:
                raise RuntimeError(f"Ray actors must be able to start, got none that did: {self._unable}")
            finished, _ = self._ray.wait(list(self._calls))
            for call in finished:
                if call in self._calls:  # those of a lost actor are gone
                    self._hear(call)
            for worker in self._workers:
                self._feed(worker)

    def end(self) -> None:
        """End all actors."""
        for worker in self._workers:
            self._ray.kill(worker.handle)

    def _start(self, number: int) -> None:
        worker = _Worker(number, self._make())
        self._workers.append(worker)
        self._call(worker, worker.handle.ready.remote())

    def _call(self, worker: _Worker, call: Any) -> None:
        worker.calls.add(call)
        self._calls[call] = worker

    def _hear(self, call: Any) -> None:
        worker = self._calls.pop(call)
        worker.calls.discard(call)
        try:
            events = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            why = str(getattr(error, "cause", None) or error).strip() or type(error).__name__
            self._lose(worker, why.splitlines()[0])
            return
        worker.ready = True
        for event in events:
            self._sharing.tell(worker, worker.number, event)

    def _feed(self, worker: _Worker) -> None:
        """Give an actor a call's photos, and one more call to wait while there are enough for all."""
        if not worker.ready:
            return
        share = self._sharing.batches_left // (2 * len(self._workers))
        limit = 1 if not worker.calls else 2 if share >= _BATCHES else 0
        if len(worker.calls) < limit and (items := self._sharing.take(worker, max(1, min(_BATCHES, share)))):
            self._call(worker, worker.handle.explain.remote(pickle.dumps(items)))

    def _lose(self, worker: _Worker, why: str) -> None:
        self._workers.remove(worker)
        for call in worker.calls:
            self._calls.pop(call, None)
        self._ray.kill(worker.handle)
        self._sharing.lose(worker, worker.number, why)
        if not worker.ready:
            self._unable = why
        elif not self._sharing.done:
            self._start(worker.number)


class _Actor:
    """Explains the photos that it is sent, and returns the events."""

    def __init__(self, recipe: bytes, threads: int, batch: int, folder: str, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]
        if os.path.isdir(folder):
            os.chdir(folder)
        torch.set_num_threads(threads)
        self._explainer, self._batch = PhotoExplainer(**pickle.loads(recipe)), batch

    def ready(self) -> list[Event]:
        """Nothing; that it returns says that the model is loaded."""
        return []

    def explain(self, items: bytes) -> list[Event]:
        """Explain photos, write their results, and return the events, without steps."""
        chosen: list[Item] = pickle.loads(items)
        events: list[Event] = []

        def note(event: Event) -> None:
            if not isinstance(event, Stepped):
                events.append(event)

        explainer = self._explainer
        writers = processes_that_pay(explainer.device, len(chosen))
        with Writer(writers, lambda: note(WriterLost())) as writer, Loader(explainer) as loader:
            explain_in_batches(explainer, loader.ahead(chosen, self._batch), self._batch, writer, note)
        return events
