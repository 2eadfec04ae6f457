"""What the tables of functions are made of: an entry, the objects that arguments are, and what holds of results."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sdfido
from sdfido import models
from tests.support import TOLERANCE

Arguments = dict[str, Any]
Right = Callable[[random.Random], Arguments]
Holds = Callable[[Any, Arguments], bool]


@dataclass(frozen=True)
class Function:
    """A public function."""

    call: Callable[..., Any]
    right: Right  #: arguments that it takes
    holds: Holds  #: what is true of every result
    names: str = ""  #: what messages call its arguments besides, as alternatives of a regular expression
    refuses: bool = False  #: whether what surrounds the call is refused in the end


@functools.cache
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


@functools.cache
def classifier() -> models.Classifier:
    """Tells colours apart."""
    made = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    made[0].weight.data.copy_(8 * torch.eye(3)[:, :, None, None])
    return models.Classifier("colours", made, sdfido.Normalization((0.5,) * 3, (0.5,) * 3), (8, 8), tuple("abc"))


@functools.cache
def _copy() -> nn.Module:
    return copy.deepcopy(network())


def is_untouched(model: nn.Module) -> bool:
    """Whether the model has its parameters and modes; if not, it gets them again."""
    own, kept = list(model.parameters()), list(_copy().parameters())
    untouched = not model.training and all(
        a.requires_grad and a.grad is None and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(own, kept, strict=True)
    )
    if not untouched:
        model.__dict__.update(copy.deepcopy(_copy()).__dict__)
    return untouched


def images(rng: random.Random) -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(rng.randrange(4)))


def maps(rng: random.Random) -> Tensor:
    return images(rng)[:, 0].contiguous()


def truth(rng: random.Random) -> Tensor:
    return images(rng)[:, 1] > 0.5


@functools.cache
def explanation() -> sdfido.Explanation:
    return sdfido.FIDO(network(), steps=1, mask_size=4).explain(images(random.Random(0)))


def values(result: Any) -> Iterator[Tensor]:
    """All numbers of a result, in their order."""
    if isinstance(result, Tensor):
        if not result.is_nested and result.layout == torch.strided and not result.is_meta:
            yield result.detach()
    elif isinstance(result, np.ndarray) and result.dtype.kind in "fiub":
        yield torch.from_numpy(result.copy())
    elif isinstance(result, int | float):
        yield torch.tensor(float(result), dtype=torch.float64)
    elif isinstance(result, Mapping):
        for each in result.values():
            yield from values(each)
    elif isinstance(result, list | tuple):
        for each in result:
            yield from values(each)
    elif is_dataclass(result) and not isinstance(result, type):
        for each in fields(result):
            if each.name not in ("seconds", "settings", "execution", "legend", "scale"):
                yield from values(getattr(result, each.name))


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same, bit for bit."""
    pairs = list(values(a)), list(values(b))
    return len(pairs[0]) == len(pairs[1]) and all(
        x.dtype == y.dtype and x.shape == y.shape and torch.equal(_bits(x), _bits(y))
        for x, y in zip(*pairs, strict=True)
    )


def _bits(values: Tensor) -> Tensor:
    return torch.empty(values.numel(), dtype=values.dtype).copy_(values.reshape(-1)).view(torch.uint8)


def anything(result: Any, given: Arguments) -> bool:
    return True


def within(low: float = -3.4e38, high: float = 3.4e38, *, unknown: bool = False) -> Holds:
    """All numbers of a result are in this range; NaN only where something may be unknown."""

    def holds(result: Any, given: Arguments) -> bool:
        numbers = [each for each in values(result) if each.is_floating_point() or each.dtype == torch.int64]
        return all(
            bool(((each >= low - 1e-3) & (each <= high + 1e-3) | (each.isnan() if unknown else False)).all())
            for each in numbers
        )

    return holds


def explains(result: Any, given: Arguments) -> bool:
    """An explanation: maps in their range, all else finite and its confidences in 0..1 where they are probabilities."""
    parts = [each for name, each in result.parts.items() if name != "node_shares"]  # NaN where there is no node
    numbers = [*result.scores.values(), *parts]
    return all(
        bool((each.isfinite() & (each >= (-1.001 if result.legend[name].signed else -1e-3)) & (each <= 1.001)).all())
        for name, each in result.maps.items()
    ) and all(bool(each.float().isfinite().all()) for each in numbers)


def is_reference(call: Callable[..., Any]) -> Holds:
    """Results and gradients are those of the reference, up to rounding."""

    def run(given: Arguments) -> list[Tensor]:
        leaves = [each for each in given.values() if isinstance(each, Tensor) and each.requires_grad]
        outputs = [each for each in _flat(call(**given)) if isinstance(each, Tensor)]
        found = [each.detach() for each in outputs]
        if leaves and any(each.requires_grad for each in outputs):
            total = sum(
                (each.double() * (1 + torch.arange(each.numel()).view(each.shape) % 5)).sum() for each in outputs
            )
            found += [g for g in torch.autograd.grad(total, leaves, allow_unused=True) if g is not None]
        return found

    def holds(result: Any, given: Arguments) -> bool:
        found = run(given)
        with sdfido.backend("reference"):
            expected = run(given)
        operands = [float(each.double().nan_to_num(0, 0, 0).abs().max()) for each in values(given) if each.numel()]
        plain = max(operands, default=0.0) < 1e4 and all(bool(each.double().isfinite().all()) for each in values(given))
        return len(found) == len(expected) and all(_near(*pair, plain) for pair in zip(found, expected, strict=True))

    return holds


def _flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def _near(a: Tensor, b: Tensor, plain: bool) -> bool:
    """Whether two results are equal up to rounding; where operands overflow or are none, only where both are finite."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    a, b, tolerance = a.double(), b.double(), TOLERANCE[b.dtype]
    if plain and not (a.isfinite().all() and b.isfinite().all()):
        return torch.equal(a.isnan(), b.isnan())
    both = a.isfinite() & b.isfinite()
    scale = float(b[both].abs().max().clamp(min=0.05)) if both.any() else 1.0
    return bool((a[both] - b[both]).abs().le(2 * tolerance * scale).all())


def defaults(kind: Any, **others: Any) -> Function:
    """A dataclass of settings with any of its fields."""
    given = {each.name: getattr(kind, each.name) for each in fields(kind) if hasattr(kind, each.name)} | others
    return Function(kind, lambda rng: dict(given), anything)


__all__ = [
    *("Arguments", "Function", "anything", "defaults", "explains", "explanation", "field", "images", "is_reference"),
    *("maps", "network", "same", "truth", "values", "within"),
]
