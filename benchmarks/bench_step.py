"""The benchmarks, for pytest-benchmark: one for each case, contestant and stage.

    pytest benchmarks/bench_step.py [-k main] [--suite full|level|smoke]

pytest-benchmark runs one function to its end and then the next, so that each would see another machine. Here the
contestants of a case are measured together, in alternating rounds, before the first of its benchmarks; pytest-benchmark
is then played those times, by a clock that shows what was measured, and makes statistics of them.
"""

import functools
import time
from collections.abc import Callable

import pytest
import torch
from measuring import TOTAL, Times, alternate, laps
from plan import ROUNDS, Suite, groups

_START = time.monotonic()


@functools.cache
def measured(name: str, suite: Suite) -> tuple[dict[str, float], dict[str, Times]]:
    """Milliseconds of the first call of each contestant, in which code is compiled, and of the others by stage."""
    all_groups = groups(suite)
    index, group = next((i, g) for i, g in enumerate(all_groups) if g.name == name)
    print(f"case {index + 1} of {len(all_groups)}, {time.monotonic() - _START:.0f} s: {group.title}", flush=True)
    torch.set_num_threads(group.threads)
    steps = group.make()
    first = {contestant: laps(step, group.device)[TOTAL] for contestant, step in steps.items()}
    untimed, timed = group.turns
    times = alternate(
        steps,
        rounds=1 if suite == "smoke" else ROUNDS,
        seconds=group.seconds,
        untimed=untimed,
        timed=timed,
        device=group.device,
    )
    return first, times


class _Replay:
    now = 0.0

    def clock(self) -> float:
        return self.now

    def player(self, milliseconds: list[float]) -> Callable[[], None]:
        values = iter(milliseconds)

        def play() -> None:
            self.now += next(values) / 1e3

        return play


_replay = _Replay()


@pytest.fixture(scope="session", autouse=True)
def _compiler() -> None:
    """What the compiler sets up once is not compile time of a case."""
    torch.compile(lambda x: x + 1)(torch.ones(8))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    items = [
        (group.name, contestant, stage)
        for group in groups(metafunc.config.getoption("suite"))
        for contestant, stages in group.stages.items()
        for stage in (*stages, TOTAL)
    ]
    metafunc.parametrize(("group", "contestant", "stage"), items, ids=["-".join(item) for item in items])


@pytest.mark.benchmark(timer=_replay.clock)
def test_step(benchmark, request: pytest.FixtureRequest, group: str, contestant: str, stage: str) -> None:
    first, times = measured(group, request.config.getoption("suite"))
    values = times[contestant][stage]
    benchmark.group = f"{group}, {stage}"
    benchmark.extra_info["first_milliseconds"] = first[contestant]
    benchmark.pedantic(_replay.player(values), rounds=len(values))
