"""FIDO's mask logits and maps are, to the last bit, what they were when these digests were written.

The arithmetic of PyTorch's own libraries depends on the processor; the environment below pins it to what every x86
machine computes. The digests hold for one version of torch, whose kernels round in their own way.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TORCH = "2.13."
PINNED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
}
EXPECTED = json.loads(Path(__file__).with_suffix(".json").read_text())


@pytest.mark.skipif(
    not torch.__version__.startswith(TORCH) or platform.machine() != "x86_64",
    reason=f"the digests were written by torch {TORCH}* on x86-64",
)
def test_fido_computes_the_bits_that_it_always_did():
    command = [sys.executable, "-m", "tests.methods.digests"]
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(command, cwd=root, env=os.environ | PINNED, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == EXPECTED
