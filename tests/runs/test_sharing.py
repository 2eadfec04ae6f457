"""Photos shared out to processes: equal bits, lost workers, two runs on one folder, kills at any moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sdfido import reports, runs
from sdfido.runs import events
from tests.cli.support import draw, prepare

NAMES = [f"p{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    monkeypatch.syspath_prepend(tmp_path)
    for number, name in enumerate(NAMES):
        draw(tmp_path / "birds" / f"{name}.png", (250 - 20 * number, 20 * number, 90))
    yield from prepare(tmp_path, monkeypatch)


def explainer(model: str = "colour_models:make", **settings) -> runs.PhotoExplainer:
    return runs.PhotoExplainer(model, **{"steps": 3, "mask_size": 4, "infill": "normal", **settings})


def run(out: str, share: slice = slice(None), **options) -> runs.Run:
    made = options.pop("explainer", None) or explainer()
    return runs.Run(made, runs.choose(["birds"], out)[share], runs.Store(out), **options)


def assert_equal(out: str, other: str, names: list[str] = NAMES) -> None:
    """Every photo has complete results in both folders, and the same bits."""
    assert sorted(folder.name for folder, _ in runs.Store(out).find()) == names
    for name in names:
        one, two = (np.load(Path(where, name, "explanation.npz")) for where in (out, other))
        assert one.files == two.files
        assert all(np.array_equal(one[array], two[array], equal_nan=True) for array in set(one.files) - {"about"})


def left_over(out: str) -> list[str]:
    """Temporary files, locks and empty folders."""
    hidden = [path.name for path in Path(out).rglob(".*")]
    return hidden + [str(path) for path in Path(out).rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_workers_of_which_one_is_killed_give_the_bits_of_one_process(folder: Path) -> None:
    run("serial").execute()
    seen: list[events.Event] = []

    def kill_once(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Explained) and not (folder / "killed").exists():
            import multiprocessing

            (folder / "killed").touch()
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    outcome = run("shared").execute(runs.Processes(2), kill_once)
    assert (outcome.explained, outcome.failed, outcome.elsewhere) == (8, 0, 0)
    explained = [event.name for event in seen if isinstance(event, events.Explained)]
    assert sorted(explained) == [f"birds/{name}.png" for name in NAMES]  # each once
    (lost,) = (event for event in seen if isinstance(event, events.WorkerLost))
    assert "SIGKILL" in lost.message
    assert_equal("shared", "serial")
    assert left_over("shared") == []


def test_a_ray_cluster_that_loses_a_node_gives_the_bits_of_one_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason='needs pip install "sdfido[ray]"')
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # the machine may be busy
    run("serial").execute()
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    seen: list[events.Event] = []

    def kill_once(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Explained) and not (folder / "killed").exists():
            (folder / "killed").touch()
            cluster.remove_node(node, allow_graceful=False)

    try:
        outcome = run("shared").execute(runs.RayExecutor(cluster.address), kill_once)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (outcome.explained, outcome.failed, outcome.elsewhere) == (8, 0, 0)
    explained = [event.name for event in seen if isinstance(event, events.Explained)]
    assert sorted(explained) == [f"birds/{name}.png" for name in NAMES]  # each once
    assert_equal("shared", "serial")
    assert left_over("shared") == []
