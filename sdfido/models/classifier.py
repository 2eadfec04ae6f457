"""A classifier with what is needed to feed it a photo and to name its classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..checks import check_choice, check_flag, check_list, check_number, check_size, describe
from ..normalization import Normalization
from . import labels as class_names
from .photo import CROP_MODES, INTERPOLATIONS, fit, upright_size
from .window import ROUNDINGS, Window

if TYPE_CHECKING:
    from PIL import Image

IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the pixels of ImageNet, which most of its classifiers are normalised with."""


@dataclass(frozen=True)
class Classifier:
    """A network from normalised images [N, 3, H, W] to logits [N, classes], with its preprocessing and class names.

    Args:
        name: what it is called in reports.
        model: the network.
        normalization: how its input is normalised.
        size: (H, W) of its input, in pixels.
        labels: for each class its name, or several names separated by commas, the first of which is shown; None if
            the classes have no names.
        crop: the part of the resized photo, per axis, that the network sees, in (0, 1].
        interpolation: how photos are resized: "bicubic", "bilinear", "lanczos", "box", "hamming" or "nearest".
        crop_mode: what becomes of photos of other proportions than ``size``: "center" cuts them off, "squash" distorts
            them, "border" puts a border around them.
        border: colour of that border, one value in 0..1 for each channel; None: the normalisation's mean.
        multi_label: whether each class has a probability of its own, the sigmoid of its logit. ``sdfido.ClassScore``
            compares the classes even so; ``sdfido.scores.LabelScore`` explains one label by itself.
        rounding: how the sizes of a resized photo become whole pixels: "nearest"; or "torchvision" (also of timm and
            open_clip) or "transformers", so that a photo is prepared pixel for pixel as the library does it.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> classifier = Classifier("mine", network, labels=("cat", "dog"))
        >>> images = classifier.preprocess(models.read_photo("cat.jpg"))[None]
    """

    name: str
    model: nn.Module
    normalization: Normalization = IMAGENET
    size: tuple[int, int] = (224, 224)
    labels: tuple[str, ...] | None = None
    crop: float = 1.0
    interpolation: str = "bicubic"
    crop_mode: str = "center"
    border: tuple[float, ...] | None = None
    multi_label: bool = False
    rounding: str = "nearest"

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(self.model).__name__}")
        if not isinstance(self.normalization, Normalization):
            raise TypeError(f"normalization must be a sdfido Normalization, got {self.normalization!r}")
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a text, got {self.name!r}")
        object.__setattr__(self, "size", check_size("size", self.size))
        check_number("crop", self.crop, above=0, most=1, meaning="in (0, 1]")
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(check_list("labels", self.labels, str, "names")))
        if self.border is not None:
            object.__setattr__(self, "border", _border(self.border))
        check_flag("multi_label", self.multi_label)
        check_choice("rounding", self.rounding, ROUNDINGS)
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {self.interpolation!r}")
        if self.crop_mode not in CROP_MODES:
            raise ValueError(f"crop_mode must be one of {', '.join(CROP_MODES)}, got {self.crop_mode!r}")

    def preprocess(self, photo: Image.Image) -> Tensor:
        """A photo as the network takes it: float32 [3, H, W]; its ``pixels``, normalised.

        Raises:
            ValueError: the photo's pixels have no defined range.
            ImportError: Pillow is not installed.
        """
        return self.normalization.normalize(self.pixels(photo))

    def pixels(self, photo: Image.Image, border: tuple[float, ...] | None = None) -> Tensor:
        """What the network sees of a photo: float32 [3, H, W], 0..1.

        The photo is turned upright, converted to RGB, resized to cover ``size / crop`` (or as the crop mode says), and
        cropped to the centre. Transparent pixels become white.

        Args:
            photo: the photo.
            border: colour of a border, in place of the classifier's.

        Raises:
            ValueError: the photo's pixels have no defined range.
            ImportError: Pillow is not installed.
        """
        own = self.border or self.normalization.mean
        colour = own if border is None else _border(border)
        pixels = fit(photo, self.size, self.crop, self.interpolation, self.crop_mode, colour, self.rounding)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def window(self, photo: Image.Image) -> Window:
        """Which part of a photo the network sees, and where in its input."""
        return Window.of(upright_size(photo), self.size, self.crop, self.crop_mode, self.rounding)

    def label(self, index: int) -> str:
        """The name that class ``index`` is shown by.

        Raises:
            ValueError: there is no such class.
        """
        index = check_number("index", index, int)
        if self.labels is None:
            return f"class {index}"
        if not 0 <= index < len(self.labels):
            raise ValueError(f"index must be a class of {self.name}, 0..{len(self.labels) - 1}, got {index}")
        return class_names.names(self.labels[index])[0]

    def find(self, target: int | str, argument: str = "target") -> int:
        """The class that an id (281 or "281") or a name ("tabby") means, regardless of case.

        A name is searched among the names that are shown, then among all names, then as whole words of a name, then as
        any part of one.

        Args:
            target: the id or name.
            argument: what errors call it.

        Raises:
            ValueError: no class or several classes have the name; the message lists those that come close.
        """
        if isinstance(target, bool) or not isinstance(target, int | str):
            raise TypeError(f"{argument} must be a class id or a name, got {describe(target)}")
        if isinstance(target, int) or target.strip().isdecimal():
            index = int(target)
            if index < 0 or (self.labels is not None and index >= len(self.labels)):
                classes = f"0..{len(self.labels) - 1}" if self.labels is not None else "at least 0"
                raise ValueError(f"{argument} must be a class id of {self.name}, {classes}, got {target!r}")
            return index
        if self.labels is None:
            raise ValueError(
                f"{argument} must be a class id, as the classes of {self.name} have no names; got {target!r}"
            )
        return class_names.find(target, self.labels, self.name, argument)

    def fingerprint(self) -> str:
        """SHA-256 of the network's weights and of how photos are preprocessed for it."""
        about: tuple[Any, ...] = (self.normalization, self.size, self.crop, self.interpolation)
        if self.crop_mode != "center":
            about += (self.crop_mode, self.border)
        if self.rounding != "nearest":
            about += (self.rounding,)
        digest = hashlib.sha256(repr(about).encode())
        for name, value in (*self.model.state_dict().items(), *_constants(self.model)):
            if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
                digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _border(given: Any) -> tuple[float, ...]:
    """The colour of a border, checked."""
    if not isinstance(given, tuple | list):
        raise TypeError(f"border must be a tuple of numbers, one per channel, got {describe(given)}")
    if len(given) not in (1, 3):
        raise ValueError(f"border must be one number, or one for each of 3 channels, got {describe(given)}")
    return tuple(check_number("border", value) for value in given)


def _constants(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights that are part of a program and of no state dict: of TorchScript that is frozen, of what was exported."""
    for part in model.modules():
        if isinstance(part, torch.jit.ScriptModule) and hasattr(part, "forward"):
            graph: Any = part.graph
            for place, node in enumerate(graph.findAllNodes("prim::Constant")):
                if node.hasAttribute("value") and node.kindOf("value") == "t":
                    yield f"constant {place}", node.t("value")
        elif isinstance(part, torch.fx.GraphModule):
            yield from ((name, value) for name, value in vars(part).items() if isinstance(value, Tensor))
