"""Texts of models, folders and files of others stay texts: on pages, in pictures, tables and the terminal."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.text import Text

import sdfido
from sdfido import json_file, reports, runs
from sdfido.files import visible
from sdfido.reports import view
from sdfido.reports.gallery import Part, gallery_page, gallery_sheet
from sdfido.runs import layout
from tests.cli.support import draw, page_of, prepare, run

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("matplotlib", "PIL", "rich", "typer"))), reason="needs the extra demo"
)

FAST = {"steps": 1, "num_samples": 1, "mask_size": 4}
HOSTILE = "=1+1 </script><script>alert(1)</script> [/red] $\\frac{$ \x1b[31m\u202egnp\u2028 <!-- '\" 猫"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield from prepare(tmp_path, monkeypatch)


def results(folder: Path, out: str = "out", photo: str = "a") -> Path:
    draw(folder / "photos" / f"{photo}.png", (250, 20, 20))
    draw(folder / "photos" / "b.png", (20, 20, 250))
    explainer = runs.PhotoExplainer("colour_models:make", infill="zeros", pictures=False, **FAST)
    assert runs.Run(explainer, runs.choose(["photos"], out), runs.Store(out)).execute().failed == 0
    return folder / out


def renamed(out: Path, **changes: object) -> None:
    """Say something else in all summaries."""
    for path in out.glob(f"*/{layout.SUMMARY}"):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_table(path: Path, *rows: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_everywhere(folder: Path) -> None:
    out = results(folder)
    maps = {name: {"title": HOSTILE, "note": HOSTILE} for name in ("ssr", "sdr", "joint")}
    renamed(out, label=HOSTILE, notes=[HOSTILE], maps=maps, model=HOSTILE, method=HOSTILE)
    path = out / "a" / layout.MAPS
    explanation = sdfido.Explanation.load(path)
    legend = {name: sdfido.MapInfo(HOSTILE, HOSTILE, info.role, info.of) for name, info in explanation.legend.items()}
    sdfido.Explanation(**vars(explanation) | {"legend": legend}).save(path)
    write_table(out / "labels.csv", ["photo", "label", "site"], ["a", HOSTILE, HOSTILE])
    boxes = [
        {"file": f"{name}.png", "detections": [{"category": "1", "conf": 1, "bbox": [0.3, 0.3, 0.4, 0.4]}]}
        for name in "ab"
    ]
    (folder / "boxes.json").write_text(json.dumps({"images": boxes}))
    write_table(folder / "sites.csv", ["photo", "site"], ["a.png", HOSTILE], ["b.png", HOSTILE])
    for command in (
        ("audit", "out", "--truth", "boxes.json", "--sites", "sites.csv"),
        ("evaluate", "out"),
        ("report", "out"),
        ("export", "out", "--format", "coco", "--out", "coco"),
    ):
        told = run(*command)
        assert told.exit_code == 0, (command, told.output)
        assert all(line.isprintable() for line in told.output.splitlines()), (command, told.output)
        assert "Traceback" not in told.output
    for page in out.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert text.count("<script") == 2 * (page.name == layout.PAGE)
        assert not any(mark in text for mark in ("\x1b", "\u202e", "\u2028"))
    assert {row["label"] for row in page_of(out)["rows"]} == {visible(HOSTILE)}
    for table in out.glob("*.csv"):
        if table.name != "labels.csv":
            with table.open(encoding="utf-8-sig", newline="") as file:
                assert not any(cell.startswith(("=", "+", "@")) for row in csv.reader(file) for cell in row), table


def test_pictures_have_no_formulas_and_no_control_characters(tmp_path: Path) -> None:
    maps = {"ssr": torch.rand(1, 8, 8), "sdr": torch.rand(1, 8, 8)}
    scores = {"prob_image": torch.tensor([0.9]), "prob_infill": torch.tensor([0.1])}
    legend = {name: sdfido.MapInfo(HOSTILE, HOSTILE) for name in maps}
    explanation = sdfido.Explanation("x", maps, scores, torch.tensor([0]), legend=legend)
    pixels = torch.rand(1, 3, 8, 8)
    figure = reports.overview(explanation, pixels, pixels * 0, label=HOSTILE, title=HOSTILE)
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert sum("\\frac{" in text for text in texts) >= 3
    assert all(line.isprintable() for text in texts for line in text.split("\n"))
    reports.save(figure, tmp_path / "a.png")  # a formula would not be one


def test_the_gallery_shows_names_as_they_are() -> None:
    crop = np.zeros((4, 4, 3), dtype=np.uint8)
    classes = [(HOSTILE, HOSTILE, [Part(1, [crop], [HOSTILE])])]
    page = gallery_page(classes, HOSTILE)
    assert "<script" not in page
    assert "\u202e" not in page
    assert page.count("&lt;/script&gt;") == 10  # label, remark, about, name and its title, twice each
    assert gallery_sheet(classes).size[0] >= 320


def test_a_view_is_data_and_no_other_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdfido.runs.page_files.EMBEDDED", 1)
    out = results(folder)
    good = (out / "a" / layout.VIEW).read_text()
    assert view.read(out / "a" / layout.VIEW) is not None
    (out / "b" / layout.VIEW).write_text(good + "alert(1)\n")
    runs.Report(out).write()
    assert [row["view"] for row in page_of(out)["rows"]] == ["a/view.js", None]
    runs.Report(out).write(folder / "copy")
    assert [path.name for path in (folder / "copy" / layout.PARTS).iterdir()] == ["000000.js"]
    for text in ("", good[:-5], good.replace("sdfidoView({", "sdfidoView({a: alert(1), "), "sdfidoView([]);\n"):
        (out / "b" / layout.VIEW).write_text(text)
        assert view.read(out / "b" / layout.VIEW) is None


def test_numbers_of_others_fit_into_the_tables(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    out = results(folder)
    about = json.loads((out / "a" / layout.SUMMARY).read_text())
    (out / "a" / layout.SUMMARY).write_text(json.dumps(about | {"more": 2**63 - 1, "target": 1e300}))
    runs.Report(out).write()
    table = parquet.read_table(out / layout.PARQUET)
    assert (table["more"][0].as_py(), table["target"][0].as_py()) == (2.0**63, 1e300)


def test_folders_whose_names_are_markup(folder: Path) -> None:
    out = results(folder, "[bold]x[-red]")
    shutil.copytree(out, folder / "y")
    told = run("evaluate", out.name, "y")
    assert told.exit_code == 0, told.output
    assert "[bold]x[-red]" in told.stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        ("[" * 65 + "]" * 65, "more than 64 objects and lists inside one another"),
        ('{"a": "' + '\\"[' * 1000, "Unterminated string"),
        ("1" * 21, "a whole number of 21 digits"),
        ("[1e400]", "the number 1e400, which is too large"),
        ("NaN", "it has NaN"),
    ],
)
def test_json_that_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        json_file.parse(text)


@pytest.mark.parametrize(
    "text", ['{"a": "[[[[{{{{]]\\\\", "b": [1.5, -3, true, null, "\\u732b"]}', "[" * 64 + "]" * 64, "5"]
)
def test_json_that_is_read(text: str) -> None:
    assert json_file.parse(text) == json.loads(text)


def test_json_is_read_fast_whatever_is_in_its_strings() -> None:
    text = json.dumps(['\\"' * 200_000, "[" * 200_000]) + " " * 10
    assert json_file.parse(text)[1] == "[" * 200_000
    with pytest.raises(ValueError, match="Unterminated"):
        json_file.parse(text[:300_000])
