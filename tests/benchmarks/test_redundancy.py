"""The study of redundant evidence: drawings with two parts, measures of separate explanations, results that fit."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.common import classifiers, drawing, records, redundant
from benchmarks.studies.redundancy import methods, picture, report
from benchmarks.studies.redundancy.methods import Separate
from sdfido.graph import PatchGraph
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.redundancy.__main__")

QUICK: dict[str, dict[str, Any]] = {name: {"steps": 2, "mask_size": 8} for name in methods.METHODS}
QUICK["graph"] = QUICK["fine graph"] = QUICK["windows"] = {"mask_size": 4, "max_evaluations": 50}


def test_a_bird_depends_on_seed_and_index_alone():
    several, again = redundant.birds([3, 13, 6], seed=1), redundant.birds([13], seed=1)
    for name in ("pixels", "labels", "truth"):
        assert torch.equal(getattr(several, name)[1:2], getattr(again, name)), name
    assert not torch.equal(again.pixels, redundant.birds([13], seed=2).pixels)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_both_parts_are_those_of_the_birds_with_either(index: int):
    """Inside a part's hull the bird is the one with that part alone, and outside of both it is the common bird."""
    both, first, second = (
        redundant.birds([index], seed=3, shown=shown) for shown in (redundant.BOTH, redundant.FIRST, redundant.SECOND)
    )
    species = [0, *(drawing.SPECIES.index(name) for name in redundant.PAIRS[index - 1])]
    common, *others = drawing.render(index, seed=3, kind="birds", species=species)
    one, two = both.truth[0]
    assert not (one & two).any()
    for part, other, alone in ((one, others[0], first), (two, others[1], second)):
        assert 0.002 < part.float().mean() < 0.08
        expected = torch.from_numpy(other.transpose(2, 0, 1) / np.float32(255))
        assert torch.equal(alone.pixels[0], expected)
        assert torch.equal(both.pixels[0][:, part], expected[:, part])
    rest = torch.from_numpy(common.transpose(2, 0, 1) / np.float32(255))[:, ~(one | two)]
    assert torch.equal(both.pixels[0][:, ~(one | two)], rest)
    assert torch.equal(first.truth[0], torch.stack([one, torch.zeros_like(two)]))
    assert torch.equal(second.truth[0], torch.stack([torch.zeros_like(one), two]))


def test_training_shows_each_part_alone_and_both():
    drawn = redundant.birds(range(20), seed=5, shown=None)
    assert drawn.labels.tolist() == [0, 1, 2, 3] * 5
    shown = drawn.truth.any((2, 3)).tolist()
    for n, label in enumerate(drawn.labels.tolist()):
        assert tuple(shown[n]) == ((False, False) if label == 0 else redundant.TURNS[n // 4])


def test_weights_belong_to_the_code(monkeypatch: pytest.MonkeyPatch):
    before = redundant.weights_file()
    assert before.parent == classifiers.CACHE
    monkeypatch.setattr(redundant, "TURNS", redundant.TURNS[:3])
    assert redundant.weights_file() != before


def test_training_learns_and_repeats():
    recipe = classifiers.Recipe(birds=64, scenes=0, epochs=1, batch=16)
    first, again = (redundant.train(recipe).state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert first["17.weight"].shape == (4, 64)


def birds_of(truth: torch.Tensor) -> redundant.Birds:
    return redundant.Birds(
        torch.zeros(len(truth), 3, *truth.shape[2:]), torch.ones(len(truth), dtype=torch.int64), truth
    )


def test_measures():
    truth = torch.zeros(4, 2, 8, 8, dtype=torch.bool)
    truth[:, 0, :4, :4] = True
    truth[:, 1, 4:, 4:] = True
    birds = birds_of(truth)
    first, second, off = (torch.zeros(8, 8) for _ in range(3))
    first[1:3, 1:3], second[5:7, 5:7], off[0:2, 5:7] = 1, 1, 1
    none = torch.zeros(8, 8)
    maps = torch.stack([torch.stack(each) for each in ([first, second], [first, first], [second, off], [first, none])])
    found = Separate(maps, maps > 0, torch.tensor([[0.9, 0.5], [0.9, 0.9], [0.1, 0.9], [0.9, 0.9]]))
    values = study.measured(birds, found, torch.ones(4))
    assert values["both"].tolist() == values["both_centres"].tolist() == [1, 0, 0, 0]
    assert values["one"].tolist() == [1, 1, 1, 1]
    assert values["explanations"].tolist() == [2, 2, 2, 1]
    assert values["stray"].tolist() == [0, 0, 1, 0]
    assert values["enough"].tolist() == [0.5, 1, 0.5, 1]
    torch.testing.assert_close(values["iou"], torch.tensor([0.25, 0.125, 0.125, 0.125]))
    torch.testing.assert_close(values["area"], torch.full((4,), 1 / 16))


def test_one_map_over_both_parts_is_one_explanation():
    truth = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    truth[0, 0, :2, :2], truth[0, 1, 6:, 6:] = True, True
    whole = truth.any(1, keepdim=True)
    values = study.measured(birds_of(truth), Separate(whole.float(), whole, torch.ones(1, 1)), torch.ones(1))
    assert (values["both"].item(), values["one"].item(), values["both_centres"].item()) == (0, 1, 0)


def test_birds_to_explain_need_either_part(monkeypatch: pytest.MonkeyPatch):
    said = {redundant.BOTH: 0.9, redundant.FIRST: 0.85, redundant.SECOND: 0.85}
    original = redundant.birds

    def probabilities(_: Any, drawn: redundant.Birds) -> torch.Tensor:
        shown = tuple(drawn.truth.any((2, 3))[drawn.labels > 0][0].tolist())
        values = torch.full((len(drawn.labels),), said[shown])
        if shown == redundant.SECOND:
            values[1:4] = 0.5
        return values

    monkeypatch.setattr(redundant, "probabilities", probabilities)
    some, about = study.chosen(None, 0, 6, drawn=12)
    assert some.labels.tolist() == [1, 2, 3, 1, 2, 3]
    assert torch.equal(some.pixels, original([5, 6, 7, 9, 10, 11]).pixels)
    assert about["fit"] == pytest.approx(6 / 9, abs=1e-4)
    for count in (0, 4, 9):
        with pytest.raises(SystemExit, match="--images must be a multiple of 3, at most 6"):
            study.chosen(None, 0, count, drawn=12)


@pytest.mark.parametrize("name", methods.METHODS)
def test_methods_give_separate_explanations(name: str):
    model = redundant.network().eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = methods.METHODS[name](model, images, torch.tensor([1, 2]), **QUICK[name])
    assert found.maps.shape == found.regions.shape == (2, found.confidences.shape[1], 32, 32)
    assert found.regions.dtype == torch.bool
    assert found.confidences.shape[1] == {"two seeds": 2, "fine graph": 10, "windows": 10}.get(name, 3)


def test_importance_of_patches_to_one_root():
    graph = PatchGraph((2, 3), ((0, 1, 4), (1, 4), (0, 4), (2,)), (0.9, 0.09, 0.45, 0.95))
    expected = [(1 + 0.9) / 2, (1 + 0.5) / 2, 0, 0, (1 + 0.5) / 2, 0]  # nothing is known of patch 4: the least
    torch.testing.assert_close(methods.importance(graph, 0), torch.tensor(expected))
    torch.testing.assert_close(methods.importance(graph, 3), torch.tensor([0, 0, 0.5, 0, 0, 0]))


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With an untrained network and few steps, to results of the form that tables and picture read."""
    torch.manual_seed(0)
    size = (drawing.SIZE, drawing.SIZE)
    untrained = Classifier("untrained", redundant.network().eval(), classifiers.NORMALIZATION, size, redundant.SPECIES)
    monkeypatch.setattr(redundant, "load", lambda: untrained)
    monkeypatch.setattr(redundant, "training_seconds", lambda: 1.0)
    monkeypatch.setattr(redundant, "probabilities", lambda _, drawn: torch.ones(len(drawn.labels)))
    monkeypatch.setattr(study, "DRAWN", 12)
    quick = {name: partial(method, **QUICK[name]) for name, method in methods.METHODS.items()}
    monkeypatch.setattr(methods, "METHODS", quick)
    results, birds, found = study.compare(3, 0, list(methods.METHODS))
    results = records.write(tmp_path / "redundancy.json", results)
    recorded = records.read(report.RESULTS)
    assert set(results) == set(recorded)
    assert results["methods"].keys() == recorded["methods"].keys()
    assert results["methods"]["regions"].keys() == recorded["methods"]["regions"].keys()
    assert set(report.blocks(results)) == set(report.blocks(recorded))
    picture.draw(birds, found, tmp_path / "redundancy.webp")
    assert Image.open(tmp_path / "redundancy.webp").format == "WEBP"
