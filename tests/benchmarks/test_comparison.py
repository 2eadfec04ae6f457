"""The comparison: costs are counted and met, and tables say what was measured."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.common import classifiers, drawing, markers, paths, photos, records
from benchmarks.studies.comparison import methods, picture, report
from benchmarks.studies.reliability.methods import Case, ChannelsLast

study = importlib.import_module("benchmarks.studies.comparison.__main__")

LITE = ["efficientnet-lite0", "efficientnet-lite1"]


def _numbers(place: int, name: str, calls: int) -> dict[str, float]:
    """A method's values follow from its place."""
    numbers = {name: place / 16 for name in (*report.COLUMNS, "variation", "border", "components")}
    numbers |= {f"{what} {infill}": place / 16 for what in ("kept", "left") for infill in ("blur", *report.INFILLS)}
    if methods.METHODS[name].random:
        numbers |= {"seeds rank": 0.875, "seeds iou": 0.75}
    return numbers | {"calls": calls, "gradients": calls // 2}


def _results() -> dict[str, Any]:
    """Two photos by two classifiers."""
    names = list(report.METHODS)
    pairs = [
        {
            "photo": photo,
            "classifier": classifier,
            "label": "tiger cat",
            "probability": 0.5,
            "own": {name: _numbers(place, name, 100 * place) for place, name in enumerate(names)},
            "equal": {
                name: _numbers(place + 1, name, 400)
                for place, name in enumerate(names)
                if methods.METHODS[name].at is not None
            },
            "seconds": 50.0,
        }
        for photo in ("goldfish", "quokka")
        for classifier in LITE
    ]
    value = {"value": 0.5, "low": 0.25, "high": 0.75}
    of_birds = {name: {"map": {"iou": value, "pointing": value}} for name in names}
    of_birds["FIDO"] = {
        name: {"iou": {**value, "value": iou}, "pointing": value}
        for name, iou in (("ssr", 0.25), ("sdr", 0.625), ("joint", 0.5))
    }
    return {
        "machine": {"cpu": "abacus", "cpu_isa": "wood", "torch": "2.13.0", "date": "2000-01-01"},
        "threads": 2,
        "seconds": 200,
        "defaults": {"I-GOS": {"steps": 10, "noise": None}},
        "every": 3,
        "photos": ["goldfish", "quokka"],
        "classifiers": LITE,
        "birds": {"count": 6, "accuracy": 0.96, "maps": of_birds},
        "timings": [
            {"photo": photo, "classifier": LITE[0], "seconds": dict.fromkeys(names, seconds)}
            for photo, seconds in (("goldfish", 3.0), ("quokka", 7.0))
        ],
        "pairs": pairs,
    }


def _row(table: str, method: str) -> list[str]:
    (row,) = (line for line in table.splitlines() if line.startswith(f"| {report.METHODS[method]} "))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_methods_have_the_names_that_tables_and_picture_know():
    assert list(report.METHODS) == list(methods.METHODS) == list(picture.COLUMNS)[1:]
    assert set(methods.fewer(3)) < set(methods.METHODS)
    assert {entry.name for entry in photos.REPORTING[: study.PHOTOS]} > set(picture.SHOWN)


def test_every_block_of_the_page_is_made_and_has_as_many_cells_in_every_row():
    made = report.blocks(_results())
    assert markers.names((paths.ROOT / "docs/studies/comparison.md").read_text()) == list(made)
    for title, block in made.items():
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1, title


def test_each_budget_has_its_own_numbers():
    results = _results()
    assert _row(report.methods_table(results, "own"), "iGOS++")[-1] == "200"
    assert _row(report.methods_table(results, "own"), "iGOS++")[2] == "0.125"
    assert _row(report.methods_table(results, "equal"), "iGOS++")[-1] == "400"
    assert _row(report.methods_table(results, "equal"), "iGOS++")[2] == "0.188"
    for method in ("FIDO", "Grad-CAM"):  # one price alone
        assert _row(report.methods_table(results, "equal"), method) == _row(
            report.methods_table(results, "own"), method
        )
    assert _row(report.classifiers_table(results), "I-GOS") == ["0.06", "0.06", "0.12", "0.12"]


def test_differences_are_paired_by_photos():
    results = _results()
    for one, value in zip(results["pairs"], (0.1, 0.3, 0.3, 0.5), strict=True):
        one["own"]["FIDO"]["difference"] = one["equal"]["RISE"]["difference"] + value
    assert _row(report.differences_table(results, "equal"), "RISE")[0] == "+0.30 (+0.20 to +0.40)"
    assert _row(report.differences_table(results, "own"), "RISE")[0] == "+0.36 (+0.26 to +0.46)"


def test_methods_without_randomness_have_no_second_run():
    table = report.maps_table(_results())
    assert _row(table, "RISE")[-2:] == ["0.88", "0.75"]
    assert _row(table, "I-GOS")[-2:] == ["–", "–"]


def test_of_the_birds_the_best_map_counts():
    assert _row(report.birds_table(_results()), "FIDO")[:2] == ["`sdr`", "0.62 (0.25 to 0.75)"]
    assert _row(report.birds_table(_results()), "RISE")[:2] == ["–", "0.50 (0.25 to 0.75)"]


def test_the_settings_of_every_method_of_sdfido_are_recorded():
    assert set(methods.defaults()) == {name for name, label in report.METHODS.items() if label.startswith("**")}
    assert "| settings of I-GOS | steps 10 |" in report.blocks(_results())["conditions"]


def test_costs_are_means_and_seconds_medians():
    assert _row(report.costs_table(_results()), "SAG") == ["400", "200", "5.0"]


def test_maps_are_scaled_for_the_eye():
    ramp = torch.linspace(5, 6, 1000).view(1, 20, 50)
    assert picture.visible(ramp)[0, 0, 0] == 0
    assert picture.visible(ramp)[0, 10, 0] == pytest.approx(0.5, abs=0.01)
    assert picture.visible(ramp)[0, -1, -1] == 1
    assert picture.visible(ramp - 5.5)[0, 9].eq(0).all()  # negative values are not shown
    assert picture.visible(torch.zeros(1, 4, 4)).eq(0).all()


def test_texts_of_the_picture_do_not_touch():
    pair = _results()["pairs"][0] | {"label": "dial telephone"}
    arrays = {name: np.full((3, 8, 8) if name == "pixels" else (8, 8), 0.5, np.float32) for name in picture.COLUMNS}
    drawn = picture.figure([(pair, arrays)] * 2)
    drawn.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.texts if text.get_text()]
    boxes += [axes.get_window_extent() for axes in drawn.axes]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0, index
        assert box.y0 >= 0, index
        assert box.x1 <= drawn.bbox.width, index
        assert box.y1 <= drawn.bbox.height, index
        assert box.count_overlaps(boxes) == 1, index  # itself


class Tiny(nn.Module):
    """Has batch normalisation, which sdfido folds in a copy, and the layer that Grad-CAM is taken from."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.norm = nn.Conv2d(3, 4, 5, 4), nn.BatchNorm2d(4)
        self._avg_pooling, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 9 * self.head(self._avg_pooling(self.norm(self.features(x)).relu()).flatten(1))


def _network() -> Tiny:
    torch.manual_seed(1)
    return Tiny().eval()


@pytest.fixture
def case() -> Case:
    """A white box on noise."""
    network, pixels = _network(), torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    pixels[:, 20:40, 10:30] = 1
    image = (4 * pixels - 2)[None]
    return Case(ChannelsLast(network), image, pixels, int(network(image).argmax()))


def _cost(case: Case, name: str, settings: dict[str, Any]) -> methods.Count:
    return methods.explained(name, case, **settings)[1]


def test_calls_are_counted_in_copies_too_and_only_in_the_block(case: Case):
    with methods.counted(case.model.model) as count:
        case.confidences(case.image.expand(5, -1, -1, -1))
        assert (count.calls, count.gradients) == (5, 0)
        case.model(case.image)
        assert (count.calls, count.gradients) == (6, 1)
    case.model(case.image)
    assert (count.calls, count.gradients) == (6, 1)
    # Two regions, two masks of each, two samples; folding batch normalisation asks once with gradients.
    fido = _cost(case, "FIDO", {"steps": 3})
    assert fido.gradients == 3 * 8 + 1 < fido.calls
    assert _cost(case, "Grad-CAM", {}) == methods.Count(1, 1)


@pytest.mark.parametrize("budget", [150, 400])
@pytest.mark.parametrize("name", [name for name, method in methods.METHODS.items() if method.at and name != "SAG"])
def test_settings_meet_a_number_of_calls(name: str, budget: int, case: Case):
    at = methods.METHODS[name].at
    assert at is not None
    assert _cost(case, name, at(case, budget)).calls == pytest.approx(budget, rel=0.1)


def test_a_miss_of_the_number_of_calls_is_made_up_for(case: Case, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def at(case: Case, calls: int) -> dict[str, Any]:
        asked.append(calls)
        return {"masks": calls - 30}

    monkeypatch.setitem(methods.METHODS, "RISE", replace(methods.METHODS["RISE"], at=at))
    maps, count = methods.explained_at("RISE", case, 100)
    assert asked == [100, 130]
    assert count.calls == 100
    assert torch.equal(maps["map"], methods.METHODS["RISE"].explain(case, 0, masks=100)["map"])
    assert methods.explained_at("RISE", case, 400)[1].calls == 370  # near enough


def test_of_tries_that_all_miss_the_nearest_counts(case: Case, monkeypatch: pytest.MonkeyPatch):
    masks = iter([10, 70, 200])
    rise = replace(methods.METHODS["RISE"], at=lambda case, calls: {"masks": next(masks)})
    monkeypatch.setitem(methods.METHODS, "RISE", rise)
    assert methods.explained_at("RISE", case, 100)[1].calls == 70


def test_the_search_of_sag_ends_sooner_with_fewer_calls(case: Case):
    """Where it stops depends on the image: a level is finished, and roots are made minimal."""
    at = methods.METHODS["SAG"].at
    assert at is not None
    few, many = (_cost(case, "SAG", at(case, calls)).calls for calls in (150, 400))
    assert few < many < _cost(case, "SAG", {}).calls


@pytest.mark.parametrize("name", methods.METHODS)
def test_only_random_methods_depend_on_the_seed(name: str, case: Case):
    method, fewer = methods.METHODS[name], methods.fewer(3).get(name, {})
    first, again, other = (method.explain(case, seed, **fewer)[method.uses.both] for seed in (0, 0, 1))
    assert first.shape == (1, 64, 64)
    assert not first.requires_grad
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not method.random)


@pytest.mark.parametrize("name", [name for name, method in methods.METHODS.items() if method.uses.both != "map"])
def test_maps_are_used_for_what_they_are_for(name: str):
    """By the roles that sdfido's methods give them; a method without the role is judged by the map that it has."""
    method = methods.METHODS[name]
    legend = method.explain.args[0](nn.Identity()).legend
    roles = {legend[use].role: use for use in set(method.uses)}
    assert set(method.uses) <= set(legend)
    if len(roles) == 3:
        assert method.uses == tuple(roles[role] for role in ("keep", "remove", "both"))


def test_coherence_of_a_box_and_of_noise():
    box = torch.zeros(1, 20, 20)
    box[:, 4:12, 5:15] = 5.0
    noise = torch.rand(1, 20, 20, generator=torch.Generator().manual_seed(0)) - 0.5
    found = study.coherence(box)
    assert found == {"variation": pytest.approx(36 / 400), "border": pytest.approx(36 / 400), "components": 1.0}
    assert all(study.coherence(noise)[name] > value for name, value in found.items())


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that know nothing, in place of those of the study."""
    lite = study.models.Classifier(LITE[0], _network(), study.models.IMAGENET, (64, 64), ("a", "b", "c"))
    torch.manual_seed(0)
    birds = study.models.Classifier(
        "birds", classifiers.network().eval(), classifiers.NORMALIZATION, (112, 112), drawing.SPECIES
    )
    monkeypatch.setattr(study.models, "load", lambda spec: lite)
    monkeypatch.setattr(classifiers, "load", lambda kind: birds)
    monkeypatch.setattr(classifiers, "predictions", lambda _, pixels: torch.arange(len(pixels)) % len(drawing.SPECIES))
    monkeypatch.setattr(study.birds, "_DRAWN", 7)


@pytest.mark.studies
@pytest.mark.usefixtures("untrained")
def test_the_study_runs_as_a_whole_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With two small pictures and few steps, to results of the form that the tables read."""
    noise = np.random.default_rng(0).integers(0, 255, (2, 5, 5, 3), np.uint8)
    entries = [entry for entry in photos.REPORTING if entry.name in picture.SHOWN]
    shown = [
        photos.Photo(entry.name, Image.fromarray(pixels).resize((80, 80)), entry.source, entry.licence)
        for entry, pixels in zip(entries, noise, strict=False)
    ]
    old = {"key": "of other code", "photo": shown[1].name, "classifier": LITE[0], "pair": {}}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(old) + "\n")
    study.run(shown[:1], (0,), 2, 6, tmp_path)
    results = records.write(tmp_path / "comparison.json", study.run(shown, (0,), 2, 6, tmp_path))
    assert "2 pairs, 1 of them known" in capsys.readouterr().out
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 3
    for one in results["pairs"]:
        assert set(one["own"]) == set(report.METHODS)
        assert set(report.METHODS) - set(one["equal"]) == {"FIDO", "Grad-CAM"}
    repeated = [[name for name, row in one["own"].items() if "seeds rank" in row] for one in results["pairs"]]
    assert repeated == [[name for name, method in methods.METHODS.items() if method.random], []]
    made = _results()
    assert set(results) == set(made)
    assert set(results["pairs"][0]["own"]["FIDO"]) == set(made["pairs"][0]["own"]["FIDO"])
    assert set(report.blocks(results)) == set(report.blocks(made))
    picture.draw(results, tmp_path / "maps", tmp_path / "comparison.webp")
    assert Image.open(tmp_path / "comparison.webp").format == "WEBP"
