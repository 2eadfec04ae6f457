"""Composites by given masks."""

from typing import Any

import torch
from torch import Tensor

from ..checks import check_broadcast, check_dtype, check_flag, check_tensor
from . import reference
from .backend import refuse_tangents, register, use_native

_STORED = (torch.float32, torch.bfloat16, torch.float16)


def blend(
    masks: Tensor, image: Tensor, infill: Tensor, *, dtype: torch.dtype | None = None, channels_last: bool = False
) -> Tensor:
    """Upsample masks and blend image and infill by them, in one pass.

    ``composites = infill + U(masks) * (image - infill)`` with ``U`` the bilinear interpolation to the image's size: 1
    keeps a cell, 0 infills it, and any other value goes as far along or beyond the line between both. ``U(a + b*m) =
    a + b*U(m)``, so paths from infill to image, and exchanged roles of both, are masks that the caller scales.
    Differentiable in masks, image and infill; the backward pass is one more pass. All compiled kernels give the same
    bits.

    Args:
        masks: [N, K, S, h, w], float32, of any values; h <= H and w <= W.
        image: [N, C, H, W], float32, bfloat16 or float16, in any memory layout.
        infill: what replaces dropped pixels; broadcasts against ``image``, same dtype.
        dtype: of the composites, float32, bfloat16 or float16; that of ``image`` by default.
        channels_last: ``composites.flatten(0, 2)`` is then, without a copy, a batch in channels-last memory format.

    With float64 masks everything is float64.

    Returns:
        Composites [N, K, S, C, H, W].

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Example:
        >>> kept = (importance > 0.5).float()[:, None, None]  # [N, 1, 1, H, W]
        >>> logits = model(sdfido.blend(kept, image, infill).flatten(0, 2))
    """
    check_masks("masks", masks, "[N, K, S, h, w]", 5)
    check_flag("channels_last", channels_last)
    infill, dtype = check_operands("masks", masks, image, infill, dtype)
    if not use_native(masks.device):
        return reference.blend(masks, image, infill, dtype, channels_last)
    refuse_tangents(masks, image, infill)
    composites: Tensor = _native(masks, image, infill, dtype, channels_last)
    return composites


# Checks, all on metadata: nothing is read from the device.


def check_masks(name: str, value: Any, form: str, dims: int | None) -> None:
    """Check the dtype and the shape [N, K, ..., h, w] of masks or their logits."""
    check_tensor(name, value, form, dims)
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, got {value.dtype}; use {name}.float()")
    if dims is not None and 0 in value.shape[1:]:
        raise ValueError(f"{name} must have no empty axis but the first, got {list(value.shape)}")


def check_operands(
    name: str, masks: Tensor, image: Tensor, infill: Tensor, dtype: torch.dtype | None
) -> tuple[Tensor, torch.dtype]:
    """Check what checked masks, or their logits, blend.

    Args:
        name: of the argument ``masks``.
        masks: [N, ..., h, w].
        image, infill, dtype: as given to the operator.

    Returns:
        The infill [N, C, H, W], expanded, and the dtype of the composites.
    """
    check_tensor("image", image, "[N, C, H, W]", 4)
    check_tensor("infill", infill, "that broadcasts against image")
    allowed = (torch.float64,) if masks.dtype == torch.float64 else _STORED
    dtype = image.dtype if dtype is None else dtype
    for what, value in (("image", image.dtype), ("infill", infill.dtype), ("dtype", dtype)):
        check_dtype(what, value, allowed, f" with {masks.dtype} {name}")
    if infill.dtype != image.dtype:
        raise TypeError(f"infill must have the dtype of image, {image.dtype}, got {infill.dtype}; use infill.to(...)")
    for what, tensor in (("image", image), ("infill", infill)):
        if tensor.device != masks.device:
            raise ValueError(f"{what} must be on the device of {name}, {masks.device}, got {tensor.device}")
    shape, (n, *_, h, w) = image.shape, masks.shape
    if shape[0] != n:
        raise ValueError(f"image must have the batch size of {name}, {n}, got {shape[0]}")
    if shape[1] == 0:
        raise ValueError(f"image must have at least one channel, got {list(shape)}")
    if h > shape[2] or w > shape[3]:
        raise ValueError(
            f"{name} must have at most as many cells as image has pixels, got {h}x{w} cells for "
            f"{shape[2]}x{shape[3]} pixels"
        )
    if infill.shape != shape:
        check_broadcast("infill", infill, "image", image)
        infill = infill.expand(shape)
    return infill, dtype


# Fake kernels and autograd.


def empty_composites(image: Tensor, masks: int, samples: int, dtype: torch.dtype, channels_last: bool) -> Tensor:
    """Composites [N, masks, samples, C, H, W] of an image, not computed."""
    n, c, height, width = image.shape
    if channels_last:
        return image.new_empty((n, masks, samples, height, width, c), dtype=dtype).movedim(-1, 3)
    return image.new_empty((n, masks, samples, c, height, width), dtype=dtype)


def empty_gradient(tensor: Tensor, wanted: bool) -> Tensor:
    """A gradient that is not computed: of the shape of ``tensor``, or [0] where it is not wanted."""
    return tensor.new_empty(tensor.shape if wanted else (0,))


def _fake(masks: Tensor, image: Tensor, infill: Tensor, dtype: torch.dtype, channels_last: bool) -> Tensor:
    return empty_composites(image, masks.shape[1], masks.shape[2], dtype, channels_last)


def _backward_fake(
    grad: Tensor,
    masks: Tensor,
    image: Tensor,
    infill: Tensor,
    masks_gradient: bool,
    image_gradient: bool,
    infill_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        empty_gradient(masks, masks_gradient),
        empty_gradient(image, image_gradient),
        empty_gradient(infill, infill_gradient),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = ctx.needs_input_grad[:3]
    gradients = torch.ops.sdfido.blend_backward.default(grad, *ctx.saved_tensors, *wanted)
    return *(gradient if w else None for gradient, w in zip(gradients, wanted, strict=True)), None, None


_native = register("blend", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
