"""Files that are written whole or not at all, and what killed writers leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdfido import files
from sdfido.files import remove_leftovers, replacing


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


def test_a_killed_writer_leaves_a_part_that_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom sdfido.files import replacing\n"
        "with replacing(sys.argv[1]) as part:\n    part.write_text('ne')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "numbers")]).returncode == -9
    (left,) = os.listdir(tmp_path)
    assert left.endswith(".part")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("hours", "stays"), [(23, True), (25, False)])
def test_what_another_machine_is_writing_stays_for_a_day(tmp_path: Path, hours: int, stays: bool) -> None:
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
