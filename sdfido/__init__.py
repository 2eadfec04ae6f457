"""Explains image models by learned masks: FIDO with simplified concrete dropout, fused into one pass."""

import sys

from . import _deprecated, evaluate, infills, methods, scores
from ._version import __version__
from .enhance import Enhancement, enhance
from .execution import Execution
from .explanation import Explanation, MapInfo
from .graph import PatchGraph
from .methods.attention_graph import AttentionGraph
from .methods.attribution import Attribution
from .methods.base import Explainer, Progress, Scene
from .methods.calm import CALM
from .methods.concepts import Concepts
from .methods.extremal import ExtremalPerturbation
from .methods.fido import FIDO
from .methods.igos import IGOS, IGOSPlusPlus
from .methods.relevance import Relevance
from .methods.settings import Settings
from .methods.several import SufficientRegions
from .normalization import Normalization
from .ops import (
    CompositeSamples,
    advance,
    backend,
    blend,
    build_info,
    get_include,
    make_rng,
    sample_composites,
    sample_masks,
    simplified_concrete,
)
from .scores import ClassScore, ContrastScore, Score

__all__ = [
    "CALM",
    "FIDO",
    "IGOS",
    "AttentionGraph",
    "Attribution",
    "ClassScore",
    "CompositeSamples",
    "Concepts",
    "ContrastScore",
    "Enhancement",
    "Execution",
    "Explainer",
    "Explanation",
    "ExtremalPerturbation",
    "IGOSPlusPlus",
    "MapInfo",
    "Normalization",
    "PatchGraph",
    "Progress",
    "Relevance",
    "Scene",
    "Score",
    "Settings",
    "SufficientRegions",
    "__version__",
    "advance",
    "backend",
    "blend",
    "build_info",
    "enhance",
    "evaluate",
    "get_include",
    "infills",
    "make_rng",
    "methods",
    "sample_composites",
    "sample_masks",
    "scores",
    "simplified_concrete",
]

_deprecated.install(sys.modules[__name__])
