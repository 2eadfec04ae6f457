"""docs/cuda.md says what the compiler and the emulator said, and its code runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cuda.build import kernels

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/cuda.md").read_text()
RESULTS = json.loads((ROOT / "benchmarks/results/cuda_kernels.json").read_text())


def test_the_picture_shows_the_tiles_of_the_kernels() -> None:
    plan = (ROOT / "csrc/cuda/plan.h").read_text()
    assert re.search(r"kTileWidth = (\d+), kTileHeight = (\d+);", plan).groups() == ("32", "16")
    assert RESULTS["tile"] == {"width": 32, "height": 16}


def test_the_code_on_the_page_runs() -> None:
    (code,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    code = re.sub("^   ", "", code, flags=re.MULTILINE)
    names: dict[str, Any] = {"__name__": "step"}
    exec(code, names)
    composites, *others = names["step"]("cpu", 28, images=2)
    assert composites.shape == (2, 2, 8, 3, 224, 224)
    assert [other.shape for other in others] == [(2, 2), (2, 2), (2, 2, 28, 28)]
    assert torch.equal(composites, names["step"]("cpu", 28, images=2)[0])


@pytest.mark.toolkit
def test_the_file_says_what_the_wheel_has(built: Any) -> None:
    found = {(k.name, k.arch): (k.registers, k.shared) for k in kernels(built.log)}
    said = {(n, a): (k["registers"], k["shared"]) for n, of in RESULTS["kernels"].items() for a, k in of.items()}
    assert {key: found.get(key) for key in said} == said, "run python -m tests.cuda.record"
