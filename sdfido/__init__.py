"""Explains image classifiers by learned masks: FIDO with simplified concrete dropout, fused into one pass."""

from . import evaluate, infills, objectives
from .enhancement import Enhancement, enhance
from .explanation import Explanation
from .fido import FIDO, Progress
from .normalization import Normalization
from .ops import (
    CompositeSamples,
    advance,
    backend,
    build_info,
    get_include,
    make_rng,
    sample_composites,
    sample_masks,
    simplified_concrete,
)
from .settings import Settings

__all__ = [
    "FIDO",
    "CompositeSamples",
    "Enhancement",
    "Explanation",
    "Normalization",
    "Progress",
    "Settings",
    "advance",
    "backend",
    "build_info",
    "enhance",
    "evaluate",
    "get_include",
    "infills",
    "make_rng",
    "objectives",
    "sample_composites",
    "sample_masks",
    "simplified_concrete",
]
