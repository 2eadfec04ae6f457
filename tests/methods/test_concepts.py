"""Concepts: terms of the loss, planted features that are found again, rounds, files, and maps of each feature."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import sdfido
from sdfido.methods import concept_network as network
from sdfido.methods import concept_training as training
from sdfido.methods.concept_training import PUBLISHED, ConceptSettings
from sdfido.methods.layers import activations_of

PLANTED = 3


class Linear(nn.Module):
    """Images [B, 1, 3, 4] are activations [B, 12], of which two logits are linear."""

    def __init__(self, weight):
        super().__init__()
        self.flat = nn.Flatten()
        self.head = nn.Linear(*weight.T.shape)
        self.head.weight.data, self.head.bias.data = weight, torch.tensor([0.5, 0.0])

    def forward(self, x):
        return self.head(self.flat(x))


def planted(count=600, seed=0):
    """A linear model, images, and how much each shows of three concepts [N, 3], one at a time, of which two matter."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(12, PLANTED, generator=torch.Generator().manual_seed(9)))[0].T
    strength = torch.zeros(count, PLANTED)
    which = torch.randint(PLANTED, (count,), generator=generator)
    strength[torch.arange(count), which] = 1 + 2 * torch.rand(count, generator=generator)
    images = strength @ directions + 0.02 * torch.randn(count, 12, generator=generator)
    weights = torch.tensor([[2.0, -1.5, 0.0], [-1.0, 2.0, 0.0]])  # of the concepts in both logits
    return Linear(weights @ directions), images.view(count, 1, 3, 4), strength


@pytest.fixture(scope="module")
def found():
    model, images, _ = planted()
    return sdfido.Concepts(model, "flat", count=PLANTED, batch=50, epochs=40, rounds=1).fit(images)


class Patches(nn.Module):
    """Two classes: evidence from the corner at the top left for one and from that at the bottom right for the other."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        )
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[3.0, -3.0], [-2.0, 2.0]])
        self.features[0].weight.data.fill_(1 / 9)

    def corners(self, x):
        x = self.features(x).mean(1)
        return torch.stack([x[:, :8, :8].mean((1, 2)), x[:, 8:, 8:].mean((1, 2))], 1)

    def forward(self, x):
        return self.head(self.corners(x))


def patches(count=80):
    generator = torch.Generator().manual_seed(1)
    images = 0.05 * torch.rand(count, 1, 16, 16, generator=generator)
    strength = 1 + torch.rand(count, generator=generator)
    first = torch.arange(count) % 2 == 0
    images[first, :, :8, :8] += strength[first].view(-1, 1, 1, 1)
    images[~first, :, 8:, 8:] += strength[~first].view(-1, 1, 1, 1)
    return images


def test_faithfulness_is_the_mean_squared_error():
    predicted, logits = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, -1.0]])
    assert network.faithfulness(predicted, logits).tolist() == [2.0, 5.0]


def test_sparse_reconstruction_takes_the_logarithm_of_each_unit():
    activations = torch.zeros(2, 2)
    rebuilt = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])  # errors of unit 0: 1 and 9, of unit 1: none
    expected = (math.log(1 + 100 * 5) + 0) / 2
    assert network.sparse_reconstruction(rebuilt, activations, 100.0).item() == pytest.approx(expected)
    sparse = network.sparse_reconstruction(torch.tensor([[[2.0, 0.0], [2.0, 0.0]]]), activations, 100.0)
    even = network.sparse_reconstruction(torch.full((1, 2, 2), math.sqrt(2.0)), activations, 100.0)
    assert sparse < 0.6 * even  # of the same squared error, in one unit or in both


def test_pull_away_is_the_mean_of_squared_cosines_over_pairs():
    vectors = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, -2.0]]])
    expected = (0.5 + 0.0 + 0.5) / 3
    assert network.pull_away(vectors).item() == pytest.approx(expected)
    assert network.pull_away(torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])).item() == 0  # a dead feature
    assert network.pull_away(vectors[:, :1]).tolist() == [0.0]


@pytest.mark.parametrize("apart", ["features", "images"])
def test_terms_of_the_loss_by_hand_and_their_gradient(apart):
    settings = ConceptSettings(count=3, hidden=(4,), pull_away=apart)
    weights = {name: value.double() for name, value in training.start(5, settings, [0, 7], 1).items()}
    weights = {name: value + 0.1 * torch.randn_like(value) for name, value in weights.items()}
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    terms = training.loss_terms(weights, x, y, settings)
    for c in range(2):
        w = {name: value[c] for name, value in weights.items()}
        hidden = (x @ w["encoder_weight_0"] + w["encoder_bias_0"]).relu()
        features = (hidden @ w["encoder_weight_1"] + w["encoder_bias_1"]).relu()
        added = features * w["head"]
        back = (features @ w["decoder_weight_0"] + w["decoder_bias_0"]).relu()
        rebuilt = back @ w["decoder_weight_1"] + w["decoder_bias_1"]
        vectors = added if apart == "images" else added.T
        units = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-8)
        pairs = [(units[i] @ units[j]) ** 2 for i in range(len(units)) for j in range(i)]
        expected = (
            ((added.sum(1) + w["offset"] - y[c]) ** 2).mean(),
            torch.log(1 + 100 * ((rebuilt - x) ** 2).mean(0)).mean(),
            sum(pairs) / len(pairs),
        )
        for term, value in zip(terms, expected, strict=True):
            torch.testing.assert_close(term[c], value)

    def total(*values):
        terms = training.loss_terms(dict(zip(weights, values, strict=True)), x, y, settings)
        return terms.faithfulness + 0.3 * terms.reconstruction + 2 * terms.pull_away

    assert torch.autograd.gradcheck(total, tuple(value.requires_grad_() for value in weights.values()))


def test_planted_concepts_are_found_again(found):
    _, images, strength = planted(300, seed=1)
    measures = found.measure(images)
    assert measures.r2.min() > 0.98
    assert measures.agreement.min() > 0.97
    assert measures.decisions > 0.97
    assert measures.cosine.max() < 0.1
    assert measures.live.all()
    features = found.features(images)
    for c in range(2):
        both = torch.corrcoef(torch.cat([features[:, c], strength], 1).T)[:PLANTED, PLANTED:]
        best, which = both[:, :2].max(0)  # the third says nothing about the logits
        assert best.min() > 0.95, both
        assert which[0] != which[1]  # each of the others has a feature of its own
        assert found.head[c][which].sign().tolist() == ([1, -1] if c == 0 else [-1, 1])


def test_features_add_up_to_the_predicted_logits(found):
    _, images, _ = planted(20, seed=2)
    added, predicted = found.contributions(images), found.predict(images)
    constant = predicted - added.sum(2)
    torch.testing.assert_close(constant, constant[:1].expand(20, -1))
    assert (found.features(images) >= 0).all()


def test_measures_by_hand(found):
    model, images, _ = planted(50, seed=3)
    logits, predicted = model(images).detach(), found.predict(images)
    expected = 1 - (predicted - logits).square().sum(0) / (logits - logits.mean(0)).square().sum(0)
    measures = found.measure(images)
    torch.testing.assert_close(measures.r2, expected)
    alone = torch.stack([predicted[:, 0], logits[:, 1]], 1).argmax(1) == 0
    assert measures.agreement[0].item() == pytest.approx((alone == (logits.argmax(1) == 0)).float().mean().item())
    assert measures.decisions == pytest.approx((predicted.argmax(1) == logits.argmax(1)).float().mean().item())
    added = found.contributions(images)[:, 0].T
    cosines = [abs(torch.cosine_similarity(added[i], added[j], dim=0)) for i in range(3) for j in range(i)]
    torch.testing.assert_close(measures.cosine[0], torch.stack(cosines).mean())


def test_a_seed_repeats_and_a_class_starts_alike_beside_others():
    model, images, _ = planted(60)
    quick = {"epochs": 2, "rounds": 1, "hidden": (4,), "pretraining_epochs": 1}
    one, again, other = (sdfido.Concepts(model, "flat", seed=s, **quick).fit(images) for s in (0, 0, 1))
    assert torch.equal(one.predict(images), again.predict(images))
    assert not torch.equal(one.predict(images), other.predict(images))
    alone = sdfido.Concepts(model, "flat", classes=[1], **quick).fit(images)
    torch.testing.assert_close(alone.predict(images)[:, 0], one.predict(images)[:, 1])
    assert alone.classes == (1,)


def test_pretraining_lowers_the_error_of_reconstruction():
    settings = ConceptSettings(hidden=(8,), epochs=1, learning_rate=1e-2)
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    errors = []
    for pretraining in (0, 40):
        weights, _ = training.train(x, x[:, :1].T, [0], replace(settings, pretraining_epochs=pretraining, rounds=1))
        errors.append((network.decode(weights, network.encode(weights, x).relu()) - x).square().mean())
    assert errors[1] < 0.8 * errors[0]


def test_rounds_are_repeated_with_other_weights_until_two_features_contribute(monkeypatch):
    """The class 0 is accepted in the second round, 5 never: its best round counts."""
    made = []
    heads = {(0, 1): (4.0, 1.0), (0, 2): (4.0, 2.0), (5, 1): (4.0, 0.1), (5, 2): (4.0, 1.0), (5, 3): (4.0, -1.0)}

    def trained(activations, logits, labels, settings, factors, number):
        made.append((list(labels), factors))
        weights = training.start(1, settings, labels, number)
        for name, value in weights.items():
            weights[name] = torch.ones_like(value) if name.startswith("encoder_w") else torch.zeros_like(value)
        weights["head"] = torch.tensor([heads[label, number] for label in labels])
        return weights

    monkeypatch.setattr(training, "_train", trained)
    seen = []
    settings = ConceptSettings(count=2, rounds=3, reconstruction_weight=10.0, pull_away_weight=5.0)
    weights, rounds = training.train(torch.ones(4, 1), torch.zeros(2, 4), [0, 5], settings, seen.append)
    assert [labels for labels, _ in made] == [[0, 5], [0, 5], [5]]
    for step, (_, factors) in enumerate(made):
        assert factors == pytest.approx((10 * 1.2**step, 5 * 0.8**step))
    assert rounds == seen
    assert [(each.label, each.number, each.accepted) for each in rounds] == [
        (0, 1, False), (5, 1, False), (0, 2, True), (5, 2, False), (5, 3, False),
    ]  # fmt: skip
    assert rounds[2].contributions == (4.0, 2.0)
    assert weights["head"].tolist() == [[4.0, 2.0], [4.0, 1.0]]


def test_published_settings_run():
    model, images, _ = planted(60)
    concepts = sdfido.Concepts(model, "flat", **PUBLISHED | {"hidden": (16, 8), "rounds": 1}).fit(images)
    assert concepts.predict(images).isfinite().all()
    assert concepts.settings.pull_away == "images"


def test_files_keep_everything_and_hold_no_pickle(found, tmp_path):
    model, images, _ = planted(10)
    found.save(tmp_path / "concepts.npz")
    loaded = sdfido.Concepts.load(tmp_path / "concepts.npz", model)
    assert torch.equal(loaded.predict(images), found.predict(images))
    assert (loaded.rounds, loaded.settings, loaded.classes) == (found.rounds, found.settings, found.classes)
    assert b"pickle" not in (tmp_path / "concepts.npz").read_bytes()
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"junk\.npz holds no concepts"):
        sdfido.Concepts.load(tmp_path / "junk.npz", model)
    by_callable = sdfido.Concepts(model, model.flat, epochs=1, rounds=1).fit(images)
    by_callable.save(tmp_path / "callable.npz")
    with pytest.raises(ValueError, match="layer must be given"):
        sdfido.Concepts.load(tmp_path / "callable.npz", model)
    again = sdfido.Concepts.load(tmp_path / "callable.npz", model, model.flat)
    assert torch.equal(again.predict(images), by_callable.predict(images))


def test_layers_by_name_and_by_callable_in_all_poolings():
    model, images = Patches().eval(), patches(4)
    expected = model.features[1](model.features[0](images))  # what comes after works in place
    for pooling, value in (
        ("mean", expected.mean((2, 3))),
        ("max", expected.amax((2, 3))),
        ("none", expected.flatten(1)),
    ):
        named, logits = activations_of(model, "features.1", pooling, images)
        called, _ = activations_of(model, lambda x: model.features[1](model.features[0](x)), pooling, images)
        assert torch.equal(named, value)
        assert torch.equal(called, value)
        assert torch.equal(logits, model(images))
    assert not model.features[1]._forward_hooks


def test_loaders_modes_and_inference_mode():
    model, images, _ = planted(40)
    quick = {"count": 2, "epochs": 1, "rounds": 1}
    whole = sdfido.Concepts(model, "flat", **quick).fit(images)
    model.train()
    with torch.inference_mode():
        parts = sdfido.Concepts(model, "flat", **quick).fit((part, None) for part in images.split(16))
    assert model.training
    torch.testing.assert_close(parts.predict(images), whole.predict(images))


def test_models_that_work_in_place_leave_the_images_alone():
    class InPlace(Linear):
        def forward(self, x):
            return super().forward(x.mul_(2.0))

    model, images, _ = planted(60)
    model.__class__, given = InPlace, images.clone()
    concepts = sdfido.Concepts(model, "flat", count=2, epochs=1, rounds=1).fit(given)
    concepts.features(given)
    concepts.explain(given[:2], steps=1, mask_size=2, repeats=1)
    assert torch.equal(given, images)


def test_explanations_of_large_contributions_are_read_back(tmp_path):
    model, images, _ = planted(60)
    model.head.weight.data *= 100.0
    concepts = sdfido.Concepts(model, "flat", count=2, epochs=20, rounds=1).fit(images)
    explanation = concepts.explain(images[:2], 0, steps=1, mask_size=2, repeats=1)
    assert explanation.prob_image.max() > 1.0
    assert explanation.scale.text(12.0) == "12"  # not in percent
    explanation.save(tmp_path / "concepts.npz")
    read = sdfido.Explanation.load(tmp_path / "concepts.npz")
    assert torch.equal(read.prob_image, explanation.prob_image)
    assert read.scale == explanation.scale


def test_scores_are_features_in_units_of_the_logit(found):
    _, images, _ = planted(6, seed=4)
    score = found.score()
    targets = torch.tensor([[1, 2], [0, 0], [1, 0], [0, 1], [0, 2], [1, 1]])
    added = found.contributions(images)[torch.arange(6), targets[:, 0], targets[:, 1]]
    torch.testing.assert_close(score.confidence(images, targets), added.abs())
    values = score(images.requires_grad_(), targets)
    torch.testing.assert_close(values.relu(), added.abs())
    assert (values < 0).any()
    (gradient,) = torch.autograd.grad(values.sum(), images)
    assert gradient.flatten(1).norm(dim=1).min() > 0  # also where the feature is not there
    strongest = score.resolve(images.detach())
    contributions = found.contributions(images.detach())[torch.arange(6), strongest[:, 0]]
    assert torch.equal(strongest[:, 1], contributions.argmax(1))


def test_all_features_of_a_class_are_mapped_in_one_batch():
    """Of features that are known: the first is the corner at the top left, the second that at the bottom right."""
    model, images = Patches().eval(), patches()
    concepts = sdfido.Concepts(model, model.corners, count=2, epochs=1, rounds=1, normalized=False).fit(images)
    concepts._tensors |= {
        "encoder_weight_0": torch.eye(2).repeat(2, 1, 1),
        "encoder_bias_0": torch.zeros(2, 1, 2),
        "head": model.head.weight.detach(),
        "offset": torch.zeros(2),
    }
    measures = concepts.measure(images)
    torch.testing.assert_close(measures.r2, torch.ones(2))
    assert measures.agreement.tolist() == [1, 1]
    options = {"infill": torch.zeros(1, 1, 1, 1), "mask_size": 8, "path_points": 3}
    both = (images[:1] + images[1:2]).expand(2, -1, -1, -1)  # shows both
    explanation = concepts.explain(both, 0, method=sdfido.IGOS, **options)
    assert explanation.targets.tolist() == [[0, 0], [0, 1]] * 2
    torch.testing.assert_close(explanation.prob_image.view(2, 2), concepts.contributions(both)[:, 0].abs())
    maps = explanation.igos.unflatten(0, (2, 2))
    for k, corner in enumerate((maps[:, 0, :8, :8], maps[:, 1, 8:, 8:])):
        assert (corner.sum((1, 2)) > 0.8 * maps[:, k].sum((1, 2))).all()
    single = sdfido.IGOS(concepts.score(), **options).explain(both[1:], (0, 1), streams=[1])
    assert torch.equal(single.igos[0], maps[1, 1])
    fido = concepts.explain(both[0], steps=2, repeats=1, mask_size=4, infill=torch.zeros(1, 1, 1, 1))
    assert fido.ssr.shape == (2, 16, 16)


def test_maps_of_a_model_that_is_folded_are_the_same():
    """With its batch normalisation in the layer before it, in a copy that the score is asked about."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(4, 2))
    images = torch.randn(40, 1, 16, 16)
    model(3 * images + 1)  # sets the statistics
    concepts = sdfido.Concepts(model.eval(), "2", count=2, epochs=2, rounds=1).fit(images)
    options = {"infill": torch.zeros(1, 1, 1, 1), "mask_size": 8, "path_points": 3, "method": sdfido.IGOS}
    folded, plain = (concepts.explain(images[:2], 1, fold_batch_norm=fold, **options) for fold in (True, False))
    assert (folded.execution["fold_batch_norm"], plain.execution["fold_batch_norm"]) == (True, False)
    torch.testing.assert_close(folded.igos, plain.igos, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"hidden": (3, 0)}, "hidden must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be .* below 1"),
        ({"pull_away": "rows"}, "pull_away must be one of 'features', 'images', got 'rows'"),
        ({"pooling": "sum"}, "pooling must be one of 'mean', 'max', 'none', got 'sum'"),
        ({"layer": "nowhere"}, "layer must be the name of a module of the model, such as .*'flat'.*got 'nowhere'"),
        ({"classes": [1, 1]}, "classes must be different class indices"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    model, _, _ = planted(2)
    with pytest.raises(ValueError, match=message):
        sdfido.Concepts(model, **{"layer": "flat"} | wrong)


def test_images_of_any_precision_are_explained(found):
    _, images, _ = planted(3)
    expected, double = (found.explain(given, steps=1, mask_size=2, repeats=1) for given in (images, images.double()))
    assert torch.equal(double.targets, expected.targets)
    assert torch.equal(double.ssr, expected.ssr)
    with pytest.raises(TypeError, match="images must be a floating-point tensor"):
        found.explain([1.0])


def test_wrong_calls_are_named(found):
    model, images, _ = planted(4)
    with pytest.raises(ValueError, match="call fit"):
        sdfido.Concepts(model, "flat").predict(images)
    with pytest.raises(ValueError, match=r"classes must be in 0\.\.1, got 2"):
        sdfido.Concepts(model, "flat", classes=[2]).fit(images)
    with pytest.raises(ValueError, match="images must hold at least one batch"):
        sdfido.Concepts(model, "flat").fit([])
    with pytest.raises(ValueError, match="layer must return activations"):
        sdfido.Concepts(model, lambda x: x[:, 0]).fit(images)
    with pytest.raises(ValueError, match=r"targets must be of the features 0\.\.2, got 3"):
        found.score().resolve(images, (0, 3))
    with pytest.raises(ValueError, match=r"targets must be of the classes \[0, 1\], got 4"):
        found.score().resolve(images, (4, 0))
    with pytest.raises(ValueError, match="classes must be one, or one for each of 4 images"):
        found.explain(images, [0, 1])
