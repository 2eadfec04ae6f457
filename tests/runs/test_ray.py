"""The Ray executor: how it hands photos out, on a stand-in for Ray; and a cluster of Ray itself that loses a node."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sdfido import runs
from sdfido.runs import events
from tests.runs.test_sharing import NAMES, assert_equal, folder, left_over, run

__all__ = ["folder"]  # the fixture


class RayError(Exception):
    """What the stand-in raises for a lost actor."""


class StandIn:
    """As much of Ray as the executor uses, in this process: calls are made when they are waited for."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, cores: int, fails: Callable[[int, str], bool]) -> None:
        self.cores, self.fails = cores, fails
        self.actors = 0
        self.options: dict[str, Any] = {}
        self.alive: set[int] = set()
        self.started = False

    def is_initialized(self) -> bool:
        return self.started

    def init(self, **options: Any) -> None:
        self.started = True

    def shutdown(self) -> None:
        self.started = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cores)}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.options = options

        def wrap(kind: Any) -> Any:
            def make(*arguments: Any) -> Any:
                number, self.actors = self.actors, self.actors + 1
                self.alive.add(number)
                actor = kind(*arguments)

                def method(name: str) -> Any:
                    return SimpleNamespace(remote=lambda *given: (object(), number, name, getattr(actor, name), given))

                return SimpleNamespace(number=number, ready=method("ready"), explain=method("explain"))

            return SimpleNamespace(remote=make)

        return wrap

    def wait(self, calls: list[Any]) -> tuple[list[Any], list[Any]]:
        return calls[:1], calls[1:]

    def get(self, call: Any) -> Any:
        _, number, name, function, given = call
        if number not in self.alive or self.fails(number, name):
            self.alive.discard(number)
            raise RayError("the actor died")
        return function(*given)

    def kill(self, handle: Any) -> None:
        self.alive.discard(handle.number)


def use(monkeypatch: pytest.MonkeyPatch, ray: StandIn) -> None:
    """Have the executor find the stand-in, whose actors leave this process's threads alone."""
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def test_a_lost_actor_is_replaced_and_its_photos_are_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("serial").execute()
    ray = StandIn(5, lambda number, name: number == 0 and name == "explain")
    use(monkeypatch, ray)
    seen: list[events.Event] = []
    outcome = run("shared").execute(runs.RayExecutor(num_cpus=2), seen.append)
    assert (outcome.explained, outcome.failed) == (8, 0)
    assert ray.options["num_cpus"] == 2
    assert ray.options["num_gpus"] == 0
    assert ray.actors == 3  # two fit, one in place of the first
    assert (ray.alive, ray.started) == (set(), False)
    (lost,) = (event for event in seen if isinstance(event, events.WorkerLost))
    assert (lost.worker, lost.message) == (0, "the actor died")
    assert sorted(event.name for event in seen if isinstance(event, events.Explained)) == [
        f"birds/{name}.png" for name in NAMES
    ]
    assert_equal("shared", "serial")


def test_a_bad_photo_does_not_stop_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "birds" / "z.png").write_bytes(b"no photo")
    use(monkeypatch, StandIn(1, lambda number, name: False))
    seen: list[events.Event] = []
    outcome = run("shared", batch=3).execute(runs.RayExecutor(), seen.append)
    assert (outcome.explained, outcome.failed) == (8, 1)
    (failed,) = (event for event in seen if isinstance(event, events.Failed))
    assert "birds/z.png" in failed.message


def test_actors_that_cannot_start_end_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = StandIn(2, lambda number, name: name == "ready")
    use(monkeypatch, ray)
    with pytest.raises(RuntimeError, match="got none that did: the actor died"):
        run("shared").execute(runs.RayExecutor())
    assert ray.actors == 2


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "sdfido\[ray\]"'):
        runs.RayExecutor()


def test_a_ray_cluster_that_loses_a_node_gives_the_bits_of_one_process(folder: Path) -> None:
    ray = pytest.importorskip("ray", reason='needs pip install "sdfido[ray]"')
    from ray.cluster_utils import Cluster

    run("serial").execute()
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    seen: list[events.Event] = []

    def kill_once(event: events.Event) -> None:
        seen.append(event)
        began = {event.worker for event in seen if isinstance(event, events.Started)}
        if began == {0, 1} and not (folder / "killed").exists():  # so that an actor of the node is lost, too
            (folder / "killed").touch()
            cluster.remove_node(node, allow_graceful=False)

    try:
        outcome = run("shared").execute(runs.RayExecutor(cluster.address), kill_once)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (folder / "killed").exists()
    assert (outcome.explained, outcome.failed, outcome.elsewhere) == (8, 0, 0)
    explained = [event.name for event in seen if isinstance(event, events.Explained)]
    assert sorted(explained) == [f"birds/{name}.png" for name in NAMES]  # each once
    (lost,) = (event for event in seen if isinstance(event, events.WorkerLost))
    assert lost.photos <= 2  # what one call had in hand, of eight photos shared by two actors
    assert_equal("shared", "serial")
    assert left_over("shared") == []
