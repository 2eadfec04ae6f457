"""The study of second looks: intervals that hold, controls that are blind, settings that nobody's truth decides."""

import importlib
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from torch import nn

from benchmarks.common import classifiers, photos, records
from benchmarks.studies.enhance import paired, picture, report
from sdfido import enhance
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.enhance.__main__")


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return classifiers.network().eval()


@pytest.fixture(scope="module")
def scenes() -> study.Sample:
    """Seven scenes, explained for an untrained network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "STEPS", 2)
        return study.sample(_network(), "scenes", 7, seed=3)


def test_changes_are_counted():
    first = torch.tensor([True] * 5 + [False] * 5)
    second = torch.tensor([True] * 4 + [False] + [True] * 3 + [False] * 2)
    change = paired.change(first, second)
    assert (change["gained"], change["lost"]) == (3, 1)
    assert change["accuracy"] == 0.7
    assert change["difference"] == 0.2
    assert change["low"] < 0.2 < change["high"]


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (12, 2), (3, 30), (90, 60)])
def test_the_exact_test_of_pairs(gained: int, lost: int):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert paired.mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Pairs drawn from known shares, 504 images like the study's; 2000 draws tell 95% to 1%."""
    rng = random.Random(0)
    shares = [0.65, 0.2, 0.06, 0.09]  # both right, gained, lost, neither
    held = 0
    for _ in range(2000):
        drawn = rng.choices(range(4), shares, k=504)
        low, high = paired.interval(*(drawn.count(kind) for kind in range(4)))
        held += low <= shares[1] - shares[2] <= high
    assert 0.935 < held / 2000 < 0.97


def test_intervals_of_extremes():
    low, high = paired.interval(0, 0, 0, 50)
    assert low < 0 < high
    assert low == -high
    assert paired.interval(0, 50, 0, 0)[1] == pytest.approx(1)
    (low, high), (other_low, other_high) = paired.interval(20, 12, 2, 16), paired.interval(20, 2, 12, 16)
    assert (low, high) == pytest.approx((-other_high, -other_low))


@pytest.mark.studies
def test_nobody_is_told_the_truth(scenes: study.Sample):
    model = _network()
    with torch.no_grad():
        predicted = model(scenes.images).argmax(1)
    assert not torch.equal(predicted, scenes.labels)
    assert torch.equal(scenes.explanation.targets, predicted)


@pytest.mark.studies
def test_samples_hold_what_belongs_together(scenes: study.Sample):
    assert scenes.originals.shape == (7, 3, 224, 224)
    pixels = classifiers.NORMALIZATION.pixels
    small = torch.nn.functional.avg_pool2d(pixels(scenes.originals), 2)
    torch.testing.assert_close(pixels(scenes.images), small, rtol=0, atol=1e-5)
    assert scenes.truth.flatten(1).any(1).tolist() == [False] + [True] * 6  # the common bird comes first
    assert scenes.map("joint").shape == scenes.map("grad-cam").shape == scenes.truth.shape
    assert 0 <= scenes.grad_cam.min() <= scenes.grad_cam.max() <= 1


@pytest.mark.studies
def test_blind_squares_are_as_large(scenes: study.Sample):
    sides = torch.tensor([20, 30, 40, 50, 60, 70, 112])
    for detail, scale in ((False, 1), (True, 2)):
        centre = study.blind(_network(), scenes, sides, "centre", detail=detail).boxes
        anywhere = study.blind(_network(), scenes, sides, "random", detail=detail).boxes
        for boxes in (centre, anywhere):
            assert torch.equal(boxes[:, 2] - boxes[:, 0], scale * sides)
            assert torch.equal(boxes[:, 3] - boxes[:, 1], scale * sides)
        assert centre[0].tolist() == [scale * 46, scale * 46, scale * 66, scale * 66]
        assert not torch.equal(anywhere, centre)


@pytest.mark.studies
def test_share_of_the_part_in_the_box(scenes: study.Sample):
    truth = torch.zeros_like(scenes.truth)
    truth[0, 10:20, 10:20] = truth[1, 10:20, 10:20] = True
    given = replace(scenes, truth=truth)
    boxes = torch.tensor([[0, 0, 112, 112], [15, 10, 60, 15], *[[0, 0, 1, 1]] * 5])
    everyone = torch.ones(7, dtype=torch.bool)
    assert study.inside(given, boxes, everyone) == pytest.approx((1 + 0.25) / 2)  # images without a part do not count
    assert study.inside(given, boxes, ~torch.eye(7, dtype=torch.bool)[0]) == 0.25
    assert study.inside(given, boxes, ~everyone) is None


@pytest.mark.studies
def test_settings_are_those_of_the_highest_quality(scenes: study.Sample):
    model = _network()
    quality, options = study.choose(model, scenes, "ssr original")
    for threshold, side in study.GRID:
        result = enhance(
            model,
            scenes.images,
            scenes.explanation.ssr,
            originals=scenes.originals,
            blend="original",
            threshold=threshold,
            min_size=side,
            padding=study.PADDING,
        )
        value = float(result.probabilities[torch.arange(7), scenes.labels].log().mean())
        assert value <= quality + 1e-6
        if options == {"threshold": threshold, "min_size": side}:
            assert value == pytest.approx(quality, abs=1e-6)


@pytest.fixture(scope="module")
def run() -> tuple[records.Results, dict[str, list[picture.Example]]]:
    """The whole study on a few images, with an untrained network in place of both classifiers."""
    classifier = Classifier("untrained", _network(), classifiers.NORMALIZATION, (112, 112))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "STEPS", 2)
        patch.setattr(study, "GRID", study.GRID[:2])
        patch.setattr(classifiers, "load", lambda kind: classifier)
        patch.setattr(study.models, "load", lambda spec: classifier)
        photo = pytest.importorskip("skimage.data").chelsea()
        image = pytest.importorskip("PIL.Image").fromarray(photo)
        patch.setattr(photos, "load", lambda count: [photos.Photo("cat", image, None, "CC0")])
        return study.run(7, 7, 1)


@pytest.mark.studies
def test_the_study_runs_as_a_whole(run: Any):
    results, shown = run
    assert list(results["arms"]) == list(report.ARMS)
    for name, arm in results["arms"].items():
        assert arm["best"] in report.OWN
        assert set(arm["ahead"]) == set(report.OTHERS)
        extra = {"whole"} if name == "scenes" else set()
        assert set(arm["methods"]) == {*report.MAPS, *report.BLIND, *extra}
        for of in arm["methods"].values():
            change = of["averaged"]
            assert change["low"] <= change["difference"] <= change["high"]
            assert change["accuracy"] == pytest.approx(arm["before"] + change["difference"], abs=2e-5)
    sides = [results["arms"][name]["methods"][results["arms"][name]["best"]]["side"] for name in ("scenes", "shrunk")]
    assert sides[0] == sides[1]  # the same boxes
    (photo,) = results["photos"]
    y0, x0, y1, x1 = photo["box"]
    assert 0 <= y0 < y1 <= photo["side"]
    assert 0 <= x0 < x1 <= photo["side"]
    assert len(shown["photos"]) == 1
    assert json.loads(records.dump(results)) == results


@pytest.mark.studies
def test_pictures(run: Any, tmp_path: Path):
    results, shown = run
    example = shown["photos"][0]
    scenes = [replace(example, name="cat", known=True) for _ in range(5)]
    picture.draw(results, scenes, tmp_path / "a.webp")
    picture.draw(results, [], tmp_path / "b.webp")  # no prediction changed
    picture.draw_photos(shown["photos"], tmp_path / "c.webp")
    for name in "abc":
        assert Image.open(tmp_path / f"{name}.webp").format == "WEBP"


@pytest.mark.studies
def test_blocks_of_a_run(run: Any):
    results, _ = run
    blocks = report.blocks(results)
    assert set(report.ARMS) <= set(blocks)
    for block in blocks.values():
        assert "None" not in block
        assert "nan" not in block


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.01, 0.2, "higher"), (-0.1, 0.1, "not told apart"), (-0.2, -0.01, "lower")]
)
def test_verdicts_follow_the_intervals(low: float, high: float, said: str):
    results = records.read(report.RESULTS)
    arm = results["arms"]["scenes"]
    change = arm["methods"][arm["best"]]["averaged"]
    change.update(low=low, high=high)
    row = report.summary_table(results).splitlines()[2]
    assert f" {said} |" in row
    assert report.points(change) in row


@pytest.mark.studies
def test_mean_quality_counts_certain_errors_once(scenes: Any):
    """A probability of 0 for the true class must not decide a choice among settings alone."""

    class Sure(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(7)[torch.zeros(len(x), dtype=torch.int64)] * 1e4

    quality, _ = study.choose(Sure(), scenes, "joint original")
    assert quality == pytest.approx(6 / 7 * math.log(1e-6), rel=1e-4)


def test_the_recorded_run_counts_enough_images():
    arms = records.read(report.RESULTS)["arms"]
    assert all(arm["images"] >= 500 for arm in arms.values())
