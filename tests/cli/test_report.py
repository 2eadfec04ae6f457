"""The command that writes the page anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdfido.reports.html import BEGINS
from tests.cli.support import MODEL, explain, names, page_of, prepare, rows_of, run, summary_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with two photos in folders that are called as classes, and their results."""
    for made in prepare(tmp_path, monkeypatch):
        for name in ("red", "blue"):
            (made / "photos" / name).mkdir(parents=True)
            (made / f"{name}.png").rename(made / "photos" / name / "one.png")
        assert explain("photos").exit_code == 0
        yield made


def test_true_classes_from_folders_or_a_file(folder: Path) -> None:
    assert {row["right"] for row in rows_of(folder / "out").values()} == {None}
    result = run("report", "out", "--labels", "folders")
    assert (result.exit_code, result.stdout) == (0, "See out/index.html\n")
    rows = rows_of(folder / "out")
    assert (rows["red/one"]["truth"], rows["red/one"]["right"]) == ("red", True)
    (folder / "true.csv").write_text(
        "\ufeffphoto,label,site\nred/one,blue,north\nphotos/blue/one.png,blue,\n", encoding="utf-8"
    )
    assert run("report", "out", "--labels", "true.csv").exit_code == 0
    rows = rows_of(folder / "out")
    assert [rows[name]["right"] for name in ("red/one", "blue/one")] == [False, True]
    assert [rows[name]["rank"] for name in ("red/one", "blue/one")] == [0, 1]
    assert [rows[name]["site"] for name in ("red/one", "blue/one")] == ["north", None]
    assert ["known besides", "true.csv"] in page_of(folder / "out")["made"][0]["entries"]


def test_labels_name_photos_as_other_files_do(folder: Path) -> None:
    """Paths of another machine, whatever their case; two photos of one name are not mixed up."""
    table = folder / "true.csv"
    table.write_text("photo;label\nD:\\photos\\RED\\one.png; Red\n", encoding="utf-8")
    result = run("report", "out", "--labels", "true.csv")
    assert result.exit_code == 0
    assert result.stdout == "Note: 1 photo has no true class in the labels\nSee out/index.html\n"
    rows = rows_of(folder / "out")
    assert [rows[name]["truth"] for name in ("red/one", "blue/one")] == ["Red", None]
    assert [rows[name]["right"] for name in ("red/one", "blue/one")] == [True, None]
    for content, says in {
        "photo,label\none.png,red\n": "must tell photos of the same file name apart",
        "photo,label\none.png,red\none.png,blue\n": "must have one label for a photo, got 'red' and 'blue'",
        "photo,label\nred/two.png,red\n": "must name the photos, but has none of 'photos/blue/one.png'",
    }.items():
        table.write_text(content)
        result = run("report", "out", "--labels", "true.csv")
        assert result.exit_code == 2
        assert f"Error: labels 'true.csv' {says}" in result.stderr
    assert rows_of(folder / "out") == rows


def test_findings_are_of_classes_as_the_page_calls_them(folder: Path) -> None:
    """An audit calls classes of one name "crane (134)" and "crane (517)"; the page can only choose "crane"."""
    photo = {"results": "red/one", "class": "red (0)", "suspicion": 0.5}
    flags = [{"class": "red (0)", "reason": "why"}, {"class": None, "reason": "why else"}]
    about = {"schema": "sdfido-audit/1", "flags": flags, "photos": [photo]}
    (folder / "out" / "audit.json").write_text(json.dumps(about))
    assert run("report", "out").stdout == "See out/index.html\n"
    page, rows = page_of(folder / "out"), rows_of(folder / "out")
    assert [finding["class"] for finding in page["findings"]] == [rows["red/one"]["label"], None]
    assert rows["red/one"]["numbers"]["suspicion"] == 0.5


def test_labels_in_the_folder_are_read_by_a_run_too(folder: Path) -> None:
    (folder / "out" / "labels.csv").write_text("photo,label\nred/one,red\n")
    assert explain("photos").exit_code == 0
    assert rows_of(folder / "out")["red/one"]["right"] is True


def test_the_answer_to_a_class_that_was_asked_for_is_neither_right_nor_wrong(folder: Path) -> None:
    explain("photos", "--target", "red", "--again")
    run("report", "out", "--labels", "folders")
    assert {row["right"] for row in rows_of(folder / "out").values()} == {None}


def test_older_results_get_their_pictures(folder: Path) -> None:
    before = (folder / "out" / "red" / "one" / "view.js").read_text()
    for name in ("red", "blue"):
        (folder / "out" / name / "one" / "view.js").unlink()
    (folder / "photos" / "blue" / "one.png").unlink()
    result = run("report", "out")
    assert result.exit_code == 1
    assert "Error: photo 'photos/blue/one.png' is shown without a picture: " in result.stderr
    assert "is not where it was" in result.stderr
    assert (folder / "out" / "red" / "one" / "view.js").read_text() == before
    shown = dict(zip(rows_of(folder / "out"), page_of(folder / "out")["embedded"], strict=True))
    assert shown["blue/one"] is None
    assert shown["red/one"]["maps"].keys() == {"ssr", "sdr", "joint"}


def test_a_copy_and_links(folder: Path) -> None:
    (folder / "out" / "gallery.html").write_text(f"{BEGINS}<title>parts</title>")
    assert run("report", "out").exit_code == 0
    assert "gallery.html" in dict(map(reversed, page_of(folder / "out")["links"]))
    result = run("report", "out", "--to", "sent/to")
    assert (result.exit_code, result.stdout) == (0, "See sent/to/index.html\n")
    assert set(names(folder / "sent")) >= {"to/index.html", "to/index.json", "to/summary.csv"}
    page = page_of(folder / "sent" / "to")
    assert {"gallery.html", "summary.csv", "index.json"} == set(dict(map(reversed, page["links"])))
    assert (folder / "sent/to/gallery.html").read_text() == (folder / "out/gallery.html").read_text()
    for row in page["rows"]:
        picture = (folder / "out" / row["results"] / "overview.png").read_bytes()
        assert (folder / "sent/to" / row["picture"]).read_bytes() == picture
        assert row["view"] is None  # it is inside
    assert run("report", "out", "--to", "sent/to").exit_code == 0  # may be written over
    before = names(folder / "out")
    assert run("report", "out", "--to", "out").exit_code == 0  # no copy of itself
    assert names(folder / "out") == before
    (folder / "sent/to/gallery.html").write_text("of somebody else")
    result = run("report", "out", "--to", "sent/to")
    assert result.exit_code == 2
    assert "where sent/to/gallery.html cannot be replaced; move it, or give another folder" in result.stderr
    assert (folder / "sent/to/gallery.html").read_text() == "of somebody else"
    (folder / "out" / "gallery.html").write_text("of somebody else")  # neither linked nor copied
    assert run("report", "out", "--to", "sent/to").exit_code == 0
    assert "gallery.html" not in dict(map(reversed, page_of(folder / "sent" / "to")["links"]))


def test_the_rows_are_also_json(folder: Path) -> None:
    written = json.loads((folder / "out" / "index.json").read_text())
    assert [row["results"] for row in written["photos"]] == list(rows_of(folder / "out"))
    made = dict(written["made"][0]["entries"])
    about = summary_of(folder / "out" / "red" / "one")
    assert (made["SHA-256 of the model"], made["loaded as"]) == (about["model_sha256"], MODEL)
    assert (made["steps"], made["sdfido"]) == ("3", about["build"]["version"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photos"], "out must be a folder with results of `sdfido explain`, got 'photos'"),
        (
            ["out", "--labels", "none.csv"],
            "labels 'none.csv' cannot be read: No such file or directory; give a CSV file, or 'folders'",
        ),
        (
            ["out", "--labels", "wrong.csv"],
            "labels 'wrong.csv' must have the columns photo, label in its first line, separated by commas",
        ),
        (
            ["out", "--to", "mine"],
            "out must be a folder for results, got 'mine', where mine/index.html cannot be replaced",
        ),
    ],
)
def test_wrong_arguments(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "wrong.csv").write_text("photo,class\n")
    (folder / "mine").mkdir()
    (folder / "mine" / "index.html").write_text("mine")
    before = (folder / "out" / "index.html").read_bytes()
    result = run("report", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert (folder / "out" / "index.html").read_bytes() == before
    assert names(folder / "mine") == ["index.html"]


def test_a_contrast_is_neither_right_nor_wrong(folder: Path) -> None:
    explain("photos", "--rather-than", "rival")
    run("report", "out", "--labels", "folders")
    assert {(row["truth"], row["right"]) for row in rows_of(folder / "out").values()} == {("red", None), ("blue", None)}
