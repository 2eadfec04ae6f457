"""What a user may give for an argument, whatever it should be: made anew for each call from a random generator."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SMALL = 8
"""The largest count that does not make a call take long."""

_NUMBERS: tuple[Any, ...] = (
    *(0, 1, 2, 3, 7, -1, 255, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**70, -(2**63), -(2**70)),
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3e38, 1e308, math.inf, -math.inf, math.nan),
    *(True, False, Fraction(1, 2), Decimal("0.5"), 1j, np.float32(0.5), np.int16(3), np.uint64(2**63), np.bool_(True)),
)
_LENIENT: tuple[Callable[..., Any], ...] = (
    lambda *given: None,
    lambda first=None, *rest: first,
    lambda first=None, *rest: first.sum() if isinstance(first, Tensor) else first,
)
_OTHERS: tuple[Callable[[], Any], ...] = (
    *(
        lambda: None,
        lambda: "",
        lambda: "x",
        lambda: "blur",
        lambda: "1",
        lambda: b"x",
        lambda: "\x00",
        lambda: "é" * 300,
    ),
    *(lambda: (), lambda: [], lambda: {}, set, lambda: [1, 2], lambda: (3, 4), lambda: [0.5, 0.5], lambda: [None]),
    *(lambda: {0: 1}, lambda: [[0], [1]], lambda: [2**70, 0], lambda: ["a", 1], lambda: (1,), lambda: (1, 2, 3)),
    *(object, lambda: max, lambda: len, lambda: int, lambda: range(2), lambda: iter([1, 2]), lambda: slice(1, 2)),
    *(lambda function=function: function for function in _LENIENT),
    lambda: print,
    *(lambda: torch.float32, lambda: torch.float64, lambda: torch.float16, lambda: torch.int64, lambda: torch.strided),
    *(lambda: torch.device("cpu"), lambda: "cpu", lambda: "nowhere", torch.Generator, nn.Identity, lambda: nn.Module),
    *(lambda: np.zeros(2), lambda: np.array(["a"]), lambda: np.zeros((2, 3, 8, 8), np.float32), lambda: Path("none")),
)
_SHAPES = (
    (),
    (0,),
    (1,),
    (2,),
    (3,),
    (2, 2),
    (3, 8, 8),
    (2, 8, 8),
    (2, 3, 8, 8),
    (2, 2, 4, 4),
    (0, 3, 8, 8),
    (2, 0, 8, 8),
)
_SHAPES += (
    (1, 3, 8, 8),
    (2, 3, 8, 7),
    (2, 1, 8, 8),
    (2, 4, 8, 8),
    (2, 1, 1, 4, 4),
    (2, 3, 1, 1),
    (2, 2, 0, 4),
    (1,) * 7,
)
_DTYPES = (torch.float32,) * 8 + (
    *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64),
    *(torch.uint64, torch.float8_e4m3fn),
)


def odd(rng: random.Random, *, costly: bool = False) -> Any:
    """Anything at all; nothing that rightly takes long where the argument is a count (``costly``)."""
    kind = rng.random()
    if kind < 0.35:
        return tensor(rng)
    if kind < 0.65:
        value = rng.choice(_NUMBERS)
        return value if not costly or isinstance(value, bool | complex) or not SMALL < value < 2**31 else 1
    return rng.choice(_OTHERS)()


def is_lenient(function: Callable[..., Any]) -> bool:
    """Whether a function takes whatever it is given, and raises nothing of its own."""
    return function in _LENIENT or isinstance(function, nn.Identity)


def tensor(rng: random.Random) -> Tensor:
    """A tensor of any shape, dtype and layout, with any values."""
    shape, dtype = rng.choice(_SHAPES), rng.choice(_DTYPES)
    values = torch.rand(shape, generator=torch.Generator().manual_seed(rng.getrandbits(32)))
    if rng.random() < 0.2 and values.numel():
        values.view(-1)[rng.randrange(values.numel())] = rng.choice((math.nan, math.inf, -math.inf, -1.0, 1e38))
    made = (values * 4).to(dtype) if dtype not in (torch.float32, torch.bool) else values.to(dtype)
    way = rng.randrange(16)
    if way == 0:
        return made.to_sparse() if dtype in (torch.float32, torch.float64, torch.int64) and made.dim() else made
    if way == 1:
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    if way == 2:
        return made.to("meta")
    if way == 3 and made.dim() > 1:
        return made.transpose(0, -1)
    if way == 4 and made.dim() and made.shape[0]:
        return made[:1].expand(3, *made.shape[1:])
    if way == 5 and dtype == torch.float32:
        return made.requires_grad_()
    if way == 6 and made.dim() == 4:
        return made.contiguous(memory_format=torch.channels_last)
    if way == 7:
        with torch.inference_mode():
            return made.clone()
    if way == 8 and made.numel():
        return made.repeat(*[1] * (made.dim() - 1), 2)[..., ::2] if made.dim() else made
    return made
