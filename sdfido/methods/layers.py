"""Activations of a layer of a model, taken from the same pass as its logits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..outputs import ask
from ..scores import Model

__all__ = ["POOLINGS", "Layer", "activations_of", "check_layer"]

Layer = str | Callable[[Tensor], Tensor]
"""The name of a module of the model, or a callable from images to activations."""

POOLINGS = ("mean", "max", "none")  # of the places of activations [B, D, h, w]


def check_layer(model: Model, layer: Layer) -> None:
    """Raise where a layer is neither a callable nor a module of the model."""
    if callable(layer):
        return
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a module's name or a callable, got {type(layer).__name__}")
    if not isinstance(model, nn.Module):
        raise TypeError(f"layer must be a callable where the model is no module, got {layer!r}")
    names = [name for name, _ in model.named_modules() if name]
    if layer not in names:
        last = ", ".join(map(repr, names[-8:]))
        raise ValueError(f"layer must be the name of a module of the model, such as {last}; got {layer!r}")


def activations_of(model: Model, layer: Layer, pooling: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Activations [B, D] of a layer, float32, and the model's output for images [B, C, H, W]; differentiable.

    Images below float32 pass the model under autocast.

    Raises:
        TypeError, ValueError: the layer's output is no tensor [B, D] or [B, D, h, w].
    """
    images = images.clone()  # models may work in place
    low = images.dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(images.device.type, dtype=images.dtype) if low else contextlib.nullcontext():
        if isinstance(layer, str):
            found, output = _hooked(model, layer, images)
        else:
            found, output = layer(images.clone()), ask(model, images)
    if not isinstance(found, Tensor):
        raise TypeError(f"layer must return a tensor, got {type(found).__name__}")
    if found.dim() not in (2, 4) or len(found) != len(images):
        raise ValueError(
            f"layer must return activations [B, D] or [B, D, h, w], got {list(found.shape)} for {len(images)} images; "
            "a callable can bring others into this form"
        )
    found = found.float()
    if found.dim() == 4:
        found = {"mean": lambda x: x.mean((2, 3)), "max": lambda x: x.amax((2, 3)), "none": lambda x: x.flatten(1)}[
            pooling
        ](found)
    return found, output


def _hooked(model: Model, layer: str, images: Tensor) -> tuple[object, Tensor]:
    """A module's output, the last one where it runs several times, and the model's."""
    assert isinstance(model, nn.Module)
    caller, outputs = threading.get_ident(), []

    def keep(_: nn.Module, __: object, output: object) -> None:
        if threading.get_ident() == caller:  # other threads may run the model meanwhile
            # What comes after may work in place.
            outputs.append(output.clone() if isinstance(output, Tensor) else output)

    handle = model.get_submodule(layer).register_forward_hook(keep)
    try:
        output = ask(model, images)
    finally:
        handle.remove()
    if not outputs:
        raise ValueError(f"layer must run when the model does, got {layer!r}, which does not")
    return outputs[-1], output
