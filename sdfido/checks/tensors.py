"""Checks of tensors: layout, dtype, device, values, and what they stand for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .plain import check_kind, describe

_FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def check_dtype(name: str, value: Any, allowed: Sequence[torch.dtype] = _FLOATING, where: str = "") -> torch.dtype:
    """Check a dtype, of a tensor or given as an argument, for being one of a few.

    Raises:
        TypeError: it is none of them; the message ends with ``where``.
    """
    if not isinstance(value, torch.dtype) or value not in allowed:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise TypeError(f"{name} must be {names}{where}, got {describe(value)}")
    return value


def check_tensor(
    name: str,
    value: Any,
    form: str = "",
    dims: int | Sequence[int] | None = None,
    *,
    floating: bool = False,
    values: bool = False,
    finite: bool = False,
    filled: int | None = None,
) -> Tensor:
    """Check a tensor; only ``finite`` reads from its device.

    Args:
        name: of the argument.
        value: what was given.
        form: the tensor's shape in words, such as ``[N, C, H, W]``.
        dims: how many axes it must have; None: any number.
        floating: whether it must be floating point.
        values: whether it must hold any, other than a tensor of the device meta.
        finite: whether it must hold values, and among them no NaN and no infinity.
        filled: the axis from which on sizes of 0 are refused; None: they are allowed everywhere.

    Raises:
        TypeError: ``value`` is no dense tensor, or not floating point.
        ValueError: its shape does not fit, or it is not finite.
    """
    what = f"a {'floating-point ' if floating else ''}tensor {form}".rstrip()
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {what}, got {type(value).__name__}")
    check_dense(name, value)
    if floating and value.dtype not in _FLOATING:
        raise TypeError(f"{name} must be {what}, got {value.dtype}; use {name}.float()")
    allowed = (dims,) if isinstance(dims, int) else dims
    if (allowed is not None and value.dim() not in allowed) or (filled is not None and 0 in value.shape[filled:]):
        raise ValueError(f"{name} must be {form}, got {list(value.shape)}")
    if values or finite:
        check_values(name, value)
    if finite and not value.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return value


def check_dense(name: str, tensor: Tensor) -> None:
    """Raise TypeError for tensors whose values do not lie in strided memory: no operator here takes them."""
    if tensor.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a nested one; use torch.nested.to_padded_tensor")
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise TypeError(f"{name} must be a dense tensor, got one of layout {layout}; use {name}.to_dense()")


def check_broadcast(name: str, tensor: Tensor, other: str, onto: Tensor) -> None:
    """Raise ValueError where a tensor does not broadcast to the shape of another."""
    pairs = zip(reversed(tensor.shape), reversed(onto.shape), strict=False)
    if tensor.dim() > onto.dim() or any(size not in (1, full) for size, full in pairs):
        raise ValueError(f"{name} must broadcast against {other} {list(onto.shape)}, got {list(tensor.shape)}")


def check_values(name: str, tensor: Tensor) -> None:
    """Raise TypeError for tensors that have a shape alone."""
    if tensor.is_meta:
        raise TypeError(f"{name} must hold values, got a tensor on the device meta")


def from_array(name: str, value: Any) -> Any:
    """A NumPy array as a tensor, copied: arrays may be read-only, or run backwards. All else as it is.

    Raises:
        TypeError: it is an array of something else than numbers and truth values.
    """
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got one of {value.dtype}")
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def check_device(name: str, value: Any, *, meta: bool = False) -> torch.device:
    """The device that is meant, if this PyTorch can use it; ``meta``, which has no values, where that is allowed.

    Raises:
        TypeError: it is no device, and no name or number of one.
        ValueError: it cannot be used.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a device or the name of one, got {value!r}")
    check_kind(name, value, (str, torch.device, int), "a device or the name of one")
    try:
        device = torch.device(value)
        if device.type != "cpu" or device.index:  # the CPU is always there
            one = torch.ones(1, device=device)
            if not meta:
                one.item()
    except (AssertionError, OverflowError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"{name} must be one that this PyTorch can use, got {str(value)!r}: {said}") from error
    return device


def check_answer(name: str, value: Any, n: int) -> Tensor:
    """Check what a function of n images returns: a tensor whose first axis is the image.

    Raises:
        TypeError: it is no tensor.
        ValueError: it has another length.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a tensor with an entry for each of {n} images, got {describe(value)}")
    if value.dim() == 0 or len(value) != n:
        raise ValueError(f"{name} must return an entry for each of {n} images, got {list(value.shape)}")
    return value


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


def check_integers(
    name: str, values: Any, what: str = "integers", device: torch.device | str | None = None, *, hint: str = ""
) -> Tensor:
    """Integers as int64 on a device, of any shape: an integer, or a list, an array or a tensor of them.

    Args:
        name: of the argument.
        values: what was given.
        what: the argument must be.
        device: of the result; by default that of a tensor, and the CPU for others.
        hint: what the message ends with.

    Raises:
        TypeError: they are no integers.
        ValueError: one does not fit into 64 bits, signed.
    """
    wrong = TypeError(f"{name} must be {what}, got {describe(values)}{hint}")
    if isinstance(values, Tensor):
        check_dense(name, values)
        check_values(name, values)
        found = values
    elif isinstance(values, str | bytes):
        raise wrong
    else:
        if _is_huge(values):
            raise ValueError(f"{name} must be {what}, each below 2**63, got {describe(values)}{hint}")
        try:
            found = torch.as_tensor(values, device="cpu")
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise wrong from error
        if found.numel() == 0:  # an empty list has no dtype of its own
            found = found.to(torch.int64)
    if found.dtype not in _INTEGERS:
        raise wrong
    integers = found.to(device=device, dtype=torch.int64)
    if found.dtype == torch.uint64 and bool((integers < 0).any()):
        raise ValueError(f"{name} must be {what}, each below 2**63, got {describe(values)}{hint}")
    return integers


def _is_huge(values: Any) -> bool:
    """Whether an integer, or one in a list, does not fit into 64 bits, signed."""
    if isinstance(values, list | tuple):
        return any(map(_is_huge, values))
    return isinstance(values, int) and not -(2**63) <= values < 2**63


def check_images(images: Any) -> Tensor:
    """A float32 copy [N, C, H, W] of finite images, or of one image [C, H, W]."""
    check_tensor("images", images, "[N, C, H, W] or [C, H, W]", (3, 4), floating=True)
    if images.dim() == 3:
        images = images[None]
    check_tensor("images", images, "[N, C, H, W] or [C, H, W]", finite=True, filled=1)
    copy: Tensor = images.detach().clone().float()
    return copy


def check_streams(streams: Sequence[int] | Tensor | None, n: int, device: torch.device) -> Tensor:
    """The images' random streams [n], int64; 0, ..., n-1 where none are given."""
    if streams is None:
        return torch.arange(n, device=device)
    what = f"one integer for each of {n} images"
    names = check_integers("streams", streams, what, device)
    if names.shape != (n,):
        raise ValueError(f"streams must be {what}, got {describe(streams)}")
    return names
