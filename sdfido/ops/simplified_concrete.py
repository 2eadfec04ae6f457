"""Relaxed samples from logits and given uniform numbers."""

from typing import Any

import torch
from torch import Tensor

from ..checks import check_tensor
from . import reference
from .backend import refuse_tangents, register, use_native
from .blend import check_masks
from .sample_masks import check_temperature


def simplified_concrete(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Relaxed Bernoulli samples from logits and given uniform numbers, elementwise.

    ``m = sigmoid((logits + log u - log(1-u)) / temperature)``, ``dm/dlogits = m(1-m) / temperature``.

    Args:
        logits: keep logits of any shape, float32 or float64.
        u: uniform numbers in [0, 1], same shape, dtype and device; not differentiated. NaN results outside [0, 1].
        temperature: positive.

    Returns:
        Samples in 0..1 with the shape and dtype of ``logits``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    check_masks("logits", logits, "of any shape", None)
    check_tensor("u", u, "of the shape of logits")
    if u.dtype != logits.dtype:
        raise TypeError(f"u must have the dtype of logits, {logits.dtype}, got {u.dtype}")
    if u.shape != logits.shape:
        raise ValueError(f"u must have the shape of logits, {list(logits.shape)}, got {list(u.shape)}")
    if u.device != logits.device:
        raise ValueError(f"u must be on the device of logits, {logits.device}, got {u.device}")
    temperature = check_temperature(temperature)
    if not use_native(logits.device):
        return reference.simplified_concrete(logits, u.detach(), temperature)
    refuse_tangents(logits, u)
    masks: Tensor = _native(logits, u.detach(), temperature)
    return masks


def _fake(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    return logits.new_empty(logits.shape)


def _backward_fake(grad: Tensor, masks: Tensor, temperature: float) -> Tensor:
    return masks.new_empty(masks.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, ctx.temperature = inputs
    ctx.save_for_backward(output)


def _autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (masks,) = ctx.saved_tensors
    return torch.ops.sdfido.simplified_concrete_backward.default(grad, masks, ctx.temperature), None, None


_native = register("simplified_concrete", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
