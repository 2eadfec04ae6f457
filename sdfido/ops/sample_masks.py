"""Samples of relaxed masks."""

import numbers
from typing import Any

import torch
from torch import Tensor

from . import reference
from .backend import refuse_tangents, register, use_native


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
    streams, temperature = check_sampling(logits, rng, streams, num_samples, temperature)
    if not use_native(logits.device):
        return reference.sample_masks(logits, rng, streams, num_samples, temperature, antithetic)
    refuse_tangents(logits)
    masks: Tensor = torch.ops.sdfido.sample_masks(
        logits, rng.contiguous(), streams, num_samples, temperature, antithetic
    )
    return masks


# Checks, all on metadata: nothing is read from the device.


def check_tensor(name: str, value: object, form: str, dims: int | None) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor {form}, got {type(value).__name__}")
    if dims is not None and value.dim() != dims:
        raise ValueError(f"{name} must be {form}, got {value.dim()} dimensions: {list(value.shape)}")


def check_temperature(temperature: float) -> float:
    if isinstance(temperature, bool) or not isinstance(temperature, numbers.Real):
        raise TypeError(f"temperature must be a number, got {type(temperature).__name__}")
    if not 1e-30 < temperature < 1e30:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    return float(temperature)


def check_sampling(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float
) -> tuple[Tensor | None, float]:
    check_tensor("logits", logits, "[N, K, h, w]", 4)
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"logits must be float32 or float64, got {logits.dtype}; use logits.float()")
    if 0 in logits.shape[1:]:
        raise ValueError(f"logits must have at least one mask and one cell, got {list(logits.shape)}")
    check_tensor("rng", rng, "int64 [2]", 1)
    if rng.dtype != torch.int64 or rng.shape[0] != 2:
        raise ValueError(f"rng must be int64 [2], got {rng.dtype} {list(rng.shape)}; use sdfido.make_rng(seed)")
    if rng.device != logits.device:
        raise ValueError(f"rng must be on the device of logits, {logits.device}, got {rng.device}; use rng.to(...)")
    if isinstance(num_samples, bool) or not isinstance(num_samples, (numbers.Integral, torch.SymInt)):
        raise TypeError(f"num_samples must be an integer, got {type(num_samples).__name__}")
    if not 1 <= num_samples < 2**31:
        raise ValueError(f"num_samples must be at least 1 and below 2**31, got {num_samples}")
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
    return torch.ops.sdfido.sample_masks_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None, None, None


register("sample_masks", fake=_fake, backward_fake=_backward_fake, setup=_setup, backward=_autograd)
