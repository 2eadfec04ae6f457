"""The benchmark with known truth: drawings that repeat, a truth where they differ, methods that fit together."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import sdfido
from sdfido import reference

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    if name == "methods":
        pytest.importorskip("captum", reason="the methods that are compared include captum's")
    return importlib.import_module(f"quality.{name}")


DRAWINGS = ["birds", "scenes"]


@pytest.mark.parametrize("kind", DRAWINGS)
def test_a_drawing_depends_on_seed_and_index_alone(kind: str):
    draw = getattr(load("drawing"), kind)
    several, again, other = draw([3, 12, 5], seed=1), draw([12], seed=1), draw([12], seed=2)
    for name in ("pixels", "labels", "truth", "boxes"):
        assert torch.equal(getattr(several, name)[1:2], getattr(again, name)), name
    assert not torch.equal(again.pixels, other.pixels)
    assert 0 <= several.pixels.min() < several.pixels.max() <= 1


@pytest.mark.parametrize("kind", DRAWINGS)
def test_the_truth_is_where_species_differ(kind: str):
    """Species are drawn from the same numbers: image i of one species is image i of the common one but for its part."""
    drawing = load("drawing")
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
    hull = load("drawing")._hull
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
    drawing = load("drawing")
    labels = drawing.birds(range(5, 19)).labels
    assert labels.bincount().tolist() == [2] * len(drawing.SPECIES)


def test_training_repeats_and_leaves_random_numbers_alone():
    classifier = load("classifier")
    recipe = classifier.Recipe(birds=8, scenes=4, epochs=1, batch=6)
    state = torch.random.get_rng_state()
    first, again = classifier.train(recipe), classifier.train(recipe)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not first.training
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert first(torch.zeros(2, 3, 112, 112)).shape == (2, 7)


def test_training_takes_one_thread_however_many_there_are(monkeypatch: pytest.MonkeyPatch):
    classifier = load("classifier")
    seen = []
    monkeypatch.setattr(classifier, "_fit", lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        classifier.train(classifier.Recipe(birds=7, scenes=0, epochs=1))
        assert seen == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_trained_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    classifier = load("classifier")
    monkeypatch.setattr(classifier, "CACHE", tmp_path)
    recipe = classifier.Recipe(birds=7, scenes=0, epochs=1, batch=7)
    monkeypatch.setitem(classifier.RECIPES, "strong", recipe)
    network = classifier.train(recipe)
    calls = []
    monkeypatch.setattr(classifier, "_path", lambda kind: tmp_path / "weights.pt")
    monkeypatch.setattr(classifier, "train", lambda recipe: calls.append(recipe) or network)
    images = torch.rand(2, 3, 112, 112)
    for _ in range(2):
        loaded = classifier.load("strong")
        assert torch.equal(loaded.model(images), network(images))
    assert calls == [recipe]
    assert classifier.training_seconds("strong") > 0
    assert loaded.labels == load("drawing").SPECIES
    classifier.retrain("strong")
    assert len(calls) == 2


def test_other_recipes_have_other_files(monkeypatch: pytest.MonkeyPatch):
    classifier = load("classifier")
    first = classifier._path("strong")
    assert first == classifier._path("strong") != classifier._path("weak")
    monkeypatch.setitem(classifier.RECIPES, "strong", classifier.Recipe(birds=16, scenes=0, epochs=1))
    assert classifier._path("strong") != first


def test_thumbnails_halve_scenes():
    classifier, drawing = load("classifier"), load("drawing")
    pixels = drawing.scenes([4]).pixels
    small = classifier.thumbnails(pixels)
    assert small.shape == (1, 3, 112, 112)
    torch.testing.assert_close(small[0, :, 3, 5], pixels[0, :, 6:8, 10:12].mean((1, 2)))


@pytest.fixture(scope="module")
def small() -> tuple[torch.nn.Sequential, torch.Tensor, torch.Tensor]:
    """An untrained classifier, two images and their targets."""
    torch.manual_seed(0)
    return load("classifier").network().eval(), torch.randn(2, 3, 32, 32), torch.tensor([1, 4])


QUICK: dict[str, dict[str, Any]] = {
    "fido": {"steps": 2, "mask_size": 8},
    "defaults": {"steps": 2, "mask_size": 8},
    "standard": {"steps": 2, "mask_size": 8},
    "published": {"steps": 2, "cells": 8},
    "occlusion": {"window": 8, "stride": 8},
}


FIDOS = ("fido", "defaults", "standard", "published")
FIDO_MAPS = ["ssr", "sdr", "joint", "ssr mask", "sdr mask"]


def test_methods_give_maps(small: Any):
    methods = load("methods")
    for name, method in methods.METHODS.items():
        maps = method(*small, **QUICK.get(name, {}))
        assert list(maps) == (FIDO_MAPS if name in FIDOS else ["map"])
        for each in maps.values():
            assert each.shape == (2, 32, 32), name
            assert each.isfinite().all()
            assert not each.requires_grad
            assert each.std((1, 2)).min() > 0
            if name != "occlusion":
                assert each.min() >= 0
            if name in FIDOS:
                assert each.max() <= 1


def test_maps_and_masks_of_fido_are_those_of_its_explanation(small: Any):
    methods = load("methods")
    model, images, targets = small
    explanation = sdfido.FIDO(model, infill=methods.BLUR, **QUICK["fido"]).explain(images, targets)
    maps = methods.fido(*small, **QUICK["fido"])
    keep_ssr, keep_sdr = explanation.masks.unbind(1)
    expected = (explanation.ssr, explanation.sdr, explanation.joint, keep_ssr, 1 - keep_sdr)
    for name, values in zip(FIDO_MAPS, expected, strict=True):
        torch.testing.assert_close(maps[name], values, rtol=0, atol=1e-6, msg=name)


class Window(torch.nn.Module):
    """A classifier whose answer lies in one corner of the image alone; class 1 where that is bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = 6 * images[:, :, 4:12, 4:12].mean((1, 2, 3))
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize(("name", "settings"), [("standard", {"steps": 60}), ("published", {"steps": 60, "cells": 16})])
def test_the_baselines_find_what_decides(name: str, settings: dict[str, int]):
    """A baseline that were broken would be beaten by anything."""
    methods = load("methods")
    images = torch.zeros(1, 3, 32, 32)
    images[:, :, 4:12, 4:12] = 2
    maps = methods.METHODS[name](Window(), images, torch.tensor([1]), **settings)
    for each in FIDO_MAPS[:3]:
        inside = maps[each][:, 4:12, 4:12].mean()
        assert inside > 0.15 + maps[each][:, 18:].mean(), each


def test_every_image_is_explained_as_alone(small: Any):
    """By methods that loop over images or use random numbers."""
    methods = load("methods")
    model, images, targets = small
    for name in ("published", "integrated gradients", "occlusion"):
        method, settings = methods.METHODS[name], QUICK.get(name, {})
        both, first = method(model, images, targets, **settings), method(model, images[:1], targets[:1], **settings)
        for key in both:
            torch.testing.assert_close(both[key][:1], first[key], rtol=1e-3, atol=1e-4)


def test_standard_sampling_is_the_same_distribution(small: Any):
    """Both formulas give the same masks from the same uniform numbers, up to the constants in the logarithms."""
    methods = load("methods")
    rng, streams = sdfido.make_rng(5), torch.arange(1)
    logits = torch.linspace(-6, 6, 24).view(1, 2, 3, 4)
    u = ((reference.random_words(rng, streams, 2, 4, 12, False) >> 8) + 0.5) / 2**24
    masks = methods.standard_concrete(torch.sigmoid(logits)[:, :, None], u.view(1, 2, 4, 3, 4), temperature=0.2)
    expected = sdfido.sample_masks(logits, rng, num_samples=4, temperature=0.2)
    torch.testing.assert_close(masks, expected, rtol=0, atol=1e-3)  # log(1 - p) rounds where p is close to 1
    model, images, targets = small
    for settings in ({"steps": 1}, {"steps": 1, "antithetic": False}):
        settings = settings | {"mask_size": 8, "infill": methods.BLUR}
        ours, standard = (
            kind(model, **settings).explain(images, targets) for kind in (sdfido.FIDO, methods.StandardFIDO)
        )
        assert not torch.equal(ours.logits, torch.zeros_like(ours.logits))
        torch.testing.assert_close(standard.logits, ours.logits, rtol=1e-3, atol=1e-3)


def test_standard_sampling_follows_the_temperature(small: Any, monkeypatch: pytest.MonkeyPatch):
    methods = load("methods")
    seen = []
    original = methods.standard_concrete
    monkeypatch.setattr(methods, "standard_concrete", lambda *a: seen.append(a[2]) or original(*a))
    explainer = methods.StandardFIDO(small[0], steps=3, mask_size=8, temperature=(1.0, 0.25))
    explainer.explain(small[1][:1], small[2][:1])
    assert seen == [explainer.settings.heat(step) for step in range(3)] == [1.0, 0.5, 0.25]


def test_measures_of_masks():
    load("methods")
    compare, classifier = load("compare"), load("classifier")
    images = torch.zeros(2, 3, 32, 32)
    images[:, :, 4:12, 4:12] = 2
    model = classifier.Classifier("window", Window(), classifier.NORMALIZATION, (32, 32), ("dark", "bright"))
    part = torch.zeros(2, 32, 32)
    part[:, 4:12, 4:12] = 0.75
    targets = torch.tensor([1, 1])
    values = compare.measure_masks(model, images, targets, part, part)
    assert values["kept"].tolist() == values["removed"].tolist() == [0.75 * 64 / 1024] * 2
    torch.testing.assert_close(values["ssr_variation"], torch.full((2,), 0.75 * 32 / 1024))
    blurred = compare.methods.BLUR(images)
    whole, none = (torch.softmax(Window()(given), 1)[:, 1] for given in (images, blurred))
    torch.testing.assert_close(values["prob_ssr_half"], torch.ones(2))
    torch.testing.assert_close(values["prob_sdr_half"], none / whole)
    mixed = torch.softmax(Window()(blurred + part[:, None] * (images - blurred)), 1)[:, 1]
    torch.testing.assert_close(values["prob_ssr"], mixed / whole)


def test_measures_of_a_perfect_and_an_empty_map():
    load("methods")
    compare, classifier, drawing = load("compare"), load("classifier"), load("drawing")
    drawn = drawing.birds([1, 5])
    model = classifier.Classifier(
        "untrained", classifier.network().eval(), classifier.NORMALIZATION, (112, 112), drawing.SPECIES
    )
    images = model.normalization.normalize(drawn.pixels)
    perfect = compare.measure(model, images, drawn, 7.0 * drawn.truth.float() - 1)
    assert perfect["iou"].tolist() == perfect["iou_half"].tolist() == perfect["pointing"].tolist() == [1, 1]
    assert perfect["components"].tolist() == [1, 1]
    empty = compare.measure(model, images, drawn, torch.zeros(2, 112, 112))
    assert empty["iou_half"].tolist() == [0, 0]
    assert empty["total_variation"].tolist() == [0, 0]
    torch.testing.assert_close(empty["pointing"], drawn.truth.float().mean((1, 2)), rtol=1e-5, atol=0)
    assert set(perfect) == set(empty)


def test_confidence_intervals():
    load("methods")
    summary = load("compare").summary(torch.arange(100, dtype=torch.float64) / 100)
    assert summary["mean"] == 0.495
    # of a mean of 100 uniform numbers: 1.96 * sqrt(1 / 12 / 100) to either side
    assert summary["mean"] - summary["low"] == pytest.approx(0.0566, abs=0.004)
    assert summary["high"] - summary["mean"] == pytest.approx(0.0566, abs=0.004)


def test_images_to_explain_are_right_and_balanced(monkeypatch: pytest.MonkeyPatch):
    load("methods")
    compare, drawing = load("compare"), load("drawing")
    drawn = drawing.birds(range(21))
    answers = drawn.labels.clone()
    answers[:7] = 0
    monkeypatch.setattr(compare.classifier, "predictions", lambda model, pixels: answers)
    some, accuracy = compare.chosen(None, drawn, 12)
    assert accuracy == pytest.approx(15 / 21)
    assert some.labels.tolist() == [1, 2, 3, 4, 5, 6] * 2
    assert torch.equal(some.pixels[0], drawn.pixels[8])
    assert torch.equal(some.truth[7], drawn.truth[16])
    for count in (0, 7, 18):
        with pytest.raises(SystemExit, match="--images must be a multiple of 6, at most 12"):
            compare.chosen(None, drawn, count)


def test_picture(tmp_path: Path):
    drawing, picture = load("drawing"), load("picture")
    drawn = drawing.birds(range(1, 7))
    maps = {name: torch.rand(6, 112, 112) - 0.1 for name in picture.COLUMNS}
    picture.draw(drawn, maps, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_page_comes_from_the_results():
    page = load("page")
    results = json.loads(page.RESULTS.read_text())
    assert page.PAGE.read_text() == page.page(results), "run python benchmarks/quality/page.py"
    assert set(page.LABELS) == set(results["maps"])
    assert set(page.FIDOS) == set(results["masks"])
    for table in (page.truth_table, page.classifier_table, page.coherence_table, page.masks_table, page.targets_table):
        assert len({len(line) for line in table(results).splitlines()}) == 1  # aligned
    assert page.PAGE.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
