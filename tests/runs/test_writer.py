"""Writing results beside the classifier: processes that end, are interrupted, or are not worth it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdfido.interrupts import Ending, Terminated, held
from sdfido.runs.writer import Writer, processes_that_pay


class Noted:
    """Notes that it is written."""

    def __init__(self, name: str, written: list[str]) -> None:
        self.name, self.written = name, written

    def write(self) -> None:
        self.written.append(self.name)


class Deadly(Noted):
    """Ends the process that unpickles it; here it can be written."""

    def __reduce__(self):
        return os._exit, (1,)


class Failing(Noted):
    def write(self) -> None:
        raise OSError(28, "No space left on device")


def test_without_processes_it_is_written_at_once() -> None:
    written: list[str] = []
    told: list[BaseException | None] = []
    with Writer() as writer:
        writer.write(Noted("a", written), told.append)
        assert (written, told) == (["a"], [None])
        writer.write(Failing("b", written), told.append)
    assert isinstance(told[1], OSError)


@pytest.mark.slow
def test_a_process_that_ends_between_photos_does_not_stop_the_writing() -> None:
    written: list[str] = []
    told: list[BaseException | None] = []
    lost: list[str] = []
    with Writer(1, lambda: lost.append("lost")) as writer:
        writer.write(Deadly("first", written), told.append)
        while not all(future.done() for future in writer._pending):
            time.sleep(0.02)
        writer.write(Deadly("second", written), told.append)
        assert sorted(written) == ["first", "second"]
        writer.write(Noted("third", written), told.append)
        assert written[2:] == ["third"]
    assert told == [None, None, None]
    assert lost == ["lost"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="interrupts cannot be held back there")
def test_an_interrupt_spares_a_process_that_only_starts(tmp_path: Path) -> None:
    code = (
        # Where the tests run in the background, their children ignore an interrupt.
        "import os, signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\nfrom sdfido.runs.writer import Writer\n"
        "try:\n    with Writer(1) as one:\n"
        "        one.write(Path('here'), lambda error: print(repr(error), flush=True))\n"
        "        time.sleep(0.3)\n        os.killpg(0, signal.SIGINT)\n        time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    said = process.stdout.splitlines()
    assert len(said) == 2, process.stderr
    assert said[0].startswith("AttributeError")  # a path cannot be written: the process has tried
    assert said[1] == "interrupted"
    assert process.stderr == ""


@pytest.mark.parametrize(("device", "photos", "number"), [("cpu", 500, 0), ("cuda", 3, 0), ("cuda:1", 12, 3)])
def test_processes_write_beside_a_gpu(monkeypatch: pytest.MonkeyPatch, device: str, photos: int, number: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(16), raising=False)
    assert processes_that_pay(device, photos) == number


class _Interrupted:
    """Results in whose writing an interrupt comes, which the library that writes makes an error of its own."""

    def write(self) -> None:
        with held() as interrupts:
            try:
                with interrupts.allowed():
                    signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt as error:
                raise ValueError("Can't close the ZIP file while there is an open writing handle on it.") from error


def test_an_interrupt_that_became_an_error_is_one() -> None:
    told: list[Exception | None] = []
    with Ending(), pytest.raises(Terminated), Writer(0) as writer:
        writer.write(_Interrupted(), told.append)
    assert told == []
