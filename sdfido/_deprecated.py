"""Old names, which work for one more release and warn. This is the one place that knows them."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

MODULES = {  # old name: where its content is now
    "descent": "methods.descent",
    "enhancement": "enhance",
    "fido": "methods.fido",
    "infill": "infills",
    "objectives": "scores",
    "plot": "reports",
    "plot_curves": "reports",
    "reference": "ops.reference",
    "rng": "ops.rng",
    "settings": "methods.settings",
}
EXPLANATION = {"logits": "mask_logits", "objective": "trace"}
PROGRESS = {"logits": "parameters", "objective": "loss", "settled": "converged"}
SETTINGS = {"heat": "temperature_at", "rate": "learning_rate_at", "weight": "penalty_weight_at"}
EXPLAIN = {"callback": "on_step", "finished": "on_image"}


def warn(old: str, new: str, level: int = 3) -> None:
    """Say that a name is an old one."""
    warnings.warn(f"{old} is an old name, which the next release drops; use {new}", DeprecationWarning, level)


def attribute(owner: object, name: str, names: Mapping[str, str]) -> Any:
    """What an object's old attribute is now."""
    if name not in names:
        raise AttributeError(f"{type(owner).__name__} has no attribute {name!r}")
    warn(f"{type(owner).__name__}.{name}", names[name], 4)
    return getattr(owner, names[name])


def keywords(given: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments under their new names."""
    for old in names.keys() & given.keys():
        new = names[old]
        if given.get(new) is not None:
            raise TypeError(f"{old} is the old name of {new}, got both; give {new} alone")
        warn(f"{old}=", f"{new}=", 4)
        given[new] = given.pop(old)
    return given


class _OldModule(ModuleType):
    """A module under its old name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        old = self.__name__.removeprefix("sdfido.")
        new = f"sdfido.{MODULES[old]}"
        warn(self.__name__, new)
        return getattr(importlib.import_module(new), name)


def install(package: ModuleType) -> None:
    """Make the old modules importable: ``import sdfido.objectives`` and ``from sdfido import objectives``."""
    for old in MODULES:
        name = f"{package.__name__}.{old}"
        sys.modules.setdefault(name, _OldModule(name))
        if old not in vars(package):
            setattr(package, old, sys.modules[name])
