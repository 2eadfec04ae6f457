"""Classifiers of the package timm."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..normalization import Normalization
from .classifier import Classifier
from .labels import close_to
from .packages import require
from .weights import load_weights


def load(name: str, pretrained: str | None = None) -> Classifier:
    """A model of timm with the input configuration that timm gives for its weights.

    Args:
        name: of a model ("resnet50.a1_in1k"), "hf-hub:owner/name", or "local-dir:FOLDER", which needs no network.
        pretrained: a file with weights, in place of timm's own.

    Raises:
        ValueError: timm does not know the name, or cannot load it; the message lists similar names.
        ImportError: timm is not installed.
    """
    library = require("timm", f"model 'timm:{name}'", "pip install timm")
    if ":" not in name and not library.is_model(name):
        hint = close_to(name, library.list_models())
        raise ValueError(f"model 'timm:{name}' is unknown to timm {library.__version__}{hint}")
    try:
        network = library.create_model(name, pretrained=pretrained is None)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model 'timm:{name}' cannot be loaded by timm {library.__version__}: {reason}") from error
    if pretrained is not None:
        load_weights(network, pretrained)
    return described(network, f"timm:{name}")


def described(network: nn.Module, name: str) -> Classifier:
    """A network of timm with the preprocessing and class names that timm gives for it."""
    library = require("timm", f"model {name!r}", "pip install timm")
    config = library.data.resolve_model_data_config(network)
    return Classifier(
        name,
        network,
        Normalization(tuple(config["mean"]), tuple(config["std"])),
        tuple(config["input_size"][-2:]),
        _labels(library, network),
        config["crop_pct"],
        config["interpolation"],
        config.get("crop_mode") or "center",
        rounding="torchvision",
    )


def _labels(library: Any, network: Any) -> tuple[str, ...] | None:
    """Those in the configuration of its weights, or of the subset of ImageNet that it was trained on."""
    known = network.pretrained_cfg
    names, more = known.get("label_names"), known.get("label_descriptions") or {}
    if names and len(names) == network.num_classes:
        return tuple(str(more.get(name, name)) if isinstance(more, dict) else str(name) for name in names)
    subset = library.data.infer_imagenet_subset(network)
    return tuple(library.data.ImageNetInfo(subset).label_descriptions()) if subset else None
