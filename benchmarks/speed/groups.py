"""Which groups a run measures. All implementations of a group are measured in turn, side by side."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

import sdfido
from benchmarks.common.measuring import Step
from benchmarks.speed import whole_step
from benchmarks.speed.cases import CASES, IMPLEMENTATIONS, LEVELS, Case, copy, implementations

Suite = Literal["full", "level", "smoke"]
"""Everything; what is repeated at every instruction-set level; everything at tiny sizes, to see that it runs."""
SUITES: tuple[Suite, ...] = ("full", "level", "smoke")

ROUNDS = 40  # at most, in each group


@dataclass(frozen=True)
class Group:
    """Implementations with the names of their stages, and what makes their steps."""

    name: str
    title: str
    threads: int
    device: str
    stages: dict[str, tuple[str, ...]]
    make: Callable[[], dict[str, Step]]
    facts: dict[str, Any]
    seconds: float = 6.0  # at most, as far as the least number of rounds allows
    turns: tuple[int, int] = (1, 4)  # steps that are not timed and that are, each time that it is one's turn


def operator_cases(suite: Suite) -> list[Case]:
    if suite == "smoke":
        return [replace(CASES[0], title="12 × 12, 2 masks × 2 samples", size=12, samples=2, threads=1)]
    cases = [case for case in CASES if suite == "full" or case.name in LEVELS]
    if suite == "full" and torch.cuda.is_available() and sdfido.build_info()["cuda"]:
        gpu = [
            replace(case, name=f"{case.name}@cuda", title=f"{case.title}, GPU", device="cuda")
            for case in CASES
            if case.threads == CASES[0].threads
        ]
        cases += gpu
    return cases


def groups(suite: Suite) -> list[Group]:
    cases = operator_cases(suite)
    result = [_operator(case) for case in cases]
    if suite != "level":
        result += [_scaling(cases[0]), *(_classifier(case) for case in cases if case.name.partition("@")[0] == "main")]
    return result


def _operator(case: Case) -> Group:
    return Group(
        case.name,
        case.title,
        case.threads,
        case.device,
        {"copy": ()} | {name: ("forward", "backward") for name in IMPLEMENTATIONS},
        lambda: {"copy": copy(case)} | {name: one.step for name, one in implementations(case).items()},
        {"bytes": case.bytes_moved(), "copied": 2 * case.composite_bytes},
    )


def _scaling(main: Case) -> Group:
    """The fused operator against itself at other sizes."""
    cells = main.size // 4
    cases = {"full resolution": main, f"masks of {cells} × {cells}": replace(main, cells=cells)}
    cases["2 images"] = replace(main, images=2)
    return Group(
        "scaling",
        "the fused operator at other sizes",
        main.threads,
        main.device,
        dict.fromkeys(cases, ("forward", "backward")),
        lambda: {name: implementations(case)["fused"].step for name, case in cases.items()},
        {},
    )


def _classifier(main: Case) -> Group:
    names = [f"{implementation} {form}" for form in whole_step.FORMS for implementation in ("loop", "fused")]
    gpu = main.device == "cuda"
    return Group(
        "classifier@cuda" if gpu else "classifier",
        "a whole step with EfficientNet-Lite0" + (", GPU" if gpu else ""),
        main.threads,
        main.device,
        dict.fromkeys(names, whole_step.STAGES),
        lambda: whole_step.steps(max(main.size, 32), main.samples, main.device),
        {},
        seconds=40.0,
        turns=(0, 1),  # a step of the classifier leaves no cache as it was
    )
