"""Classifiers: classes by name or id, labels, and settings that are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models.support import classifier


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (3, 3),
        ("3", 3),
        (" 3 ", 3),
        ("tench", 0),
        ("TENCH", 0),
        ("tinca tinca", 0),
        ("hoist", 1),
        ("tiger cat", 3),
        ("tiger", 3),
        ("egypt", 4),
        ("catcher", 5),
        ("missile", 6),
    ],
)
def test_find(target: int | str, index: int) -> None:
    assert classifier().find(target) == index


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("crane", r"'crane' may mean 1 \(crane, hoist\), 2 \(crane\)"),
        ("cat", r"'cat' may mean 3 \(tiger cat\), 4 \(Egyptian cat\);"),
        ("tigre cat", r"'tigre cat'; close to it: 3 \(tiger cat\)"),
        ("xyzzy", r"target must be a class id or name of tiny, got 'xyzzy'$"),
        ("  ", "got an empty text"),
        (7, r"target must be a class id of tiny, 0\.\.6, got 7"),
        ("7", r"0\.\.6, got '7'"),
        (-1, r"0\.\.6, got -1"),
    ],
)
def test_find_says_what_is_wrong(target: int | str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        classifier().find(target)


def test_a_long_list_of_candidates_is_cut() -> None:
    with pytest.raises(ValueError, match="and 12 more"):
        classifier(labels=tuple(f"sort {i} of cat" for i in range(20))).find("cat")


def test_labels() -> None:
    assert classifier().label(0) == "tench"
    with pytest.raises(ValueError, match=r"index must be a class of tiny, 0\.\.6, got 7"):
        classifier().label(7)
    nameless = classifier(labels=None)
    assert nameless.label(12) == "class 12"
    assert nameless.find("12") == 12
    with pytest.raises(ValueError, match="target must be a class id, as the classes of tiny have no names; got 'cat'"):
        nameless.find("cat")


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"size": (0, 8)}, ValueError, "size"),
        ({"size": (8, 8, 8)}, ValueError, "size"),
        ({"crop": 0.0}, ValueError, "crop must be in"),
        ({"crop": 1.5}, ValueError, "crop must be in"),
        ({"interpolation": "cubic"}, ValueError, "interpolation must be one of bicubic"),
        ({"normalization": 0.5}, TypeError, "normalization"),
    ],
)
def test_bad_settings(settings: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        classifier(**settings)


def test_the_fingerprint_tells_weights_and_preprocessing_apart() -> None:
    network = nn.Linear(2, 2)
    first = classifier(model=network).fingerprint()
    assert classifier(model=network).fingerprint() == first
    assert classifier(model=network, labels=None).fingerprint() == first
    assert classifier(model=network, crop=0.9).fingerprint() != first
    with torch.no_grad():
        network.weight[0, 0] += 1
    assert classifier(model=network).fingerprint() != first


class Weighted(nn.Module):
    """A network whose weights are no parameters."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weights = torch.full((3, 2), weight)

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) @ self.weights


def frozen(weight: float) -> nn.Module:
    network = nn.Linear(2, 2).eval()
    nn.init.constant_(network.weight, weight)
    nn.init.zeros_(network.bias)
    return torch.jit.freeze(torch.jit.script(network))


def exported(weight: float) -> nn.Module:
    return torch.export.export(Weighted(weight), (torch.zeros(1, 3, 4, 4),)).module()


@pytest.mark.parametrize("make", [frozen, exported])
def test_the_fingerprint_knows_weights_that_are_constants_of_a_program(make: Callable[[float], nn.Module]) -> None:
    prints = [classifier(model=make(weight)).fingerprint() for weight in (1.0, 1.0, 2.0)]
    assert prints[0] == prints[1] != prints[2]
