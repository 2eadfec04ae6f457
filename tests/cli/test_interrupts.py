"""SIGINT and SIGTERM at any moment, once and twice: what is done stays, what is half-done goes, and nobody is left."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sdfido import cli, interrupts, reports, runs
from sdfido.interrupts import Ending, Terminated, held
from sdfido.locks import Lock
from tests.cli.support import draw, explain, names, prepare

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin where this one is")

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)
# Zeros: of photos of one colour, a blur leaves all that there is to explain.
OPTIONS = ["--steps", "2", "--samples", "1", "--mask-size", "2", "--no-pictures", "--infill", "zeros"]
KINDS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    for name, colour in (("a", RED), ("b", BLUE), ("c", RED)):
        draw(tmp_path / "birds" / f"{name}.png", colour)
    before = {kind: signal.getsignal(kind) for kind in KINDS}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray, for one, takes it for the whole process
    monkeypatch.syspath_prepend(tmp_path)
    yield from prepare(tmp_path, monkeypatch)
    for kind, handler in before.items():
        signal.signal(kind, handler)


def run(out: str = "out") -> runs.Run:
    made = runs.PhotoExplainer("colour_models:make", steps=2, num_samples=1, mask_size=2, pictures=False)
    return runs.Run(made, runs.choose(["birds"], out)[:1], runs.Store(out))


def done(out: str) -> list[str]:
    """Photos with complete results; anything else than these and the files about all of them is a fault."""
    found = [place.name for place, _ in runs.Store(out).find(("summary.json",))]
    for name in found:
        one, other = (np.load(Path(where, name, "explanation.npz")) for where in (out, "calm"))
        assert all(np.array_equal(one[each], other[each], equal_nan=True) for each in set(one.files) - {"about"})
    hidden = [name for name in names(Path(out)) if Path(name).name.startswith(".")]
    assert hidden == []
    return found


def interrupt_at(number: int, kind: signal.Signals, work: Callable[[], object]) -> bool:
    """Do some work, and send this process a signal before the n-th line of sdfido's that it comes to; whether it came.

    Every other signal is handled where Python is at that moment, as any signal is.
    """
    count = 0
    inside = str(Path(interrupts.__file__).parent)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(inside):
            return None
        if event == "line":
            count += 1
            if count == number:
                signal.raise_signal(kind)
        return trace

    came: BaseException | None = None
    with Ending():
        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt as error:
            came = error
        finally:
            sys.settrace(None)
    assert (came is not None) == (count >= number)
    assert isinstance(came, Terminated) == (came is not None and kind == signal.SIGTERM)
    assert interrupts._state.depth == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return came is not None


def test_an_interrupt_at_any_line_leaves_files_and_locks_whole(folder: Path) -> None:
    from sdfido.files import replacing

    (folder / "numbers").write_text("old")

    def work() -> None:
        with Lock(folder / "deep" / ".lock").holding() as is_free, replacing(folder / "numbers") as part:
            assert is_free
            part.write_text("new")

    number, seen = 1, set()
    while interrupt_at(number, KINDS[number % 2], work):
        seen.add((folder / "numbers").read_text())
        assert sorted(path.name for path in folder.glob(".*")) == []
        assert not (folder / "deep").exists()
        number += 1
    assert number > 50
    assert seen == {"old", "new"}


def test_an_interrupt_at_any_line_of_a_run_leaves_whole_results(folder: Path) -> None:
    run("calm").execute()
    chance, seen, number = random.Random(3), set(), 1
    made = run()
    while interrupt_at(number, KINDS[number % 2], made.execute):
        seen.add(len(done("out")))
        shutil.rmtree("out", ignore_errors=True)
        number += chance.randint(1, 149)
    assert number > 1000
    assert seen == {0, 1}
    assert run().execute().failed == 0
    assert done("out") == ["a"]


def test_a_second_interrupt_does_not_wait(folder: Path) -> None:
    told: list[str] = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGINT)
            told.append("held")
            signal.raise_signal(signal.SIGINT)
            told.append("never")

    with Ending(), pytest.raises(KeyboardInterrupt):
        work()
    assert told == ["held"]


def test_an_interrupt_that_a_finaliser_has_swallowed_comes_again(folder: Path) -> None:
    class Swallowing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        Swallowing()
        time.sleep(20)

    with Ending(), pytest.raises(Terminated):
        work()


def begin(*arguments: str) -> int:
    """A process, in a session of its own, that explains as the command does, once it is begun."""
    here, there = os.pipe()
    process = os.fork()
    if process == 0:
        os.setsid()
        for number in (1, 2):
            os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        torch.set_num_threads(1)  # others do not survive a fork
        code: object = 98
        try:
            with Ending():
                os.write(there, b"!")
                cli.main(["explain", *OPTIONS, *arguments])
        except SystemExit as error:
            code = error.code
        except KeyboardInterrupt:  # before the command has begun
            code = 255
        finally:
            os._exit(code if isinstance(code, int) else 99)
    os.close(there)
    assert os.read(here, 1) == b"!"
    os.close(here)
    return process


def ended(process: int, within: float = 60) -> int:
    """The exit code of a process; minus the signal that ended it."""
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        if (found := os.waitpid(process, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.01)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise AssertionError(f"still there after {within} seconds")


def test_a_command_interrupted_at_any_moment_says_what_is_done(folder: Path) -> None:
    began = time.monotonic()
    assert ended(begin("birds", "--model", "colour_models:make", "--out", "calm")) == 0
    duration, chance, codes = time.monotonic() - began, random.Random(7), []
    for number in range(8):
        Path("said").unlink(missing_ok=True)
        process = begin("birds", "--model", "colour_models:make")
        time.sleep(chance.uniform(0, duration))
        kind = KINDS[number % 2]
        os.kill(process, kind)
        codes.append(code := ended(process))
        there, said = done("out") if Path("out").exists() else [], Path("said").read_text()
        if code == 0:
            assert there == ["a", "b", "c"]
        elif code != 255:  # 255: it was before the command had begun
            assert code == 128 + kind, said
            told = re.findall(r"^(Interrupted|Terminated): (\d) of", said, re.MULTILINE)
            if told:
                assert told == [({2: "Interrupted", 15: "Terminated"}[kind], str(len(there)))]
            else:
                assert not said or "no photo was begun; run it again" in said or len(there) in (0, 3), said
            assert "Traceback" not in said
        if len(there) == 3:
            shutil.rmtree("out")
    assert any(code in (130, 143) for code in codes), codes
    assert explain("birds", *OPTIONS).exit_code == 0
    assert done("out") == ["a", "b", "c"]


def test_a_command_interrupted_twice_ends_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(store: runs.Store, **options: object) -> None:
        Path("slow").touch()
        time.sleep(60)

    monkeypatch.setattr(runs.Store, "write_index", slow)
    process = begin("birds", "--model", "colour_models:make")
    limit = time.monotonic() + 60
    while not Path("slow").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(process, signal.SIGINT)
    time.sleep(0.1)
    began = time.monotonic()
    os.kill(process, signal.SIGTERM)
    assert ended(process) in (130, 143)
    assert time.monotonic() - began < 30


def in_session(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs to see processes")
@pytest.mark.parametrize(
    ("kind", "word", "send"),
    [
        (signal.SIGINT, "Interrupted", os.killpg),
        (signal.SIGTERM, "Terminated", os.killpg),
        (signal.SIGINT, "Interrupted", os.kill),
    ],
    ids=["ctrl-c", "job-ended", "kill-int"],
)
def test_a_command_with_workers_takes_them_along(
    folder: Path, kind: signal.Signals, word: str, send: Callable[[int, int], None]
) -> None:
    """A terminal interrupts, and a scheduler ends, all processes at the same moment; ``kill`` the command alone."""
    draw(folder / "birds" / "b.png", GREEN)  # the model waits here
    (folder / "calm").mkdir()
    process = begin("birds", "--model", "colour_models:stuck", "--workers", "2")
    limit = time.monotonic() + 240
    while not (folder / "reached").exists() or Path("said").read_text().count("SSR keeps") < 2:
        time.sleep(0.02)
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
        assert time.monotonic() < limit, Path("said").read_text()
    assert len(in_session(process)) >= 3
    send(process, kind)
    assert ended(process) == 128 + kind
    limit = time.monotonic() + 30  # the one of Python that counts resources ends when the others have
    while (left := in_session(process)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert left == []
    assert f"{word}: 2 of 3 photos are explained, and their results complete" in Path("said").read_text()
    assert [name for name in names(folder / "out") if "/." in name or name.startswith(".") or "b/" in name] == []
    (folder / "go").touch()
    result = explain("birds", *OPTIONS, model="colour_models:stuck")
    assert "2 of 3 photos are explained already" in result.stdout
    assert result.exit_code == 0


def test_an_interrupt_that_a_model_has_turned_into_an_error_is_one(folder: Path) -> None:
    """Compiled code may say SystemError, or what it makes of any error."""
    (folder / "rash.py").write_text(
        "import os, signal, time, torch, colour_models\n"
        "class Rash(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        try:\n            os.kill(os.getpid(), signal.SIGTERM)\n            time.sleep(20)\n"
        "        except KeyboardInterrupt as error:\n            raise SystemError('an exception is set') from error\n"
        "def make():\n"
        "    made = colour_models.make()\n    made.model.forward = Rash().forward\n    return made\n"
    )
    result = explain("birds", *OPTIONS, model="rash:make")
    assert (result.exit_code, result.stderr) == (
        143,
        "Terminated: 0 of 3 photos are explained, and their results complete; run it again to go on\n",
    )
