"""What several modules check of their arguments: the messages name the argument, its value and what it must be."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def check_number(name: str, value: Any, kind: type, least: float) -> Any:
    """The value as a plain number of that kind; NumPy's count, booleans do not."""
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if whole else numbers.Real):
        raise TypeError(f"{name} must be {'an integer' if whole else 'a number'}, got {value!r}")
    if not least <= float(value) < math.inf:
        raise ValueError(f"{name} must be finite and at least {least}, got {value}")
    return kind(value)


def check_images(images: Tensor) -> Tensor:
    """A float32 copy [N, C, H, W] of finite images, or of one image [C, H, W]."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a floating-point tensor, normalised as the model takes it, got {got}")
    if images.dim() == 3:
        images = images[None]
    if images.dim() != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images must be [N, C, H, W] or [C, H, W], got {list(images.shape)}")
    if not images.isfinite().all():
        raise ValueError("images must be finite, got NaN or infinity; check the preprocessing")
    return images.detach().clone().float()


def check_targets(targets: int | Sequence[int] | Tensor | None, scores: Tensor) -> Tensor:
    """A class index for each row of scores [N, classes]; where none are given, the best."""
    n, classes = scores.shape
    if targets is None:
        return scores.argmax(1)
    if isinstance(targets, str):
        raise TypeError(
            f"targets must be class indices (integers), got {targets!r}; a classifier's find() looks up names"
        )
    chosen = torch.as_tensor(targets if n or isinstance(targets, int) else (), device=scores.device)
    if n == 0:
        return chosen.new_zeros(0, dtype=torch.int64)
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise TypeError(f"targets must be class indices (integers), got {chosen.dtype}")
    if chosen.dim() == 0:
        chosen = chosen.expand(n)
    if chosen.shape != (n,):
        raise ValueError(f"targets must be one class index, or one for each of {n} images, got {list(chosen.shape)}")
    outside = chosen[(chosen < 0) | (chosen >= classes)]
    if len(outside):
        raise ValueError(f"targets must be class indices in 0..{classes - 1}, got {int(outside[0])}")
    return chosen.to(torch.int64).contiguous()


def check_streams(streams: Sequence[int] | None, n: int, device: torch.device) -> Tensor:
    """The images' random streams [n], int64; 0, ..., n-1 where none are given."""
    if streams is None:
        return torch.arange(n, device=device)
    if not isinstance(streams, Sequence | Tensor) or len(streams) != n:
        raise ValueError(f"streams must be one integer for each of {n} images, got {streams!r}")
    try:
        values = [operator.index(stream) for stream in streams]
    except TypeError as error:
        raise TypeError(f"streams must be integers, got {streams!r}") from error
    return torch.tensor(values, dtype=torch.int64, device=device)
