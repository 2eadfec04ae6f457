"""How times are taken: steps of all implementations in turn, stage by stage, on a CPU or a GPU."""

import itertools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch

import sdfido

Step = Callable[[], Iterator[str]]
"""Does one step; yields the name of each stage when that is done."""

TOTAL = "total"
Times = dict[str, list[float]]  # milliseconds by stage


def machine() -> dict[str, Any]:
    """What the timings depend on."""
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    build = {k: v for k, v in sdfido.build_info().items() if k in ("version", "cpu_isa", "torch")}
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        **gpu,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        **build,
    }


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def laps(step: Step, device: str = "cpu") -> dict[str, float]:
    """Milliseconds of each stage of one step, and of all of it.

    On a GPU the marks are events in the stream of an idle device: they show when the work was done, launches included.
    """
    cuda = device == "cuda"
    if cuda:
        torch.cuda.synchronize()
    mark: Callable[[], Any] = _event if cuda else time.perf_counter
    marks, names = [mark()], []
    for name in step():
        marks.append(mark())
        names.append(name)
    end = mark()
    if cuda:
        torch.cuda.synchronize()

    def milliseconds(first: Any, second: Any) -> float:
        return float(first.elapsed_time(second)) if cuda else 1e3 * (second - first)

    stages = dict(zip(names, itertools.starmap(milliseconds, itertools.pairwise(marks)), strict=True))
    return stages | {TOTAL: milliseconds(marks[0], end)}


def alternate(
    steps: dict[str, Step],
    *,
    rounds: int,
    seconds: float = math.inf,
    least: int = 5,
    untimed: int = 1,
    timed: int = 4,
    device: str = "cpu",
) -> dict[str, Times]:
    """Times of each, by stage. In every round each has its turn, so that all of them see the same machine.

    A turn is `untimed` steps (the one before has emptied the caches), then `timed` ones; two turns warm up. Ends after
    so many rounds, or after so many seconds if at least `least` rounds are done.
    """
    for step in steps.values():
        for _ in range(2 * (untimed + timed)):
            laps(step, device)
    times: dict[str, Times] = {name: {} for name in steps}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= least and time.perf_counter() - start > seconds:
            break
        for name, step in steps.items():
            for turn in range(untimed + timed):
                for stage, value in laps(step, device).items():
                    if turn >= untimed:
                        times[name].setdefault(stage, []).append(value)
    return times


def measure(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, in alternating rounds."""

    def stageless(function: Callable[[], object]) -> Step:
        def step() -> Iterator[str]:
            function()
            yield from ()

        return step

    times = alternate({name: stageless(function) for name, function in functions.items()}, rounds=rounds)
    return {name: statistics.median(values[TOTAL]) for name, values in times.items()}
