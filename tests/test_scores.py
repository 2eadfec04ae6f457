"""Scores: what is explained, and how a model is run for it."""

import functools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import sdfido
from sdfido import execution, scores
from tests.support import DEVICES


class Brightness:
    """A score of one's own: a plain callable, with the colour as target. No module, no classes."""

    def __init__(self):
        self.asked = []

    def __call__(self, images, targets):
        weights = nn.functional.one_hot(targets, 3).to(images)
        return (images.mean((2, 3)).float() * weights).sum(1)

    def resolve(self, images, targets=None):
        if targets is None:
            return images.mean((2, 3)).argmax(1)
        return torch.full((len(images),), int(targets), device=images.device)

    def confidence(self, images, targets):
        return torch.sigmoid(self(images, targets))


@pytest.mark.parametrize("device", DEVICES)
def test_any_score_can_be_explained_saved_and_measured(device, tmp_path):
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(device)
    explanation = sdfido.FIDO(Brightness(), steps=4, mask_size=4).explain(images)
    assert torch.equal(explanation.targets, images.mean((2, 3)).argmax(1))
    torch.testing.assert_close(explanation.prob_image, torch.sigmoid(images.mean((2, 3)).amax(1)))
    explanation.save(tmp_path / "e.npz")
    assert torch.equal(sdfido.Explanation.load(tmp_path / "e.npz").ssr, explanation.ssr.cpu())
    curve = sdfido.evaluate.deletion(Brightness(), images, explanation.joint, num_fractions=3)
    torch.testing.assert_close(curve.values[:, 0], explanation.prob_image)


def test_a_model_means_its_class_score():
    images, model = torch.rand(1, 3, 12, 12), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    settings = {"steps": 3, "mask_size": 4}
    by_model, by_score = (sdfido.FIDO(m, **settings).explain(images) for m in (model, sdfido.ClassScore(model)))
    assert torch.equal(by_model.mask_logits, by_score.mask_logits)
    other = sdfido.FIDO(sdfido.ClassScore(model, scores.log_probability), **settings).explain(images)
    assert other.settings["score"] == "log_probability"
    assert not torch.equal(by_model.trace, other.trace)


def test_how_the_model_was_run_is_recorded():
    images, model = torch.rand(1, 3, 12, 12), nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    chosen = sdfido.FIDO(model, steps=2, mask_size=4).explain(images).execution
    assert chosen == {
        "max_batch": 4,
        "channels_last": True,
        "dtype": "float32",
        "fold_batch_norm": False,
        "keep_memory": True,
    }
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2))
    given = sdfido.FIDO(linear, steps=2, mask_size=4, max_batch=7).explain(images).execution
    assert given == {
        "max_batch": 7,
        "channels_last": False,
        "dtype": "float32",
        "fold_batch_norm": False,
        "keep_memory": True,
    }


@pytest.mark.parametrize("pack", [lambda net: net.forward, functools.partial, lambda net: net])
def test_eval_mode_of_methods_of_modules(pack):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = net[1].running_mean.clone()
    sdfido.FIDO(sdfido.ClassScore(pack(net)), steps=2, mask_size=4).explain(torch.rand(2, 3, 12, 12), 1)
    assert torch.equal(net[1].running_mean, before)
    assert all(part.training for part in net.modules())


def test_models_of_transformers_say_what_they_predict():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.config = SimpleNamespace(problem_type="multi_label_classification")
    images = torch.rand(2, 3, 12, 12)
    explanation = sdfido.FIDO(net, steps=2, mask_size=4).explain(images, 1)
    torch.testing.assert_close(explanation.prob_image, torch.sigmoid(net(images)[:, 1]))
    assert isinstance(sdfido.FIDO(sdfido.ClassScore(net)).score, sdfido.ClassScore)  # who asks for it, gets it
    net.config.problem_type = "regression"
    with pytest.raises(ValueError, match=r"predicts values .*RegressionScore"):
        sdfido.FIDO(net)
    net.config.problem_type = None
    assert isinstance(sdfido.FIDO(net).score, sdfido.ClassScore)


def test_embeddings_of_transformers():
    def pooled(values):
        return SimpleNamespace(pooler_output=values, last_hidden_state=torch.zeros(len(values), 5, 3))

    def encode(images):
        return pooled(images.mean((2, 3)))

    images = torch.rand(2, 3, 12, 12)
    texts = torch.eye(3)[:2]
    score = scores.TextScore(encode, ["a", "b"], lambda given: pooled(texts))
    torch.testing.assert_close(score.embeddings, texts)
    torch.testing.assert_close(scores.EmbeddingScore(encode).resolve(images), images.mean((2, 3)))


def test_eval_mode_of_what_is_no_module():
    with scores.eval_mode(lambda x: x), scores.eval_mode(Brightness()):
        pass


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"model": 3}, "model must be .*int"), ({"model": nn.Identity(), "link": "log"}, "link must be .*str")],
)
def test_wrong_scores(wrong, says):
    with pytest.raises(TypeError, match=says):
        sdfido.ClassScore(**wrong)


@pytest.mark.parametrize(("most", "kept"), [(2**31, 2**30), (2**25, 2**25), (0, None)])  # of glibc 2.35, of older ones
def test_memory_is_kept_as_far_as_the_c_library_allows(monkeypatch, most, kept):
    taken = {}

    def mallopt(what, value):
        if what == execution._M_MMAP_THRESHOLD and value > most:
            return 0
        taken[what] = value
        return 1

    monkeypatch.setattr(execution.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    execution._keep_memory.__wrapped__()
    assert taken.get(execution._M_MMAP_THRESHOLD) == kept
    assert (execution._M_TRIM_THRESHOLD in taken) == (kept is not None)
