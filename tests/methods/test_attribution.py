"""Attributions of captum, and functions, as explainers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sdfido
from sdfido import Explanation


def model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 3),
        )  # fmt: skip


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def brightness(asked: nn.Module, given: Tensor, targets: Tensor, *, times: float = 1.0) -> dict[str, Tensor]:
    assert not asked.training
    return {"bright": times * given.mean(1), "dark": -given}


def test_a_function_is_an_explainer(tmp_path: Path) -> None:
    explanation = sdfido.Attribution(model(), attribution=brightness, options={"times": 2.0}).explain(images())
    bright = images().mean(1)
    torch.testing.assert_close(explanation["bright"], bright / bright.amax((1, 2), keepdim=True))
    torch.testing.assert_close(explanation.scale_bright, 2 * bright.amax((1, 2)))
    torch.testing.assert_close(explanation["dark"], -explanation["bright"])
    assert [info.signed for info in explanation.legend.values()] == [False, True]
    assert explanation.settings["attribution"] == "brightness"
    explanation.save(tmp_path / "file.npz")
    assert torch.equal(Explanation.load(tmp_path / "file.npz")["dark"], explanation["dark"])


def test_captum_is_an_explainer_by_class_by_name_and_by_instance() -> None:
    attr = pytest.importorskip("captum.attr")
    asked, given = model().eval(), images()
    expected = attr.InputXGradient(asked).attribute(given.clone().requires_grad_(), target=1).sum(1).detach()
    for spec in (attr.InputXGradient, "captum.attr:InputXGradient", attr.InputXGradient(asked)):
        explanation = sdfido.Attribution(asked, attribution=spec).explain(given, 1)
        found = explanation["attribution"] * explanation.scale_attribution[:, None, None]
        torch.testing.assert_close(found, expected)
    assert explanation.settings["attribution"] == "InputXGradient"


class Named(nn.Module):
    """A model whose logits are part of what it returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(given)}


@pytest.mark.parametrize("name", ["Saliency", "GuidedBackprop", "DeepLift"])
def test_captum_finds_the_logits_in_what_a_model_returns(name: str) -> None:
    attr = pytest.importorskip("captum.attr")
    kind, asked = getattr(attr, name), model().eval()
    expected = sdfido.Attribution(asked, attribution=kind).explain(images(), 1)
    direct = kind(asked).attribute(images().requires_grad_(), target=1).sum(1).detach()
    found = expected["attribution"] * expected.scale_attribution[:, None, None]
    torch.testing.assert_close(found, direct)
    for other in (Named(asked), sdfido.ClassScore(Named(asked), output="logits")):
        again = sdfido.Attribution(other, attribution=kind).explain(images(), 1)
        assert torch.equal(again["attribution"], expected["attribution"])
    single = nn.Sequential(*asked[:-1], nn.Linear(4, 1)).eval()
    nn.init.constant_(single[-1].weight, 0.5)  # guided backpropagation passes nothing of what is below 0
    one = sdfido.Attribution(single, attribution=kind).explain(images(), 1)
    assert one["attribution"].abs().amax((1, 2)).tolist() == [1.0] * 3
    assert not single.training


def test_captum_explains_other_questions() -> None:
    attr = pytest.importorskip("captum.attr")
    asked, given = model().eval(), images()
    explanation = sdfido.Attribution(sdfido.ContrastScore(asked), attribution=attr.Saliency).explain(given, (2, 0))
    leaf = given.clone().requires_grad_()
    logits = asked(leaf)
    (expected,) = torch.autograd.grad((logits[:, 2] - logits[:, 0]).sum(), [leaf])
    found = explanation["attribution"] * explanation.scale_attribution[:, None, None]
    torch.testing.assert_close(found, expected.abs().sum(1))
    paths = sdfido.Attribution(
        sdfido.scores.RegressionScore(asked, "down"),
        attribution=attr.IntegratedGradients,
        options={"n_steps": 64, "baselines": 0.0},
    )
    integrated = paths.explain(given, 1)
    total = integrated["attribution"].sum((1, 2)) * integrated.scale_attribution
    torch.testing.assert_close(total, (asked(torch.zeros_like(given)) - asked(given))[:, 1], rtol=0.02, atol=1e-4)
    with pytest.raises(TypeError, match=r"attribution must be a class of captum for ContrastScore.*give the class"):
        sdfido.Attribution(sdfido.ContrastScore(asked), attribution=attr.LayerGradCam(asked, asked[2]))
    with pytest.raises(TypeError, match="such as Saliency or IntegratedGradients, got GuidedBackprop"):
        sdfido.Attribution(sdfido.ContrastScore(asked), attribution=attr.GuidedBackprop)


def test_maps_of_a_layer_are_resized() -> None:
    attr = pytest.importorskip("captum.attr")
    asked = model()
    explainer = sdfido.Attribution(asked, attribution=attr.LayerGradCam(asked, asked[2]), positive=True)
    explanation = explainer.explain(images())
    assert explanation["attribution"].shape == (3, 12, 12)
    assert not explanation.legend["attribution"].signed


def test_below_float32_the_model_is_asked_under_autocast() -> None:
    seen = set()

    def ask(asked: nn.Module, given: Tensor, targets: Tensor) -> Tensor:
        leaf = given.requires_grad_()
        logits = asked(leaf)
        seen.add((given.dtype, logits.dtype))
        return torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), [leaf])[0]

    for dtype in (torch.float32, torch.bfloat16):
        sdfido.Attribution(model(), attribution=ask, dtype=dtype).explain(images(), 1)
    assert seen == {(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)}


def test_explanations_are_stacked_whichever_of_them_is_signed(tmp_path: Path) -> None:
    explainer = sdfido.Attribution(model(), attribution=lambda m, x, t: x.sum(1))
    both = Explanation.stack([explainer.explain(images(1)), explainer.explain(-images(1))])
    assert both.legend["attribution"].signed
    both.save(tmp_path / "both.npz")
    assert torch.equal(Explanation.load(tmp_path / "both.npz")["attribution"], both["attribution"])


@pytest.mark.parametrize(("colours", "expected"), [("sum", -1.0), ("size", 5.0), ("largest", 3.0)])
def test_colours_become_one_number(colours: str, expected: float) -> None:
    values = torch.tensor([1.0, -3.0, 1.0]).view(1, 3, 1, 1).expand(3, 3, 12, 12)
    explainer = sdfido.Attribution(model(), attribution=lambda *_: values[:1], colours=colours)
    explanation = explainer.explain(images(2))
    assert (explanation["attribution"] * explanation.scale_attribution[:, None, None]).unique().tolist() == [expected]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(TypeError, match="attribution must be a callable"):
        sdfido.Attribution(model(), attribution=3)
    with pytest.raises(ValueError, match=r"such as 'captum\.attr:Saliency'"):
        sdfido.Attribution(model(), attribution="Saliency")
    with pytest.raises(ImportError, match="needs the package nowhere"):
        sdfido.Attribution(model(), attribution="nowhere:Method")
    with pytest.raises(ValueError, match="colours must be one of"):
        sdfido.Attribution(model(), colours="red")
    with pytest.raises(ValueError, match=r"\[1, H, W\] or \[1, C, H, W\] for map 'attribution', got \[4\]"):
        sdfido.Attribution(model(), attribution=lambda *_: torch.zeros(4)).explain(images())
    names = iter("ab")
    with pytest.raises(ValueError, match=r"same maps for all images, got \['a'\], then \['b'\]"):
        sdfido.Attribution(model(), attribution=lambda m, x, t: {next(names): x}).explain(images(2))
    with pytest.raises(RuntimeError, match="finite"):
        sdfido.Attribution(model(), attribution=lambda m, x, t: x / 0).explain(images())
