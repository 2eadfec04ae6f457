"""Concrete dropout on tensors of any shape, standard and simplified, with the arguments that existing code gives."""

from typing import Any

import torch
from torch import Tensor

from ..checks import check_number, check_tensor

_EPSILON = 1e-7  # inside both logarithms of the simplified form


def concrete_dropout(dropout_rate: Tensor, temp: float = 0.1, eps: float = 2.2e-16) -> Tensor:
    """Sample relaxed keep masks from dropout rates, by standard concrete dropout.

    ``1 - sigmoid((log(p + e) - log(1 - p + e) + log(u + e) - log(1 - u + e)) / temp)`` with ``u = torch.rand_like(p)``.

    Args:
        dropout_rate: p, of any shape, floating point, 0..1.
        temp: positive; towards 0 masks become binary.
        eps: e, positive; it keeps rates of 0 and 1 finite.

    Returns:
        Masks in 0..1 with the shape and dtype of ``dropout_rate``; 1 keeps, 0 drops.

    Raises:
        TypeError, ValueError: an argument has a wrong type or range; the message says which.

    Source: Gal, Hron, Kendall, "Concrete dropout", NeurIPS 2017, arXiv 1705.07832.
    """
    check_tensor("dropout_rate", dropout_rate, floating=True)
    temp, eps = check_number("temp", temp, above=0), check_number("eps", eps, above=0)
    u = torch.rand_like(dropout_rate)
    logit = torch.log(dropout_rate + eps) - torch.log(1 - dropout_rate + eps)
    noise = torch.log(u + eps) - torch.log(1 - u + eps)
    return 1 - torch.sigmoid((logit + noise) / temp)


def sigmoid_concrete_dropout(X: Tensor, temp: float = 1.0, u: Tensor | None = None) -> Tensor:
    """Sample relaxed masks from logits, by simplified concrete dropout.

    ``z = sigmoid((X + log((u + e) / (1 - u + e))) / temp)``, ``dz/dX = z (1 - z) / temp``, with ``e = 1e-7``.

    Args:
        X: logits of any shape, floating point.
        temp: positive; towards 0 masks become binary.
        u: uniform numbers in [0, 1], same shape, dtype and device, not differentiated; ``torch.rand_like(X)`` by
            default, so that ``torch.manual_seed`` repeats them.

    Returns:
        Masks in 0..1 with the shape and dtype of ``X``: 1 with probability sigmoid(X), as temp goes to 0.

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    check_tensor("X", X, floating=True)
    temp = check_number("temp", temp, above=0)
    if u is None:
        u = torch.rand_like(X)
    check_tensor("u", u, floating=True)
    if (u.shape, u.dtype, u.device) != (X.shape, X.dtype, X.device):
        raise ValueError(
            f"u must be like X, {X.dtype} {list(X.shape)} on {X.device}, got {u.dtype} {list(u.shape)} on {u.device}; "
            "use torch.rand_like(X)"
        )
    masks: Tensor = SigmoidConcreteDropout.apply(X, temp, u)  # type: ignore[no-untyped-call]
    return masks


class SigmoidConcreteDropout(torch.autograd.Function):
    """The autograd function of ``sigmoid_concrete_dropout``: ``apply(X, temp, u)``, differentiable in X alone.

    Only the masks are kept for the backward pass. The gradient can be differentiated again.
    """

    # Not by sdfido.simplified_concrete: (u + e) / (1 - u + e) are the odds of a number so near to 1, where u is,
    # that float32 cannot hold it.
    @staticmethod
    def forward(ctx: Any, X: Tensor, temp: float, u: Tensor) -> Tensor:
        noise = (u + _EPSILON).div_(1 - u + _EPSILON).log_()
        masks = noise.add_(X).div_(temp).sigmoid_()
        ctx.temp = temp
        ctx.save_for_backward(masks)
        return masks

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (masks,) = ctx.saved_tensors
        return torch.ops.aten.sigmoid_backward(grad, masks) / ctx.temp, None, None
