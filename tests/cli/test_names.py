"""Names of files and labels that mean something to the folder, the terminal or a spreadsheet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sdfido.files import visible
from sdfido.runs import choose, layout
from sdfido.runs.table import as_cell
from tests.cli.support import RESULTS, draw, explain, names, prepare

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("matplotlib", "PIL", "rich", "typer"))), reason="needs the extra demo"
)

ESCAPES = "\x1b[31mred\x1b[0m\r\u202egnp\u2028end\x07"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from prepare(tmp_path, monkeypatch)


def test_photos_named_like_files_of_the_folder(folder: Path) -> None:
    for name in ("summary.csv.png", "Index.HTML.png", "audit.csv.png", "cat.png", "cat/overview.png.png"):
        draw(folder / "photos" / name, (250, 20, 20))
    result = explain("photos", "--out", "out")
    assert result.exit_code == 0, result.output
    assert (folder / "out" / layout.TABLE).is_file()
    assert (folder / "out" / layout.PAGE).is_file()
    made = {name.rsplit("/", 1)[0] for name in names(folder / "out") if name.endswith(layout.SUMMARY)}
    assert made == {"summary.csv-2", "Index.HTML-2", "audit.csv-2", "cat", "cat/overview.png-2"}
    assert explain("photos", "--out", "out").output.startswith("5 of 5 photos are explained already")


def test_every_file_that_a_run_writes_is_reserved(folder: Path) -> None:
    explain("red.png", "blue.png", "--out", "out")
    assert {Path(name).name for name in names(folder / "out")} <= layout.RESERVED
    assert set(RESULTS) <= layout.RESERVED


def test_a_name_that_is_taken_by_what_takes_the_place_of_a_reserved_one(tmp_path: Path) -> None:
    given = ["summary.csv.jpg", "summary.csv-2.jpg", "a/summary.csv.jpg"]
    items = choose([tmp_path / name for name in given], tmp_path)
    assert [item.folder.name for item in items] == ["summary.csv-2", "summary.csv-2-2", "summary.csv-2-3"]


@pytest.mark.skipif(os.name != "posix", reason="such names need a file system that takes them")
def test_names_with_control_characters_are_shown_as_escapes(folder: Path) -> None:
    (folder / "photos").mkdir()
    draw(folder / "photos" / "red.png", (250, 20, 20))
    (folder / "photos" / "red.png").rename(folder / "photos" / f"{ESCAPES}\n.png")
    (folder / "photos" / f"bad{ESCAPES}.png").write_bytes(b"none")
    result = explain("photos", "--out", "out")
    assert result.exit_code == 1
    lines = (result.stdout + result.stderr).splitlines()
    assert all(line.isprintable() for line in lines)
    assert r"\x1b[31mred\x1b[0m\r\u202egnp\u2028end\x07\n.png: red" in result.stdout
    assert len([line for line in lines if "none" in line or "bad" in line]) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ESCAPES, r"\x1b[31mred\x1b[0m\r\u202egnp\u2028end\x07"),
        (
            "Screenshot 3.00\u202fPM, Überraschung, 猫, 👩\u200d🔬",
            "Screenshot 3.00\u202fPM, Überraschung, 猫, 👩\u200d🔬",
        ),
        ("\u2066\u200f\x9b31m\x00", r"\u2066\u200f\x9b31m\x00"),
    ],
)
def test_what_is_visible_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_cell_is_no_formula_and_comes_back(folder: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\uff1dx", "'=1", "''=1", "'it", "it's", "cat", "", "a=1"]
    cells = [as_cell(text) for text in texts]
    assert not any(cell[:1] in tuple("=+-@\t\r\n\uff1d") for cell in cells if cell)
    back = [cell[1:] if cell[:1] == "'" and as_cell(cell[1:]) == cell else cell for cell in cells]
    assert back == texts
    assert [as_cell(value) for value in (-1, -0.5, True, None)] == [-1, -0.5, True, None]


def test_the_table_has_no_formulas(folder: Path) -> None:
    draw(folder / "photos" / "=1+1.png", (250, 20, 20))
    draw(folder / "photos" / "-cat.png", (250, 20, 20))
    assert explain("photos", "--out", "out").exit_code == 0
    os.chdir(folder / "photos")
    assert explain("=1+1.png", "./-cat.png", "--out", "../beside").exit_code == 0
    for out in ("out", "beside"):
        with (folder / out / layout.TABLE).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        cells = [cell for row in rows for name, cell in row.items() if name in ("photo", "label", "results", "notes")]
        assert len(rows) == 2
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
        assert {"'-cat", "'=1+1"} <= {row["results"] for row in rows}
