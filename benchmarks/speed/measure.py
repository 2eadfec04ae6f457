"""Times of all groups of a suite, in a process of its own.

    python -m benchmarks.speed.measure FILE [--suite full|level|smoke]

Writes medians, quartiles and extremes by group, implementation and stage as JSON. The implementations of a group take
turns (benchmarks/common/measuring.py).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.measuring import TOTAL, alternate, laps
from benchmarks.speed.groups import ROUNDS, SUITES, Group, Suite, groups


def summary(milliseconds: list[float]) -> dict[str, float]:
    values = np.quantile(milliseconds, (0.5, 0.25, 0.75, 0, 1))
    names = ("median", "q1", "q3", "min", "max")
    return {n: round(float(v), 5) for n, v in zip(names, values, strict=True)} | {"rounds": len(milliseconds)}


def measured(group: Group, rounds: int) -> dict[str, Any]:
    """The group's facts, its times, and the seconds that the compiler took at the first call."""
    torch.set_num_threads(group.threads)
    steps = group.make()
    first = {name: laps(step, group.device)[TOTAL] for name, step in steps.items()}
    untimed, timed = group.turns
    limits: dict[str, Any] = {"rounds": rounds, "seconds": group.seconds, "untimed": untimed, "timed": timed}
    times = alternate(steps, device=group.device, **limits)
    found: dict[str, Any] = {"title": group.title, "device": group.device, "threads": group.threads, **group.facts}
    found["milliseconds"] = {
        name: {stage: summary(values) for stage, values in stages.items()} for name, stages in times.items()
    }
    if "compiled" in first:
        usual = found["milliseconds"]["compiled"][TOTAL]["median"]
        found["compile_seconds"] = round((first["compiled"] - usual) / 1e3, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--suite", choices=SUITES, default="full")
    arguments = parser.parse_args()
    suite: Suite = arguments.suite
    torch.compile(lambda x: x + 1)(torch.ones(8))  # what the compiler sets up once is not compile time of a case
    start, found, all_groups = time.monotonic(), {}, groups(suite)
    for index, group in enumerate(all_groups):
        print(f"case {index + 1} of {len(all_groups)}, {time.monotonic() - start:.0f} s: {group.title}", flush=True)
        found[group.name] = measured(group, 1 if suite == "smoke" else ROUNDS)
    arguments.file.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
