"""Reliability: goals are judged by what was measured, measures tell good maps from bad, and runs go on."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.common import photos, records
from benchmarks.common.variants import PLAIN
from benchmarks.studies.reliability import measures, methods, picture, report
from benchmarks.studies.reliability.methods import Case, ChannelsLast

study = importlib.import_module("benchmarks.studies.reliability.__main__")

LITE = ["efficientnet-lite0", "efficientnet-lite1"]


def _numbers(place: int, name: str) -> dict[str, float]:
    """A method's values follow from its place; less is better of some."""
    numbers = {
        measure: place / 16
        for measure in ("insertion", "deletion", "difference", "kept", "left", "area kept", "area infilled")
    }
    numbers |= {f"{what} {infill}": place / 16 for what in ("kept", "left") for infill in report.INFILLS}
    for runs, of in (("seeds", report.MAPS), ("rounding", report.MAPS)):
        if name.startswith("FIDO"):
            numbers |= {f"{runs} {m} {kind}": 0.875 for m in of for kind in ("rank", "iou")}
    return numbers


def _region(**changed: Any) -> dict[str, Any]:
    return {"area ssr": 0.125, "share ssr": 0.95, "area sdr": 0.25, "share sdr": 0.05, "notes": []} | changed


def _results() -> dict[str, Any]:
    """Two photos by two classifiers."""
    pairs = [
        {
            "photo": photo,
            "classifier": classifier,
            "label": "tiger cat",
            "probability": 0.5,
            "methods": {name: _numbers(place, name) for place, name in enumerate(report.METHODS)},
            "regions": {name: _region() for name in report.OWN},
            "seconds": 50.0,
        }
        for photo in ("goldfish", "quokka")
        for classifier in LITE
    ]
    source = {"package": "paints 1.0", "path": "paints/red.png", "licence": "CC0, nobody"}
    return {
        "machine": {"cpu": "abacus", "cpu_isa": "wood", "torch": "2.13.0", "date": "2000-01-01"},
        "threads": 2,
        "seconds": 200,
        "settings": {"steps": 120},
        "before": {"steps": 120},
        "every": 3,
        "photos": {"goldfish": source, "quokka": source},
        "classifiers": LITE,
        "timings": [
            {"photo": photo, "classifier": LITE[0], "seconds": dict.fromkeys(report.METHODS, seconds)}
            for photo, seconds in (("goldfish", 2.0), ("quokka", 4.0))
        ],
        "pairs": pairs,
    }


def _goal(results: dict[str, Any], what: str) -> list[str]:
    (row,) = (line for line in report.goals(results).splitlines() if line.startswith(f"| {what}"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_methods_have_the_names_that_the_tables_know():
    assert list(report.METHODS) == [*methods.FIDOS, *methods.OTHERS]
    assert set(methods.RANDOM) < set(methods.OTHERS)
    assert (report.KEEP, report.LEAVE) == (measures.KEEP, measures.LEAVE)
    assert {entry.name for entry in photos.REPORTING} > set(picture.SHOWN)


@pytest.mark.parametrize(
    ("changed", "silent", "told"),
    [
        ({}, 0, 0),
        ({"share ssr": 0.8996}, 0, 0),  # rounding
        ({"share ssr": 0.85}, 1, 0),
        ({"share ssr": 0.85, "share sdr": 0.3}, 1, 0),  # an explanation counts once
        ({"share ssr": 0.85, "notes": ["SDR: another region."]}, 1, 0),
        ({"share ssr": 0.85, "notes": ["SSR: it keeps 42%."]}, 0, 1),
        ({"share sdr": 0.2, "notes": ["The target does not depend on it, and no region means anything."]}, 0, 1),
    ],
)
def test_misses_count_by_whether_a_note_warns_of_them(changed: dict[str, Any], silent: int, told: int):
    results = _results()
    results["pairs"][1]["regions"]["FIDO"] = _region(**changed)
    assert _goal(results, "explanations whose regions miss")[1] == str(silent)
    assert _goal(results, "…, with a note") == ["≤ 2 of 4", str(told), "yes"]


def test_areas_are_judged_by_their_means():
    results = _results()
    assert _goal(results, "area of the SSR") == ["≤ 12%", "12.5%", "**no**"]
    for one in results["pairs"][:2]:
        one["regions"]["FIDO"]["area ssr"] = 0.1
    assert _goal(results, "area of the SSR")[1:] == ["11.2%", "yes"]


def test_other_infills_are_judged_against_the_best_method():
    results = _results()
    best = (len(report.METHODS) - 1) / 16
    assert _goal(results, "other infills: top 20% of the SSR kept") == [f"> {best:.3f} (RISE)", "0.000", "**no**"]
    assert _goal(results, "other infills: top 20% of the SDR infilled") == [
        f"< {3 / 16:.3f} (Integrated Gradients, SmoothGrad)",
        "0.000",
        "yes",
    ]


def test_each_classifier_is_judged_by_itself():
    results = _results()
    for one in results["pairs"]:
        one["methods"]["FIDO"]["difference"] = 0.9 if one["classifier"] == LITE[0] else 0.1
    assert _goal(results, f"insertion − deletion, joint map, {LITE[0]}")[-1] == "yes"
    assert _goal(results, f"insertion − deletion, joint map, {LITE[1]}")[-1] == "**no**"


def test_seconds_are_judged_on_the_first_classifier():
    results = _results()
    assert _goal(results, f"seconds an explanation of {LITE[0]}, FIDO fast") == ["≤ 2.5", "3.0", "**no**"]
    assert report.seconds(results, "RISE") == 3.0
    assert report.methods_table(results).splitlines()[2].endswith(" 3.0 |")


def test_differences_are_paired_by_photos():
    results = _results()
    for one, value in zip(results["pairs"], (0.1, 0.3, 0.3, 0.5), strict=True):
        one["methods"]["FIDO"]["kept"] = one["methods"]["RISE"]["kept"] + value
    found = report.advantage(results, "RISE", "kept")
    assert found == {"value": pytest.approx(0.3), "low": pytest.approx(0.2), "high": pytest.approx(0.4)}


def test_regions_that_miss_are_bold():
    results = _results()
    results["pairs"][0]["regions"]["FIDO"] = _region(**{"share ssr": 0.5, "notes": ["SSR: it keeps 25%."]})
    assert report.pairs_table(results).splitlines()[2] == (
        "| goldfish | Lite0 | tiger cat | 50% | 12% | **50%** | 25% | 5% | SSR: it keeps 25%. |"
    )


def test_texts_of_the_picture_do_not_touch():
    pair = _results()["pairs"][0] | {"label": "African elephant"}
    arrays = {name: np.full((3, 8, 8) if name in ("pixels", "ssr", "sdr") else (8, 8), 0.5, np.float32)
              for name in picture.COLUMNS}  # fmt: skip
    drawn = picture.figure([(pair, arrays)] * 2)
    drawn.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.texts] + [axes.get_window_extent() for axes in drawn.axes]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0, index
        assert box.y0 >= 0, index
        assert box.x1 <= drawn.bbox.width, index
        assert box.y1 <= drawn.bbox.height, index
        assert box.count_overlaps(boxes) == 1, index  # itself


class Square(nn.Module):
    """Two classes: is the square white, or is it black? With the layer that Grad-CAM is taken of."""

    def __init__(self) -> None:
        super().__init__()
        self._avg_pooling = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        inside = torch.zeros(56, 56)
        inside[12:26, 12:26] = 16
        score = 4 * self._avg_pooling(images * inside).mean((1, 2, 3))
        return torch.stack([score, -score], dim=1)


@pytest.fixture
def case() -> Case:
    """A white square, which Square sees, on black."""
    pixels = torch.zeros(3, 56, 56)
    pixels[:, 12:26, 12:26] = 1
    return Case(ChannelsLast(Square()), (2 * pixels - 1)[None], pixels, 0)


@pytest.fixture
def truth(case: Case) -> Tensor:
    return case.pixels[:1]


def test_measures_tell_the_square_from_all_else(case: Case, truth: Tensor):
    own, fill = float(case.confidences(case.image)), measures.fillers(study.models.Normalization((0.5,), (0.5,)))
    wrong = 1 - truth
    curves = [measures.areas_under_curves(case, each) for each in (truth, wrong)]
    assert curves[0]["difference"] > 0.5 > 0 > curves[1]["difference"]
    good, bad = (measures.under_other_infills(case, each, each, fill, own) for each in (truth, wrong))
    assert set(good) == {"kept", "left"} | {f"{what} {name}" for what in ("kept", "left") for name in report.INFILLS}
    for name in report.INFILLS:
        assert good[f"kept {name}"] > bad[f"kept {name}"]
        assert good[f"left {name}"] < bad[f"left {name}"]
    areas = measures.smallest_areas(case, truth, truth, own)
    assert 0.02 < areas["area kept"] <= 0.08  # the square has 6%
    assert measures.smallest_areas(case, wrong, wrong, own)["area kept"] > 0.8


def test_a_map_that_nothing_reaches_its_share_by_needs_all(case: Case, truth: Tensor):
    assert measures.smallest_areas(case, truth, truth, 10.0)["area kept"] == 1.0


def test_inpainting_leaves_what_is_kept_and_carries_it_on():
    image = torch.linspace(0, 1, 50)[None, None, None].expand(1, 3, 41, 50).contiguous()
    keep = torch.ones(41, 50, dtype=torch.bool)
    keep[10:30, 15:35] = False
    found = measures.inpainted(image, keep)
    assert torch.equal(found[:, :, keep], image[:, :, keep])
    assert (found - image).abs().max() < 0.25  # a ramp goes on through the hole
    assert measures.inpainted(image, torch.zeros_like(keep)).eq(0).all()


def test_agreement():
    a = torch.arange(100.0).view(1, 10, 10)
    assert measures.agreement(a, a) == {"rank": 1.0, "iou": 1.0}
    assert measures.agreement(a, -a) == {"rank": -1.0, "iou": 0.0}


@pytest.mark.parametrize("name", ["IG, SmoothGrad", "KernelShap", "Occlusion", "RISE"])
def test_other_methods_find_the_square(name: str, case: Case, truth: Tensor):
    method, fewer = methods.OTHERS[name], methods.fewer(30).get(name, {})
    before = torch.random.get_rng_state()
    found, again = (method(case, 1, **fewer) for _ in range(2))
    assert found.shape == truth.shape
    assert torch.equal(found, again)
    assert torch.equal(torch.random.get_rng_state(), before)
    inside = truth.bool()
    assert found[inside].mean() > found[~inside].mean() + found.std() / 2
    assert torch.equal(found, method(case, 2, **fewer)) == (name not in methods.RANDOM)


def test_settings_of_before_are_written_out(case: Case):
    settings = vars(methods.before(case.model.model, 1).settings)
    assert {name: settings[name] for name in PLAIN} == PLAIN
    assert settings["seed"] == 1


class Tiny(nn.Module):
    """Has the layer that the study takes Grad-CAM from."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self._avg_pooling, self.head = nn.Conv2d(3, 4, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 9 * self.head(self._avg_pooling(self.features(x).relu()).flatten(1))


@pytest.mark.studies
def test_the_study_runs_as_a_whole_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """With two small pictures and an untrained network, to results of the form that the tables read."""
    torch.manual_seed(0)
    classifier = study.models.Classifier(LITE[0], Tiny().eval(), study.models.IMAGENET, (64, 64), ("a", "b", "c"))
    monkeypatch.setattr(study.models, "load", lambda spec: classifier)
    noise = np.random.default_rng(0).integers(0, 255, (2, 5, 5, 3), np.uint8)
    entries = [entry for entry in photos.REPORTING if entry.name in picture.SHOWN]
    shown = [
        photos.Photo(entry.name, Image.fromarray(pixels).resize((80, 80)), entry.source, entry.licence)
        for entry, pixels in zip(entries, noise, strict=False)
    ]
    old = {"key": "of other code", "photo": shown[1].name, "classifier": LITE[0], "pair": {}}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(old) + "\n")
    study.run(shown[:1], (0,), 2, tmp_path)
    results = records.write(tmp_path / "reliability.json", study.run(shown, (0,), 2, tmp_path))
    assert "2 pairs, 1 of them known" in capsys.readouterr().out
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 3
    assert [set(one["methods"]) for one in results["pairs"]] == [
        set(report.METHODS),
        set(report.METHODS) - {"FIDO before"},
    ]
    assert "seeds joint rank" in results["pairs"][0]["methods"]["RISE"]
    assert "seeds joint rank" not in results["pairs"][1]["methods"]["RISE"]
    assert all(photo.name in report.blocks(results)["pairs"] for photo in shown)
    picture.draw(results, tmp_path / "maps", tmp_path / "reliability.webp")
    assert (tmp_path / "reliability.webp").exists()
