"""The methods: each a file of this folder and a line of ``METHODS``."""

from __future__ import annotations

import importlib
import inspect

from .base import Explainer, Progress, Scene

__all__ = ["METHODS", "Explainer", "Progress", "Scene", "load"]

METHODS = {
    "fido": "sdfido.methods.fido:FIDO",
    "extremal": "sdfido.methods.extremal:ExtremalPerturbation",
    "sag": "sdfido.methods.attention_graph:AttentionGraph",
    "igos": "sdfido.methods.igos:IGOS",
    "igos++": "sdfido.methods.igos:IGOSPlusPlus",
    "regions": "sdfido.methods.several:SufficientRegions",
    "lrp": "sdfido.methods.relevance:Relevance",
    "attribution": "sdfido.methods.attribution:Attribution",
    "calm": "sdfido.methods.calm:CALM",
}
"""Where the class of each method is, by the name that the command line and explanations give it."""


def load(spec: str) -> type[Explainer]:
    """The class of a method.

    Args:
        spec: a name of ``METHODS``, or ``"package.module:Class"`` for a subclass of ``Explainer`` of your own.

    Raises:
        TypeError: the specification is no text, or names something else than a class of explainers.
        ValueError: there is no such method.
    """
    if not isinstance(spec, str):
        raise TypeError(f"method must be a name or 'package.module:Class', got {type(spec).__name__}")
    module, _, name = METHODS.get(spec, spec).partition(":")
    if not name:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, or 'package.module:Class', got {spec!r}")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"method {spec!r} cannot be found: {error}") from error
    if not inspect.isclass(found) or not issubclass(found, Explainer) or inspect.isabstract(found):
        raise TypeError(f"method {spec!r} must be a class of explainers, with a method explain, got {found!r}")
    return found
