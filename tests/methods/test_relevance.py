"""Layer-wise relevance propagation: against the rules written out, zennit's composites, captum, and conservation."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sdfido
import sdfido.reports
from sdfido import Explanation, models
from sdfido.methods.layer_graph import LayerGraph
from sdfido.methods.relevance import PRESETS, _zennit_rules

if importlib.util.find_spec("zennit") is None:
    pytest.skip("zennit is not installed; pip install --no-deps zennit", allow_module_level=True)

EXACT = {"epsilon": 1e-9, "max_batch": 4}  # so small that it does not show


def images(count: int = 3, size: int = 12, channels: int = 3, least: float = 0.0) -> Tensor:
    drawn = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))
    return drawn * (1 - least) + least


def seeded(*layers: nn.Module) -> nn.Sequential:
    model = nn.Sequential(*layers).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return model


def network(bias: bool = False) -> nn.Sequential:
    return seeded(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, bias=bias),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 16, bias=bias),
        nn.ReLU(),
        nn.Linear(16, 5, bias=bias),
    )


def relevance(model: nn.Module, given: Tensor, targets: object = None, **settings: object) -> Tensor:
    """In units of the logit."""
    explanation = sdfido.Relevance(model, **(EXACT | settings)).explain(given, targets)
    return explanation["relevance"] * explanation.divisor[:, None, None]


def dense(rule: str, a: Tensor, w: Tensor, r: Tensor, gamma: float = 0.25) -> Tensor:
    """A rule written out for a linear layer without bias: inputs [N, J], weights [K, J], relevance [N, K]."""
    z = a[:, None, :] * w  # what input j contributes to output k
    plus, minus = z.clamp(min=0), z.clamp(max=0)

    def share(parts: Tensor) -> Tensor:
        total = parts.sum(2, keepdim=True)
        return torch.where(total == 0, 0.0, parts / torch.where(total == 0, 1.0, total))

    if rule == "alpha-beta":
        shares = 2 * share(plus) - share(minus)
    elif rule == "flat":
        shares = share(torch.ones_like(z))
    elif rule == "gamma":  # for inputs at least 0
        upper, lower = (
            share(a[:, None] * (w + gamma * w.clamp(min=0))),
            share(a[:, None] * (w + gamma * w.clamp(max=0))),
        )
        out = z.sum(2, keepdim=True)
        shares = torch.where(out > 0, upper, torch.where(out < 0, lower, 0.0))
    else:
        shares = share({"epsilon": z, "z+": plus}[rule])
    return (r[:, :, None] * shares).sum(1)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_the_rules_written_out(preset: str) -> None:
    """A convolution whose kernel is as large as the image is a linear layer."""
    model = seeded(
        nn.Conv2d(3, 10, 5, bias=False), nn.ReLU(), nn.Conv2d(10, 8, 1, bias=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(8, 4, bias=False),
    )  # fmt: skip
    given = images(4, 5)
    first, second, last = (model[place].weight.detach().flatten(1) for place in (0, 2, 5))
    a = given.flatten(1)
    b = F.relu(a @ first.T)
    c = F.relu(b @ second.T)
    logits = c @ last.T
    targets = torch.tensor([0, 1, 2, 3])
    r = logits * F.one_hot(targets, 4)
    kinds = PRESETS[preset]
    r = dense(kinds.dense, c, last, r)
    r = dense(kinds.convolution, b, second, r)
    r = dense(kinds.first or kinds.convolution, a, first, r)
    expected = r.view(given.shape).sum(1)
    torch.testing.assert_close(relevance(model, given, targets, preset=preset), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("preset", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma"])
@pytest.mark.parametrize("bias", [False, True])
def test_relevance_is_conserved(preset: str, bias: bool) -> None:
    """With biases, too, where these take none."""
    settings = EXACT | {"preset": preset, "zero_bias": bias}
    given = images()
    explanation = sdfido.Relevance(network(bias), **settings).explain(given)
    logits = network(bias)(given).amax(1)
    torch.testing.assert_close(explanation.logit, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(explanation.arrived, explanation.logit, rtol=1e-2, atol=0.0)
    assert explanation["relevance"].abs().amax((1, 2)).tolist() == [1.0] * 3


def test_biases_take_relevance_unless_told_otherwise() -> None:
    explanation = sdfido.Relevance(network(True), preset="epsilon").explain(images())
    assert ((explanation.arrived - explanation.logit).abs() > 0.01 * explanation.logit.abs()).all()


def test_epsilon_without_biases_is_gradient_times_input() -> None:
    given = images()
    (gradient,) = torch.autograd.grad(network()(given.requires_grad_())[:, 2].sum(), given)
    expected = (given * gradient).sum(1).detach()
    torch.testing.assert_close(relevance(network(), given, 2, preset="epsilon"), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "composite"),
    [
        ("epsilon-plus", "EpsilonPlus"),
        ("epsilon-plus-flat", "EpsilonPlusFlat"),
        ("epsilon-alpha2-beta1", "EpsilonAlpha2Beta1"),
        ("epsilon-alpha2-beta1-flat", "EpsilonAlpha2Beta1Flat"),
    ],
)
def test_presets_agree_with_composites_of_zennit(preset: str, composite: str) -> None:
    """With biases and batch normalisation, which zennit merges by a canonizer and sdfido by folding."""
    model = seeded(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 6, 3, bias=False),
        nn.BatchNorm2d(6), nn.ReLU6(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip
    model[1].running_mean.uniform_(-0.5, 0.5), model[1].running_var.uniform_(0.5, 2)
    given = images(size=12, least=-1.0)
    targets = model(given).argmax(1)
    ours = relevance(model, given, targets, preset=preset, epsilon=1e-6)
    _zennit_rules()
    try:
        composites, canonizers = (
            importlib.import_module(f"sdfido.methods._zennit.{name}") for name in ("composites", "canonizers")
        )
    except ImportError as error:
        pytest.skip(f"the composites of zennit 1.0 need {error.name}, whose rules do not")
    theirs = getattr(composites, composite)(canonizers=[canonizers.SequentialMergeBatchNorm()])
    with theirs.context(model) as modified:
        logits = modified(given.requires_grad_())
        start = logits.detach() * F.one_hot(targets, 4)
        (expected,) = torch.autograd.grad(logits, given, start)
    torch.testing.assert_close(ours, expected.sum(1), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


class Flattening(nn.Module):
    """A network without a module that flattens, for which captum has no rule."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.ModuleList(part for part in model if not isinstance(part, nn.Flatten))

    def forward(self, x: Tensor) -> Tensor:
        for part in self.layers:
            x = part(x.flatten(1) if isinstance(part, nn.Linear) else x)
        return x


@pytest.mark.parametrize("preset", ["epsilon", "epsilon-plus"])
def test_presets_agree_with_captum(preset: str) -> None:
    """Where captum has the rules: epsilon everywhere, or with alpha1-beta0 in convolutions, without their biases."""
    lrp, rules = pytest.importorskip("captum.attr").LRP, importlib.import_module("captum.attr._utils.lrp_rules")
    plus = preset == "epsilon-plus"
    model = network(bias=True)
    for place in (0, 3) if plus else ():
        model[place].bias = None
    theirs = Flattening(copy.deepcopy(model))
    for part in theirs.layers:
        if isinstance(part, nn.Conv2d) and plus:
            part.rule = rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)
        elif not isinstance(part, nn.ReLU):
            part.rule = rules.EpsilonRule(1e-9)
    expected = lrp(theirs).attribute(images(), target=1).sum(1).detach()
    torch.testing.assert_close(relevance(model, images(), 1, preset=preset), expected, rtol=1e-3, atol=1e-5)


class Residual(nn.Module):
    """A network with functional operations, sums among them, and an activation that is used twice."""

    def __init__(self, gate: bool = False) -> None:
        super().__init__()
        self.stem, self.inner, self.head = (
            nn.Conv2d(3, 6, 3, bias=False),
            nn.Conv2d(6, 6, 1, bias=False),
            nn.Linear(6, 4),
        )
        self.act, self.gate = nn.ReLU6(inplace=True), gate
        seeded(self.stem, self.inner, self.head)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem((x - 0.1) / 0.5))
        inner = self.act(self.inner(x))
        if self.gate:
            inner = inner * torch.sigmoid(inner.mean((2, 3), keepdim=True))
        x += inner
        x = F.relu_(F.max_pool2d(x, 2))
        return self.head(x.mean([2, 3]).view(x.size(0), -1))


def test_functional_sums_conserve_relevance_and_leave_the_model_alone() -> None:
    model, given = Residual(), images(least=0.2)
    before, parts = model(given), [dict(vars(part)) for part in model.modules()]
    explanation = sdfido.Relevance(model, **EXACT, preset="epsilon-plus").explain(given)
    torch.testing.assert_close(explanation.arrived, explanation.logit, rtol=1e-2, atol=0.0)
    assert torch.equal(model(given), before)
    assert [dict(vars(part)) for part in model.modules()] == parts
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_sum_shares_relevance_by_what_is_added() -> None:
    graph = LayerGraph(Twice().eval(), torch.ones(1, 2, 1, 1))
    given = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).requires_grad_()
    out = graph(given)
    (relevance,) = torch.autograd.grad(out, given, torch.ones_like(out))
    torch.testing.assert_close(relevance.flatten(), torch.tensor([0.1, 0.9]), rtol=1e-5, atol=0.0)  # 1 and 9 of 10


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1].flatten(1) + 3 * x[:, 1:].flatten(1)


class Renamed(nn.Module):
    """A network whose logits are part of what it returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> dict[str, Tensor]:
        logits = self.network(given)
        return {"features": 2 * logits, "logits": logits}


def test_logits_are_found_in_what_a_model_returns() -> None:
    expected = sdfido.Relevance(network()).explain(images())
    pooled = nn.Sequential(*network()[:5], nn.AdaptiveAvgPool2d(1), *seeded(nn.Conv2d(8, 4, 1)))
    for found in (
        sdfido.Relevance(Renamed(network())).explain(images()),
        sdfido.Relevance(sdfido.ClassScore(Renamed(network()), output="logits")).explain(images()),
    ):
        assert torch.equal(found.relevance, expected.relevance)
        assert torch.equal(found.logit, expected.logit)
    torch.testing.assert_close(sdfido.Relevance(pooled).explain(images(), 1).logit, pooled(images())[:, 1, 0, 0])


def test_a_single_logit_speaks_for_the_one_class_and_against_the_other() -> None:
    single = nn.Sequential(*network()[:-1], seeded(nn.Linear(16, 1, bias=False))[0]).eval()
    beside = nn.Sequential(*network()[:-1], seeded(nn.Linear(16, 1, bias=False))[0], _Beside()).eval()
    one, other = (relevance(single, images(), target) for target in (1, 0))
    torch.testing.assert_close(one, relevance(beside, images(), 1))
    torch.testing.assert_close(other, -one)
    torch.testing.assert_close(sdfido.Relevance(single).explain(images(), 0).logit, -single(images())[:, 0])


class _Beside(nn.Module):
    """A single logit as that of the second of two classes."""

    def forward(self, logit: Tensor) -> Tensor:
        return F.pad(logit, [1, 0])


class Normalised(nn.Module):
    """A network behind a normalisation of its images, by constants or by batch normalisation."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by, self.network, self.norm = by, network(), nn.BatchNorm2d(3, affine=False, eps=0.0)
        self.norm.running_mean, self.norm.running_var = torch.tensor([0.5, 0.4, 0.6]), torch.tensor([0.04, 0.09, 0.01])

    def forward(self, given: Tensor) -> Tensor:
        mean, var = self.norm.running_mean, self.norm.running_var
        if self.by == "constants":
            return self.network((given - mean[:, None, None]) / var[:, None, None].sqrt())
        if self.by == "module":
            return self.network(self.norm(given))
        return self.network(F.batch_norm(given, mean, var, eps=0.0))


@pytest.mark.parametrize("preset", ["epsilon", "epsilon-plus-flat"])
def test_batch_normalisation_of_the_image_passes_relevance_as_constants_do(preset: str) -> None:
    expected = relevance(Normalised("constants").eval(), images(), 1, preset=preset)
    for by in ("module", "function"):
        model = Normalised(by).eval()
        torch.testing.assert_close(relevance(model, images(), 1, preset=preset), expected, rtol=1e-4, atol=1e-6)
        explanation = sdfido.Relevance(model, preset=preset, **EXACT).explain(images(), 1)
        torch.testing.assert_close(explanation.arrived, explanation.logit, rtol=1e-3, atol=1e-5)


def test_what_relevance_cannot_pass_is_named() -> None:
    with pytest.raises(ValueError, match="it has 'mul'"):
        sdfido.Relevance(Residual(gate=True)).explain(images())
    attention = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(144, 2), nn.Flatten(), nn.Linear(432, 2))
    with pytest.raises(ValueError, match=r"torch\.fx can trace|operations that relevance passes"):
        sdfido.Relevance(attention).explain(images())

    class Decides(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] if x.mean() > 0 else x.flatten(1)[:, 3:6]

    with pytest.raises(ValueError, match="without conditions on the values"):
        sdfido.Relevance(Decides()).explain(images())


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="preset must be one of 'epsilon'"):
        sdfido.Relevance(network(), preset="zplus")
    with pytest.raises(ValueError, match="epsilon must be finite and positive"):
        sdfido.Relevance(network(), epsilon=0)
    with pytest.raises(ValueError, match=r"dtype must be torch\.float32"):
        sdfido.Relevance(network(), dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        sdfido.Relevance(lambda images: images.flatten(1))
    labels = models.Classifier("mine", network(), multi_label=True)
    with pytest.raises(TypeError, match=r"got Classifier, of several labels: give sdfido\.ClassScore\(model\)"):
        sdfido.Relevance(labels)
    assert sdfido.Relevance(sdfido.ClassScore(labels))


def test_zennit_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sdfido.methods._zennit", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "sdfido\[relevance\]"'):
        sdfido.Relevance(network())


def test_explanations_are_saved_and_the_same_in_every_batch(tmp_path: Path) -> None:
    explainer = sdfido.Relevance(network(True))
    explanation = explainer.explain(images())
    assert torch.equal(explanation["relevance"][1:2], explainer.explain(images()[1:2])["relevance"])
    assert len(explainer.explain(images(0))) == 0
    explanation.save(tmp_path / "lrp.npz")
    loaded = Explanation.load(tmp_path / "lrp.npz")
    assert torch.equal(loaded["relevance"], explanation["relevance"])
    assert loaded.legend["relevance"].signed
    assert loaded.settings == explanation.settings
    assert loaded.settings["score"] == "logit"


def test_signed_maps_are_drawn_in_two_colours() -> None:
    drawn = sdfido.reports.heatmap(torch.tensor([[-1.0, 0.0, 1.0]]), torch.full((3, 1, 3), 0.5), signed=True)
    against, nothing, speaks = drawn[0]
    assert against[2] > against[0] + 0.2
    assert speaks[0] > speaks[2] + 0.2
    assert max(nothing) - min(nothing) < 0.05
    explanation = sdfido.Relevance(network()).explain(images())
    pixels = images()
    assert sdfido.reports.overview(explanation, pixels, pixels.mean((2, 3), keepdim=True)).axes


def test_the_efficientnets_of_the_package_are_explained() -> None:
    classifier = models.load("efficientnet-lite0")
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    explanation = sdfido.Relevance(classifier.model).explain(classifier.normalization.normalize(pixels))
    assert explanation["relevance"].abs().max() == 1
    assert explanation["relevance"].std() > 0.01
