"""Which photos are of one sequence: by a table, by COCO Camera Traps, by their times, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdfido.models.photo import read_photo, taken
from sdfido.runs.results import Result
from sdfido.runs.sequences import Sequences
from sdfido.runs.truth import Truth

NAMES = ["A/1", "A/2", "A/3", "A/4", "B/1", "B/2"]
RESULTS = [Result(Path("out") / name, Path(name), {"photo": f"photos/{name}.jpg"}) for name in NAMES]
SITES: dict[str, str | None] = {name: name[0] for name in NAMES}


def truth(folder: Path, *images: dict[str, Any]) -> Truth:
    """COCO Camera Traps; of all photos, with what is said of some."""
    said = {each["file_name"]: each for each in images}
    entries = [{"id": name} | said.get(f"{name}.jpg", {"file_name": f"{name}.jpg"}) for name in NAMES]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": entries, "annotations": []}))
    return Truth([path], RESULTS)


def rows(**times: str | None) -> list[dict[str, Any]]:
    """What an audit measures; the times are by names such as A1."""
    return [{"results": name, "taken": times.get(name.replace("/", ""))} for name in NAMES]


def at(clock: str) -> str:
    return f"2026-05-01 {clock}"


def test_photos_of_a_site_within_the_gap_are_one_sequence(tmp_path: Path) -> None:
    times = {"A1": at("12:00:00"), "A3": at("12:01:00"), "A2": at("12:02:00"), "A4": at("12:03:01")}
    times |= {"B1": at("12:00:30")}
    known = rows(**times)
    found = Sequences(RESULTS, truth(tmp_path)).of(known, SITES)
    first = ("A 2026-05-01 12:00:00", "time")  # the gaps are 60 s, the whole is longer
    assert [found[name] for name in ("A/1", "A/2", "A/3")] == [first] * 3
    assert found["A/4"] == ("A 2026-05-01 12:03:01", "time")
    assert found["B/1"] == ("B 2026-05-01 12:00:30", "time")
    assert found["B/2"] == (None, "alone")
    found = Sequences(RESULTS, truth(tmp_path), gap=59).of(known, SITES)
    assert len({name for name, source in found.values() if source == "time"}) == 5
    found = Sequences(RESULTS, truth(tmp_path), gap=61).of(known, SITES)
    assert len({name for name, source in found.values() if source == "time"}) == 2


def test_where_a_site_has_no_name_the_folder_stands_for_it(tmp_path: Path) -> None:
    known = rows(**{name: at("12:00:00") for name in ("A1", "A2", "B1", "B2")})
    alone: dict[str, str | None] = {name: None for name in NAMES}
    found = Sequences(RESULTS, truth(tmp_path)).of(known, alone)
    assert found["A/1"] == found["A/2"] != found["B/1"] == found["B/2"]
    found = Sequences(RESULTS, truth(tmp_path)).of(known, {name: "ridge" for name in NAMES})
    assert found["A/1"] == found["B/2"] == ("ridge 2026-05-01 12:00:00", "time")


def test_the_first_that_says_it_counts(tmp_path: Path) -> None:
    table = tmp_path / "sequences.csv"
    table.write_text("photo,sequence,site\nA/1.jpg,s1,x\nA/2.jpg,s1,x\nA/3.jpg,,x\n")
    known = truth(
        tmp_path,
        {"file_name": "A/2.jpg", "seq_id": "c1"},
        {"file_name": "A/3.jpg", "seq_id": 7},
        {"file_name": "A/4.jpg", "seq_id": ""},
    )
    times = rows(A1=at("1:00:00"), A2=at("1:00:00"), A3=at("1:00:00"), A4=at("1:00:00"), B1=at("1:00:00"))
    found = Sequences(RESULTS, known, table).of(times, SITES)
    assert found == {
        "A/1": ("s1", "table"),
        "A/2": ("s1", "table"),
        "A/3": ("7", "truth"),
        "A/4": ("A 2026-05-01 01:00:00", "time"),
        "B/1": ("B 2026-05-01 01:00:00", "time"),
        "B/2": (None, "alone"),
    }
    found = Sequences(RESULTS, known, "photos").of(times, SITES)
    assert set(found.values()) == {(None, "alone")}


@pytest.mark.parametrize("time", ["0000-00-00 00:00:00", "soon", "", "2026-05-01T12:00:00+02:00", "9" * 5000])
def test_a_time_that_is_none_leaves_a_photo_alone(tmp_path: Path, time: str) -> None:
    found = Sequences(RESULTS, truth(tmp_path)).of(rows(A1=time, A2=time), SITES)
    assert set(found.values()) == {(None, "alone")}


def test_wrong_arguments(tmp_path: Path) -> None:
    known, table = truth(tmp_path), tmp_path / "t.csv"
    table.write_text("photo,site\nA/1.jpg,x\n")
    with pytest.raises(
        ValueError, match=r"sequences '.*t\.csv' must have the columns photo, sequence in its first line"
    ):
        Sequences(RESULTS, known, table)
    with pytest.raises(ValueError, match="cannot be read: No such file or directory; give a CSV file, or 'photos'"):
        Sequences(RESULTS, known, tmp_path / "none.csv")
    for gap in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sequence_gap must be"):
            Sequences(RESULTS, known, gap=gap)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_the_time_in_exif_data(tmp_path: Path, kind: str) -> None:
    assert _saved(tmp_path / f"a.{kind}", "2026:05:01 12:00:07") == "2026-05-01 12:00:07"


@pytest.mark.parametrize(
    "value", ["0000:00:00 00:00:00", "    :  :     :  :  ", "\0", "2026:13:01 12:00:00", 7, b"\xff\xfe", (1, 2), 2.5]
)
def test_exif_data_that_do_not_say_a_time(tmp_path: Path, value: Any) -> None:
    assert _saved(tmp_path / "a.jpg", value) is None


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_data(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    whole = _exif("2026:05:01 12:00:07").tobytes()
    damaged = [whole[:end] for end in range(6, len(whole) - 1)]
    for content in damaged + [whole[:n] + b"\xff" + whole[n + 1 :] for n in range(6, len(whole))]:
        Image.new("RGB", (8, 8)).save(path, exif=content)
        with Image.open(path) as photo:
            found = taken(photo)  # or what a damaged digit says
            assert found is None or (found.year == 2026 and content not in damaged)


def _exif(value: Any) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0x9003] = value
    return exif


def _saved(path: Path, value: Any) -> str | None:
    Image.new("RGB", (8, 8)).save(path, exif=_exif(value))
    found = taken(read_photo(path))
    return None if found is None else found.isoformat(" ")
