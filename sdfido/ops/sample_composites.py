"""Composites by sampled masks, and the masks' penalties."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import reference
from .backend import refuse_tangents, register, use_native
from .sample_masks import check_sampling, check_tensor

_STORED = (torch.float32, torch.bfloat16, torch.float16)


class CompositeSamples(NamedTuple):
    """What ``sample_composites`` returns."""

    composites: Tensor  #: [N, K, S, C, H, W]
    sparsity: Tensor  #: [N, K], mean keep rate, 0..1
    smoothness: Tensor  #: [N, K], total variation of the keep rates a cell, 0..2


def sample_composites(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    *,
    num_samples: int,
    temperature: float = 0.1,
    antithetic: bool = False,
    streams: Tensor | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> CompositeSamples:
    """Sample masks, upsample them, blend image and infill, and compute both penalties, in one pass.

    ``composites = infill + M * (image - infill)`` with ``M`` the bilinearly upsampled masks of ``sample_masks``;
    for keep rates ``r = sigmoid(logits)``, ``sparsity = mean r`` and ``smoothness = (sum |r[y,x+1] - r[y,x]| +
    sum |r[y+1,x] - r[y,x]|) / (h*w)``. Differentiable in logits, image and infill; the backward pass is one more pass,
    which recomputes the masks.

    Args:
        logits: keep logits [N, K, h, w], float32; h <= H and w <= W.
        image: [N, C, H, W], float32, bfloat16 or float16, in any memory layout.
        infill: what replaces dropped pixels; broadcasts against ``image``, same dtype.
        rng, num_samples, temperature, antithetic, streams: as in ``sample_masks``.
        dtype: of the composites, float32, bfloat16 or float16; that of ``image`` by default.
        channels_last: ``composites.flatten(0, 2)`` is then, without a copy, a batch in channels-last memory format.

    With float64 logits everything is float64.

    Returns:
        Composites [N, K, S, C, H, W], sparsity [N, K] and smoothness [N, K].

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Example:
        >>> samples = sdfido.sample_composites(logits, image, infill, sdfido.make_rng(0), num_samples=8)
        >>> scores = model(samples.composites.flatten(0, 2))

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, arXiv 1807.08024.
    """
    streams, temperature = check_sampling(logits, rng, streams, num_samples, temperature)
    infill, dtype = _check_images(logits, image, infill, dtype)
    arguments = (streams, num_samples, temperature, antithetic, dtype, channels_last)
    if use_native(logits.device):
        refuse_tangents(logits, image, infill)
        outputs = torch.ops.sdfido.sample_composites(logits, image, infill, rng.contiguous(), *arguments)
    else:
        outputs = reference.sample_composites(logits, image, infill, rng, *arguments)
    return CompositeSamples(*outputs)


# Checks.


def _check_images(
    logits: Tensor, image: Tensor, infill: Tensor, dtype: torch.dtype | None
) -> tuple[Tensor, torch.dtype]:
    check_tensor("image", image, "[N, C, H, W]", 4)
    if not isinstance(infill, Tensor):
        raise TypeError(f"infill must be a tensor that broadcasts against image, got {type(infill).__name__}")
    allowed = (torch.float64,) if logits.dtype == torch.float64 else _STORED
    for name, value in (("image", image.dtype), ("infill", infill.dtype), ("dtype", dtype or image.dtype)):
        if value not in allowed:
            names = " or ".join(str(d).removeprefix("torch.") for d in allowed)
            raise TypeError(f"{name} must be {names} with {logits.dtype} logits, got {value}")
    if infill.dtype != image.dtype:
        raise TypeError(f"infill must have the dtype of image, {image.dtype}, got {infill.dtype}; use infill.to(...)")
    for name, tensor in (("image", image), ("infill", infill)):
        if tensor.device != logits.device:
            raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")
    n, _, h, w = logits.shape
    if image.shape[0] != n:
        raise ValueError(f"image must have the batch size of logits, {n}, got {image.shape[0]}")
    if image.shape[1] == 0:
        raise ValueError(f"image must have at least one channel, got {list(image.shape)}")
    if h > image.shape[2] or w > image.shape[3]:
        raise ValueError(
            f"logits must have at most as many cells as image has pixels, got {h}x{w} cells for "
            f"{image.shape[2]}x{image.shape[3]} pixels"
        )
    if infill.dim() > 4 or any(
        size not in (1, full) for size, full in zip(reversed(infill.shape), reversed(image.shape), strict=False)
    ):
        raise ValueError(f"infill must broadcast against image {list(image.shape)}, got {list(infill.shape)}")
    return infill.expand(image.shape), dtype or image.dtype


# Fake kernels and autograd.


def _fake(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    streams: Tensor | None,
    num_samples: int,
    temperature: float,
    antithetic: bool,
    dtype: torch.dtype,
    channels_last: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    n, k = logits.shape[:2]
    _, c, height, width = image.shape
    if channels_last:
        composites = image.new_empty((n, k, num_samples, height, width, c), dtype=dtype).movedim(-1, 3)
    else:
        composites = image.new_empty((n, k, num_samples, c, height, width), dtype=dtype)
    return composites, logits.new_empty((n, k)), logits.new_empty((n, k))


def _backward_fake(
    grad_composites: Tensor | None,
    grad_sparsity: Tensor | None,
    grad_smoothness: Tensor | None,
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    streams: Tensor | None,
    num_samples: int,
    temperature: float,
    antithetic: bool,
    image_gradient: bool,
    infill_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        logits.new_empty(logits.shape),
        image.new_empty(image.shape if image_gradient else (0,)),
        image.new_empty(image.shape if infill_gradient else (0,)),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, image, infill, rng, streams, *options = inputs
    ctx.options = options[:3]  # samples, temperature, antithetic; the rest shapes outputs only
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(logits, image, infill, rng, streams)


def _autograd(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    _, image_gradient, infill_gradient = ctx.needs_input_grad[:3]
    logits, image, infill = torch.ops.sdfido.sample_composites_backward(
        *grads, *ctx.saved_tensors, *ctx.options, image_gradient, infill_gradient
    )
    return logits, image if image_gradient else None, infill if infill_gradient else None, *[None] * 7


register("sample_composites", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
