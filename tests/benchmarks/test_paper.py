"""The paper's claims measured again: two formulas that are one, intervals that hold, verdicts true to the numbers."""

import copy
import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sdfido
from benchmarks.common import classifiers, concrete, drawing, statistics
from benchmarks.common.variants import SampledFIDO
from benchmarks.studies.paper import elementwise, gradients, masks, picture, report, timing, verdicts
from sdfido.models import Classifier
from sdfido.ops.rng import random_words

study = importlib.import_module("benchmarks.studies.paper.__main__")

PLAN = replace(study.FEW, step=10, birds=1, budget=2, gradient_birds=1, scenes=7, steps=1)


def _network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return classifiers.network().eval()


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """All studies of an untrained network, whose predictions count as right; times are made up."""
    size = (drawing.SIZE, drawing.SIZE)
    untrained = Classifier("untrained", _network(), classifiers.NORMALIZATION, size, drawing.SPECIES)
    samplers = [*timing.EAGER, timing.FUSED]
    times = {"size": 8, "samples": 8, "calls": 2, "explanations": dict.fromkeys(samplers, 3.0)}
    times["steps"] = {cells: dict.fromkeys(samplers, 2.0) for cells in ("8", "1")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifiers, "predictions", lambda _, pixels: torch.arange(len(pixels)) % len(drawing.SPECIES))
        patch.setattr(timing, "study", lambda *_, **__: times)
        logits = [torch.full((1, 2, 4, 4), value) for value in (0.0, 1.0, 2.0)]
        patch.setattr(gradients, "logits_of_a_run", lambda *_, **__: logits)
        return study.run(PLAN, untrained, untrained)


@pytest.mark.studies
def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(400, 40, generator=generator)
    held = sum(of["low"] <= 0 <= of["high"] for of in map(statistics.interval, draws))
    assert 0.9 < held / 400 < 0.98


def test_ratios_are_of_sums():
    found = statistics.interval(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    assert found == {"value": 1.0, "low": 0.5, "high": 1.5}


@pytest.mark.parametrize("temperature", [0.1, 0.37, 1.0])
def test_both_formulas_are_one_in_real_arithmetic(temperature: float):
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(50, 1, dtype=torch.float64, generator=generator)
    u = 0.01 + 0.98 * torch.rand(50, 60, dtype=torch.float64, generator=generator)
    expected = sdfido.simplified_concrete(logits.expand(50, 60), u, temperature)
    torch.testing.assert_close(concrete.standard(torch.sigmoid(logits), u, temperature), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(concrete.simplified(logits, u, temperature), expected, rtol=1e-4, atol=1e-5)


class SameNoise(SampledFIDO):
    """Has sdfido's noise in place of its own."""

    def uniform(self, places: tuple[int, int], mask_logits: torch.Tensor, scene: Any, step: int) -> torch.Tensor:
        k, samples, (rows, columns) = mask_logits.shape[1], self.settings.num_samples, places
        rng = sdfido.make_rng(self.settings.seed, step=step)
        words = random_words(rng, scene.streams, k, samples, rows * columns, False)
        return (((words >> 8) + 0.5) / 2**24).float().view(len(scene), k, samples, rows, columns)


@pytest.mark.studies
def test_sampling_in_pytorch_gives_the_masks_of_sdfido():
    """At cells; at pixels, others."""
    images = classifiers.NORMALIZATION.normalize(drawing.birds([1, 2]).pixels)
    settings: dict[str, Any] = {"steps": 3, "mask_size": 7, "antithetic": False, "num_samples": 2, "seed": 5}
    expected = sdfido.FIDO(_network(), **settings).explain(images, 1)
    for sampler in concrete.AT_CELLS.values():
        found = SameNoise(_network(), sampler, **settings).explain(images, 1)
        torch.testing.assert_close(found.mask_logits, expected.mask_logits, rtol=1e-3, atol=1e-3)
    other = SameNoise(_network(), concrete.standard_at_pixels, **settings).explain(images, 1)
    assert not torch.allclose(other.mask_logits, expected.mask_logits, atol=0.1)


def test_moments_over_a_grid_are_those_of_all_uniform_numbers(monkeypatch: pytest.MonkeyPatch):
    logits, variant = torch.tensor([-3.0, 0.0, 2.0]), elementwise.VARIANTS["sdfido"]
    monkeypatch.setitem(elementwise.BITS, torch.float32, 16)
    coarse = elementwise.moments(variant, logits, 0.5, edge=64)
    every = elementwise.moments(variant, logits, 0.5, edge=2**15)
    for one, other in zip(coarse, every, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=0)


def test_exact_moments():
    """At temperature 1 and logit 0, z is uniform: the mean of z(1 - z) is 1/6, that of its square 1/30."""
    mean, variance = elementwise.exact_moments(torch.zeros(1, dtype=torch.float64), 1.0)
    assert float(mean) == pytest.approx(1 / 6, rel=1e-6)
    assert float(variance) == pytest.approx(1 / 30 - 1 / 36, rel=1e-6)


def test_noise_and_signal_of_known_gradients():
    generator = torch.Generator().manual_seed(0)
    drawn = 3.0 + 2.0 * torch.randn(4, 4000, 1, 5, 1, generator=generator)
    found, noise = gradients.summary(drawn)
    assert noise.tolist() == pytest.approx([20.0] * 4, rel=0.1)
    assert found["signal_to_noise"]["value"] == pytest.approx(45 / 20, rel=0.1)
    for size, variance in found["batches"].items():
        assert variance == pytest.approx(20 / int(size), rel=0.15)


def test_runs_at_equal_calls_have_equal_calls():
    for size in masks.SIZES:
        steps = masks.steps_of("equal calls", size, 96)
        assert steps * size == 96
        assert masks.settings(size, steps)["num_samples"] == size
    assert {masks.steps_of("equal steps", size, 96) for size in masks.FEW} == {24}


def _interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def test_verdicts_follow_the_intervals():
    under, over, around = _interval(0.8, 0.7, 0.9), _interval(1.2, 1.1, 1.3), _interval(1.0, 0.8, 1.2)
    equal = _interval(1.0, 0.9995, 0.99999)
    assert verdicts.below([under, under]) == "yes"
    assert verdicts.below([over, over]) == "no: the contrary"
    assert verdicts.below([equal, equal]) == "no: the same to 1%"
    assert verdicts.below([around, around]) == "not told apart"
    assert verdicts.below([under, around]) == "in part: lower in 1 of 2 cases, never higher"
    assert verdicts.below([under, equal, over]) == "no: lower in 1 of 3 cases, higher in 1"
    assert verdicts.lower([_interval(-1, -2, -0.5)]) == "yes"
    assert verdicts.lower([_interval(0, 0, 0)]) == "no: the same"


def test_the_trusted_range_is_contiguous():
    ratios = {"x": {"variance": [1.0, 0.9, 0.98, 1.0, 1.02, None, 1.0]}, "wrong": {"variance": [1.0] * 3 + [0.5] * 4}}
    found = {"at": {"logits": [-3, -2, -1, 0, 1, 2, 3]}, "ratios": {"float32": {"0.1": ratios}}}
    assert verdicts.trusted(found, "float32", "0.1", "x") == (-1, 1)
    assert verdicts.trusted(found, "float32", "0.1", "wrong") is None


@pytest.mark.studies
def test_the_formulas_differ_where_float32_ends():
    found = elementwise.study(2.5)
    standard, simplified = (
        verdicts.trusted(found, "float32", "0.1", name) for name in ("standard, e = 2.2e-16", "simplified, e = 1e-07")
    )
    assert standard is not None
    assert simplified is not None
    assert 10 <= standard[1] < simplified[1]


@pytest.mark.studies
def test_blocks_and_pictures_of_all_studies(measured: tuple[dict[str, Any], dict[str, torch.Tensor]], tmp_path: Path):
    results, maps = measured
    loaded = json.loads(json.dumps(results, allow_nan=False))
    assert report.blocks(loaded) == report.blocks(results)
    table = report.claims_table(results)
    assert len(table.splitlines()) == 2 + len(verdicts.claims(results)) == 12
    picture.draw(loaded, maps, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "paper-gradients.webp", "paper-masks.webp", "paper-maps.webp",
    }  # fmt: skip


@pytest.mark.studies
def test_claims_change_with_the_numbers(measured: tuple[dict[str, Any], dict[str, torch.Tensor]]):
    results = copy.deepcopy(measured[0])
    before = {claim.says: claim.holds for claim in verdicts.claims(results)}
    for states in results["gradients"]["ratios"].values():
        states.update(dict.fromkeys(gradients.STATES, _interval(0.5, 0.4, 0.6)))
    for of in results["timing"]["steps"].values():
        of["simplified"] = 1.0
    results["timing"]["explanations"]["simplified"] = 1.5
    for name in ("simplified, infill", "simplified, original"):
        results["classification"]["gain"][name] = _interval(0.1, 0.05, 0.15)
    after = {claim.says: claim.holds for claim in verdicts.claims(results)}
    changed = [says for says in before if not before[says].startswith("yes") and after[says].startswith("yes")]
    assert len(changed) == 4
