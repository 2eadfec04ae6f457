"""Microbenchmarks of a step without the classifier, for pytest-benchmark.

    pytest benchmarks/speed/bench_operators.py [-k "main and fused"] [--benchmark-compare]

pytest-benchmark runs one implementation to its end before the next one starts. ``python -m benchmarks.speed.suite``
lets them alternate instead, so that a machine whose speed drifts is fair to all of them: docs/benchmarks.md has its
numbers.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.speed.cases import CASES, IMPLEMENTATIONS, Case, Implementation, implementations


@pytest.fixture(scope="module")
def one() -> Callable[[Case, str], Implementation]:
    made: dict[str, dict[str, Implementation]] = {}

    def find(case: Case, name: str) -> Implementation:
        torch.set_num_threads(case.threads)
        if case.name not in made:
            made.clear()  # one case at a time is in memory
            made[case.name] = implementations(case)
        return made[case.name][name]

    return find


@pytest.mark.parametrize("stage", ["forward", "step"])
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_step(benchmark: Any, one: Callable[[Case, str], Implementation], case: Case, name: str, stage: str) -> None:
    """The forward pass alone, and with the backward pass."""
    benchmark.group = f"{case.title}, {stage}"
    implementation = one(case, name)
    list(implementation.step())  # what is compiled at the first call is not measured
    benchmark(implementation.forward if stage == "forward" else lambda: list(implementation.step()))
