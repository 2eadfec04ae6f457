"""Wrong arguments of the public functions: one clear error each, which names the argument, before any work."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import sdfido
from sdfido.models import Classifier, Normalization

HUGE = 2**70


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def explanation(network, images):
    return fido(network).explain(images)


def fido(model, **settings):
    return sdfido.FIDO(model, **({"steps": 2, "mask_size": 4, "num_samples": 1, "repeats": 1} | settings))


@pytest.mark.parametrize(
    ("targets", "error", "says"),
    [
        ({0: 1}, TypeError, "got {0: 1}"),
        (Fraction(1), TypeError, r"got Fraction\(1, 1\)"),
        (Decimal(1), TypeError, "got Decimal"),
        (b"x", TypeError, "got b'x'"),
        ([None, 1], TypeError, "got .None, 1."),
        (max, TypeError, "TargetScore"),
        (HUGE, ValueError, r"each below 2\*\*63"),
        ([HUGE, 1], ValueError, r"each below 2\*\*63"),
        (-HUGE, ValueError, r"each below 2\*\*63"),
        (torch.tensor([2**63, 1], dtype=torch.uint64), ValueError, r"each below 2\*\*63"),
        (torch.tensor([0j, 1j]), TypeError, "complex64"),
        (torch.zeros(2).to(torch.float8_e4m3fn), TypeError, "float8"),
        (torch.tensor([0, 1]).to_sparse(), TypeError, "dense tensor"),
        (torch.tensor([0, 1], device="meta"), TypeError, "device meta"),
    ],
)
def test_targets(network, images, targets, error, says):
    with pytest.raises(error, match=f"targets must.*{says}"):
        fido(network).explain(images, targets)


def test_targets_of_every_kind_of_integer(network, images):
    expected = fido(network).explain(images, [1, 3]).ssr
    for targets in (torch.tensor([1, 3], dtype=torch.uint64), np.array([1, 3], np.int16), (np.int64(1), 3)):
        assert torch.equal(fido(network).explain(images, targets).ssr, expected)


@pytest.mark.parametrize(
    ("streams", "error"),
    [
        ([HUGE, 0], ValueError),
        ([2**63, 0], ValueError),
        (torch.tensor(3), ValueError),
        ([0], ValueError),
        ({0: 1, 1: 2}, TypeError),
        ([0.5, 1], TypeError),
        ([True, False], TypeError),
        ("ab", TypeError),
        (torch.zeros(2, dtype=torch.int64, device="meta"), TypeError),
    ],
)
def test_streams(network, images, streams, error):
    with pytest.raises(error, match="streams must"):
        fido(network).explain(images, streams=streams)


def test_random_states():
    rng = sdfido.make_rng(0)
    for state in (torch.zeros(2), torch.zeros(3, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"rng must be int64 \[2\].*make_rng"):
            sdfido.advance(state)
    with pytest.raises(TypeError, match="steps must be an integer"):
        sdfido.advance(rng, torch.tensor(1))
    for make in (
        lambda: sdfido.make_rng(HUGE),
        lambda: sdfido.make_rng(0, step=HUGE),
        lambda: sdfido.advance(rng, HUGE),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()


@pytest.mark.parametrize("temperature", [1e-30, 1e30, 3e38])
def test_temperatures_that_no_kernel_takes(temperature):
    with pytest.raises(ValueError, match="temperature must be above 1e-30 and below 1e30"):
        sdfido.sample_masks(torch.zeros(1, 1, 2, 2), sdfido.make_rng(0), num_samples=1, temperature=temperature)


@pytest.mark.parametrize("name", ["on_step", "on_image"])
def test_callbacks_are_checked_before_any_work(name, images):
    def model(batch):
        raise AssertionError("the model was asked")

    with pytest.raises(TypeError, match=f"{name} must be a function, or None for none, got 3"):
        fido(model).explain(images, 0, **{name: 3})


class Odd:
    """A score that answers with something else than numbers in one of its methods."""

    def __init__(self, wrong, answer=None):
        self.wrong, self.answer = wrong, answer

    def __call__(self, images, targets):
        return self.answer if self.wrong == "call" else images.mean((1, 2, 3))

    def resolve(self, images, targets=None):
        return self.answer if self.wrong == "resolve" else torch.zeros(len(images), dtype=torch.int64)

    def confidence(self, images, targets):
        return self.answer if self.wrong == "confidence" else torch.ones(len(images))


@pytest.mark.parametrize("wrong", ["resolve", "confidence"])
def test_scores_that_answer_with_nothing(images, wrong):
    with pytest.raises(
        TypeError, match=rf"Odd\.{wrong} must return a tensor with an entry for each of \d images, got None"
    ):
        fido(Odd(wrong)).explain(images)
    with pytest.raises(ValueError, match=rf"Odd\.{wrong} must return an entry for each of \d images, got \[7\]"):
        fido(Odd(wrong, torch.zeros(7))).explain(images)


def test_a_score_of_nothing(images):
    with pytest.raises(TypeError, match=r"score must be a tensor \[B\], one number an image, got NoneType"):
        fido(Odd("call")).explain(images)


def test_a_link_that_answers_with_nothing(network, images):
    with pytest.raises(TypeError, match=r"score must be a tensor \[B\]"):
        fido(sdfido.ClassScore(network, lambda logits, targets: None)).explain(images)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_that_the_model_does_not_take(network, channels):
    with pytest.raises(ValueError, match=rf"model cannot take images \[1, {channels}, 16, 16\].*; give images"):
        fido(network).explain(torch.rand(2, channels, 16, 16))


@pytest.mark.parametrize("make", [fido, lambda model, **settings: sdfido.SufficientRegions(model, steps=2, **settings)])
def test_a_spread_beyond_the_mask_is_no_slower(network, images, make):
    wide, wider = make(network, spread=100.0), make(network, spread=3e38)
    begin = time.process_time()
    found = wider.explain(images[:1])
    assert time.process_time() - begin < 10  # it took more than 30 s
    for name, values in wide.explain(images[:1]).maps.items():
        assert torch.allclose(found.maps[name], values, atol=0.02)


def test_a_reach_beyond_the_mask_is_no_slower(network, images):
    begin = time.process_time()
    sdfido.SufficientRegions(network, steps=2, reach=3e38).explain(images[:1])
    assert time.process_time() - begin < 10


def test_composites(explanation, images):
    for first, second, error, says in [
        (None, images, TypeError, "images must be a floating-point tensor"),
        (images, None, TypeError, "infill must be a floating-point tensor"),
        (images.int(), images, TypeError, "images must be a floating-point tensor"),
        (images[:1], images, ValueError, r"images must be those explained, \[2, C, 16, 16\]"),
        (images[..., :8], images, ValueError, "images must be those explained"),
        (images, images[..., :8], ValueError, "infill must broadcast against images"),
    ]:
        with pytest.raises(error, match=says):
            explanation.composites(first, second)
    assert len(explanation.composites(images, torch.zeros(1))) == 2


def test_stack_takes_any_iterable(explanation):
    stacked = sdfido.Explanation.stack(explanation[place] for place in range(2))
    assert torch.equal(stacked.ssr, explanation.ssr)
    for wrong in (None, 3, "ab", [explanation, 3]):
        with pytest.raises(TypeError, match="explanations must be a list of explanations"):
            sdfido.Explanation.stack(wrong)


def test_normalizations(network, images):
    with pytest.raises(TypeError, match="mean must be a tuple of finite numbers"):
        Normalization((None,), (1.0,))
    with pytest.raises(TypeError, match="pixels must be a floating-point tensor"):
        Normalization((0.0,), (1.0,)).normalize(None)
    with pytest.raises(TypeError, match="normalization must be a sdfido Normalization, got 3"):
        fido(network, normalization=3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 3}, "name must be a text, got 3"),
        ({"size": None}, "size must be an integer, got None"),
        ({"size": (3.5, 3)}, "size must be an integer, got 3.5"),
        ({"crop": "x"}, r"crop must be in \(0, 1\], got 'x'"),
        ({"labels": "cat"}, "labels must be a list of names, got 'cat'"),
        ({"labels": ("a", 1)}, "labels must be a list of names, got 1 in it"),
        ({"border": 3}, "border must be a tuple of numbers"),
        ({"border": ("a",)}, "border must be a number, got 'a'"),
        ({"multi_label": 3}, "multi_label must be True or False"),
    ],
)
def test_classifiers(network, change, says):
    with pytest.raises(TypeError, match=says):
        Classifier(**({"name": "mine", "model": network} | change))


def test_a_classifier_of_square_images(network):
    assert Classifier("mine", network, size=3).size == (3, 3)
    with pytest.raises(TypeError, match="target must be a class id or a name, got None"):
        Classifier("mine", network).find(None)


@pytest.mark.parametrize(
    ("arrays", "about", "says"),
    [
        (
            {"maps/ssr": np.full((2, 16, 16), 1e9, np.float32)},
            {},
            r"maps/ssr must be in 0\.\.1, got values from 1e\+09",
        ),
        ({"maps/sdr": np.full((2, 16, 16), -0.5, np.float32)}, {}, r"maps/sdr must be in 0\.\.1"),
        (
            {"maps/ssr": np.full((2, 16, 16), np.nan, np.float32)},
            {},
            r"maps/ssr must be in 0\.\.1, got values from nan",
        ),
        ({"targets": np.array([0, -3])}, {}, "targets must be at least 0, got values from -3"),
        ({"scores/prob_image": np.array([0.5, 7.0], np.float32)}, {}, r"scores/prob_image must be in 0\.\.1"),
        ({"parts/mask_logits": np.full((2, 2, 4, 4), np.inf, np.float32)}, {}, "parts/mask_logits must be finite"),
        ({}, {"seconds": -1.0}, "seconds must be finite and at least 0, got -1.0"),
        ({}, {"seconds": float("nan")}, "seconds must be finite and at least 0, got nan"),
        ({}, {"settings": {"kept_share": 9}}, r"settings must have a kept_share in 0\.\.1, got 9"),
    ],
)
def test_files_with_values_out_of_range(explanation, tmp_path, arrays, about, says):
    path = tmp_path / "e.npz"
    explanation.save(path)
    with np.load(path) as file:
        content = {name: file[name] for name in file.files} | arrays
    content["about"] = np.array(json.dumps(json.loads(str(content["about"])) | about))
    np.savez(path, **content)
    with pytest.raises(ValueError, match=rf"e\.npz is not a saved explanation: its {says}"):
        sdfido.Explanation.load(path)


def test_a_signed_map_may_be_negative(network, images, tmp_path):
    signed = sdfido.Attribution(network, attribution=lambda model, images, targets: images[:, 0] - 0.5).explain(images)
    signed.save(tmp_path / "e.npz")
    found = sdfido.Explanation.load(tmp_path / "e.npz")
    assert all(torch.equal(found.maps[name], values) and (values < 0).any() for name, values in signed.maps.items())
