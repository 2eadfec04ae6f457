"""What models return, read as class logits: tensors, outputs of Hugging Face, dicts, tuples and single logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from .checks import describe

__all__ = ["Output", "ask", "class_logits", "tensor_of"]

Output = str | int | Callable[[Any], Tensor] | None
"""Which part of what a model returns is meant: a name, a place, or a function that finds it; None: the obvious one."""

_LOGITS = ("logits", "logits_per_image")  # of Hugging Face's classifiers, and of models of images and texts
_HOW = 'choose one with sdfido.ClassScore(model, output=...): a name, a place or a function, such as output="logits"'


def class_logits(returned: Any, count: int, output: Output = None) -> Tensor:
    """Class logits [B, classes] in what a model returned for ``count`` images.

    A single logit z an image, [B] or [B, 1], is that of a model with one sigmoid: it becomes the logits (0, z) of two
    classes, whose softmax is ``(1 - sigmoid(z), sigmoid(z))``. Axes of length 1 after the classes are left out.

    Args:
        returned: what the model returned.
        count: B.
        output: which part of it is meant, if it has several; see ``tensor_of``.

    Raises:
        TypeError, ValueError: there are no class logits in it, or it is not clear which they are; the message says what
            there is and which argument or score reads it.
    """
    if output is None and _are_detections(returned):
        raise TypeError(
            "model must return logits [B, classes], got detections: a list of dicts with boxes; explain one of them "
            "with a score for detections, sdfido.scores.DetectionScore(model)"
        )
    logits = tensor_of(returned, output)
    got = f"got {list(logits.shape)} for {count} images"
    if not logits.is_floating_point():
        raise TypeError(
            f"model must return logits [B, classes] in floating point, got {logits.dtype}: classes that are chosen "
            "already have no gradient; return the logits that they are chosen by"
        )
    if logits.dim() > 2 and logits.shape[0] == count and set(logits.shape[2:]) == {1}:
        logits = logits.flatten(1)
    if logits.dim() == 4:
        raise ValueError(
            f"model must return logits [B, classes], {got}: one of each pixel or patch, as for segmentation; explain a "
            "segment with sdfido.scores.SegmentScore(model), or pool them in a function of your own"
        )
    if logits.dim() == 1 and len(logits) == count:
        logits = logits[:, None]
    if logits.dim() != 2 or logits.shape[0] != count or logits.shape[1] < 1:
        raise ValueError(f"model must return logits [B, classes] of one or more classes, {got}{_about(logits, count)}")
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    return logits.float()


def tensor_of(returned: Any, output: Output = None) -> Tensor:
    """The tensor in what a model returned.

    Args:
        returned: a tensor; or an object, dict, list or tuple with an entry ``logits`` or ``logits_per_image``, or with
            one tensor alone and else only None.
        output: which part is meant: a key or an attribute (``"logits"``, with dots for parts of parts), a place (0),
            or a function that gets what the model returned.

    Raises:
        TypeError, ValueError: there is no such part, none that is a tensor, or several; the message lists them.
    """
    if output is not None:
        return _chosen(returned, output)
    if isinstance(returned, Tensor):
        return returned
    found = obvious(returned, *_LOGITS)
    if found is not None:
        return found
    kind, parts = type(returned).__name__, _parts(returned)
    if not parts:
        raise TypeError(
            f"model must return a tensor of logits [B, classes], got {_short(returned)}; "
            "the score needs its gradient, so that it must not leave PyTorch"
        )
    raise TypeError(f"model must return a tensor of logits [B, classes], got {kind} with {_listed(parts)}; {_HOW}")


def obvious(returned: Any, *names: str) -> Tensor | None:
    """The tensor that a model returned, by itself, by one of these names or as the only part; None without such."""
    if isinstance(returned, Tensor):
        return returned
    parts = _parts(returned, names)
    there = [part for part in parts.values() if part is not None]
    for part in (*map(parts.get, names), *(there if len(there) == 1 else ())):
        if isinstance(part, Tensor):
            return part
    return None


def parts_of(returned: Any) -> str:
    """What a model returned, for messages: its kind, and the parts that it has."""
    parts = _parts(returned)
    return type(returned).__name__ + (f" with {_listed(parts)}" if parts else "")


def ask(model: Callable[[Tensor], Any], images: Tensor) -> Any:
    """What a model returns for images [B, C, H, W]; an error of its own says what it was given, and what may help.

    Raises:
        TypeError, ValueError: the model cannot take the images. Errors that say nothing of these stay as they are.
    """
    try:
        return model(images)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        if str(error).startswith("model cannot take images"):  # said by a part of it
            raise
        advice = _advice_for(model) or _advice(str(error)) or (_SIZE if isinstance(error, AssertionError) else None)
        if advice is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise kind(f"model cannot take images {list(images.shape)} of {images.dtype}: {said}; {advice}") from error


_TEXTS = "it reads texts, too: load it with the texts of classes, sdfido.models.load('hf:NAME', texts=[...])"
_TOKENS = (
    "it takes tokens (input_ids), which have no gradient; explain a function of the images that makes embeddings of "
    "them, such as lambda images: model(inputs_embeds=...)"
)
_PATCHES = (
    "it takes patches and their spatial_shapes, not images; explain a function of the images that cuts them into "
    "patches, such as lambda images: model(pixel_values=..., pixel_attention_mask=..., spatial_shapes=...)"
)
_SIZE = "give images of the size that it is made for"
_ADVICE = (  # what errors say, and what helps
    (("exported", "Guard failed", "specialized"), "export it with a dynamic batch, or explain with max_batch=1"),
    (("'indices'", "embedding"), "it takes whole numbers, such as tokens; explain a model that takes pixels"),
    (("numpy", "NumPy"), "it must stay in PyTorch, since its gradient is needed"),
    (("same device", "torch.cuda", "cuda:"), "move the images and the model to the same device"),
    (
        ("positional argument", "keyword"),
        "give a function of the images alone, such as lambda images: model(images, ...)",
    ),
    (("type", "dtype", "Half", "Double"), "bring the model to float32 by model.float()"),
    (("match model", "mat1 and mat2 shapes", "image size", "size of tensor"), _SIZE),
    (("Kernel size can't be", "too small", "smaller than", "must be greater"), "give larger images"),
    (("channel",), "give images [B, C, H, W]; if it takes channels last, explain sdfido.models.ChannelsLast(model)"),
)


def _advice(message: str) -> str | None:
    """What helps against an error; None where that is not known."""
    return next((advice for words, advice in _ADVICE if any(word in message for word in words)), None)


def _advice_for(model: Any) -> str | None:
    """What helps with a model that takes something else than images; None where it takes images, as far as is known."""
    if hasattr(model, "get_text_features") or hasattr(model, "encode_text"):  # embeds images and texts, as CLIP does
        return _TEXTS
    try:
        taken = inspect.signature(getattr(model, "forward", model)).parameters
    except (TypeError, ValueError):  # of a builtin
        return None
    if "spatial_shapes" in taken:
        return _PATCHES
    return _TOKENS if next(iter(taken), "") == "input_ids" else None


def _chosen(returned: Any, output: Output) -> Tensor:
    if callable(output):
        part: Any = output(returned)
    elif isinstance(output, str):
        part = returned
        for name in output.split("."):
            part = _entry(part, int(name) if name.isdecimal() else name, output)
    elif isinstance(output, int) and not isinstance(output, bool):
        part = _entry(returned, output, output)
    else:
        raise TypeError(f"output must be a name, a place or a function, got {output!r}")
    if not isinstance(part, Tensor):
        raise TypeError(f"output={output!r} must be a tensor in what the model returns, got {_short(part)}")
    return part


def _entry(returned: Any, name: str | int, output: Output) -> Any:
    """An entry of a dict, list or tuple, or an attribute."""
    try:
        return returned[name]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        if isinstance(name, str) and hasattr(returned, name):
            return getattr(returned, name)
    parts = _parts(returned)
    there = f"what it returns has {_listed(parts)}" if parts else f"it returns {_short(returned)}"
    raise ValueError(f"output must be a part of what the model returns, got {output!r}; {there}")


def _parts(returned: Any, names: Sequence[str] = _LOGITS) -> dict[str, Any]:
    """The parts of an object, dict, list or tuple by name or place; empty where there are none."""
    if isinstance(returned, Mapping):
        return {str(name): part for name, part in returned.items()}
    if hasattr(returned, "_fields"):
        return dict(zip(returned._fields, returned, strict=True))
    if isinstance(returned, list | tuple):
        return {str(place): part for place, part in enumerate(returned)}
    if is_dataclass(returned) and not isinstance(returned, type):
        return {field.name: getattr(returned, field.name) for field in fields(returned)}
    return {name: getattr(returned, name) for name in names if isinstance(getattr(returned, name, None), Tensor)}


def _listed(parts: Mapping[str, Any]) -> str:
    shown = [f"{name} {_short(part)}" for name, part in parts.items() if part is not None]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "") or "nothing in it"


def _short(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Tensor):
        return f"{list(value.shape)}"
    if value is None or isinstance(value, str | int | float):
        return describe(value)
    if isinstance(value, Sequence | Mapping):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _are_detections(returned: Any) -> bool:
    """Whether a model returned one dict of boxes for each image."""
    first = returned[0] if isinstance(returned, list | tuple) and returned else None
    return isinstance(first, Mapping) and "boxes" in first


def _about(logits: Tensor, count: int) -> str:
    """What may be wrong with a shape, as the end of a message."""
    if logits.dim() == 3:
        return ": one row for each token or view; average them, or choose one with sdfido.ClassScore(model, output=...)"
    if logits.dim() == 0:
        return ": one number for all images, such as a loss; return one row for each image"
    if logits.shape[0] != count:
        return ": the first axis must be the images, each on its own"
    return ""
