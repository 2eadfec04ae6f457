"""Samples of relaxed masks."""

from typing import Any

import torch
from torch import Tensor

from ..checks import check_flag, check_number, check_tensor
from . import reference
from .backend import refuse_tangents, register, use_native
from .blend import check_masks
from .rng import check_rng


def sample_masks(
    logits: Tensor,
    rng: Tensor,
    *,
    num_samples: int,
    temperature: float = 0.1,
    antithetic: bool = False,
    streams: Tensor | None = None,
) -> Tensor:
    """Sample relaxed masks by simplified concrete dropout.

    ``m = sigmoid((logits + log u - log(1-u)) / temperature)`` with ``dm/dlogits = m(1-m) / temperature``; 1 keeps a
    cell, 0 infills it. The noise depends on the seed, the step, the stream, the mask, the sample and the cell alone:
    not on the batch, the device or the number of threads. It is recomputed in the backward pass, not stored.

    Args:
        logits: keep logits [N, K, h, w], float32 or float64; sigmoid(logits) is the probability of keeping a cell.
        rng: random state from ``make_rng``, int64 [2] on the device of ``logits``.
        num_samples: samples S of each mask, at least 1.
        temperature: positive; towards 0 masks become binary. Fastest where 1/temperature is 1, ..., 10 or 20.
        antithetic: samples 2j and 2j+1 share their noise, with opposite signs.
        streams: int64 [N], which noise each image gets; 0, ..., N-1 by default.

    Returns:
        Masks [N, K, S, h, w] in 0..1, with the dtype of ``logits``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    streams, temperature = check_sampling(logits, rng, streams, num_samples, temperature, antithetic)
    if not use_native(logits.device):
        return reference.sample_masks(logits, rng, streams, num_samples, temperature, antithetic)
    refuse_tangents(logits)
    masks: Tensor = _native(logits, rng.contiguous(), streams, num_samples, temperature, antithetic)
    return masks


# Checks, all on metadata: nothing is read from the device.


def check_temperature(temperature: Any) -> float:
    """Check a temperature: 1e-30 to 1e30, so that its reciprocal is a normal float32."""
    value: float = check_number("temperature", temperature, above=0, meaning="a positive, finite number")
    if not 1e-30 < value < 1e30:
        raise ValueError(f"temperature must be above 1e-30 and below 1e30, got {temperature!r}")
    return value


def check_sampling(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float, antithetic: bool
) -> tuple[Tensor | None, float]:
    """Check what masks are sampled from; the streams, contiguous, and the temperature as a float."""
    check_masks("logits", logits, "[N, K, h, w]", 4)
    check_rng(rng)
    if rng.device != logits.device:
        raise ValueError(f"rng must be on the device of logits, {logits.device}, got {rng.device}; use rng.to(...)")
    check_number("num_samples", num_samples, int, 1, below=2**31)
    check_flag("antithetic", antithetic)
    if streams is not None:
        check_tensor("streams", streams, "int64 [N]", 1)
        if streams.dtype != torch.int64 or streams.shape[0] != logits.shape[0]:
            raise ValueError(
                f"streams must be int64 [{logits.shape[0]}], one number an image, got {streams.dtype} "
                f"{list(streams.shape)}"
            )
        if streams.device != logits.device:
            raise ValueError(f"streams must be on the device of logits, {logits.device}, got {streams.device}")
        streams = streams.contiguous()
    return streams, check_temperature(temperature)


# Fake kernels and autograd.


def _fake(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float, antithetic: bool
) -> Tensor:
    n, k, h, w = logits.shape
    return logits.new_empty((n, k, num_samples, h, w))


def _backward_fake(grad: Tensor, logits: Tensor, *_: Any) -> Tensor:
    return logits.new_empty(logits.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, rng, streams, *ctx.options = inputs
    ctx.save_for_backward(logits, rng, streams)


def _autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (
        torch.ops.sdfido.sample_masks_backward.default(grad, *ctx.saved_tensors, *ctx.options),
        None,
        None,
        None,
        None,
        None,
    )


_native = register("sample_masks", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
