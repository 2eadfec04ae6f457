"""Checks of numbers, texts, functions and lists."""

import math
import numbers
import os
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def describe(value: object) -> str:
    """A value as messages name it: tensors by dtype and shape, others by a short form of their repr."""
    if isinstance(value, Tensor):
        return "a nested tensor" if value.is_nested else f"a tensor of {value.dtype} {list(value.shape)}"
    return reprlib.repr(value)


def check_number(
    name: str,
    value: Any,
    kind: type = float,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    meaning: str | None = None,
) -> Any:
    """Check a number, of Python, NumPy or a symbolic shape. Booleans are not numbers.

    Args:
        name: of the argument.
        value: what was given.
        kind: int, or float for any finite real number.
        least, most: bounds that the number may reach.
        above, below: bounds that it may not reach.
        meaning: what the argument must be, where the bounds alone do not say it well.

    Returns:
        The number as Python's ``kind``; a symbolic one as it is.

    Raises:
        TypeError: ``value`` is no number of that kind.
        ValueError: it is not finite or out of bounds.
    """
    types = (numbers.Integral, torch.SymInt) if kind is int else (numbers.Real, torch.SymInt, torch.SymFloat)
    if isinstance(value, bool) or not isinstance(value, types):
        raise TypeError(
            f"{name} must be {meaning or ('an integer' if kind is int else 'a number')}, got {describe(value)}"
        )
    number: Any = value
    if not isinstance(value, torch.SymInt | torch.SymFloat):
        try:
            number = kind(value)
        except OverflowError:  # an integer that no float can hold
            number = math.inf
    if (
        (least is not None and not number >= least)
        or (most is not None and not number <= most)
        or (above is not None and not number > above)
        or (below is not None and not number < below)
        or not -math.inf < number < math.inf
    ):
        raise ValueError(f"{name} must be {meaning or _range(kind, least, most, above, below)}, got {describe(value)}")
    return number


def _range(kind: type, least: float | None, most: float | None, above: float | None, below: float | None) -> str:
    """The bounds in words."""
    if least is not None and most is not None:
        return f"in {least}..{most}"
    words = [] if kind is int else ["finite"]
    if above is not None:
        words.append("positive" if above == 0 else f"above {above}")
    words += [
        f"{word} {bound}"
        for word, bound in (("at least", least), ("at most", most), ("below", below))
        if bound is not None
    ]
    return " and ".join(words)


MOST = 1_000_000
"""The highest count of anything: steps, samples, regions. What more of it takes, no machine has."""


_SIDE = 2**16  # of an image, a mask or a grid, at most


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Check an integer that says how many there are of something, or how long it goes on: least..MOST."""
    count: int = check_number(name, value, int, least)
    if count > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {describe(value)}")
    return count


def check_seed(name: str, value: Any) -> int:
    """Check an integer of 64 bits, signed or not: -2**63 <= value < 2**64."""
    seed: int = check_number(name, value, int, -(2**63), 2**64 - 1, meaning="an integer of 64 bits")
    return seed


def set_number(owner: object, name: str, *arguments: Any, **options: Any) -> None:
    """Check a number of a frozen dataclass by ``check_number`` and store it as Python's."""
    object.__setattr__(owner, name, check_number(name, getattr(owner, name), *arguments, **options))


def set_count(owner: object, name: str, least: int = 1) -> None:
    """Check a count of a frozen dataclass by ``check_count`` and store it as Python's integer."""
    object.__setattr__(owner, name, check_count(name, getattr(owner, name), least))


def set_seed(owner: Any) -> None:
    """Check the ``seed`` of a frozen dataclass and store it as Python's integer."""
    object.__setattr__(owner, "seed", check_seed("seed", owner.seed))


def check_size(name: str, value: Any, axes: str = "(height, width)") -> tuple[int, int]:
    """Check a size of two axes, given as a pair or as one integer for both; each is at least 1."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be an integer or a pair {axes}, got {describe(value)}")
    return _side(name, pair[0]), _side(name, pair[1])


def _side(name: str, value: Any) -> int:
    side: int = check_number(name, value, int, 1)
    if side > _SIDE:
        raise ValueError(f"{name} must be at most {_SIDE}, got {describe(value)}")
    return side


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Check that a string is one of a few."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {describe(value)}")
    return value


def check_flag(name: str, value: Any, *, optional: bool = False) -> bool | None:
    """Check for True or False, or None where that is allowed."""
    if not isinstance(value, bool) and not (optional and value is None):
        raise TypeError(
            f"{name} must be {'True, False or None' if optional else 'True or False'}, got {describe(value)}"
        )
    return value


def check_kind(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """Check an argument's type; ``what`` says in words what it must be."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {describe(value)}")
    return value


def check_path(name: str, value: Any) -> Path:
    """The path that a text or an ``os.PathLike`` names."""
    path = Path(check_kind(name, value, (str, os.PathLike), "a path, as text or as pathlib.Path"))
    if "\0" in str(path):
        raise ValueError(f"{name} must be a path without null characters, got {str(path)!r}")
    return path


def check_paths(name: str, values: Any) -> list[Path]:
    """The paths in a list; a text is one path, and no list of letters."""
    if isinstance(values, str | os.PathLike):
        raise TypeError(f"{name} must be a list of files and folders, got {describe(values)}; put it in a list")
    return [check_path(name, value) for value in check_list(name, values, object, "files and folders")]


def check_function(name: str, value: Any, what: str = "a function") -> None:
    """Raise TypeError for what cannot be called."""
    if not callable(value):
        raise TypeError(f"{name} must be {what}, got {describe(value)}")


def check_callback(name: str, value: Any) -> None:
    """Raise TypeError for what is neither None nor callable."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function, or None for none, got {describe(value)}")


def check_list(name: str, values: Any, kind: type | tuple[type, ...], what: str) -> list[Any]:
    """The entries of any iterable as a list, each of one type.

    Raises:
        TypeError: it is none, or an entry is of another type.
    """
    if isinstance(values, str | bytes | Tensor) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of {what}, got {describe(values)}")
    entries = list(values)
    for entry in entries:
        if not isinstance(entry, kind):
            raise TypeError(f"{name} must be a list of {what}, got {describe(entry)} in it")
    return entries
