"""Explains image classifiers by learned masks: FIDO with simplified concrete dropout, fused into one pass."""

from . import evaluate, infill, objectives
from .enhancement import Enhancement, enhance
from .explanation import Explanation
from .fido import FIDO, Progress
from .normalization import Normalization
from .ops import (
    CompositeSamples,
    backend,
    build_info,
    get_include,
    sample_composites,
    sample_masks,
    simplified_concrete,
)
from .rng import advance, make_rng
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
    "infill",
    "make_rng",
    "objectives",
    "sample_composites",
    "sample_masks",
    "simplified_concrete",
]
