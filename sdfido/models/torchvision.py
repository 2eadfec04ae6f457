"""Classifiers of the package torchvision."""

from __future__ import annotations

from ..normalization import Normalization
from .classifier import Classifier
from .labels import close_to
from .packages import require
from .weights import load_weights

_OTHER_NORMALIZATION = ("googlenet", "inception_v3")  # trained with another one, to which they can convert


def load(name: str, pretrained: str | None = None) -> Classifier:
    """A classifier of ``torchvision.models`` with its default weights and their preprocessing.

    Args:
        name: of the model ("resnet50").
        pretrained: a file with weights, in place of torchvision's own.

    Raises:
        ValueError: torchvision has no such classifier; the message lists similar names.
        ImportError: torchvision is not installed.
    """
    library = require("torchvision.models", f"model 'torchvision:{name}'", "pip install torchvision")
    known = library.list_models(module=library)
    if name not in known:
        raise ValueError(f"model 'torchvision:{name}' is no classifier of torchvision.models{close_to(name, known)}")
    weights = library.get_model_weights(name).DEFAULT
    options = {"transform_input": True, "init_weights": False} if name in _OTHER_NORMALIZATION else {}
    network = library.get_model(name, **options)
    if pretrained is None:
        network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    else:
        load_weights(network, pretrained)
    config = weights.transforms()
    return Classifier(
        f"torchvision:{name}",
        network,
        Normalization(tuple(config.mean), tuple(config.std)),
        (config.crop_size[0], config.crop_size[0]),
        tuple(weights.meta["categories"]),
        min(1.0, config.crop_size[0] / config.resize_size[0]),
        config.interpolation.value,
        rounding="torchvision",
    )
