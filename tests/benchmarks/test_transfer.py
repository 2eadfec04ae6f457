"""The study of transfer: labels by the drawings' own numbers, shares of gains, verdicts, results that fit."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.common import classifiers, drawing, paths, records
from benchmarks.studies.transfer import birds, labels, models, picture, report
from sdfido import evaluate


def test_birds_face_where_their_label_says():
    """The bill is on the side that the bird faces, and the tail on the other."""
    facing = labels.birds(range(10), "facing", seed=5)
    assert 0 < facing.sum() < 10
    billed, tailed = (drawing.SPECIES.index(name) for name in ("long-billed", "fork-tailed"))
    for index in range(10):
        common, *others = drawing.render(index, seed=5, kind="birds", species=(0, billed, tailed))
        bill, tail = ((other != common).any(2).nonzero()[1].mean() for other in others)
        assert (bill > tail) == bool(facing[index])


def test_labels_of_groups():
    assert labels.birds(range(8), "group", seed=0).tolist() == [0, 1, 1, 1, 2, 2, 2, 0]
    assert labels.birds(range(8), "species", seed=0).tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


def test_clutter_depends_on_seed_and_index_alone():
    several, kinds = labels.clutter([2, 5], seed=1)
    again, _ = labels.clutter([5], seed=1)
    assert kinds.tolist() == [2, 1]
    assert torch.equal(several[1:], again)
    assert not torch.equal(again, labels.clutter([5], seed=2)[0])


def test_weights_belong_to_the_plan(monkeypatch: pytest.MonkeyPatch):
    before = models.weights_file("after facing")
    assert before.parent == classifiers.CACHE
    monkeypatch.setitem(models.PLANS, "facing", models.Plan("facing", 99))
    assert models.weights_file("after facing") != before


def test_training_begins_with_what_it_is_pretrained_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(classifiers, "CACHE", tmp_path)
    few = classifiers.Recipe(birds=32, scenes=0, epochs=1, batch=16, learning_rate=0.0)
    for name in ("FINE", "SCRATCH"):
        monkeypatch.setattr(models, name, few)
    monkeypatch.setattr(models, "RECIPES", {"facing": few})
    models._pixels.cache_clear()
    before, after = models.load("facing"), models.load("after facing")
    models._pixels.cache_clear()
    assert torch.equal(before[0].weight, after[0].weight)
    assert (before[-1].out_features, after[-1].out_features) == (2, 7)
    assert not torch.equal(models.load("species 1")[0].weight, after[0].weight)


def made(kept: dict[tuple[str, str], float], count: int = 6) -> evaluate.Transfer:
    """A matrix with these relative probabilities; 0.2 elsewhere."""
    rows = (*birds.NAMES, birds.GRAD_CAM, birds.OTHER, *evaluate.CONTROLS)
    confidence = torch.full((len(rows), len(birds.NAMES), len(birds.FRACTIONS), count), 0.2)
    for (a, b), value in kept.items():
        confidence[rows.index(a), birds.NAMES.index(b)] = value
    masked = evaluate.Masked(confidence, confidence > 0.5, torch.ones(len(birds.NAMES), count))
    return evaluate.Transfer(rows, birds.NAMES, birds.FRACTIONS, masked, masked, torch.ones(len(birds.NAMES)))


def test_shares_are_of_the_gain_over_the_best_control():
    own = {(name, name): 0.8 for name in birds.NAMES}
    pairs = {("species 1", "species 2"): 0.8, ("species 2", "species 1"): 0.5, ("after facing", "after clutter"): 0.4}
    found = birds.statements(made(own | pairs))
    assert found["diagonal"]["group"] == {"value": 0.6, "low": 0.6, "high": 0.6}
    assert found["share"]["initialisation"]["value"] == pytest.approx(0.75)
    assert found["share"]["other task"]["value"] == 0
    assert found["pretraining_less"]["value"] == pytest.approx(0.75 - 1 / 6, abs=1e-5)
    assert found["asymmetry"]["value"] == pytest.approx(0.2)
    assert found["asymmetry_of_shares"]["value"] == pytest.approx(1 / 3, abs=1e-5)
    control = birds.statements(made(own | {("centre", name): 0.5 for name in birds.NAMES}))
    assert set(control["best_control"].values()) == {"centre"}
    assert control["diagonal"]["facing"]["value"] == pytest.approx(0.3)


def test_intervals_are_of_images():
    result = made({})
    result.kept.confidence[0, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    values = birds.resampled(result, "kept", birds.AT)[:, 0, 0]
    assert values[0] == 0.5
    found = birds.interval(values)
    assert found["low"] <= 0.2 < 0.8 <= found["high"]


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.6, 0.9, "holds"), (0.1, 0.4, "does not hold"), (0.4, 0.6, "undecided")]
)
def test_verdicts(low: float, high: float, said: str):
    assert report.verdict({"low": low, "high": high}) == said


def test_the_picture_is_drawn(tmp_path: Path):
    images, truth = birds.drawn(5, 0)
    assert truth.any((1, 2)).all()
    picture.draw((images, truth), {name: torch.rand(5, 56, 56) * 2 - 1 for name in birds.NAMES}, tmp_path / "p.webp")
    with Image.open(tmp_path / "p.webp") as drawn:
        assert drawn.width > 500


def test_recorded_results_have_all_that_the_page_says():
    results, photos = (records.read(paths.RESULTS / f"{name}.json") for name in ("transfer", "transfer_photos"))
    assert set(results["accuracy"]) == set(birds.NAMES)
    blocks = report.blocks(results, photos)
    assert blocks["statements"].count("\n") == 8
    assert "**" in blocks["kept"]
