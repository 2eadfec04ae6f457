"""`sdfido evaluate`: its numbers against sdfido.evaluate, truth, several runs, and what it says of what is amiss."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from sdfido import Explanation, evaluate, models, reports
from sdfido.infills import from_spec
from tests.cli.support import MODEL, draw, explain, names, prepare, run, stamps, summary_of

MAPS = ("ssr", "sdr", "joint")
WRITTEN = ["curves.png", "evaluation.json"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        reports, "overview", lambda *arguments, **settings: Figure((1, 1))
    )  # drawing takes the time here
    yield from prepare(tmp_path, monkeypatch)


@pytest.fixture
def out(folder):
    """Results of two photos, with an infill that is random."""
    assert explain("red.png", "blue.png", "--infill", "normal", "--seed", "3").exit_code == 0
    return folder / "out"


def record(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


def load(out: Path, name: str) -> tuple[Explanation, dict[str, torch.Tensor]]:
    explanation = Explanation.load(out / name / "explanation.npz")
    return explanation, {each: getattr(explanation, each) for each in MAPS}


def test_the_numbers_are_those_of_the_library(folder: Path, out: Path) -> None:
    before = stamps(out)
    result = run("evaluate", "out")
    assert result.exit_code == 0, result.output
    written = record(out)
    (only,) = written["runs"]
    assert [(photo["photo"], photo["results"]) for photo in only["photos"]] == [
        ("blue.png", "blue"),
        ("red.png", "red"),
    ]
    classifier = models.load("colour_models:make")
    infill = from_spec("normal", classifier.normalization, seed=3)
    for photo in only["photos"]:
        explanation, maps = load(out, photo["results"])
        image = classifier.preprocess(models.read_photo(folder / photo["photo"]))[None]
        assert photo["prob_image"] == pytest.approx(float(explanation.prob_image))
        for name, importance in maps.items():
            given = (classifier.model, image, importance, explanation.targets)
            random = {"infill": infill, "streams": [summary_of(folder / out / photo["results"])["stream"]]}
            expected = {
                "sufficiency": evaluate.sufficiency(*given, areas=[0.3], **random).relative[:, 0],
                "necessity": evaluate.necessity(*given, areas=[0.2], **random).relative[:, 0],
                "insertion": evaluate.insertion(*given, **random).area,
                "deletion": evaluate.deletion(*given, **random).area,
                "total_variation": evaluate.total_variation(importance),
                "components": evaluate.components(evaluate.top(importance, 0.2)),
            }
            assert {measure: photo[measure][name] for measure in expected} == pytest.approx(
                {measure: float(value) for measure, value in expected.items()}
            )
            curve = evaluate.insertion(*given, **random)
            assert only["curves"]["insertion"]["fractions"] == pytest.approx(curve.fractions.tolist())
    for measure in ("sufficiency", "deletion", "components"):
        for name in MAPS:
            mean = sum(photo[measure][name] for photo in only["photos"]) / 2
            assert only["mean"][measure][name] == pytest.approx(mean)
    assert {name: stamp for name, stamp in stamps(out).items() if name not in WRITTEN} == before


def test_the_table_tells_each_number_with_its_map(folder: Path, out: Path) -> None:
    result = run("evaluate", "out")
    rows = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("│")}
    assert list(rows) == ["blue.png", "red.png", "average"]
    (only,) = record(out)["runs"]
    for photo in only["photos"]:
        cells = [cell.strip() for cell in rows[photo["photo"]].split("│")[2:-1]]
        assert cells == [
            photo["label"],
            f"{photo['prob_image']:.0%}",
            f"{photo['sufficiency']['ssr']:.0%}",
            f"{photo['necessity']['sdr']:.0%}",
            f"{photo['insertion']['ssr']:.3f}",
            f"{photo['deletion']['sdr']:.3f}",
            f"{photo['total_variation']['joint']:.3f}",
            f"{photo['components']['joint']:.1f}",
        ]
    assert f"{only['mean']['insertion']['ssr']:.3f}" in rows["average"]
    assert result.stdout.endswith("See out/curves.png and out/evaluation.json\n")
    with Image.open(out / "curves.png") as picture:
        assert picture.width > 1500


def test_one_photos_folder(folder: Path) -> None:
    explain("red.png", "--out", "one")
    (folder / "one" / "overview.png").unlink()  # is not needed
    assert run("evaluate", "one").exit_code == 0
    assert names(folder / "one") == sorted([*WRITTEN, "explanation.npz", "summary.json", "view.js"])
    assert [photo["results"] for photo in record(folder / "one")["runs"][0]["photos"]] == ["."]


def test_masks_and_boxes(folder: Path, out: Path) -> None:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[5:15, 10:20] = 1
    (folder / "truth").mkdir()
    Image.fromarray(mask).save(folder / "truth" / "red.png")
    (folder / "truth" / "boxes.csv").write_text("photo,x0,y0,x1,y1\nblue.png,10,5,20,15\nred.png,0,0,1,1\n")
    result = run("evaluate", "out", "--truth", "truth")
    assert result.exit_code == 0, result.output
    assert "IoU" in result.stdout
    photos = record(out)["runs"][0]["photos"]
    # 30 x 20 pixels become 16 of 24 x 16: the square lies where 0.8 of a pixel is one.
    seen = torch.zeros(1, 16, 16, dtype=torch.bool)
    seen[:, 4:12, 4:12] = True
    for photo in photos:
        _, maps = load(out, photo["results"])
        for name, importance in maps.items():
            expected = {
                "intersection_over_union": evaluate.intersection_over_union(importance, seen),
                "pointing_game": evaluate.pointing_game(importance, seen),
                "outside": evaluate.outside(importance, seen),
            }
            for measure, value in expected.items():
                assert photo[measure][name] == pytest.approx(float(value)), (photo["photo"], measure, name)


def test_files_of_detectors_and_data_sets(folder: Path, out: Path) -> None:
    """Boxes of MegaDetector and COCO are the same as those in boxes.csv; a detection that does not count is none."""
    (folder / "truth").mkdir()
    (folder / "truth" / "boxes.csv").write_text("photo,x0,y0,x1,y1\nred.png,10,5,20,15\nblue.png,0,0,15,10\n")
    detections = [
        {"category": "1", "conf": 0.9, "bbox": [1 / 3, 1 / 4, 1 / 3, 1 / 2]},
        {"category": "1", "conf": 0.3, "bbox": [0, 0, 0.1, 0.1]},
    ]
    batch = {"images": [{"file": "D:\\traps\\red.png", "detections": detections}]}
    (folder / "batch.json").write_text(json.dumps(batch))
    image = {"id": 1, "file_name": "blue.png", "width": 30, "height": 20}
    box = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 15, 10]}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 3, "name": "heron"}]}
    (folder / "coco.json").write_text(json.dumps(coco))
    found = []
    for truth in (["truth"], ["batch.json", "coco.json"]):
        options = [option for each in truth for option in ("--truth", each)]
        result = run("evaluate", "out", *options, "--confidence", "0.5", "--category", "heron", "--category", "animal")
        assert result.exit_code == 0, result.output
        assert "have no truth" not in result.stdout
        found.append(record(out)["runs"][0]["photos"])
    assert found[0] == found[1]
    run("evaluate", "out", "--truth", "batch.json")  # now the second box counts, too
    photos = {photo["photo"]: photo for photo in record(out)["runs"][0]["photos"]}
    assert photos["red.png"]["outside"] != found[0][0]["outside"]
    assert "outside" not in photos["blue.png"] or photos["blue.png"]["outside"]["ssr"] is None
    result = run("evaluate", "out", "--truth", "batch.json", "--category", "fox")
    assert "Error: categories must be names of boxes in the truth, got 'fox'; it has 'animal'" in result.stderr
    result = run("evaluate", "out", "--truth", "batch.json", "--confidence", "0.95")
    assert "2 of 2 photos have no truth that the classifier sees" in result.stdout


def test_photos_without_truth_are_left_out_of_its_average(folder: Path, out: Path) -> None:
    (folder / "truth").mkdir()
    (folder / "truth" / "boxes.csv").write_text("photo,x0,y0,x1,y1\nred.png,10,5,20,15\nblue.png,0,0,1,1\n")
    result = run("evaluate", "out", "--truth", "truth")
    (only,) = record(out)["runs"]
    blue, red = only["photos"]
    assert blue["outside"] == dict.fromkeys(MAPS)  # its box lies where the classifier does not look
    assert only["mean"]["outside"] == red["outside"]
    assert [line.split("│")[-2].strip() for line in result.stdout.splitlines() if "blue.png" in line] == ["–"]


def test_truth_of_another_photo_of_the_same_name_is_not_taken(folder: Path) -> None:
    for name in ("birds/x.png", "birds/sub/x.png"):
        draw(folder / name, (250, 20, 20))
    explain("birds")
    (folder / "truth").mkdir()
    (folder / "truth" / "boxes.csv").write_text("photo,x0,y0,x1,y1\nx.png,10,5,20,15\n")
    result = run("evaluate", "out", "--truth", "truth")
    below, above = record(folder / "out")["runs"][0]["photos"]
    assert (above["results"], below["results"]) == ("x", "sub/x")
    assert above["outside"]["joint"] is not None
    assert below["outside"] == dict.fromkeys(MAPS)
    assert "1 of 2 photos have no truth that the classifier sees\n" in result.stdout
    (folder / "truth" / "sub").mkdir()
    Image.new("L", (30, 20), 255).save(folder / "truth" / "sub" / "x.png")
    result = run("evaluate", "out", "--truth", "truth")
    assert record(folder / "out")["runs"][0]["photos"][0]["outside"] == dict.fromkeys(MAPS, 0)
    assert "have no truth" not in result.stdout


def test_a_photo_that_has_out_for_itself_has_the_truth_of_its_own_name(folder: Path) -> None:
    explain("red.png", "--out", "one")
    (folder / "truth").mkdir()
    Image.new("L", (30, 20), 255).save(folder / "truth" / "red.png")
    run("evaluate", "one", "--truth", "truth")
    assert record(folder / "one")["runs"][0]["photos"][0]["outside"] == dict.fromkeys(MAPS, 0)


@pytest.mark.parametrize("rows", [[(4, 0, 8, 20), (22, 4, 26, 16)], [(22, 4, 26, 16), (4, 0, 8, 20), (5, 1, 7, 9)]])
def test_all_boxes_of_a_photo_count(folder: Path, out: Path, rows: list[tuple[int, ...]]) -> None:
    (folder / "boxes").mkdir()
    lines = [",".join(map(str, ("red.png", *row))) for row in rows]
    (folder / "boxes" / "boxes.csv").write_text("\n".join(["photo,x0,y0,x1,y1", *lines]) + "\n")
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[0:20, 4:8] = mask[4:16, 22:26] = 1
    (folder / "masks").mkdir()
    Image.fromarray(mask).save(folder / "masks" / "red.png")
    found = []
    for truth in ("boxes", "masks"):
        assert run("evaluate", "out", "--truth", truth).exit_code == 0
        found.append(record(out)["runs"][0]["photos"][1])
    boxes, masks = found
    assert boxes == masks
    assert boxes["outside"]["joint"] is not None


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ("photo,x,y\n", "must have the columns photo, x0, y0, x1, y1"),
        ("photo,x0,y0,x1,y1\nred.png,1,2,3\n", "must have finite numbers in line 2"),
        ("photo,x0,y0,x1,y1\nred.png,0.1,0.2,0.6,0.9\n", "must have boxes in pixels, got parts of the photo in line 2"),
        ("photo,x0,y0,x1,y1\nred.png,5,2,3,4\n", "must have x0 < x1 and y0 < y1 in line 2"),
        (
            "photo,x0,y0,x1,y1\nred.png,1,2,3,4\nred.jpg,1,2,3,4\n",
            "must have one photo of a name, got 'red.png' and 'red.jpg' in line 3",
        ),
    ],
)
def test_bad_boxes(folder: Path, out: Path, boxes: str, says: str) -> None:
    (folder / "truth").mkdir()
    (folder / "truth" / "boxes.csv").write_text(boxes)
    result = run("evaluate", "out", "--truth", "truth")
    assert result.exit_code == 2
    assert f"Error: truth 'truth/boxes.csv' {says}" in result.stderr


def test_a_mask_of_another_size(folder: Path, out: Path) -> None:
    draw(folder / "truth" / "red.png", (255, 255, 255))
    with Image.open(folder / "truth" / "red.png") as mask:
        mask.rotate(90, expand=True).save(folder / "truth" / "red.png")
    result = run("evaluate", "out", "--truth", "truth")
    assert result.exit_code == 1
    assert "Error: truth 'truth/red.png' must be as large as its photo, 30x20, got 20x30" in result.stderr
    assert [photo["photo"] for photo in record(out)["runs"][0]["photos"]] == ["blue.png"]


def test_several_runs_are_set_against_each_other(folder: Path, out: Path) -> None:
    for seed in ("4", "5"):
        explain("red.png", "blue.png", "--seed", seed, "--out", f"seed{seed}")
    draw(folder / "more.png", (20, 250, 20))
    explain("more.png", "--out", "seed5/more")
    result = run("evaluate", "out", "seed4", "seed5")
    assert result.exit_code == 0, result.output
    written = record(out)
    assert [(each["out"], len(each["photos"])) for each in written["runs"]] == [("out", 2), ("seed4", 2), ("seed5", 3)]
    same = written["rank_correlation"]
    assert [photo["photo"] for photo in same["photos"]] == ["blue.png", "red.png"]
    for photo in same["photos"]:
        runs = [load(folder / each, Path(photo["photo"]).stem)[1] for each in ("out", "seed4", "seed5")]
        for name in MAPS:
            expected = float(evaluate.stability(torch.stack([maps[name] for maps in runs])))
            assert photo[name] == pytest.approx(expected)
            assert -1 <= expected < 1
    assert same["mean"]["ssr"] == pytest.approx(sum(photo["ssr"] for photo in same["photos"]) / 2)
    assert "rank correlation" in result.stdout
    assert not (folder / "seed4" / "evaluation.json").exists()


def copies(folder: Path, count: int) -> list[str]:
    """So many folders with the results of OUT, which may then be spoilt."""
    for number in range(count):
        shutil.copytree(folder / "out", folder / f"copy{number}")
    return [f"copy{number}" for number in range(count)]


def spoil(results: Path, how: str) -> None:
    path = results / "explanation.npz"
    if how == "not an explanation":
        path.write_bytes(b"PK")
        return
    explanation = Explanation.load(path)
    if how == "not finite":
        explanation.sdr[0, 3, 3] = torch.nan
    else:
        explanation = Explanation.load(results.parents[1] / "large" / "explanation.npz")
    explanation.save(path)


@pytest.mark.parametrize("how", ["not an explanation", "not finite", "of another size"])
def test_a_result_that_cannot_be_read_does_not_stop_the_others(folder: Path, out: Path, how: str) -> None:
    explain("red.png", "--out", "large", model="colour_models:large")
    first, second = copies(folder, 2)
    spoil(folder / second / "red", how)
    result = run("evaluate", first, second)
    assert result.exit_code == 1, result.output
    assert f"{second}/red/explanation.npz" in result.stderr
    assert "1 of 4 photos could not be measured" in result.stderr
    written = record(folder / first)
    assert [[photo["photo"] for photo in each["photos"]] for each in written["runs"]] == [
        ["blue.png", "red.png"],
        ["blue.png"],
    ]
    assert [photo["photo"] for photo in written["rank_correlation"]["photos"]] == ["blue.png"]


@pytest.mark.parametrize("empty", [0, 1])
def test_an_out_without_a_measurable_photo_does_not_stop_the_others(folder: Path, out: Path, empty: int) -> None:
    given = copies(folder, 2)
    for name in ("red", "blue"):
        spoil(folder / given[empty] / name, "not finite")
    result = run("evaluate", *given)
    assert result.exit_code == 1
    assert "2 of 4 photos could not be measured" in result.stderr
    written = record(folder / given[0])
    assert [(each["out"], len(each["photos"])) for each in written["runs"]] == [(given[1 - empty], 2)]
    assert written["rank_correlation"]["photos"] == []
    assert "red.png" in result.stdout
    assert (folder / given[0] / "curves.png").exists()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_folder_in_the_files_place_is_found_before_measuring(
    folder: Path, out: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out / name).mkdir()
    monkeypatch.setattr(evaluate, "measure", None)
    result = run("evaluate", "out")
    assert result.exit_code == 2
    assert f"Error: out must take the evaluation, got 'out', where out/{name} cannot be replaced" in result.stderr


def test_an_out_that_must_not_be_written_is_found_before_measuring(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.access  # the tests may run as root, who may write anything
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and original(path, mode))
    monkeypatch.setattr(evaluate, "measure", None)
    result = run("evaluate", "out")
    assert result.exit_code == 2
    assert "Error: out must be a folder to write to, got 'out', which is not writable" in result.stderr


def test_a_missing_package_is_found_before_measuring(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sdfido.reports")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib.lines", None)
    monkeypatch.setattr(evaluate, "measure", None)
    result = run("evaluate", "out")
    assert result.exit_code == 2
    assert 'pip install "sdfido[plot]"' in result.stderr


def test_files_that_cannot_be_written_are_reported(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports, "save", fail)
    result = run("evaluate", "out")
    assert result.exit_code == 1
    assert "Error: out/curves.png and out/evaluation.json could not be written: [Errno 28] No space" in result.stderr
    assert "average" in result.stdout
    assert "See " not in result.stdout
    assert not (out / "evaluation.json").exists()


def test_models_of_other_sizes_are_set_against_each_other(folder: Path, out: Path) -> None:
    explain("red.png", "blue.png", "--out", "large", model="colour_models:large")
    explain("red.png", "blue.png", "--out", "seed4", "--seed", "4")
    result = run("evaluate", "out", "large", "seed4")
    assert result.exit_code == 0, result.output
    same = record(out)["rank_correlation"]
    for photo in same["photos"]:
        first, second, third = (
            load(folder / each, Path(photo["photo"]).stem)[1]["joint"] for each in ("out", "large", "seed4")
        )
        found = evaluate.model_agreement({"16 pixels": first, "20 pixels": second, "seed 4": third})
        assert photo["joint"] == pytest.approx(float(found.mean))
    pairs = torch.tensor(same["pairs"]["joint"])
    assert pairs.shape == (3, 3)
    assert torch.equal(pairs, pairs.T)
    rows = [line.split("│")[1:-1] for line in result.stdout.split("each with each")[1].splitlines() if "│" in line]
    assert [row[0].strip() for row in rows] == ["out", "large", "seed4"]
    assert [row[0 + n].strip() for n, row in enumerate(rows, 1)] == ["1.00"] * 3
    assert rows[0][2].strip() == f"{pairs[0, 1]:.2f}"


def test_runs_of_models_that_see_another_part_of_photos(folder: Path, out: Path) -> None:
    explain("red.png", "blue.png", "--out", "squashed", model=f"{MODEL}?crop_mode=squash")
    result = run("evaluate", "out", "squashed")
    assert result.exit_code == 2
    assert "Error: out must be folders whose maps show the same part of a photo, got models that see" in result.stderr
    assert "such as --model 'NAME?crop=1'" in result.stderr
    assert not (out / "evaluation.json").exists()


def test_moved_photos(folder: Path, out: Path) -> None:
    (folder / "elsewhere" / "deep").mkdir(parents=True)
    (folder / "red.png").rename(folder / "elsewhere" / "deep" / "other name.png")
    result = run("evaluate", "out")
    assert result.exit_code == 1
    says = "Error: photo 'red.png' of 'out/red' is not where it was; --photos FOLDER says where it is now"
    assert says in result.stderr
    assert "1 of 2 photos could not be measured" in result.stderr
    assert [photo["photo"] for photo in record(out)["runs"][0]["photos"]] == ["blue.png"]
    assert run("evaluate", "out", "--photos", "elsewhere").exit_code == 0
    assert [photo["photo"] for photo in record(out)["runs"][0]["photos"]] == ["blue.png", "red.png"]


def test_changed_photos(folder: Path, out: Path) -> None:
    for name in ("red.png", "blue.png"):
        draw(folder / name, (1, 2, 3))
    result = run("evaluate", "out")
    assert result.exit_code == 1
    assert "Error: photo 'red.png' of 'out/red' has changed since it was explained" in result.stderr
    assert "2 of 2 photos could not be measured" in result.stderr
    assert not (out / "evaluation.json").exists()


def test_photos_and_results_that_move_together_are_found(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "project").mkdir()
    for name in ("red.png", "blue.png", "out", "colour_models.py"):
        shutil.move(folder / name, folder / "project" / name)
    (folder / "project").rename(folder / "moved")
    monkeypatch.syspath_prepend(folder / "moved")
    assert run("evaluate", "moved/out").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "Error: out must be a folder with results of `sdfido explain`, got 'nowhere'"),
        (
            ["out", "--truth", "nowhere"],
            "Error: truth 'nowhere' cannot be read: No such file or directory; give a file of MegaDetector",
        ),
        (["out", "--photos", "nowhere"], "Error: photos must be a folder with photos, got 'nowhere'"),
        (["out", "--device", "meta"], "Error: device must be one that this PyTorch can use, got 'meta'"),
    ],
)
def test_bad_arguments(folder: Path, out: Path, arguments: list[str], says: str) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_results_of_an_older_version(folder: Path, out: Path) -> None:
    about = json.loads((out / "red" / "summary.json").read_text())
    del about["model_spec"], about["prob_image"]
    (out / "red" / "summary.json").write_text(json.dumps(about))
    result = run("evaluate", "out")
    assert result.exit_code == 1
    assert "Error: results 'out/red' do not say prob_image, model_spec: they are of an older sdfido" in result.stderr
    assert [row["photo"] for row in json.loads((out / "evaluation.json").read_text())["runs"][0]["photos"]] == [
        "blue.png"
    ]


def test_other_weights(folder: Path) -> None:
    (folder / "weight.txt").write_text("1")
    explain("red.png", model="colour_models:weighted")
    (folder / "weight.txt").write_text("2")
    result = run("evaluate", "out")
    assert result.exit_code == 2
    assert "Error: model 'colour_models:weighted' has other weights" in result.stderr


def test_an_interrupt_writes_nothing(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "measure", interrupt)
    result = run("evaluate", "out")
    assert result.exit_code == 130
    assert "Interrupted: nothing is written" in result.stderr
    assert not (out / "evaluation.json").exists()


def test_what_evaluate_draws_is_no_photo(folder: Path, out: Path) -> None:
    run("evaluate", "out")
    assert "2 of 2 photos are explained already" in explain(".", "--infill", "normal", "--seed", "3").stdout


def test_numbers_that_are_not_known_are_none(folder: Path, out: Path) -> None:
    constant = Explanation.load(out / "red" / "explanation.npz")
    constant.ssr.fill_(0.5)
    constant.save(out / "red" / "explanation.npz")
    shutil.copytree(out, folder / "copy")
    assert run("evaluate", "out", "copy").exit_code == 0
    blue, red = record(out)["rank_correlation"]["photos"]
    assert (blue["ssr"], red["ssr"], red["sdr"]) == (pytest.approx(1), None, pytest.approx(1))
    assert record(out)["rank_correlation"]["mean"]["ssr"] == pytest.approx(1)
