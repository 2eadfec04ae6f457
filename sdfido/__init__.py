"""Explains image classifiers by learned masks: FIDO with simplified concrete dropout, fused into one pass."""

from .ops import (
    CompositeSamples,
    backend,
    build_info,
    sample_composites,
    sample_masks,
    simplified_concrete,
)
from .rng import advance, make_rng

__all__ = [
    "CompositeSamples",
    "advance",
    "backend",
    "build_info",
    "make_rng",
    "sample_composites",
    "sample_masks",
    "simplified_concrete",
]
