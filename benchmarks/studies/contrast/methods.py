"""Maps for the question "why this species rather than that one?", by name; all that infill use the same blur."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.attributions import BLUR, grad_cam, integrated_gradients

Maps = Mapping[str, Tensor]
"""Importance [N, H, W] by name."""

FIDO: dict[str, Any] = {"infill": BLUR}


def contrast(model: nn.Module, images: Tensor, pairs: Tensor) -> sdfido.Explanation:
    """FIDO on the difference of the logits of pairs of species [N, 2]."""
    return sdfido.FIDO(sdfido.ContrastScore(model), **FIDO).explain(images, pairs)


def of_class(model: nn.Module, images: Tensor, targets: Tensor) -> sdfido.Explanation:
    """FIDO on the species [N] itself."""
    return sdfido.FIDO(model, **FIDO).explain(images, targets)


def difference(model: nn.Module, pair: Tensor) -> nn.Sequential:
    """The model with one output, the difference of the logits of a pair of species [2]: its last layer is linear."""
    assert isinstance(model, nn.Sequential)
    *layers, last = model
    assert isinstance(last, nn.Linear)
    one = nn.Linear(last.in_features, 1)
    with torch.no_grad():
        one.weight.copy_(last.weight[pair[:1]] - last.weight[pair[1:]])
        one.bias.copy_(last.bias[pair[:1]] - last.bias[pair[1:]])
    return nn.Sequential(*copy.deepcopy(layers), one).eval()


def each(method: Callable[..., dict[str, Tensor]], model: nn.Module, images: Tensor, pairs: Tensor) -> Tensor:
    """Maps [N, H, W] by a method of captum on the difference of each pair's logits."""
    first = torch.zeros(1, dtype=torch.int64)
    found = [
        method(difference(model, pair), image[None], first)["map"] for image, pair in zip(images, pairs, strict=True)
    ]
    return torch.cat(found)


def grad_cam_difference(model: nn.Module, images: Tensor, pairs: Tensor) -> Tensor:
    return each(grad_cam, model, images, pairs)


def integrated_gradients_difference(model: nn.Module, images: Tensor, pairs: Tensor) -> Tensor:
    return each(integrated_gradients, model, images, pairs)


def settings() -> dict[str, Any]:
    """Those of FIDO on a contrast, as plain values."""
    return sdfido.FIDO(sdfido.ContrastScore(nn.Identity()), **FIDO).describe()
