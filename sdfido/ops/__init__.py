"""The operators, one file each: public function, checks, fake kernel and autograd side by side.

``reference`` defines them in plain PyTorch, ``backend`` chooses between it and the compiled kernels.
"""

from .backend import backend, build_info, get_include
from .blend import blend
from .rng import advance, make_rng
from .sample_composites import CompositeSamples, sample_composites
from .sample_masks import sample_masks
from .simplified_concrete import simplified_concrete

__all__ = [
    "CompositeSamples",
    "advance",
    "backend",
    "blend",
    "build_info",
    "get_include",
    "make_rng",
    "sample_composites",
    "sample_masks",
    "simplified_concrete",
]
