"""Runs of the emulated kernels with every access looked at: each kernel, way through it and barrier, in few blocks."""

from __future__ import annotations

from typing import Any

import torch

from tests.cuda.emulated_cases import BlendCase, EmulatedCase, check, check_masks

CASES = [
    EmulatedCase(1, 2, 5, 4, (16, 64)),
    EmulatedCase(1, 2, 5, 3, (16, 64), wanted=(), channels_last=True),
    EmulatedCase(1, 2, 5, 4, (17, 36), (5, 9)),
    EmulatedCase(1, 2, 5, 3, (17, 36), (5, 9), wanted=()),
    EmulatedCase(1, 1, 5, 4, (17, 36), (5, 9), wanted=()),
    BlendCase(1, 2, 5, 4, (17, 36)),
    BlendCase(1, 2, 5, 4, (17, 36), (5, 9)),
    BlendCase(1, 1, 3, 4, (17, 36), (5, 9), wanted=("masks",)),
    BlendCase(1, 1, 3, 3, (17, 36), (5, 9), wanted=("image",)),
]
# At full resolution a block computes the masks of its whole tile, from logits that are not there beyond the image's
# right edge, and leaves them.
WITH_TAILS = [EmulatedCase(2, 1, 5, 3, (20, 36)), EmulatedCase(1, 2, 5, 3, (20, 36), wanted=())]


def check_order(kernels: Any) -> None:
    """Results, races, and reads of what nobody has written."""
    try:
        for enough in (0, kernels.ENOUGH_BLOCKS):
            kernels.set_enough_blocks(enough)
            kernels.set_checks(True)
            for case in CASES:
                check(kernels, case)
            kernels.set_checks(True, partly_written=True)
            for case in WITH_TAILS:
                check(kernels, case)
        kernels.set_checks(True)
        check_masks(kernels, torch.float32, 5, [4, 1], temperature=0.1, antithetic=True)
    finally:
        kernels.set_checks(False)
