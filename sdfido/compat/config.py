"""The two configurations of existing FIDO code, with its names and defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..checks import check_count, check_number

Size = int | tuple[int, int]


@dataclass
class MaskConfig:
    """How the masks of an image are set up."""

    optimized: bool = True  #: sample by simplified concrete dropout, fused; else by standard concrete dropout
    mask_size: Size | None = None  #: cells of a mask (rows, columns), upsampled to the image; None: one a pixel
    infill_strategy: str | Tensor | Callable[..., Tensor] = "blur"  #: as ``infill`` of ``sdfido.FIDO``


@dataclass
class FIDOConfig:
    """How the masks are learned."""

    learning_rate: float = 10  #: of AdamW
    batch_size: int = 8  #: samples of each of the two masks in an iteration
    iterations: int = 100
    approx_steps: int | None = None  #: classify the batch in so many parts, whose gradients add up; None: in one
    l1: float = 1e-3  #: weight of ``FIDO.l1_norm``
    l2: float = 0  #: weight decay of AdamW
    tv: float = 1e-2  #: weight of ``FIDO.tv_loss``
    reg_warmup: int = 5  #: iterations over which the weights l1 and tv rise linearly
    thresh: float = 0.5  #: importance above which a cell counts in the areas of the metrics

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("batch_size", "iterations") or (name == "approx_steps" and value is not None):
            check_count(name, value)
        elif name == "reg_warmup":
            check_count(name, value, 0)
        elif name in ("l1", "l2", "tv", "thresh"):
            check_number(name, value, float, 0)
        elif name == "learning_rate":
            check_number(name, value, float, above=0)
        super().__setattr__(name, value)

    @property
    def reg_params(self) -> dict[str, float]:
        """The weights of the regularisation, by name: l1, l2 and tv."""
        return {"l1": self.l1, "l2": self.l2, "tv": self.tv}

    def warmup(self, iteration: int) -> float:
        """Part of the weights l1 and tv that holds in this iteration, counted from 0."""
        return min(1.0, (iteration + 1) / max(1, self.reg_warmup))
