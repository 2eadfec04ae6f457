"""Which photos are chosen, and where their results go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdfido import runs
from sdfido.runs.items import fingerprint
from tests.cli.support import draw


def test_names_stay_unique() -> None:
    given = ["a/x.png", "b/X.jpg", "x-2.png", "x.gif", "a/...png"]
    chosen = runs.choose(given, "out")
    assert [str(item.folder) for item in chosen] == ["out/x", "out/X-2", "out/x-2-2", "out/x-3", "out/photo"]


def test_one_file_alone_has_the_folder_for_itself() -> None:
    (item,) = runs.choose(["a/x.png"], "out")
    assert (item.path, item.folder, item.name) == (Path("a/x.png"), Path("out"), "a/x.png")


def test_shares_of_a_folder_are_disjoint_and_complete(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "sub/c.png", "sub/d.png", "e.png"):
        draw(tmp_path / "birds" / name, (1, 2, 3))
    items = runs.choose([tmp_path / "birds"], tmp_path / "out")
    shares = [runs.choose([tmp_path / "birds"], tmp_path / "out")[i::3] for i in range(3)]
    assert sorted((item for share in shares for item in share), key=str) == sorted(items, key=str)
    assert len(items) == 5


def test_an_item_tells_where_its_photo_lies_and_what_it_contains(tmp_path: Path) -> None:
    draw(tmp_path / "birds" / "a.png", (1, 2, 3))
    item = runs.Item(tmp_path / "birds" / "a.png", tmp_path / "out" / "a")
    expected = {"photo_path": "../../birds/a.png", "photo_sha256": fingerprint(tmp_path / "birds" / "a.png")}
    assert item.origin() == expected
    assert item.open().size == (30, 20)
    assert runs.Item(None, tmp_path).origin() == {}


def test_pictures_of_results_are_no_photos(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name in ("photo.png", "graph.png", "overview.png", "curves.png"):
        draw(results / name, (1, 2, 3))

    def photos() -> list[str]:
        return [item.path.name for item in runs.choose([tmp_path], tmp_path / "out") if item.path]

    assert photos() == ["curves.png", "graph.png", "overview.png", "photo.png"]
    (results / "summary.json").write_text('{"files": ["summary.json", "graph.png"]}')
    assert photos() == ["curves.png", "graph.png", "overview.png", "photo.png"]  # a summary alone is of anyone's
    (results / "explanation.npz").touch()
    assert photos() == ["curves.png", "photo.png"]
    (results / "evaluation.json").touch()
    assert photos() == ["photo.png"]
    for foreign in ("[1]", "{", '{"files": "graph.png"}'):
        (results / "summary.json").write_text(foreign)
        assert photos() == ["graph.png", "photo.png"]


def test_a_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="photos must be in folder"):
        runs.choose([tmp_path], "out")


def test_names_that_are_no_text() -> None:
    assert runs.Item(Path(os.fsdecode(b"r\xf6t.png")), Path("out")).name == "r\ufffdt.png"
