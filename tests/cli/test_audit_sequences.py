"""`sdfido audit` of photos that come in bursts: its numbers, tables and page are over sequences."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.audits import N, audit, draw, explain, marked, record, write
from tests.cli.support import page_of, prepare, run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from prepare(tmp_path, monkeypatch)


def test_intervals_are_over_bursts(folder: Path) -> None:
    for n in range(2 * N):  # of each site 8 bursts of two photos, an hour apart
        exif = Image.Exif()
        exif[0x0112] = 1
        exif.get_ifd(0x8769)[0x9003] = f"2026:05:01 {n // 4:02}:00:{n // 2 % 2:02}"
        path = folder / "bursts" / "AB"[n % 2] / f"IMG_{n // 2}.png"
        draw(path, red=n % 2 == 0, grey=60, mark=240 - 6 * (n // 4), exif=exif)
    out = explain(folder, "bursts")
    truth = str(write(folder / "d.json", 2 * N))
    result = audit("--truth", truth)
    assert result.exit_code == 0, result.output
    found = record(out)
    assert (found["counts"]["audited"], found["counts"]["sequences"]) == (2 * N, N)
    assert found["sequences_from"] == {"table": 0, "truth": 0, "time": 2 * N, "alone": 0}
    assert (
        "32 photos in 16 sequences audited\nIntervals (95%) are over 16 sequences of 32 photos, since" in result.stdout
    )
    assert "sequences" in result.stdout.splitlines()[1]
    assert [(each["photos"], each["sequences"]) for each in found["classes"] + found["sites"]] == [(N, N // 2)] * 4
    said = {photo["results"]: photo["sequence"] for photo in found["photos"]}
    assert [said[f"A/IMG_{n}"] for n in range(4)] == [f"A 2026-05-01 0{n}:00:00" for n in (0, 0, 1, 1)]
    assert found["flags"][0]["place"] == "top left corner"  # 8 bursts of each class are enough
    assert found["flags"][0]["sequences"] == N // 2
    assert "(8 sequences) explained for it" in found["flags"][0]["reason"]
    with (out / "audit-groups.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["sequences"] for row in csv.DictReader(file)] == [str(N // 2)] * 4
    assert run("report", "results").exit_code == 0
    page = page_of(out)
    assert page["audited"] == found["intervals"]
    assert json.loads((out / "index.json").read_text(encoding="utf-8"))["audited"] == found["intervals"]
    assert {row["sequence"] for row in page["rows"]} == {photo["sequence"] for photo in found["photos"]}
    by_photos = {each["name"]: each["background_alone"] for each in _classes("--truth", truth, "--sequences", "photos")}
    assert record(out)["intervals"] == "Intervals (95%) are over 32 photos, each taken by itself."
    for each in found["classes"]:
        low, high = (by_photos[each["name"]][end] for end in ("low", "high"))
        assert each["background_alone"]["high"] - each["background_alone"]["low"] == pytest.approx(
            2**0.5 * (high - low), rel=0.15
        )
    _classes("--truth", truth, "--sequence-gap", "3600")  # all of a site are one
    found = record(out)
    assert found["counts"]["sequences"] == 2
    assert found["flags"] == []
    assert run("report", "results").exit_code == 0
    assert page_of(out)["audited"] == f"Nothing is flagged. {found['intervals']}"


def _classes(*arguments: str) -> list[dict[str, Any]]:
    assert audit(*arguments).exit_code == 0
    classes: list[dict[str, Any]] = record(Path("results"))["classes"]
    return classes


def test_sequences_of_a_table_and_of_camera_traps(folder: Path) -> None:
    out = marked(folder)
    paths = [f"{'AB'[n % 2]}/IMG_{n // 2}.png" for n in range(N)]
    (folder / "s.csv").write_text(
        "photo,sequence\n" + "".join(f"{path},{n // 4}\n" for n, path in enumerate(paths[:8]))
    )
    images = [{"id": n, "file_name": path, "seq_id": f"q{n // 4}"} for n, path in enumerate(paths)]
    boxes = [{"image_id": n, "category_id": 1, "bbox": [12, 12, 12, 8]} for n in range(N)]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    result = audit("--truth", "coco.json", "--sequences", "s.csv")
    assert result.exit_code == 0, result.output
    found = record(out)
    assert found["sequences_from"] == {"table": 8, "truth": 8, "time": 0, "alone": 0}
    assert found["counts"]["sequences"] == 4
    said = {photo["results"]: photo["sequence"] for photo in found["photos"]}
    assert [said[path.removesuffix(".png")] for path in paths] == [f"{'' if n < 8 else 'q'}{n // 4}" for n in range(N)]
    assert found["intervals"] == (
        "Intervals (95%) are over 4 sequences of 16 photos, since those of a sequence are nearly the same. "
        "Sequences are from the table (8 photos), seq_id in the truth (8 photos)."
    )
    assert found["flags"] == []  # of so few sequences, though a corner decides
    result = audit("--truth", "coco.json", "--sequences", "coco.json")
    assert result.exit_code == 2
    assert "Error: sequences 'coco.json' must have the columns photo, sequence in its first line" in result.stderr
