"""CALM: its probabilities, what both trainings learn, planted cues, and training that goes on with the same bits."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sdfido
from sdfido import evaluate
from sdfido.methods.backbones import feature_map, number_of_classes
from sdfido.methods.latent import LatentClassifier, em_loss, ml_loss, posterior
from sdfido.methods.training import FitProgress, Training, read_weights

SIZE, CELL = 24, 4


def backbone(width: int = 8) -> nn.Sequential:
    """[B, 3, H, W] to [B, width, H / 4, W / 4]."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()),
    )


def latent(classes: int = 3, **options) -> LatentClassifier:
    return LatentClassifier(backbone(), 8, classes, **options)


def cues(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with one patch whose colour is the class: images [N, 3, 24, 24], classes [N], where it is [N, 24, 24]."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    classes = torch.randint(3, (count,), generator=generator)
    places = torch.randint(SIZE // CELL, (count, 2), generator=generator) * CELL
    truth = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
    for n, (y, x) in enumerate(places.tolist()):
        truth[n, y : y + CELL, x : x + CELL] = True
        images[n, classes[n]][truth[n]] += 2
    return images, classes, truth


def batches(count: int = 48, seed: int = 0, **options) -> DataLoader:
    images, classes, _ = cues(count, seed)
    return DataLoader(TensorDataset(images, classes), 16, shuffle=True, **options)


def gradients(model: LatentClassifier, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


# ------------------------------------------------------------------------------------------------------- mathematics


def test_the_gradient_of_em_with_the_posterior_of_the_same_parameters_is_that_of_the_marginal_likelihood():
    """So a training whose posterior is anew of every step, as the published code's is, is no other than ML."""
    model, (images, classes, _) = latent().double(), cues(6, 1)
    log_joint = model.log_joint(images.double())
    ml = gradients(model, ml_loss(log_joint, classes).sum())
    log_joint = model.log_joint(images.double())
    em = gradients(model, em_loss(log_joint, classes, posterior(log_joint, classes)).sum())
    for name, expected in ml.items():
        torch.testing.assert_close(em[name], expected, rtol=1e-9, atol=1e-12, msg=name)
    assert all(value.abs().max() > 1e-4 for name, value in ml.items() if name.endswith("weight"))
    # By a posterior of other parameters, the gradient is another one.
    log_joint = model.log_joint(images.double())
    other = LatentClassifier(copy.deepcopy(model.features), 8, 3, seed=5).double()
    frozen = gradients(model, em_loss(log_joint, classes, posterior(other.log_joint(images.double()), classes)).sum())
    gap = (frozen["class_head.weight"] - ml["class_head.weight"]).norm() / ml["class_head.weight"].norm()
    assert gap > 0.01


def test_em_bounds_the_likelihood_and_touches_it_at_its_posterior():
    """``em_loss - H(q) >= ml_loss`` for every q, with equality for the posterior."""
    log_joint, classes = latent().double().log_joint(cues(5, 2)[0].double()), cues(5, 2)[1]
    own = posterior(log_joint, classes)
    uniform = torch.full_like(own, 1 / own[0].numel())

    def bound(weights: Tensor) -> Tensor:
        return em_loss(log_joint, classes, weights) + (weights * weights.log()).sum((1, 2))

    torch.testing.assert_close(bound(own), ml_loss(log_joint, classes), rtol=1e-10, atol=1e-10)
    assert (bound(uniform) > ml_loss(log_joint, classes)).all()


def test_probabilities():
    model, (images, classes, _) = latent().double().eval(), cues(4, 3)
    log_joint = model.log_joint(images.double())
    joint = log_joint.exp()
    assert joint.shape == (4, 3, 6, 6)
    torch.testing.assert_close(joint.sum((1, 2, 3)), torch.ones(4).double())
    torch.testing.assert_close(model(images.double()).exp(), joint.sum((2, 3)))
    torch.testing.assert_close(model(images.double()).softmax(1), joint.sum((2, 3)))  # it serves as class logits
    chosen = joint[torch.arange(4), classes]
    torch.testing.assert_close(posterior(log_joint, classes), chosen / chosen.sum((1, 2), keepdim=True))
    features = model.features(images.double())
    weights = torch.nn.functional.softplus(model.location_head(features))[:, 0]
    torch.testing.assert_close(joint.sum(1), weights / weights.sum((1, 2), keepdim=True), rtol=1e-6, atol=1e-9)
    conditional = model.class_head(features).softmax(1)
    torch.testing.assert_close(joint / joint.sum(1, keepdim=True), conditional)


@pytest.mark.parametrize("bias", [-1e4, -200.0, 1e4])
def test_a_location_head_that_is_zero_everywhere_knows_no_place_and_breaks_nothing(bias: float):
    model, (images, classes, _) = latent(), cues(4, 4)
    with torch.no_grad():
        model.location_head.weight.zero_()
        model.location_head.bias.fill_(bias)
    log_joint = model.log_joint(images)
    torch.testing.assert_close(log_joint.exp().sum(1), torch.full((4, 6, 6), 1 / 36))
    own = posterior(log_joint, classes)
    for loss in (ml_loss(log_joint, classes), em_loss(log_joint, classes, own)):
        found = torch.autograd.grad(loss.sum(), list(model.parameters()), retain_graph=True)
        assert loss.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in found)


# ------------------------------------------------------------------------------------------------------------ the cut


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return x + self.convolution(x)


class Resnet(nn.Module):
    """As torchvision's and timm's: parts of its own forward, one ReLU in two places, pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3)
        self.layers = nn.ModuleList([Residual(), Residual()])
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.conv2(x))
        for layer in self.layers:
            x = layer(x)
        return self.fc(x.mean((2, 3)))


class Dense(nn.Module):
    """As torchvision's DenseNet and VGG: features, functions, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Residual())
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(8 * 49, 4))

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(nn.functional.relu(self.features(x)), 7)
        return self.classifier(torch.flatten(x, 1))


class Skipping(Resnet):
    """With something in between that is no part."""

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layers[1](x + self.layers[0](x)).mean((2, 3)))


HEAD = (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5))


@pytest.mark.parametrize(
    ("network", "classes"),
    [
        (nn.Sequential(*backbone(), *HEAD), 5),
        (nn.Sequential(backbone(), nn.Sequential(*HEAD)), 5),
        (nn.Sequential(nn.Identity(), nn.Sequential(*backbone(), *HEAD)), 5),
        (nn.Sequential(nn.BatchNorm2d(3), Resnet()), 5),
        (Resnet(), 5),
        (Dense(), 4),
    ],
    ids=["flat", "body and head", "wrapped", "normalised", "residual", "features"],
)
def test_the_last_feature_map_is_found(network: nn.Module, classes: int):
    images, before = torch.randn(2, 3, 40, 40), copy.deepcopy(network.state_dict())
    network.train()
    features, channels = feature_map(network)
    found = features.eval()(images)
    assert (channels, found.shape[:2], found.dim()) == (8, (2, 8), 4)
    assert number_of_classes(network) == classes
    with torch.no_grad():  # the rest of the network makes its logits of this map
        last = found.relu() if isinstance(network, Dense) else found
        network.eval()
        linear = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
        if isinstance(network, Dense):
            pooled = nn.functional.adaptive_avg_pool2d(last, 7).flatten(1)
        else:
            maximal = any(isinstance(part, nn.AdaptiveMaxPool2d) for part in network.modules())
            pooled = last.amax((2, 3)) if maximal else last.mean((2, 3))
        torch.testing.assert_close(linear(pooled), network(images))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    own = {value.data_ptr() for value in network.parameters()}
    assert not own & {value.data_ptr() for value in features.parameters()}


def test_a_module_that_returns_a_feature_map_is_taken_as_it_is():
    for network in (backbone(), Residual(), nn.Sequential(nn.Conv2d(3, 8, 1), Residual())):
        features, channels = feature_map(
            network, None if len(list(network.children())) > 1 else torch.zeros(1, 8, 9, 9)
        )
        assert channels == 8
        assert features.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Skipping(), "network must run its parts one after another .* pass the part before its pooling"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "network must have convolutions, got Sequential without any"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1), nn.Flatten()), "pass the part before its pooling"),
        (nn.Sequential(nn.Conv2d(3, 4, 200), nn.Flatten()), "an image of 128 x 128 pixels, .* give an example"),
    ],
)
def test_a_network_that_cannot_be_cut_is_refused(network: nn.Module, message: str):
    with pytest.raises(ValueError, match=message):
        sdfido.CALM(network, classes=3)


# ----------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("objective", ["ml", "em"])
def test_a_planted_cue_is_found(objective: str):
    """The joint map and the difference of two classes lie on the patch that says the class, of which no label tells."""
    network = nn.Sequential(*backbone(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    calm = sdfido.CALM(network, seed=1)
    settings = {"optimizer": "adamw", "learning_rate": 0.01, "head_factor": 1.0, "epochs": 8, "refresh": 10}
    history = calm.fit(batches(384), objective=objective, validation=batches(96, 7), **settings)
    assert history[-1].validation_accuracy > 0.95
    assert history[-1].loss < history[0].loss
    images, classes, truth = cues(48, 8)
    explanation = calm.explain(images)
    assert (explanation.targets == classes).float().mean() > 0.95
    area = truth.float().mean()
    difference = calm.difference(images, classes, (classes + 1) % 3)
    for maps in (explanation["joint"], explanation["posterior"], difference):
        assert evaluate.average_precision(maps, truth).mean() > 0.5 > 10 * area
        assert evaluate.pointing_game(maps, truth, tolerance=CELL).mean() > 0.9  # as near as cells tell


def test_em_whose_posterior_is_anew_of_every_step_learns_what_ml_learns():
    learned = []
    for settings in ({"objective": "ml"}, {"objective": "em", "refresh": 1}, {"objective": "em", "refresh": 3}):
        calm = sdfido.CALM(latent().double())
        calm.fit(batches(), epochs=2, seed=4, **settings)
        learned.append(torch.cat([value.flatten() for value in calm.model.parameters()]))
    ml, same, frozen = learned
    torch.testing.assert_close(same, ml, rtol=1e-9, atol=1e-12)
    assert (frozen - ml).abs().max() > 1e-4


class Interrupted(Exception):
    pass


def stop_after(epoch: int):
    def stop(found) -> None:
        if found.epoch == epoch:
            raise Interrupted

    return stop


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("own_generator", [True, False])
def test_a_training_that_was_interrupted_goes_on_with_the_same_bits(
    tmp_path: Path, optimizer: str, own_generator: bool
):
    pytest.importorskip("safetensors", reason="checkpoints need it")

    def calm() -> sdfido.CALM:
        return sdfido.CALM(LatentClassifier(nn.Sequential(backbone(), nn.Dropout2d(0.3)), 8, 3))

    def loader() -> DataLoader:
        return batches(generator=torch.Generator() if own_generator else None)

    settings = {"epochs": 4, "optimizer": optimizer, "refresh": 4, "validation": batches(32, 5)}
    whole, parts = calm(), calm()
    before = torch.get_rng_state()
    history = whole.fit(loader(), **settings)
    assert torch.equal(torch.get_rng_state(), before)
    file = tmp_path / "new/calm.safetensors"
    with pytest.raises(Interrupted):
        parts.fit(loader(), checkpoint=file, on_epoch=stop_after(1), **settings)
    torch.rand(7)
    with pytest.raises(Interrupted):
        calm().fit(loader(), checkpoint=file, on_epoch=stop_after(2), **settings)
    last = calm()
    assert last.fit(loader(), checkpoint=file, **settings) == history
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in last.model.state_dict().items())
    finished = calm()
    assert finished.fit(loader(), checkpoint=file, on_epoch=stop_after(4), **settings) == history  # only read
    read = calm()
    read.load(file)
    assert all(torch.equal(value, expected[name]) for name, value in read.model.state_dict().items())
    other = calm()
    before = copy.deepcopy(other.model.state_dict())
    with pytest.raises(ValueError, match=r"checkpoint .* must be of the same training, but differs in training"):
        other.fit(loader(), checkpoint=file, **(settings | {"epochs": 5}))
    assert all(torch.equal(value, before[name]) for name, value in other.model.state_dict().items())
    assert len(calm().fit(loader(), checkpoint=file, again=True, **(settings | {"epochs": 1}))) == 1


def test_training_on_the_cpu_leaves_the_random_numbers_of_gpus(monkeypatch: pytest.MonkeyPatch):
    calm, seeded = sdfido.CALM(latent()), []
    for name in ("manual_seed", "manual_seed_all"):  # what waits for a GPU until there is one
        monkeypatch.setattr(torch.cuda, name, seeded.append)
    calm.fit(batches(16), epochs=1)
    assert seeded == []


def test_the_example_stays_as_it_is():
    example = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    before = example.clone()
    sdfido.CALM(nn.Sequential(nn.ReLU(inplace=True), backbone()), classes=3, example=example)
    assert torch.equal(example, before)


def test_progress_and_modes():
    calm, steps = sdfido.CALM(latent()), []
    calm.model.features[1].eval()
    history = calm.fit(batches(), epochs=2, on_step=steps.append)
    assert [(step.epoch, step.step, step.steps) for step in steps] == [(e, s, 3) for e in (1, 2) for s in (1, 2, 3)]
    assert isinstance(steps[0], FitProgress)
    assert [epoch.loss for epoch in history] == pytest.approx(
        [sum(step.loss for step in steps if step.epoch == e) / 3 for e in (1, 2)]
    )
    assert history[0].validation_loss is None
    assert calm.model.training
    assert not calm.model.features[1].training


def test_validation_is_by_the_marginal_likelihood():
    calm, loader = sdfido.CALM(latent()), batches(20, 6)
    found = calm.fit(batches(), epochs=1, validation=loader)[0]
    images, classes, _ = cues(20, 6)
    calm.model.eval()
    with torch.no_grad():
        said = calm.model(images)
    assert found.validation_loss == pytest.approx(float(nn.functional.nll_loss(said, classes)), rel=1e-5)
    assert found.validation_accuracy == pytest.approx(float((said.argmax(1) == classes).float().mean()))


def test_what_does_not_fit_is_refused():
    calm = sdfido.CALM(latent())
    images, classes, _ = cues(4, 0)
    pair = (images, classes)
    for loader, error, message in (
        (iter([pair]), TypeError, "loader must give batches .* anew each time and have a length"),
        ([], ValueError, "loader must give at least one batch"),
        ([images], TypeError, r"loader must give pairs \(images, targets\) of tensors"),
        ([(images, classes.float())], ValueError, "loader's targets must be one int64 for each of 4 images"),
        ([(images, classes + 3)], ValueError, "loader's targets must be classes in 0..2, got 3.."),
    ):
        with pytest.raises(error, match=message):
            calm.fit(loader, epochs=1)
    for settings, message in (
        ({"objective": "vb"}, "objective must be one of 'em', 'ml'"),
        ({"refresh": 0}, "refresh must be at least 1"),
        ({"learning_rate": 0}, "learning_rate must be finite and positive"),
    ):
        with pytest.raises(ValueError, match=message):
            Training(**settings)
    with pytest.raises(RuntimeError, match="loss must be finite, got nan in epoch 1; lower learning_rate"):
        calm.fit([(images * torch.nan, classes)], epochs=1)


def test_checkpoints_without_safetensors_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    calm = sdfido.CALM(latent())
    for call in (
        lambda: calm.fit(batches(), checkpoint=tmp_path / "c"),
        lambda: calm.save(tmp_path / "c"),
        lambda: calm.load(tmp_path / "c"),
    ):
        with pytest.raises(ImportError, match=r'install it with: pip install "sdfido\[checkpoints\]"'):
            call()


def test_files_of_others_are_refused(tmp_path: Path):
    pytest.importorskip("safetensors", reason="checkpoints need it")
    calm = sdfido.CALM(latent())
    calm.save(tmp_path / "three.safetensors")
    about, weights, more = read_weights(tmp_path / "three.safetensors", calm.model)
    assert (about, weights.keys(), more) == ({"classes": 3}, calm.model.state_dict().keys(), {})
    other = sdfido.CALM(latent(4))
    before = copy.deepcopy(other.model.state_dict())
    with pytest.raises(ValueError, match="path must hold the weights of this model"):
        other.load(tmp_path / "three.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in other.model.state_dict().items())
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match=r"path must be a checkpoint of CALM\.save or CALM\.fit"):
        calm.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match=r"path must be a checkpoint, got .* where there is none"):
        calm.load(tmp_path / "missing")


# ---------------------------------------------------------------------------------------------------------- explaining


def test_maps_are_probabilities_in_terms_of_the_highest():
    calm, (images, classes, _) = sdfido.CALM(latent(), fold_batch_norm=False), cues(3, 9)
    explanation = calm.explain(images, classes)
    with torch.no_grad():
        log_joint = calm.model.eval().log_joint(images)
    joint = log_joint.exp()
    chosen = joint[torch.arange(3), classes]
    expected = {"joint": chosen, "posterior": posterior(log_joint, classes), "prior": joint.sum(1)}
    assert list(explanation.maps) == list(expected)
    for name, cells in expected.items():
        torch.testing.assert_close(explanation.parts[f"{name}_cells"], cells, rtol=1e-4, atol=1e-7)
        highest = (cells if name == "posterior" else expected["prior"]).amax((1, 2))[:, None, None]
        shown = nn.functional.interpolate((cells / highest)[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]
        torch.testing.assert_close(explanation[name], shown, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(explanation.prob_image, chosen.sum((1, 2)))
    assert (explanation.method, explanation.regions) == ("calm", ())


def test_difference_and_superclass():
    calm, (images, classes, _) = sdfido.CALM(latent(), fold_batch_norm=False), cues(3, 9)
    with torch.no_grad():
        joint = calm.model.eval().log_joint(images).exp()

    def shown(cells: Tensor) -> Tensor:
        return nn.functional.interpolate(cells[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]

    other = (classes + 1) % 3
    index = torch.arange(3)
    expected = shown((joint[index, classes] - joint[index, other]).abs())
    torch.testing.assert_close(calm.difference(images, classes, other), expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(calm.difference(images, other, classes), expected, rtol=1e-4, atol=1e-7)
    assert not calm.difference(images, 1, 1).any()
    torch.testing.assert_close(calm.superclass(images, [0, 2]), shown(joint[:, [0, 2]].sum(1)), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(calm.superclass(images, range(3)), shown(joint.sum(1)), rtol=1e-4, atol=1e-7)
    for classes, message in (([], "at least one"), ([1, 1], "each once"), ([3], "in 0..2")):
        with pytest.raises(ValueError, match=message):
            calm.superclass(images, classes)
    with pytest.raises(ValueError, match=r"targets must be class indices in 0\.\.2, got 3"):
        calm.difference(images, 0, 3)


def test_each_image_gets_the_maps_that_it_gets_alone(tmp_path: Path):
    calm, images, seen = sdfido.CALM(latent()), cues(3, 10)[0], []
    explanation = calm.explain(images, on_image=lambda index, one: seen.append((index, one["joint"])))
    alone = calm.explain(images[1])
    assert [index for index, _ in seen] == [0, 1, 2]
    for name in explanation.maps:
        assert torch.equal(explanation[name][1:2], alone[name])
    explanation.save(tmp_path / "e.npz")
    read = sdfido.Explanation.load(tmp_path / "e.npz")
    assert torch.equal(read["posterior"], explanation["posterior"])
    assert read.settings["classes"] == 3
    empty = calm.explain(images[:0])
    assert empty["joint"].shape == (0, SIZE, SIZE)


def test_folded_batch_normalisation_and_bfloat16_change_rounding_alone():
    images = cues(2, 11)[0]
    model = latent()
    model(cues(64, 12)[0])  # running statistics
    plain = sdfido.CALM(model, fold_batch_norm=False).explain(images, 1)
    folded = sdfido.CALM(model).explain(images, 1)
    assert folded.execution["fold_batch_norm"]
    torch.testing.assert_close(folded["joint"], plain["joint"], rtol=1e-3, atol=1e-6)
    low = sdfido.CALM(model, dtype=torch.bfloat16).explain(images, 1)
    torch.testing.assert_close(low["joint"], plain["joint"], rtol=0.05, atol=1e-3)


def test_new_heads_are_refused_until_they_are_trained_and_repeat_by_seed(tmp_path: Path):
    network = nn.Sequential(*backbone(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    calm, images = sdfido.CALM(network), cues(2, 0)[0]
    for call in (calm.explain, lambda x: calm.difference(x, 0, 1), lambda x: calm.superclass(x, [0])):
        with pytest.raises(ValueError, match=r"model must be trained, .* call fit\(loader\), or load\(path\), first"):
            call(images)
    calm.fit(batches(), epochs=1)
    assert calm.explain(images)["joint"].shape == (2, SIZE, SIZE)
    assert calm.settings.classes == 3
    weights = [sdfido.CALM(network, seed=seed).model.class_head.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert sdfido.CALM(network, classes=7).model.classes == 7
    with pytest.raises(ValueError, match="classes must be the model's, 3, got 4"):
        sdfido.CALM(latent(), classes=4)


def test_its_classifier_is_one_for_other_methods():
    calm, images = sdfido.CALM(latent()), cues(1, 0)[0]
    explanation = sdfido.FIDO(calm.model, steps=2, mask_size=6).explain(images)
    assert explanation["ssr"].shape == (1, SIZE, SIZE)
    torch.testing.assert_close(explanation.prob_image, calm.explain(images).prob_image, rtol=1e-4, atol=1e-5)


def test_it_is_known_by_name():
    assert sdfido.methods.load("calm") is sdfido.CALM
    assert sdfido.CALM.setting_names() >= {"classes", "seed", "dtype"}
