"""A small explainer of every method, and whether two explanations have the same bits."""

import contextlib
import importlib.util

import pytest
import torch
from torch import nn

import sdfido

NORMALIZATION = sdfido.Normalization((0.5,), (0.5,))


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(54, 4),
        )


def images(n: int = 1) -> torch.Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float32, device="cpu")


def gradient(model, images, targets):
    images.requires_grad_()
    return torch.autograd.grad(model(images).gather(1, targets[:, None]).sum(), images)[0]


QUICK = {"steps": 2, "mask_size": 4}
METHODS = {
    "fido": (sdfido.FIDO, {**QUICK, "infill": "normal", "normalization": NORMALIZATION}),
    "shuffle": (sdfido.FIDO, {**QUICK, "infill": "shuffle:4", "pruning": False}),
    "extremal": (sdfido.ExtremalPerturbation, {"steps": 2, "pruning": False}),
    "sag": (sdfido.AttentionGraph, {"guide": "patches", "mask_size": 4, "max_evaluations": 60}),
    "igos++": (sdfido.IGOSPlusPlus, {"steps": 1, "mask_size": 4, "pruning": False}),
    "regions": (sdfido.SufficientRegions, {**QUICK, "count": 2, "pruning": False}),
    "attribution": (sdfido.Attribution, {"attribution": gradient}),
    "lrp": (sdfido.Relevance, {}),
}


def explainer(name: str, model: nn.Module | None = None) -> sdfido.Explainer:
    if name == "lrp" and importlib.util.find_spec("zennit") is None:
        pytest.skip("the rules of relevance are zennit's, which is not installed")
    kind, settings = METHODS[name]
    return kind(net() if model is None else model, **settings)


def tensors(explanation: sdfido.Explanation) -> dict[str, torch.Tensor]:
    found = {"targets": explanation.targets, "trace": explanation.trace}
    for group in ("maps", "scores", "parts"):
        found |= {f"{group}/{name}": tensor for name, tensor in getattr(explanation, group).items()}
    return found


def assert_same(actual: sdfido.Explanation, expected: sdfido.Explanation) -> None:
    actual, expected = tensors(actual), tensors(expected)
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert not actual[name].is_inference(), name
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)


@contextlib.contextmanager
def setting(change, value, before):
    change(value)
    try:
        yield
    finally:
        change(before)
