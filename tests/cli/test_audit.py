"""`sdfido audit` from end to end: a classifier that looks at a corner is found out, one that does not is not."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdfido import runs
from sdfido.evaluate.audit import MEASURES
from tests.cli.audits import N, audit, marked, record, write
from tests.cli.support import FAST, MODEL, page_of, prepare, run, stamps

WRITTEN = [".audit.jsonl", "audit-groups.csv", "audit.csv", "audit.json"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from prepare(tmp_path, monkeypatch)


@pytest.fixture
def out(folder: Path) -> Path:
    return marked(folder)


def test_a_mark_in_a_corner_is_found_and_named(folder: Path, out: Path) -> None:
    before = stamps(out)
    result = audit("--truth", str(write(folder / "d.json", prefix="D:\\traps\\")))
    assert result.exit_code == 0, result.output
    found = record(out)
    assert found["schema"] == "sdfido-audit/1"
    assert found["counts"] == {
        "results": N,
        "audited": N,
        "sequences": N,
        "without_truth": 0,
        "without_animal": 0,
        "failed": 0,
    }
    flags = [(flag["kind"], flag["class"], flag["site"], flag["place"]) for flag in found["flags"]]
    name = found["flags"][0]["class"]  # both are alike
    assert ("background", name, None, "top left corner") in flags
    assert not any(site for _, _, site, _ in flags)  # the place says it
    assert "Flag 1: " in result.stdout
    assert "top left corner" in result.stdout
    for group in found["classes"] + found["sites"]:
        assert group["photos"] == N // 2
        assert group["background_alone"]["value"] > group["animal_alone"]["value"]
        assert group["outside_by_chance"]["value"] == pytest.approx(1 - 96 / 1024)
    photos = found["photos"]
    assert [photo["site"] for photo in photos] == ["A"] * (N // 2) + ["B"] * (N // 2)
    for photo in photos:
        assert photo["suspicion"] == pytest.approx(photo["background_alone"] - photo["animal_alone"], abs=1e-4)
    suspicions = [photos[n]["suspicion"] for n in found["worst"]]
    assert suspicions == sorted(suspicions, reverse=True)
    after = stamps(out)
    assert {name: stamp for name, stamp in after.items() if name not in WRITTEN} == before
    assert set(after) - set(before) == set(WRITTEN)


def test_the_tables_and_the_page(folder: Path, out: Path) -> None:
    result = audit("--truth", str(write(folder / "d.json")))
    assert result.exit_code == 0
    found = record(out)
    with (out / "audit.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == [photo["photo"] for photo in found["photos"]]
    assert list(rows[0]) == ["photo", "results", "class", "site", "sequence", *MEASURES, "suspicion"]
    assert float(rows[0]["background_alone"]) == found["photos"][0]["background_alone"]
    with (out / "audit-groups.csv").open(encoding="utf-8-sig", newline="") as file:
        groups = list(csv.DictReader(file))
    assert [(row["group"], row["name"]) for row in groups] == [
        ("class", "blue"), ("class", "red"), ("site", "A"), ("site", "B"),
    ]  # fmt: skip
    assert float(groups[0]["outside_low"]) == found["classes"][0]["outside"]["low"]
    assert "`sdfido report results` puts it on the page of the results" in result.stdout
    assert run("report", "results").exit_code == 0
    page = page_of(out)
    assert [finding["reason"] for finding in page["findings"]] == [flag["reason"] for flag in found["flags"]]
    assert {key["key"] for key in page["quantities"]} >= {"outside", "background_alone", "animal_alone", "suspicion"}
    by_results = {photo["results"]: photo for photo in found["photos"]}
    for row in page["rows"]:
        known = by_results[row["results"]]
        assert row["site"] == known["site"]
        assert row["numbers"]["suspicion"] == pytest.approx(known["suspicion"], abs=1e-5)
    first = min(page["rows"], key=lambda row: row["rank"])
    assert by_results[first["results"]]["suspicion"] == max(photo["suspicion"] for photo in found["photos"])
    assert "audit.csv" in dict(map(reversed, page["links"]))


def test_the_page_forgets_an_audit_of_earlier_results(folder: Path, out: Path) -> None:
    audit("--truth", str(write(folder / "d.json")))
    options = ["explain", "photos", "--model", "colour_models:corner", *FAST, "--no-pictures", "--out", "results"]
    assert "audit" not in run(*options).stderr
    assert page_of(out)["findings"]
    result = run(*options, "--target", "green")
    assert "Note: audit 'results/audit.json' is of earlier results of 16 photos; `sdfido" in result.stderr
    assert page_of(out)["findings"] == []
    assert not any(name in row["numbers"] for row in page_of(out)["rows"] for name in ("suspicion", "outside"))
    result = run("report", "results")
    assert result.exit_code == 0
    assert "Note: audit 'results/audit.json' is of earlier results of 16 photos" in result.stdout


def test_a_category_that_no_box_has(folder: Path, out: Path) -> None:
    result = audit("--truth", str(write(folder / "d.json")), "--category", "red fx")
    assert result.exit_code == 2
    assert "Error: categories must be names of boxes in the truth, got 'red fx'; it has 'animal'" in result.stderr
    assert audit("--truth", str(folder / "d.json"), "--category", "red fx", "--category", "Animal").exit_code == 0


def test_a_model_that_looks_at_the_animal_is_not_accused(folder: Path, out: Path) -> None:
    for path in (folder / "photos").rglob("*.png"):  # without the mark
        pixels = np.array(Image.open(path))
        pixels[:6, :6] = pixels[-1, -1]
        Image.fromarray(pixels).save(path)
    assert run("explain", "photos", "--model", MODEL, *FAST, "--no-pictures", "--out", "clean").exit_code == 0
    result = run("audit", "clean", "--truth", str(write(folder / "d.json")))
    assert result.exit_code == 0, result.output
    assert record(folder / "clean")["flags"] == []
    assert "Nothing is flagged" in result.stdout


def test_what_is_measured_is_not_measured_again(folder: Path, out: Path) -> None:
    truth = str(write(folder / "d.json", 4))
    assert audit("--truth", truth).exit_code == 0
    first = record(out)
    assert first["counts"]["audited"] == 4
    assert first["counts"]["without_truth"] == N - 4
    rows = (out / ".audit.jsonl").read_text()
    (out / ".audit.jsonl").write_text(rows + rows[:50])  # as a killed process leaves it
    measured: list[str] = []
    write(folder / "d.json")
    again = runs.Audit("results", [truth])
    again.measure(lambda event: measured.append(event.name) if type(event).__name__ == "Measured" else None)
    assert len(measured) == N
    assert sum(map(bool, measured)) == N - 4
    again.write()
    calls = sys.modules["colour_models"].calls
    before = len(calls)
    assert audit("--truth", truth).exit_code == 0
    assert len(calls) == before  # the classifier is not asked
    found = record(out)
    assert found["counts"]["audited"] == N
    assert [p for p in found["photos"] if p in first["photos"]] == first["photos"]


def test_photos_without_truth_or_animal_are_counted(folder: Path, out: Path) -> None:
    path = write(folder / "d.json", 8)
    content = json.loads(path.read_text())
    content["images"][0]["detections"][0]["conf"] = 0.1
    content["images"][1]["detections"] = None
    path.write_text(json.dumps(content))
    result = audit("--truth", str(path))
    assert record(out)["counts"] == {
        "results": N, "audited": 6, "sequences": 6, "without_truth": 8, "without_animal": 2, "failed": 0
    }  # fmt: skip
    assert "6 photos audited\n8 of 16 photos are not in the truth\n" in result.stdout


def test_a_photo_that_cannot_be_measured(folder: Path, out: Path) -> None:
    (folder / "photos/A/IMG_0.png").unlink()
    result = audit("--truth", str(write(folder / "d.json")))
    assert result.exit_code == 1
    assert "Error: photo 'photos/A/IMG_0.png' of 'results/A/IMG_0' is not where it was" in result.stderr
    assert record(out)["counts"] == {
        "results": N, "audited": N - 1, "sequences": N - 1, "without_truth": 0, "without_animal": 0, "failed": 1
    }  # fmt: skip


def test_masks(folder: Path, out: Path) -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[12:20, 12:24] = 255
    (folder / "masks/A").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "masks/A/IMG_0.png")
    assert audit("--truth", "masks").exit_code == 0
    (by_mask,) = record(out)["photos"]
    assert audit("--truth", str(write(folder / "d.json", 1))).exit_code == 0
    assert record(out)["photos"] == [by_mask]


def test_wrong_arguments(folder: Path, out: Path) -> None:
    truth = str(write(folder / "d.json"))
    cases = {
        (
            "audit",
            "photos",
            "--truth",
            truth,
        ): "out must be a folder with results, got photos in 'photos'; explain",
        ("audit", "results", "--truth", "none.json"): "truth 'none.json' cannot be read: No such file or directory",
        ("audit", "results", "--truth", truth, "--sites", "no.csv"): "sites 'no.csv' cannot be read",
    }
    for arguments, says in cases.items():
        result = run(*arguments)
        assert result.exit_code == 2
        assert f"Error: {says}" in result.stderr
    assert not (out / "audit.json").exists()


def test_results_of_other_questions_and_of_several_models(folder: Path, out: Path) -> None:
    truth = str(write(folder / "d.json"))
    explain = ("explain", "photos/A", "--model", "colour_models:corner", *FAST, "--no-pictures")
    assert run(*explain, "--rather-than", "rival", "--out", "contrast").exit_code == 0
    result = run("audit", "contrast", "--truth", truth)
    assert result.exit_code == 2
    assert "must explain a class, got" in result.stderr
    assert run("explain", "red.png", "--model", MODEL, *FAST, "--out", "results/other").exit_code == 0
    result = audit("--truth", truth)
    assert result.exit_code == 2
    assert "out must have results of one model, got colours, corner in 'results'" in result.stderr
