"""Classifiers of the package timm."""

from __future__ import annotations

from ..normalization import Normalization
from .classifier import Classifier
from .labels import close_to
from .packages import require


def load(name: str) -> Classifier:
    """A model of timm with its default weights and the input configuration that timm gives for them.

    Raises:
        ValueError: timm does not know the name; the message lists similar names.
        ImportError: timm is not installed.
    """
    library = require("timm", f"model 'timm:{name}'", "pip install timm")
    if not library.is_model(name):
        hint = close_to(name, library.list_models())
        raise ValueError(f"model 'timm:{name}' is unknown to timm {library.__version__}{hint}")
    network = library.create_model(name, pretrained=True)
    config = library.data.resolve_model_data_config(network)
    subset = library.data.infer_imagenet_subset(network)
    labels = tuple(library.data.ImageNetInfo(subset).label_descriptions()) if subset else None
    return Classifier(
        f"timm:{name}",
        network,
        Normalization(tuple(config["mean"]), tuple(config["std"])),
        tuple(config["input_size"][-2:]),
        labels,
        config["crop_pct"],
        config["interpolation"],
    )
