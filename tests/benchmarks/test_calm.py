"""The study of difference maps: pairs with exact truth, maps with known answers, results that fit."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sdfido
from benchmarks.common import classifiers, drawing, records
from benchmarks.studies.calm import cues, methods, models, picture, report
from sdfido.methods.latent import LatentClassifier

study = importlib.import_module("benchmarks.studies.calm.__main__")


def test_a_bird_is_drawn_as_both_species_and_differs_in_their_parts_alone():
    found = cues.draw(1, seed=3)
    assert len(found.shown) == 42
    assert torch.equal(found.shown[0::2], found.other[1::2])
    assert [tuple(pair) for pair in found.pairs[0::2].tolist()] == list(cues.PAIRS)
    first, second = found.pixels[0::2], found.pixels[1::2]
    differs = (first != second).any(1)
    assert not (differs & ~found.truth[0::2]).any()  # outside of the truth, both drawings are equal
    assert torch.equal(found.truth[0::2], found.truth[1::2])
    assert differs.any(2).any(1).all()
    assert found.parts.tolist() == [1] * 12 + [2] * 30
    n = cues.PAIRS.index((1, 4))
    common, crested = drawing.render(n, seed=3, kind="birds", species=(0, 1))
    crest = torch.from_numpy(drawing.hull((common != crested).any(2)))
    assert (found.truth[2 * n] & crest).sum() == crest.sum() < found.truth[2 * n].sum()
    assert torch.equal(found.pixels[2 * n], torch.from_numpy(crested.transpose(2, 0, 1) / np.float32(255)))


class Rows(nn.Module):
    """Three classes whose logits are the mean brightness of the top, middle and bottom third of the image."""

    def forward(self, images):
        return 20 * torch.stack([part.mean((1, 2, 3)) for part in images.tensor_split(3, 2)], 1)


def test_the_lead_is_that_of_the_class_that_is_shown():
    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    logits = Rows()(images)
    targets = torch.tensor([0, 2, 2, 0])
    expected = torch.where(targets == 2, logits[:, 2] - logits[:, 0], logits[:, 0] - logits[:, 2])
    assert torch.equal(methods.lead(2, 0)(logits, targets), expected)
    both = methods.Contrast(Rows(), 2, 0)(images)
    assert torch.equal(both[torch.arange(4), (targets != 2).long()], expected)


@pytest.mark.parametrize("name", ["ig", "fido"])
def test_methods_of_the_lead_find_where_two_classes_differ(name: str, monkeypatch: pytest.MonkeyPatch):
    """Two bright patches, one in the top and one in the middle: only one of them tells top and bottom apart."""
    images = 0.1 * torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    images[:, :, 4:8, 4:8] += 3
    images[:, :, 12:16, 16:20] += 3
    monkeypatch.setattr(methods, "SETTINGS", {"mask_size": 6})
    shown, other = torch.tensor([0, 0, 1]), torch.tensor([2, 1, 0])
    maps = methods.METHODS[name].maps(Rows(), images, shown, other)
    top, middle = maps[:, 4:8, 4:8].mean((1, 2)), maps[:, 12:16, 16:20].mean((1, 2))
    assert top[0] > 1.5 * middle[0]  # top or bottom
    assert middle[2] > maps[2, 18:].mean() * 1.5  # middle or top
    if name == "ig":
        assert maps[0, 8:16].abs().max() == 0
        assert maps[1, 16:].abs().max() == 0


def test_class_activation_maps_are_what_the_linear_layer_makes_of_the_features():
    torch.manual_seed(0)
    model = models.average_network().eval()
    images = torch.randn(2, 3, 112, 112)
    shown, other = torch.tensor([1, 2]), torch.tensor([0, 5])
    cells = torch.einsum("nkhw,ck->nchw", model[:-3](images), model[-1].weight)
    logits = cells.mean((2, 3)) + model[-1].bias
    torch.testing.assert_close(logits, model(images))
    expected = (cells[[0, 1], shown] - cells[[0, 1], other]).abs()
    found = methods.cam(model, images, shown, other)
    assert found.shape == (2, 112, 112)
    torch.testing.assert_close(found.amax((1, 2)), expected.amax((1, 2)), rtol=0.2, atol=0)
    assert methods.grad_cam(methods.Contrast(model, 1, 0).eval(), images, torch.tensor([0, 1])).shape == (2, 112, 112)


def test_all_heads_have_the_same_body_and_weights_belong_to_the_code(monkeypatch: pytest.MonkeyPatch):
    ordinary = [type(part) for part in classifiers.network()]
    average = [type(part) for part in models.average_network()]
    assert [(mine, its) for mine, its in zip(average, ordinary, strict=True) if mine != its] == [
        (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    ]
    assert [type(part) for part in models.latent_network().features] == ordinary[:-3]
    images, network = torch.randn(1, 3, 112, 112), classifiers.network().eval()
    coarse = network[:-3](images)
    fine = models.finer(network)[:-3](images)
    assert fine.shape == (1, 64, 28, 28)
    torch.testing.assert_close(fine[:, :, ::2, ::2], coarse)  # the same cells, and others in between
    names = {models.weights_file(name) for name in ("ml", "em", models.AVERAGE)}
    assert len(names) == 3
    monkeypatch.setitem(models.TRAININGS, "em", replace(models.TRAININGS["em"], refresh=7))
    assert models.weights_file("em") not in names


def test_training_learns_and_repeats(monkeypatch: pytest.MonkeyPatch):
    before = classifiers.network().state_dict()
    ordinary = SimpleNamespace(model=classifiers.network())
    ordinary.model.load_state_dict(before)
    monkeypatch.setattr(classifiers, "strong", lambda: ordinary)
    monkeypatch.setattr(models, "RECIPE", classifiers.Recipe(birds=32, scenes=0, epochs=1, batch=16))
    monkeypatch.setitem(models.TRAININGS, "em", replace(models.TRAININGS["em"], epochs=1))
    first, again = (models.train("em") for _ in range(2))
    assert isinstance(first, LatentClassifier)
    assert not first.training
    assert not torch.equal(first.features[0].weight, before["0.weight"])
    average = models.train(models.AVERAGE)
    assert not torch.equal(average[0].weight, before["0.weight"])
    assert all(torch.equal(value, before[name]) for name, value in ordinary.model.state_dict().items())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def test_measures_of_a_perfect_map_and_of_a_constant_one():
    found = cues.draw(1, seed=4)
    perfect, flat = found.truth.float(), torch.ones(found.truth.shape)
    assert {name: value["value"] for name, value in study.measured(found, perfect).items()} == dict.fromkeys(
        ("pairs", "one", "two", "images", "shown", "missing", "pointing"), 1
    )
    area = float(found.truth.float().mean((1, 2)).mean())
    constant = study.measured(found, flat)
    assert constant["images"]["value"] == pytest.approx(area, rel=1e-4)
    assert constant["pairs"]["value"] == pytest.approx(area, rel=1e-4)


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With untrained networks and few steps, to results of the form that tables and picture read."""
    torch.manual_seed(0)
    made: dict[str, Any] = {
        "ml": models.latent_network().eval(),
        "em": models.latent_network().eval(),
        models.AVERAGE: models.average_network().eval(),
        models.ORDINARY: classifiers.network().eval(),
    }
    monkeypatch.setattr(models, "load", made.get)
    monkeypatch.setattr(models, "training_seconds", lambda name: None)
    monkeypatch.setattr(study, "TESTED", 14)
    monkeypatch.setattr(methods, "SETTINGS", {"steps": 1, "mask_size": 4, "pruning": False})
    results, found, maps = study.compare(1, 0)
    results = records.write(tmp_path / "calm.json", results)
    recorded = records.read(report.RESULTS)
    assert set(results) == set(recorded)
    assert results["methods"].keys() == recorded["methods"].keys()
    assert results["methods"]["fido"].keys() == recorded["methods"]["fido"].keys()
    assert set(report.blocks(results)) == set(report.blocks(recorded))
    picture.draw(found, maps, tmp_path / "calm.webp")
    assert Image.open(tmp_path / "calm.webp").format == "WEBP"


def test_the_sum_of_a_joint_map_is_the_probability_of_its_class():
    model = models.latent_network().eval()
    images = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    explanation = sdfido.CALM(model).explain(images)
    assert explanation["joint"].shape == (1, 112, 112)
    torch.testing.assert_close(explanation.parts["joint_cells"].sum((1, 2)), explanation.prob_image, rtol=1e-4, atol=0)
