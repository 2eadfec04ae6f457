"""Seeds that agree, maps that depend on the model and the question, texts that mean something, maps of other tools."""

import numpy as np
import pytest
import torch
from torch import nn

import sdfido
from sdfido import evaluate, scores
from tests.scores.support import Encoder, Quarters, encode_text, images

QUICK = {"infill": "zeros", "normalization": sdfido.Normalization((0.0,), (1.0,)), "mask_size": 4, "repeats": 1}


def test_seeds_agree_in_their_core():
    explainer, seen, finished = sdfido.FIDO(Quarters(), steps=8, seed=5, **QUICK), [], []
    explanation = evaluate.over_seeds(
        explainer,
        images(),
        seeds=3,
        on_step=lambda progress: seen.append((progress.step, progress.steps)),
        on_image=lambda place, one: finished.append((place, float(one.core_ssr))),
    )
    alone = [sdfido.FIDO(Quarters(), steps=8, seed=seed, **QUICK).explain(images()) for seed in (5, 6, 7)]
    assert torch.equal(explanation.joint, alone[0].joint)
    core = torch.stack([each.final_cells for each in alone]).all(0)
    assert torch.equal(explanation.core, core)
    assert torch.equal(explanation.core_ssr, core[:, 0].float().mean((1, 2)))
    assert (explanation.core_ssr <= explanation.area_ssr).all()
    assert explanation.seeds.tolist() == [3, 3]
    expected = evaluate.stability([each.joint for each in alone])
    assert torch.equal(explanation.seeds_rank_joint, expected)
    assert seen == [(step, 24) for step in range(1, 25)]
    assert finished == list(enumerate(explanation.core_ssr.tolist()))
    assert explainer.settings.seed == 5


def test_the_same_seed_agrees_wholly(tmp_path):
    explanation = sdfido.FIDO(Quarters(), steps=4, **QUICK).explain(images())
    same = evaluate.agreed([explanation, explanation])
    assert same.seeds_overlap_ssr.tolist() == same.seeds_overlap_sdr.tolist() == [1, 1]
    assert torch.equal(same.core_sdr, explanation.area_sdr)
    same.save(tmp_path / "e.npz")
    assert torch.equal(sdfido.Explanation.load(tmp_path / "e.npz").core, same.core)
    with pytest.raises(ValueError, match="at least two, got 1"):
        evaluate.agreed([explanation])
    with pytest.raises(ValueError, match="of the same images and method, got 2 by 'fido' and 1 by 'fido'"):
        evaluate.agreed([explanation, explanation[0]])


def explain(module, images, targets):
    """A gradient map, which knows the model's weights."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(images).gather(1, targets[:, None]).sum(), [images])
    return gradient.abs().sum(1)


def network():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 4))
    return net.eval()


def test_a_randomised_copy_is_seeded_and_leaves_the_model_alone():
    module, state = network(), torch.random.get_rng_state()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, again, other = (evaluate.randomised(module, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(evaluate.randomised(module, np.uint64(1))[0].weight, other[0].weight)
    for name in ("0.weight", "4.weight"):
        assert torch.equal(first.state_dict()[name], again.state_dict()[name])
        assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
        assert not torch.equal(first.state_dict()[name], before[name])
    assert not first.training

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(5 + torch.randn(1000))

    own = Own()
    drawn = evaluate.randomised(own).token
    assert not torch.equal(drawn, own.token)
    torch.testing.assert_close(drawn.mean(), own.token.mean(), rtol=0.05, atol=0)


def test_maps_are_compared_with_those_of_other_weights_and_classes():
    module, targets = network(), torch.tensor([0, 1])
    known = explain(module, images(), targets)
    same = evaluate.model_randomisation(explain, module, images(), targets, other=module)
    torch.testing.assert_close(same, torch.ones(2))
    random = evaluate.model_randomisation(explain, module, images(), targets, maps=known)
    assert (random < 0.5).all()
    by_hand = evaluate.rank_correlation(known, explain(evaluate.randomised(module), images(), targets))
    assert torch.equal(random, by_hand)
    others = evaluate.label_randomisation(explain, module, images(), targets)
    assert (others < 1).all()
    picture = evaluate.label_randomisation(lambda module, images, targets: images.mean(1), module, images(), targets)
    torch.testing.assert_close(picture, torch.ones(2))  # what shows the image alone is found out
    with pytest.raises(ValueError, match="a class for each of 2 images"):
        evaluate.label_randomisation(explain, module, images(), torch.tensor([0]))


@pytest.mark.parametrize("pack", [lambda logits: logits, lambda logits: {"logits": logits, "aux": logits}])
def test_counting_the_classes_leaves_the_model_as_it_was(pack):
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network().train()

        def forward(self, images):
            return pack(self.net(images))

    module = Packed()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    asked = []

    def method(module, images, targets):
        asked.append(targets)
        return images.mean(1)

    evaluate.label_randomisation(method, module, images(), torch.tensor([0, 1]))
    assert all(0 <= int(each) < 4 for targets in asked for each in targets)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(part.training for part in module.modules())


def test_a_text_without_meaning_is_found_out():
    score = scores.TextScore(Encoder(), ["one", "two", "four"], encode_text)
    known = evaluate.prompt_check(score, images()[:1], "a photo of one")
    assert known.passed.all()
    assert "better than 20 texts without meaning" in str(known)
    assert [len(word) for word in known.texts[0].split()] == [1, 5, 2, 3]
    nonsense = evaluate.prompt_check(score, images(), "ljashdbf lsabdf")
    assert not nonsense.passed.any()
    assert "says nothing about the text" in str(nonsense)
    assert evaluate.prompt_check(score, images(), "a photo of one").texts == known.texts
    with pytest.raises(TypeError, match=r"a sdfido\.scores\.TextScore, got Quarters"):
        evaluate.prompt_check(Quarters(), images(), "one")


def test_what_cannot_be_compared_is_told():
    one = sdfido.FIDO(Quarters(), steps=2, **QUICK)
    with pytest.raises(ValueError, match=r"maps of one size, got \[2, 16, 16\] and \[2, 16, 12\]"):
        evaluate.agreed([one.explain(images()), one.explain(images()[..., :12])])
    with pytest.raises(ValueError, match="must have parameters to draw anew, got Quarters without any"):
        evaluate.model_randomisation(explain, Quarters(), images(), torch.tensor([0, 1]))
    for check in (evaluate.model_randomisation, evaluate.label_randomisation):
        with pytest.raises(ValueError, match="a map for each of 2 images, got 1"):
            check(lambda module, images, targets: images[:1].mean(1), network(), images(), torch.tensor([0, 1]))


def test_texts_are_read_in_eval_mode():
    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def encode_image(self, images):
            return self.drop(Encoder().encode_image(images))

        def encode_text(self, texts):
            return self.drop(encode_text(texts))

    clip = Clip().train()
    score = scores.TextScore(clip, ["one", "two"], clip.encode_text)
    assert torch.equal(score.embeddings, torch.nn.functional.normalize(encode_text(["one", "two"])))
    assert clip.training
    assert clip.drop.training
    first, second = (evaluate.prompt_check(score, images(), "two") for _ in range(2))
    assert torch.equal(first.nonsense, second.nonsense)
    with pytest.raises(ValueError, match="images must be finite"):
        evaluate.prompt_check(score, images() * torch.nan, "two")


def test_maps_of_other_tools_are_measured():
    maps, truth = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 16, 16).bool()
    truth[:, :5, :5] = True
    probe = evaluate.Probe(Quarters(), images())
    known = evaluate.measure(maps, probe, truth).numbers
    array = maps.numpy()
    for other in (array, maps[:, None], array[:, None].astype(np.float64), np.asfortranarray(array)):
        found = evaluate.measure(other, probe, truth.numpy()).numbers
        assert all(torch.allclose(found[name].float(), known[name].float()) for name in known)
    assert torch.equal(evaluate.rank_correlation(maps.numpy(), maps), torch.ones(2))
    with pytest.raises(ValueError, match=r"got \[2, 3, 16, 16\]; sum attributions over the channels"):
        evaluate.measure(images(), probe)


def test_seeds_are_wrong():
    with pytest.raises(ValueError, match="seeds must be at least 2, got 1"):
        evaluate.over_seeds(sdfido.FIDO(Quarters()), images(), seeds=1)
