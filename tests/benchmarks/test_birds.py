"""The study with known truth: drawings that repeat, a truth where they differ, methods that fit together."""

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sdfido
from benchmarks.common import classifiers, concrete, drawing, records
from benchmarks.common.attributions import BLUR
from benchmarks.common.variants import PublishedFIDO, StandardFIDO
from benchmarks.studies.birds import methods, picture, report
from sdfido import evaluate
from sdfido.models import Classifier
from sdfido.ops.rng import random_words

study = importlib.import_module("benchmarks.studies.birds.__main__")

DRAWINGS = ["birds", "scenes"]


@pytest.mark.parametrize("kind", DRAWINGS)
def test_a_drawing_depends_on_seed_and_index_alone(kind: str):
    draw = getattr(drawing, kind)
    several, again, other = draw([3, 12, 5], seed=1), draw([12], seed=1), draw([12], seed=2)
    for name in ("pixels", "labels", "truth", "boxes"):
        assert torch.equal(getattr(several, name)[1:2], getattr(again, name)), name
    assert not torch.equal(again.pixels, other.pixels)
    assert 0 <= several.pixels.min() < several.pixels.max() <= 1


@pytest.mark.parametrize("kind", DRAWINGS)
def test_the_truth_is_where_species_differ(kind: str):
    """Species are drawn from the same numbers: image i of one species is image i of the common one but for its part."""
    drawn = getattr(drawing, kind)(range(14), seed=3)
    size = drawn.pixels.shape[-1]
    for n in range(14):
        species = int(drawn.labels[n])
        image, common = drawing.render(n, seed=3, kind=kind, species=(species, 0))
        assert np.array_equal(image.transpose(2, 0, 1), (drawn.pixels[n].numpy() * 255).round())
        differs = torch.from_numpy((image != common).any(2))
        truth = drawn.truth[n]
        assert differs.any() == truth.any() == (species > 0)
        assert not (differs & ~truth).any()
        if species:
            rows, columns = differs.nonzero().unbind(1)
            box = [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]
            assert drawn.boxes[n].tolist() == box
            assert truth[box[0] : box[2], box[1] : box[3]].sum() == truth.sum()
            assert 0.0005 * size**2 < truth.sum() < 0.08 * size**2


def test_the_hull_of_known_shapes():
    hull = drawing.hull
    point, line, square = (np.zeros((7, 9), dtype=bool) for _ in range(3))
    point[2, 3] = True
    assert np.array_equal(hull(point), point)
    line[[1, 3, 5], [1, 3, 5]] = True
    filled = line.copy()
    filled[[2, 4], [2, 4]] = True
    assert np.array_equal(hull(line), filled)
    square[[1, 1, 5, 5], [2, 7, 2, 7]] = True
    filled = np.zeros_like(square)
    filled[1:6, 2:8] = True
    assert np.array_equal(hull(square), filled)


def test_species_are_balanced():
    labels = drawing.birds(range(5, 19)).labels
    assert labels.bincount().tolist() == [2] * len(drawing.SPECIES)


@pytest.mark.studies
def test_training_repeats_and_leaves_random_numbers_alone():
    recipe = classifiers.Recipe(birds=8, scenes=4, epochs=1, batch=6)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = classifiers.train(recipe)
    torch.set_num_threads(1)
    try:
        again = classifiers.train(recipe)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not first.training
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert first(torch.zeros(2, 3, 112, 112)).shape == (2, 7)


@pytest.mark.studies
def test_trained_weights_are_kept_for_each_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(classifiers, "CACHE", tmp_path)
    recipe = classifiers.Recipe(birds=7, scenes=0, epochs=1, batch=7)
    monkeypatch.setitem(classifiers.RECIPES, "strong", recipe)
    images = torch.rand(2, 3, 112, 112)
    answers = [classifiers.load("strong").model(images) for _ in range(2)]
    (file,) = tmp_path.glob("*.pt")
    written = file.stat().st_mtime_ns
    assert torch.equal(*answers)
    assert torch.equal(answers[0], classifiers.train(recipe)(images))
    assert classifiers.training_seconds("strong") > 0
    assert classifiers.load("strong").labels == drawing.SPECIES
    assert file.stat().st_mtime_ns == written
    classifiers.retrain("strong")
    assert file.stat().st_mtime_ns > written
    monkeypatch.setitem(classifiers.RECIPES, "strong", replace(recipe, seed=2))
    classifiers.load("strong")
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_thumbnails_halve_scenes():
    pixels = drawing.scenes([4]).pixels
    small = classifiers.thumbnails(pixels)
    assert small.shape == (1, 3, 112, 112)
    torch.testing.assert_close(small[0, :, 3, 5], pixels[0, :, 6:8, 10:12].mean((1, 2)))


@pytest.fixture(scope="module")
def small() -> tuple[torch.nn.Sequential, torch.Tensor, torch.Tensor]:
    """An untrained classifier, two images and their targets."""
    torch.manual_seed(0)
    return classifiers.network().eval(), torch.randn(2, 3, 32, 32), torch.tensor([1, 4])


QUICK: dict[str, dict[str, Any]] = {
    "fido": {"steps": 2, "mask_size": 8},
    "plain": {"steps": 2, "mask_size": 8},
    "standard": {"steps": 2, "mask_size": 8},
    "published": {"steps": 2, "cells": 8},
    "occlusion": {"window": 8, "stride": 8},
}
FIDOS = ("fido", "plain", "standard", "published")


def maps_of(found: Any) -> dict[str, torch.Tensor]:
    return dict(found.maps if isinstance(found, sdfido.Explanation) else found)


@pytest.mark.parametrize("name", methods.METHODS)
def test_methods_give_maps(small: Any, name: str):
    maps = maps_of(methods.METHODS[name](*small, **QUICK.get(name, {})))
    assert list(maps) == (["ssr", "sdr", "joint"] if name in FIDOS else ["map"])
    for each in maps.values():
        assert each.shape == (2, 32, 32)
        assert each.isfinite().all()
        assert not each.requires_grad
        assert each.std((1, 2)).min() > 0
        if name != "occlusion":
            assert each.min() >= 0
        if name in FIDOS:
            assert each.max() <= 1


class Window(torch.nn.Module):
    """A classifier whose answer lies in one corner of the image alone; class 1 where that is bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = 6 * images[:, :, 4:12, 4:12].mean((1, 2, 3))
        return torch.stack([-score, score], 1)


@pytest.fixture
def corner() -> torch.Tensor:
    images = torch.zeros(1, 3, 32, 32)
    images[:, :, 4:12, 4:12] = 2
    return images


@pytest.mark.studies
@pytest.mark.parametrize(("name", "settings"), [("standard", {"steps": 60}), ("published", {"steps": 60, "cells": 16})])
def test_the_baselines_find_what_decides(corner: torch.Tensor, name: str, settings: dict[str, int]):
    """A baseline that were broken would be beaten by anything."""
    explanation: Any = methods.METHODS[name](Window(), corner, torch.tensor([1]), **settings)
    for each in explanation.maps.values():
        assert each[:, 4:12, 4:12].mean() > 0.15 + each[:, 18:].mean()


@pytest.mark.studies
@pytest.mark.parametrize("name", ["published", "integrated gradients", "occlusion"])
def test_every_image_is_explained_as_alone(small: Any, name: str):
    """By methods that loop over images or use random numbers."""
    model, images, targets = small
    settings = QUICK.get(name, {})
    both = maps_of(methods.METHODS[name](model, images, targets, **settings))
    first = maps_of(methods.METHODS[name](model, images[:1], targets[:1], **settings))
    for key in both:
        torch.testing.assert_close(both[key][:1], first[key], rtol=1e-3, atol=1e-4)


def test_fido_as_published_has_the_published_settings(small: Any):
    explainer = PublishedFIDO(small[0])
    settings = explainer.settings
    assert (settings.steps, settings.mask_size, settings.num_samples, settings.temperature) == (300, 56, 8, 0.1)
    assert [settings.penalty_weight_at(step) for step in (0, 14, 29, 100)] == pytest.approx([1 / 30, 0.5, 1, 1])
    updater = explainer.updater(torch.zeros(1, 2, 4, 4))
    assert [updater.rate(step) for step in (0, 150)] == [0.05, 0.025]
    updater.step(torch.full((1, 2, 4, 4), 3.0), 0)
    torch.testing.assert_close(updater.parameters, torch.full((1, 2, 4, 4), -0.05))  # as Adam's first step
    explanation = PublishedFIDO(small[0], steps=2, cells=8).explain(*small[1:])
    torch.testing.assert_close(torch.stack([explanation.ssr, 1 - explanation.sdr], 1), explanation.masks)


def test_standard_sampling_is_the_same_distribution(small: Any):
    """Both formulas give the same masks from the same uniform numbers, up to the constants in the logarithms."""
    rng, streams = sdfido.make_rng(5), torch.arange(1)
    logits = torch.linspace(-6, 6, 24).view(1, 2, 3, 4)
    u = ((random_words(rng, streams, 2, 4, 12, False) >> 8) + 0.5) / 2**24
    masks = concrete.standard(torch.sigmoid(logits)[:, :, None], u.view(1, 2, 4, 3, 4), temperature=0.2)
    expected = sdfido.sample_masks(logits, rng, num_samples=4, temperature=0.2)
    torch.testing.assert_close(masks, expected, rtol=0, atol=1e-3)  # log(1 - p) rounds where p is close to 1
    model, images, targets = small
    for settings in ({"steps": 1}, {"steps": 1, "antithetic": False}):
        options: dict[str, Any] = {**settings, "mask_size": 8, "infill": BLUR}
        ours, standard = (kind(model, **options).explain(images, targets) for kind in (sdfido.FIDO, StandardFIDO))
        assert not torch.equal(ours.mask_logits, torch.zeros_like(ours.mask_logits))
        torch.testing.assert_close(standard.mask_logits, ours.mask_logits, rtol=1e-3, atol=1e-3)


def test_standard_sampling_follows_temperature_dtype_and_layout(small: Any):
    seen = []

    def sampler(logits: torch.Tensor, u: torch.Tensor, temperature: float, size: tuple[int, int]) -> torch.Tensor:
        seen.append(temperature)
        return concrete.standard_at_cells(logits, u, temperature, size)

    options: dict[str, Any] = {"dtype": torch.bfloat16, "channels_last": True, "max_batch": 4}
    explainer = StandardFIDO(small[0], steps=3, mask_size=8, temperature=(1.0, 0.25), **options)
    explainer.sampler = sampler
    with explainer.scene(*small[1:], None) as scene:
        samples = explainer.sample(torch.zeros(2, 2, 8, 8), scene, 0)
    batch = samples.composites.flatten(0, 2)
    assert batch.dtype == torch.bfloat16
    assert batch.is_contiguous(memory_format=torch.channels_last)
    explainer.explain(small[1][:1], small[2][:1])
    assert seen[1:] == [explainer.settings.temperature_at(step) for step in range(3)] == [1.0, 0.5, 0.25]


def test_measures_of_masks(corner: torch.Tensor):
    images = corner.expand(2, -1, -1, -1)
    probe = evaluate.Probe(Window(), images, 1, infill=BLUR)
    keep = torch.zeros(2, 32, 32)
    keep[:, 4:12, 4:12] = 0.75
    masks = torch.stack([keep, 1 - keep], 1)
    explanation = sdfido.Explanation(
        "fido", {"ssr": keep, "sdr": keep}, {}, probe.targets, {"masks": masks}, legend=sdfido.FIDO.legend
    )
    values = study.measured_masks(probe, explanation)
    for name in ("kept", "removed"):
        torch.testing.assert_close(values[name], torch.full((2,), 0.75 * 64 / 1024))
    torch.testing.assert_close(values["ssr_variation"], torch.full((2,), 0.75 * 32 / 1024))
    blurred = BLUR(images)
    whole, none = (torch.softmax(Window()(given), 1)[:, 1] for given in (images, blurred))
    torch.testing.assert_close(values["prob_ssr_half"], torch.ones(2))
    torch.testing.assert_close(values["prob_sdr_half"], none / whole)
    mixed = torch.softmax(Window()(torch.lerp(blurred, images, keep[:, None])), 1)[:, 1]
    torch.testing.assert_close(values["prob_ssr"], mixed / whole)


def test_measures_of_a_perfect_and_an_empty_map():
    drawn = drawing.birds([1, 5])
    images = classifiers.NORMALIZATION.normalize(drawn.pixels)
    probe = evaluate.Probe(classifiers.network().eval(), images, drawn.labels, infill=BLUR)
    perfect = study.measured(probe, drawn, 7.0 * drawn.truth.float() - 1)
    assert perfect["iou"].tolist() == perfect["iou_half"].tolist() == perfect["pointing"].tolist() == [1, 1]
    assert perfect["components"].tolist() == [1, 1]
    empty = study.measured(probe, drawn, torch.zeros(2, 112, 112))
    assert empty["iou_half"].tolist() == [0, 0]
    assert empty["total_variation"].tolist() == [0, 0]
    torch.testing.assert_close(empty["pointing"], drawn.truth.float().mean((1, 2)), rtol=1e-5, atol=0)
    assert set(perfect) == set(empty)


def test_confidence_intervals():
    summary = study.summary(torch.arange(100, dtype=torch.float64) / 100)
    assert summary["mean"] == 0.495
    # of a mean of 100 uniform numbers: 1.96 * sqrt(1 / 12 / 100) to either side
    assert summary["mean"] - summary["low"] == pytest.approx(0.0566, abs=0.004)
    assert summary["high"] - summary["mean"] == pytest.approx(0.0566, abs=0.004)


def test_images_to_explain_are_right_and_balanced(monkeypatch: pytest.MonkeyPatch):
    drawn = drawing.birds(range(21))
    answers = drawn.labels.clone()
    answers[:7] = 0
    monkeypatch.setattr(classifiers, "predictions", lambda model, pixels: answers)
    some, accuracy = study.chosen(None, drawn, 12)
    assert accuracy == pytest.approx(15 / 21)
    assert some.labels.tolist() == [1, 2, 3, 4, 5, 6] * 2
    assert torch.equal(some.pixels[0], drawn.pixels[8])
    assert torch.equal(some.truth[7], drawn.truth[16])
    for count in (0, 7, 18):
        with pytest.raises(SystemExit, match="--images must be a multiple of 6, at most 12"):
            study.chosen(None, drawn, count)


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With an untrained network and few steps, to results of the form that tables and picture read."""
    torch.manual_seed(0)
    network = classifiers.network().eval()
    untrained = Classifier("untrained", network, classifiers.NORMALIZATION, (112, 112), drawing.SPECIES)
    monkeypatch.setattr(classifiers, "load", lambda kind: untrained)
    monkeypatch.setattr(classifiers, "training_seconds", lambda kind: 1.0)
    monkeypatch.setattr(classifiers, "predictions", lambda _, pixels: torch.arange(len(pixels)) % len(drawing.SPECIES))
    monkeypatch.setattr(study, "ACCURACY_OF", 14)
    quick = {name: partial(method, **QUICK.get(name, {})) for name, method in methods.METHODS.items()}
    monkeypatch.setattr(methods, "METHODS", quick)
    results, drawings, maps = study.compare(6)
    results = records.write(tmp_path / "birds.json", results)
    recorded = records.read(report.RESULTS)
    assert set(results) == set(recorded)
    for part in ("maps", "masks", "ahead", "explaining"):
        assert set(results[part]) == set(recorded[part])
    assert set(results["masks"]["fido"]) == set(recorded["masks"]["fido"])
    assert set(report.blocks(results)) == set(report.blocks(recorded))
    picture.draw(drawings, maps, tmp_path / "birds.webp")


def test_picture(tmp_path: Path):
    drawn = drawing.birds(range(1, 7))
    maps = {name: torch.rand(6, 112, 112) - 0.1 for name in picture.COLUMNS}
    picture.draw(drawn, maps, tmp_path / "picture.webp")
    assert Image.open(tmp_path / "picture.webp").format == "WEBP"
