"""Image classifiers of Hugging Face's package transformers, from the hub or from a local folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..normalization import Normalization
from . import packages
from .adapters import ReversedChannels
from .classifier import Classifier
from .texts import TextClassifier, check_texts, embeddings_of, written

_INSTALL = "pip install transformers"
_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers
_SIDE = 64  # of the pictures that tell how a processor normalises
_CLOSE = 0.06  # of pixels in 0..1: processors resize in other ways than Pillow, and their rounding differs


def load(name: str, texts: Sequence[str] | None = None, template: str = "{}") -> Classifier:
    """A classifier of transformers with its processor's preprocessing.

    A photo is brought to one size: where the processor keeps its proportions without cropping, the centre is cropped.

    Args:
        name: of a repository on the hub, or a local folder, which needs no network.
        texts: one for each class, for models of images and texts such as CLIP and SigLIP.
        template: what is read for each of them, with ``{}`` in its place.

    Raises:
        ValueError: it cannot be loaded, has no weights for a classifier, needs texts, or gives a value, not classes.
        ImportError: transformers is not installed.
    """
    library = packages.require("transformers", f"model 'hf:{name}'", _INSTALL)
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise ValueError(
            f"model 'hf:{name}' must be a folder or a name on Hugging Face's hub, and there is no such folder"
        )
    try:
        config = library.AutoConfig.from_pretrained(name)
        reads_texts = texts is not None or _reads_texts(library, config)
        if reads_texts:
            texts = check_texts(texts, f"hf:{name}")
            read = written(texts, template)
        kind = (
            library.AutoModelForZeroShotImageClassification if reads_texts else library.AutoModelForImageClassification
        )
        network, about = kind.from_pretrained(name, output_loading_info=True, dtype=torch.float32)
        processor = library.AutoImageProcessor.from_pretrained(name)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, ValueError) and str(error).startswith(("texts", "template")):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"model 'hf:{name}' cannot be loaded by transformers {library.__version__}: {reason}"
        ) from error
    if missing := sorted(about["missing_keys"]):
        raise ValueError(
            f"model 'hf:{name}' must have the weights of an image classifier, got architecture "
            f"{', '.join(config.architectures or ['unknown'])} without {', '.join(missing[:3])}"
        )
    network.eval()
    if texts is None:
        return described(network, processor, f"hf:{name}")
    tokenizer = library.AutoTokenizer.from_pretrained(name)
    return with_texts(network, processor, tokenizer, texts, read, f"hf:{name}")


def described(network: nn.Module, processor: Any, name: str) -> Classifier:
    """A classifier of transformers with the preprocessing of its processor and the names of its configuration.

    Raises:
        ValueError: the network gives a value, not classes.
    """
    config: Any = network.config
    if config.problem_type == "regression":
        raise ValueError(
            f"model {name!r} predicts a value, not a class; explain its network with sdfido.scores.RegressionScore"
        )
    found = [str(config.id2label[index]) for index in range(config.num_labels)]
    labels: tuple[str, ...] | None = tuple(found)
    if all(re.fullmatch(r"LABEL_\d+", label) for label in found):  # nobody has named them
        labels = None
    elif len(found) == 1:
        labels = (f"not {found[0]}", found[0])
    return _classifier(name, network, processor, labels, config.problem_type == "multi_label_classification")


def with_texts(
    network: nn.Module, processor: Any, tokenizer: Any, labels: Sequence[str], texts: Sequence[str], name: str
) -> Classifier:
    """A model of images and texts of transformers as a classifier of these texts."""
    if not all(hasattr(network, part) for part in ("get_image_features", "get_text_features", "logit_scale")):
        raise ValueError(f"model {name!r} must embed images and texts as CLIP does, got {type(network).__name__}")
    model: Any = network
    whole = getattr(model.config, "model_type", "").startswith("siglip")  # has learned from padded texts alone
    tokens = tokenizer(list(texts), padding="max_length" if whole else True, truncation=True, return_tensors="pt")
    names = [key for key in ("input_ids", "attention_mask") if key in tokens]
    with torch.no_grad():
        found = embeddings_of(model.get_text_features(**{key: tokens[key] for key in names}))
    bias = getattr(model, "logit_bias", None)
    classifier = TextClassifier(network, "get_image_features", found, model.logit_scale.exp(), bias)
    return _classifier(name, classifier, processor, tuple(labels), multi_label=bias is not None)


def normalization(processor: Any) -> tuple[Normalization, bool]:
    """How a processor normalises pixels, and whether it reverses the channels: seen in what it makes of plain pictures.

    Raises:
        ValueError: it does not give images [B, 3, H, W].
    """
    black, white, red = (_processed(processor, colour)[0].mean((1, 2)) for colour in (0, 255, (255, 0, 0)))
    scale = 1 / (white - black).double()
    turned = bool(((red - black) * scale)[2] > 0.5)
    found = [(-black * scale).tolist(), scale.tolist()]
    if turned:
        found = [values[::-1] for values in found]
    # The numbers that the processor gives are exact, where it uses them and nothing else.
    given = [getattr(processor, name, None) for name in ("image_mean", "image_std")]
    exact = [[value] * 3 if isinstance(value, int | float) else value for value in given]
    if all(value is not None and np.allclose(value, seen, atol=1e-4) for value, seen in zip(exact, found, strict=True)):
        found = [[float(number) for number in value or ()] for value in exact]
    mean, std = (tuple(round(number, 9) + 0.0 for number in values) for values in found)
    return Normalization(mean, std), turned


def _classifier(
    name: str, network: nn.Module, processor: Any, labels: tuple[str, ...] | None, multi_label: bool
) -> Classifier:
    how, turned = normalization(processor)
    height, width = _processed(processor, 0).shape[2:]
    crop, crop_mode = _cropping(processor, (height, width))
    resample = getattr(processor, "resample", None)  # 0 is "nearest"
    classifier = Classifier(
        name,
        ReversedChannels(network) if turned else network,
        how,
        (height, width),
        labels,
        crop,
        "bilinear" if resample is None else _INTERPOLATIONS.get(int(resample), "bilinear"),
        crop_mode,
        multi_label=multi_label,
        rounding="transformers",
    )
    _compare(classifier, processor, turned)
    return classifier


def _cropping(processor: Any, seen: tuple[int, int]) -> tuple[float, str]:
    """The part of a resized photo that a processor keeps, and its crop mode."""
    about: dict[str, Any] = processor.to_dict()
    size = about.get("size") or {}
    size = {"shortest_edge": size} if isinstance(size, int) else size
    pct, edge = about.get("crop_pct"), size.get("shortest_edge")
    if about.get("do_center_crop"):
        if edge is None:
            return min(1.0, seen[0] / size["height"]), "squash"
        if pct:
            edge = int(edge / pct)
        elif type(processor).__name__.startswith("Levit"):
            edge = int(256 / 224 * edge)
        return min(1.0, min(seen) / edge), "center"
    if edge is None:
        return 1.0, "squash"
    if pct:
        return (pct, "center") if edge < 384 else (1.0, "squash")  # as ConvNeXt was trained
    return 1.0, "center"


def _processed(processor: Any, colour: Any) -> Tensor:
    """What a processor makes of a picture of one colour: [1, 3, H, W]."""
    picture = np.zeros((_SIDE, _SIDE, 3), dtype=np.uint8)
    picture[:] = colour
    found: Tensor = processor(images=picture, return_tensors="pt")["pixel_values"]
    if not isinstance(found, Tensor) or found.dim() != 4 or found.shape[1] != 3:
        raise ValueError(f"model must take images [B, 3, H, W], got a {type(processor).__name__}, which makes others")
    return found.float()


def _compare(classifier: Classifier, processor: Any, turned: bool) -> None:
    """Warn where the processor makes something else of a picture than the classifier does."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return
    picture = np.full((192, 256, 3), 100, dtype=np.uint8)
    picture[..., 0] = np.linspace(0, 250, 256)[None, :]
    picture[..., 1] = np.linspace(0, 250, 192)[:, None]
    given: Tensor = processor(images=picture, return_tensors="pt")["pixel_values"][0].float()
    if given.shape[1:] != classifier.size:
        return  # it would keep the proportions
    pixels = classifier.normalization.pixels(given.flip(0) if turned else given)
    apart = float((pixels - classifier.pixels(Image.fromarray(picture))).abs().max())
    if apart > _CLOSE:
        warnings.warn(
            f"photos are prepared for {classifier.name!r} in another way than by its {type(processor).__name__}: "
            f"their pixels differ by up to {apart:.2f} of 1; give images that the processor has prepared",
            stacklevel=4,
        )


def _reads_texts(library: Any, config: Any) -> bool:
    """Whether a configuration is that of a model of images and texts, without a classifier of its own."""
    known = library.models.auto.modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES
    classifies = any("ImageClassification" in name for name in config.architectures or ())
    return config.model_type in known and not classifies
