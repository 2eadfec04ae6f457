"""Composites by sampled masks, and the masks' penalties."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import check_flag
from . import reference
from .backend import refuse_tangents, register, use_native
from .blend import check_operands, empty_composites, empty_gradient
from .sample_masks import check_sampling


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
    streams, temperature = check_sampling(logits, rng, streams, num_samples, temperature, antithetic)
    check_flag("channels_last", channels_last)
    infill, dtype = check_operands("logits", logits, image, infill, dtype)
    arguments = (streams, num_samples, temperature, antithetic, dtype, channels_last)
    if use_native(logits.device):
        refuse_tangents(logits, image, infill)
        outputs = _native(logits, image, infill, rng.contiguous(), *arguments)
    else:
        outputs = reference.sample_composites(logits, image, infill, rng, *arguments)
    return CompositeSamples(*outputs)


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
    composites = empty_composites(image, k, num_samples, dtype, channels_last)
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
        empty_gradient(logits, True),
        empty_gradient(image, image_gradient),
        empty_gradient(infill, infill_gradient),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, image, infill, rng, streams, *options = inputs
    ctx.options = options[:3]  # samples, temperature, antithetic; the rest shapes outputs only
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(logits, image, infill, rng, streams)


def _autograd(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    _, image_gradient, infill_gradient = ctx.needs_input_grad[:3]
    logits, image, infill = torch.ops.sdfido.sample_composites_backward.default(
        *grads, *ctx.saved_tensors, *ctx.options, image_gradient, infill_gradient
    )
    return logits, image if image_gradient else None, infill if infill_gradient else None, *[None] * 7


_native = register("sample_composites", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
