"""Tables of others: how spreadsheets write them, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdfido.runs import csv_file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_as_spreadsheets_write_them(tmp_path: Path, delimiter: str, end: str, mark: str) -> None:
    lines = [
        ("photo", " label", "note"),
        ("a.jpg", " red fox ", "x\x85y\u2028z"),
        ("", "", ""),
        ('"b;c,d.jpg"', "badger"),
    ]
    path = tmp_path / "t.csv"
    path.write_bytes((mark + end.join(map(delimiter.join, lines)) + end).encode())
    fox, badger = csv_file.read(path, "labels", ("photo", "label"))
    assert fox == (2, {"photo": "a.jpg", "label": "red fox", "note": "x\x85y\u2028z"})
    assert badger == (4, {"photo": "b;c,d.jpg", "label": "badger", "note": ""})


def test_what_is_no_such_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content, says in {
        b"": "must have the columns photo, label in its first line, separated by commas, got ''",
        b"photo label\n": "got 'photo label'",
        "photo,label\nB\xe4r.jpg,x\n".encode("latin-1"): "must be a CSV file in UTF-8, or 'folders': 'utf-8' codec",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"labels '.*t\.csv'") as caught:
            csv_file.read(path, "labels", ("photo", "label"), "'folders'")
        assert says in str(caught.value)
    with pytest.raises(ValueError, match="cannot be read: No such file or directory; give a CSV file, or 'folders'"):
        csv_file.read(tmp_path / "none.csv", "labels", ("photo", "label"), "'folders'")


def test_a_photo_that_is_named_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("photo,label\na,fox\nb,cat\na,fox\n,dog\n,cat\n")
    assert {name: row["label"] for name, row in csv_file.by_photo(path, "labels", "label").items()} == {
        "a": "fox",
        "b": "cat",
    }
    path.write_text("photo,label\na,fox\na,cat\n")
    with pytest.raises(ValueError, match="must have one label for a photo, got 'fox' and 'cat' for 'a' in line 3"):
        csv_file.by_photo(path, "labels", "label")
