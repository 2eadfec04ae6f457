"""Models of images and texts of the package open_clip, such as BioCLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..normalization import Normalization
from . import packages
from .classifier import Classifier
from .labels import close_to
from .texts import TextClassifier, check_texts, written

_INSTALL = "pip install open_clip_torch"
_MODES = {"shortest": "center", "longest": "border", "squash": "squash"}


def load(
    name: str, texts: Sequence[str] | None = None, template: str = "{}", pretrained: str | None = None
) -> Classifier:
    """A model of open_clip as a classifier of texts, with its own preprocessing.

    Args:
        name: of an architecture ("ViT-B-32"), "hf-hub:owner/name", or "local-dir:FOLDER", which needs no network.
        texts: one for each class.
        template: what is read for each of them, with ``{}`` in its place.
        pretrained: of an architecture: the tag of its weights, or a file with them.

    Raises:
        ValueError: the model or its weights are unknown, or there are no texts; the message lists similar names.
        ImportError: open_clip is not installed.
    """
    library = packages.require("open_clip", f"model 'open_clip:{name}'", _INSTALL)
    texts = check_texts(texts, f"open_clip:{name}")
    read = written(texts, template)
    if ":" not in name:
        _check(library, name, pretrained)
    try:
        network = library.create_model(name, pretrained=pretrained, require_pretrained=":" not in name).eval()
        tokenizer = library.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model 'open_clip:{name}' cannot be loaded: {reason}") from error
    return with_texts(network, tokenizer, texts, read, f"open_clip:{name}", library.get_model_preprocess_cfg(network))


def with_texts(
    network: Any, tokenizer: Any, labels: Sequence[str], texts: Sequence[str], name: str, preprocessing: Any
) -> Classifier:
    """A model of open_clip as a classifier of texts, preprocessed as ``open_clip.get_model_preprocess_cfg`` says."""
    with torch.no_grad():
        found = network.encode_text(tokenizer(list(texts)))
    bias = getattr(network, "logit_bias", None)
    size = preprocessing.get("size", 224)
    return Classifier(
        name,
        TextClassifier(network, "encode_image", found, network.logit_scale.exp(), bias),
        Normalization(tuple(preprocessing["mean"]), tuple(preprocessing["std"])),
        (size, size) if isinstance(size, int) else tuple(size),
        tuple(labels),
        interpolation=preprocessing.get("interpolation", "bicubic"),
        crop_mode=_MODES[preprocessing.get("resize_mode", "shortest")],
        border=(preprocessing.get("fill_color", 0) / 255,),
        multi_label=bias is not None,
        rounding="torchvision",
    )


def _check(library: Any, name: str, pretrained: str | None) -> None:
    known = library.list_models()
    if name not in known:
        raise ValueError(
            f"model 'open_clip:{name}' is unknown to open_clip {library.__version__}{close_to(name, known)}"
        )
    tags = library.list_pretrained_tags_by_model(name)
    if pretrained is None:
        raise ValueError(
            f"model 'open_clip:{name}' must have weights: 'open_clip:{name}?pretrained=TAG', out of "
            f"{', '.join(tags) or 'none known'}, or a file"
        )
    if pretrained not in tags and not Path(pretrained).exists():
        raise ValueError(
            f"pretrained must be the weights of {name!r}, {', '.join(tags) or 'a file'}, or a file, got {pretrained!r}"
        )
