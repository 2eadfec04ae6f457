"""Files that are written whole or not at all, and what killed writers leave."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdfido import files
from sdfido.files import making_folder, remove_leftovers, replacing


def killed(work: Callable[[], object]) -> None:
    """Work in a process of its own, which kills itself."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(1)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["numbers"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as part:
        part.write_text("new \udcff", encoding="utf-8")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["numbers"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin where this one is")
def test_a_killed_writer_leaves_a_part_that_is_removed(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "numbers") as part:
            part.write_text("ne")
            os.kill(os.getpid(), signal.SIGKILL)

    killed(write)
    (left,) = os.listdir(tmp_path)
    assert left.endswith(".part")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin where this one is")
@pytest.mark.parametrize(("number", "holds"), [(1, "old"), (2, "old"), (3, "new")])
def test_a_folder_is_there_whenever_a_process_that_replaces_it_is_killed(
    tmp_path: Path, number: int, holds: str
) -> None:
    """Between its two renames, neither the old nor the new one has its name: the old one gets it back."""
    path = tmp_path / "export"
    path.mkdir()
    (path / "old").touch()

    def replace() -> None:
        real, calls = Path.rename, []

        def rename(self: Path, target: Path) -> Path:
            calls.append(self)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, target)

        Path.rename = rename  # type: ignore[method-assign]
        with making_folder(path) as part:
            (part / "new").touch()

    killed(replace)
    assert path.exists() == (number != 2)
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["export"]
    assert os.listdir(path) == [holds]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "export", Path.rename
    path.mkdir()
    (path / "old").touch()

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match=r"make it writable.*export'"), making_folder(path) as part:
        (part / "new").touch()
    assert os.listdir(tmp_path) == ["export"]
    assert os.listdir(path) == ["old"]


def test_a_process_that_has_the_number_of_a_killed_one_is_another(tmp_path: Path) -> None:
    if files._began(os.getpid()) is None:
        pytest.skip("this system does not tell when a process began")
    mine, older = files._beside(tmp_path / "numbers", "part"), f".numbers.{files._host()}-{os.getppid()}-7-0.part"
    mine.touch()
    (tmp_path / older).touch()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [mine.name]


def test_errors_of_writing_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    def write(error: OSError) -> None:
        with replacing(tmp_path / "numbers"):
            raise error

    with pytest.raises(OSError, match=r"No space left on device \(free some space.*: '.*/numbers'$") as caught:
        write(OSError(errno.ENOSPC, "No space left on device"))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(OSError, match="numbers could not be written: encoder error -2"):
        write(OSError("encoder error -2"))
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '/nowhere/photo'$"):
        write(OSError(errno.ENOENT, "No such file or directory", "/nowhere/photo"))


@pytest.mark.parametrize("jump", [-400, 0, 400])
@pytest.mark.parametrize(("hours", "stays"), [(23, True), (25, False)])
def test_what_another_machine_is_writing_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int, stays: bool, jump: int
) -> None:
    """Whatever the clock of this machine says: that of the file system, which may be another's, counts."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump * 3600)
    other = f"{int(files._host(), 16) ^ 1:08x}"
    part = tmp_path / f".numbers.{other}-1.part"
    part.touch()
    then = part.stat().st_mtime - hours * 3600
    os.utime(part, (then, then))
    remove_leftovers(tmp_path)
    assert part.exists() == stays


def test_what_is_being_written_and_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    mine = tmp_path / f".numbers.{files._host()}-{os.getppid()}.part"
    for path in (mine, tmp_path / ".film.part", tmp_path / "numbers"):
        path.touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([mine.name, ".film.part", "numbers"])


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "nowhere")
