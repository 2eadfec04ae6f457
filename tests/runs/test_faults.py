"""Runs while the world around them breaks: full disks, vanishing folders, jumping clocks, little memory."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sdfido import Explanation, exports, reports, runs
from sdfido.runs import events
from tests.cli.support import draw, names, prepare
from tests.faults import Faults, faulty

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)
FULL = "No space left on device (free some space there, then run it again)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    for name, colour in (("a", RED), ("b", BLUE)):
        draw(tmp_path / "birds" / f"{name}.png", colour)
    yield from prepare(tmp_path, monkeypatch)


def explainer(model: str = "colour_models:make", **settings: Any) -> runs.PhotoExplainer:
    options = {"steps": 2, "num_samples": 1, "mask_size": 2, "infill": "normal", "pictures": False}
    return runs.PhotoExplainer(model, **{**options, **settings})


def run(out: str = "out", made: runs.PhotoExplainer | None = None, **options: Any) -> runs.Run:
    return runs.Run(made or explainer(), runs.choose(["birds"], out), runs.Store(out), **options)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path / "explanation.npz") as file:
        return {name: file[name] for name in file.files if name != "about"}


def assert_same(out: str, other: str, places: str = "ab") -> None:
    for name in places:
        one, two = arrays(Path(out, name)), arrays(Path(other, name))
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[each], two[each], equal_nan=True) for each in one)


def assert_whole_or_absent(out: str, seen: list[events.Event], message: str) -> set[str]:
    """What a run that met a fault must have left; the photos that are done."""
    done = {place.name for place, _ in runs.Store(out).find(("summary.json",))}
    assert_same(out, "calm", "".join(sorted(done)))
    for event in seen:
        if isinstance(event, events.Failed | events.IndexFailed):
            assert message in event.message
            assert f"'{out}" in event.message
            assert "\n" not in event.message
    assert not [name for name in names(Path(out)) if name.endswith((".part", ".old", ".lock"))]
    return done


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_is_full_at_any_moment(folder: Path, lasting: bool) -> None:
    """Results are whole or absent, the error names place and remedy, and a later run does what is left."""
    made = explainer()
    run("calm", made).execute()
    at, at_most, left = 0, set(), set()
    while True:
        at += 3 if lasting else 1
        seen: list[events.Event] = []
        with faulty(Faults(folder / "out", at, errno.ENOSPC, lasting=lasting)) as faults:
            outcome = run("out", made).execute(on_event=seen.append)
        done = assert_whole_or_absent("out", seen, FULL)
        if not faults.happened:
            break
        assert outcome.explained == len(done)
        assert outcome.failed == 2 - len(done)
        told = [event for event in seen if isinstance(event, events.Failed | events.IndexFailed)]
        assert len(told) == outcome.failed + (not outcome.indexed)
        assert told
        at_most.add(len(done))
        if (there := tuple(names(folder / "out"))) not in left:  # or a run has gone on from there before
            left.add(there)
            again = run("out", made).execute()
            assert (again.finished, again.explained, again.indexed) == (len(done), 2 - len(done), True)
            assert_same("out", "calm")
        shutil.rmtree("out", ignore_errors=True)
    assert at > 20
    assert at_most == ({0, 1, 2} if lasting else {1, 2})


@pytest.mark.parametrize("size", [0, 700, 2500])
def test_files_that_cannot_be_written_to_their_end(folder: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The system itself refuses what is written, also from libraries."""
    resource = pytest.importorskip("resource", reason="no such limit on this system")
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    made = explainer(pictures=True)
    run("calm", made).execute()
    seen: list[events.Event] = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        outcome = run("out", made).execute(on_event=seen.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert outcome.failed == 2
    assert sum(isinstance(event, events.Failed) for event in seen) == 2
    assert assert_whole_or_absent("out", seen, "File too large (it is larger than files may be there") == set()
    assert run("out", made).execute().explained == 2
    assert_same("out", "calm")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "Read-only file system (make it writable, or write to another place)"),
        (errno.EACCES, "Permission denied (make it writable, or write to another place)"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_folder_that_cannot_be_written_to_any_more(folder: Path, number: int, remedy: str) -> None:
    made = explainer()
    run("calm", made).execute()
    for at in (1, 5, 12):
        seen: list[events.Event] = []
        with faulty(Faults(folder / "out", at, number, lasting=True)):
            assert run("out", made).execute(on_event=seen.append).failed
        assert_whole_or_absent("out", seen, remedy)
    assert run("out", made).execute().failed == 0
    assert_same("out", "calm")


def test_an_export_on_a_disk_that_is_full_at_any_moment(folder: Path) -> None:
    """An export that is replaced is there all the time, the old one or the new one."""
    run("results").execute()
    exports.Export("results", "safetensors", out="exported").write()
    old, at = names(folder / "exported"), 0
    new = [f"{name}.{map}.png" for name in "ab" for map in ("joint", "sdr", "sdr.region", "ssr", "ssr.region")]
    is_over = False
    while not is_over:
        at += 1
        with faulty(Faults(folder, at, errno.ENOSPC)) as faults:
            said = ""
            try:
                exports.Export("results", "png", out="exported", again=True).write()
            except OSError as error:
                said = str(error)
        if said:
            assert FULL in said
            assert "exported" in said
            assert names(folder / "exported") == old
        else:
            is_over = not faults.happened  # or it only could not tidy up
            assert names(folder / "exported") == sorted([*new, "export.json"])
            exports.Export("results", "safetensors", out="exported", again=True).write()
        assert not [path.name for path in folder.glob(".*")]
    assert at > 8


def at_first(action: Any) -> Any:
    """A callback that does something when the first photo is explained."""
    left = [action]

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Explained) and left:
            left.pop()()

    return tell


def test_photos_that_vanish_fail_and_the_others_go_on(folder: Path) -> None:
    draw(folder / "birds" / "c.png", GREEN)
    seen: list[events.Event] = []
    made = run()
    (folder / "birds" / "b.png").unlink()
    outcome = made.execute(on_event=seen.append)
    assert (outcome.explained, outcome.failed) == (2, 1)
    (failed,) = (event.message for event in seen if isinstance(event, events.Failed))
    assert "photo 'birds/b.png'" in failed
    outcome = run("other").execute(on_event=at_first(lambda: shutil.rmtree("birds")))
    assert outcome.explained + outcome.failed == 2
    assert outcome.indexed


def test_results_that_vanish_are_missed_and_made_anew(folder: Path) -> None:
    seen: list[events.Event] = []

    def tell(event: events.Event) -> None:
        seen.append(event)
        remove(event)

    remove = at_first(lambda: shutil.rmtree("out"))
    outcome = run().execute(on_event=tell)
    assert (outcome.explained, outcome.failed) == (1, 1)
    assert events.Vanished(Path("out"), 1) in seen
    assert run().execute().explained == 1


def test_a_folder_that_becomes_a_file_is_named(folder: Path) -> None:
    def replace() -> None:
        shutil.rmtree("out")
        Path("out").write_text("no folder")

    seen: list[events.Event] = []
    first = at_first(replace)
    outcome = run().execute(on_event=lambda event: (seen.append(event), first(event)))
    assert (outcome.explained, outcome.failed, outcome.indexed) == (0, 2, False)
    (failed,) = (event.message for event in seen if isinstance(event, events.Failed))
    assert "Not a directory (something has removed its folder; run it again): 'out/b" in failed
    assert Path("out").read_text() == "no folder"


@pytest.mark.parametrize("years", [-60, 30])
def test_a_clock_that_jumps_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, years: int) -> None:
    """Neither maps nor durations, nor which files count as left over."""
    run("calm").execute()
    live, clock = folder / "out" / "a" / ".view.js.00000000-1-0-0.part", time.time  # of another machine

    def jump() -> None:
        monkeypatch.setattr(time, "time", lambda: clock() + years * 365 * 86400)

    live.parent.mkdir(parents=True)
    live.touch()
    begin = time.monotonic()
    outcome = run().execute(on_event=at_first(jump))
    assert outcome.explained == 2
    assert 0 <= outcome.seconds <= time.monotonic() - begin
    assert_same("out", "calm")
    for place, about in runs.Store("out").find():
        assert 0 <= about["seconds"] <= outcome.seconds, place
    assert run().execute().finished == 2
    assert live.exists()
    assert exports.Export("out", "webdataset", out="exported").write() == 2


class Narrow(torch.nn.Module):
    """Runs out of memory with more than ``most`` images at once."""

    def __init__(self, most: int, error: BaseException) -> None:
        super().__init__()
        self.most, self.error, self.given = most, error, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise self.error
        self.given = max(self.given, len(images))
        return 8 * images.mean((2, 3))


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")
    if hasattr(torch, "OutOfMemoryError")
    else torch.cuda.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "linux", "windows", "numpy"])
def test_out_of_memory_halves_what_the_model_is_given(folder: Path, error: BaseException) -> None:
    from sdfido.models import Classifier, Normalization

    def narrow(most: int) -> Classifier:
        scale = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        return Classifier("narrow", Narrow(most, error), scale, (16, 16), ("red", "green", "blue"))

    settings = {"num_samples": 4, "max_batch": 16}
    run("calm", explainer(narrow(99), **settings), batch=2).execute()
    seen: list[events.Event] = []
    made = explainer(narrow(3), **settings)
    outcome = run("out", made, batch=2).execute(on_event=seen.append)
    assert outcome.explained == 2
    lessened = [event.at_once for event in seen if isinstance(event, events.Lessened)]
    assert lessened == [8, 4, 2]
    assert made.classifier.model.given == 2
    assert not any(isinstance(event, events.Retried) for event in seen)
    assert_same("out", "calm")
    assert run("out", explainer(narrow(99), **settings)).execute().finished == 2, "it does not count for resuming"

    seen.clear()
    assert run("none", explainer(narrow(0), **settings)).execute(on_event=seen.append).failed == 2
    failed = [event.message for event in seen if isinstance(event, events.Failed)]
    assert all("not even one image at a time fits: free some memory" in each and "\n" not in each for each in failed)


def test_a_model_that_fails_on_some_photos_is_told_in_a_line_and_tried_again(folder: Path) -> None:
    draw(folder / "birds" / "c.png", GREEN)
    blind = explainer("colour_models:blind", infill="zeros")
    seen: list[events.Event] = []
    outcome = run("out", blind, batch=3).execute(on_event=seen.append)
    assert (outcome.explained, outcome.failed) == (2, 1)
    (failed,) = (event.message for event in seen if isinstance(event, events.Failed))
    assert failed == "photo 'birds/b.png' could not be explained: RuntimeError: no blue, please"
    draw(folder / "birds" / "b.png", RED)
    again = run("out", blind).execute()
    assert (again.finished, again.explained) == (2, 1)
    assert Explanation.load("out/b/explanation.npz").targets.tolist() == [0]
