"""Photos shared out to processes: equal bits, lost workers, two runs on one folder, kills at any moment."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sdfido import Explanation, reports, runs
from sdfido.locks import Lock
from sdfido.runs import events, table
from sdfido.runs.sharing import Sharing
from tests.cli.support import RESULTS, draw, prepare, stamps, summary_of

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


def results(out: str) -> dict[str, dict[str, tuple[int, bytes]]]:
    """Time of change and content of the files of each photo's complete results."""
    every = {where.name: stamps(where) for where, _ in runs.Store(out).find()}
    return {name: {file: files[file] for file in RESULTS} for name, files in every.items()}


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


def test_shards_in_any_order_give_the_bits_of_one_process(folder: Path) -> None:
    run("serial").execute()
    for part in ("2/3", "3/3", "1/3"):
        made, items = explainer(), runs.choose(["birds"], "shared")
        outcome = runs.Run(made, runs.shard(items, part), runs.Store("shared"), batch=2).execute()
        assert outcome.explained == len(range(int(part[0]) - 1, 8, 3))
    assert_equal("shared", "serial")
    rows = (folder / "shared" / "summary.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 1 + 8
    assert left_over("shared") == []


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/", "a/3", "-1/3", "1/3/5"])
def test_a_shard_is_i_of_n(folder: Path, part: str) -> None:
    with pytest.raises(ValueError, match=r"shard must be i/n with i from 1 to n.*got"):
        runs.shard(runs.choose(["birds"], "out"), part)


def forked(out: str) -> tuple[Any, Any]:
    """A process that explains everything, and the end of a pipe that says when it has begun, and what came of it."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def work() -> None:
        torch.set_num_threads(1)  # others do not survive a fork
        made = run(out)
        there.send("begun")
        outcome = made.execute()
        there.send((outcome.finished, outcome.explained, outcome.elsewhere, outcome.failed))

    process = context.Process(target=work)
    process.start()
    there.close()
    return process, here


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin where this one is")
def test_two_runs_on_one_folder_share_the_photos(folder: Path) -> None:
    run("serial").execute()
    pair = [forked("shared") for _ in range(2)]
    outcomes = [[connection.recv() for _ in range(2)][1] for _, connection in pair]
    for process, _ in pair:
        process.join()
    assert all(sum(outcome) == 8 and outcome[-1] == 0 for outcome in outcomes)
    assert sum(outcome[1] for outcome in outcomes) == 8  # each photo is explained by one of them
    assert_equal("shared", "serial")
    assert left_over("shared") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin where this one is")
def test_a_run_killed_at_any_moment_goes_on_where_it_was(folder: Path) -> None:
    begin = time.monotonic()
    run("serial").execute()
    a_photo = (time.monotonic() - begin) / 8
    chance = random.Random(5)
    done = results("killed")
    for _ in range(10):
        process, connection = forked("killed")
        assert connection.recv() == "begun"
        time.sleep(chance.uniform(0, 2 * a_photo))
        process.kill()
        process.join()
        finished = results("killed")
        assert done.items() <= finished.items()  # nothing lost, nothing twice
        done = finished
        for name in done:
            Explanation.load(Path("killed", name, "explanation.npz"))
        if (written := Path("killed", "summary.csv")).exists():
            with written.open(encoding="utf-8-sig", newline="") as file:
                assert len({len(row) for row in csv.reader(file)}) == 1
    outcome = run("killed").execute()
    assert outcome.finished >= len(done)
    assert outcome.finished + outcome.explained == 8
    assert done.items() <= results("killed").items()
    assert_equal("killed", "serial")
    assert left_over("killed") == []


def test_a_photo_that_ends_each_process_fails_alone(folder: Path) -> None:
    """What a lost worker had in hand is tried once more, each alone; only what is at fault fails."""
    seen: list[events.Event] = []
    items = runs.choose(["birds"], "out")[:4]
    sharing = Sharing(items, 2, seen.append)
    one, other = sharing.take("one"), sharing.take("other")
    assert [item.folder.name for item in (*one, *other)] == NAMES[:4]
    for item in other:
        sharing.tell("other", 1, events.Explained(item.name, item.folder, {}))
    sharing.lose("one", 0, "it was ended by SIGKILL")
    assert not sharing.done
    (alone,) = sharing.take("third")
    assert alone == one[0]
    assert sharing.take("third") == []  # nothing beside it
    (next_one,) = sharing.take("other")
    sharing.lose("third", 2, "it was ended by SIGKILL")
    sharing.tell("other", 1, events.Taken(next_one.name, next_one.folder, {"label": "red"}))
    assert sharing.done
    told = [(type(event).__name__, event.name) for event in seen if not isinstance(event, events.WorkerLost)]
    assert told == [
        *(("Explained", item.name) for item in other),
        ("Failed", alone.name),
        ("Explained", next_one.name),  # the lost worker had written it
    ]


def test_a_lock_ends_with_its_process_and_leaves_nothing(folder: Path) -> None:
    path = folder / "deep" / "er" / ".lock"
    one, other = Lock(path), Lock(path)
    assert one.acquire()
    assert not other.acquire()
    one.release()
    assert not (folder / "deep").exists()
    path.parent.mkdir(parents=True)
    path.touch()  # as a killed process leaves it
    assert other.acquire()
    assert not one.acquire()
    other.release()
    assert not path.exists()
    assert path.parent.exists()  # it was there before


def test_the_table_is_kept_up_as_the_run_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_SECONDS", 0.0)
    monkeypatch.setattr(table, "_SHARE", 0)
    rows: list[int] = []

    def count(event: events.Event) -> None:
        if isinstance(event, events.Started) and Path("out", "summary.csv").exists():
            rows.append(len(Path("out", "summary.csv").read_text().splitlines()) - 1)

    run("out").execute(on_event=count)
    assert rows == list(range(1, 8))


def test_the_table_as_parquet(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason='needs pip install "sdfido[table]"')
    run("out").execute()
    found = parquet.read_table("out/summary.parquet").to_pylist()
    assert [row["results"] for row in found] == NAMES
    for row in found:
        about = summary_of(Path("out", row["results"]))
        assert {name: row[name] for name in ("photo", "target", "prob_ssr", "area_sdr", "seed")} == {
            name: about[name] for name in ("photo", "target", "prob_ssr", "area_sdr", "seed")
        }
    parquet.write_table(parquet.read_table("out/summary.parquet").replace_schema_metadata(None), "out/summary.parquet")
    with pytest.raises(ValueError, match=r"summary.parquet cannot be replaced"):
        run("out").execute()
