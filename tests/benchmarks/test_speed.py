"""The benchmarks measure what they say: all implementations compute one thing, and a tiny run gives a report."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import sdfido
from benchmarks.common import measuring, records
from benchmarks.common.paths import ROOT
from benchmarks.speed import baselines, cases, one_case, report, resources, suite
from sdfido.ops.rng import random_words
from tests.support import TOLERANCE


def uniform_numbers(case: Any) -> torch.Tensor:
    """Those of the fused operator in the first step, [N, K, draws, h, w]."""
    cells = case.cells or case.size
    draws = (case.samples + 1) // 2 if case.antithetic else case.samples
    words = random_words(sdfido.make_rng(0), torch.arange(case.images), 2, draws, cells * cells, antithetic=False)
    return (((words >> 8) + 0.5) / 2**24).view(case.images, 2, draws, cells, cells)


CASES = {
    "full resolution": {},
    "smaller masks": {"cells": 5},
    "two images": {"images": 2, "samples": 2},
    "antithetic": {"antithetic": True},
    "bfloat16": {"low": True},
    "fractional": {"temperature": 0.15},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_implementations_compute_the_same(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """From the same uniform numbers: all outputs, and the gradient of the logits."""
    case = cases.Case("", "", **{"size": 11, "samples": 3, **options})
    numbers = uniform_numbers(case).float()
    drawn: Iterator[torch.Tensor] = iter(())

    def uniform(like: torch.Tensor) -> torch.Tensor:
        return numbers if like.dim() == 5 else next(drawn)  # all at once, or mask by mask and sample by sample

    monkeypatch.setattr(baselines, "uniform", uniform)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # the compiler is not what is tested
    with sdfido.backend("reference"):
        one = cases.implementations(case)["fused"]
        expected = one.forward()
        expected.append(one.backward(expected))
    for name, one in cases.implementations(case).items():
        drawn = iter(numbers.flatten(1, 2).transpose(0, 1)[:, :, None].unbind())
        *composites, sparsity, smoothness = outputs = one.forward()
        gradient = one.backward(outputs)
        joined = torch.stack(composites, 1).flatten(0, 1) if name == "loop" else composites[0]
        for what, actual, wanted in zip(
            ("composites", "sparsity", "smoothness", "gradient"),
            (joined, sparsity, smoothness, gradient),
            expected,
            strict=True,
        ):
            assert actual.dtype == wanted.dtype
            # float32 rounds the uniform numbers, and 1 - u of those near 1 feels it.
            tolerance = max(1e-4, TOLERANCE[case.dtype])
            difference = float((actual - wanted).detach().abs().max() / wanted.detach().abs().max())
            assert difference <= tolerance, f"{what} of {name}: {difference:.1e}"
        layout = torch.channels_last if case.low else torch.contiguous_format
        assert all(composite.is_contiguous(memory_format=layout) for composite in composites), name


def test_turns_alternate_and_stages_add_up():
    turns = []

    def step(name: str) -> Any:
        def run() -> Iterator[str]:
            turns.append(name)
            yield "first"
            yield "second"

        return run

    times = measuring.alternate({"a": step("a"), "b": step("b")}, rounds=2, untimed=1, timed=2)
    assert "".join(turns) == 6 * "a" + 6 * "b" + 2 * "aaabbb"
    assert {stage: len(values) for stage, values in times["a"].items()} == {"first": 4, "second": 4, "total": 4}
    for first, second, total in zip(*times["b"].values(), strict=True):
        assert 0 <= first + second <= total


def test_least_traffic_of_the_main_case():
    case = cases.CASES[0]
    composites, logits, images = 16 * 3 * 224 * 224 * 4, 2 * 224 * 224 * 4, 2 * 3 * 224 * 224 * 4
    moved = case.bytes_moved()
    assert moved["forward"] == composites + logits + images
    assert moved["backward"] == composites + logits + images + logits
    assert moved["total"] == moved["forward"] + moved["backward"]


def test_operators_that_compute_are_counted():
    x = torch.ones(2, 3, requires_grad=True)
    result, launched = resources.count_launches(lambda: (x * 2 + 1).view(6)[1:].detach().exp())
    assert launched == 3
    assert result.shape == (5,)


def test_one_case_prints_all_implementations(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(sys, "argv", ["one_case", "--rounds=1", "--threads=1", "--size=9", "--samples=2"])
    threads = torch.get_num_threads()
    one_case.main()
    torch.set_num_threads(threads)
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows == ["copy", "loop", "vectorised", "compiled", "fused"]


@pytest.mark.skipif(sys.platform != "linux", reason="the heap is counted on Linux only")
def test_heap_is_counted(tmp_path: Path):
    code = """
import ctypes
heap = ctypes.CDLL(None)
before = heap.sdfido_heap_begin()
for _ in range(3):
    block = bytearray(5_000_000)
    del block
print(heap.sdfido_heap_peak() - before)
"""
    environment = os.environ | suite.heap_counter(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 5_000_000 <= int(done.stdout) < 5_100_000


# A run of everything at tiny sizes.


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that a run of everything at tiny sizes wrote into, and what it printed."""
    folder = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks.speed.suite", "--smoke", "--json", str(folder / "results.json")]
    environment = os.environ | {"TORCHDYNAMO_DISABLE": "1"}  # compilation takes long, and is not what is tested
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.studies
def test_tiny_run_writes_all_results(smoke: tuple[Path, str]):
    folder, printed = smoke
    results = records.read(folder / "results.json")
    groups = results["groups"]
    assert list(groups) == ["main", "scaling", "classifier"]
    assert list(groups["main"]["milliseconds"]) == ["copy", "loop", "vectorised", "compiled", "fused"]
    assert list(groups["main"]["milliseconds"]["fused"]) == ["forward", "backward", "total"]
    for group in groups.values():
        for stages in group["milliseconds"].values():
            for values in stages.values():
                assert 0 <= values["min"] <= values["q1"] <= values["median"] <= values["q3"] <= values["max"]
                assert values["rounds"] > 0
    assert results["machine"]["torch"] == torch.__version__
    assert "case 3 of 3" in printed
    assert report.summary(results) in printed
    if sys.platform == "linux":
        assert groups["main"]["operators"]["fused"] == {"forward": 1, "backward": 1}
        assert groups["main"]["extra_bytes"]["fused"] >= 0


@pytest.mark.studies
def test_report_shows_the_results(smoke: tuple[Path, str]):
    folder, _ = smoke
    results = records.read(folder / "results.json")
    assert Image.open(folder / report.PICTURE).format == "WEBP"
    page = (folder / report.PAGE.name).read_text()
    for block in report.blocks(results).values():
        assert block in page
    for group in results["groups"].values():
        assert group["title"] in report.stages_table(results)


@pytest.mark.studies
def test_goals_are_judged_at_every_level(smoke: tuple[Path, str]):
    results = records.read(smoke[0] / "results.json")
    main = results["groups"]["main"]
    main["isa"] = results["machine"]["cpu_isa"] = "avx512"
    before = {what: (value, reached) for what, _, value, reached in report.targets(results)}
    assert before["AVX2: loop / fused"] == ("not measured: no AVX2 here", None)
    slow = {"median": 2.0, "q1": 2.0, "q3": 2.0, "min": 2.0, "max": 2.0, "rounds": 1}
    for milliseconds, reached in ((1.0, False), (13.0, True)):
        times = {name: {"total": dict(slow, median=milliseconds)} for name in ("loop", "compiled", "vectorised")}
        times["fused"] = {"total": slow}
        results["groups"]["main@avx2"] = main | {"isa": "avx2", "milliseconds": main["milliseconds"] | times}
        found = {what: (value, ok) for what, _, value, ok in report.targets(results)}
        assert found["AVX2: loop / fused"] == (report.times(milliseconds / 2), reached)
    assert f"{main['title']}, avx2" in report.cases_table(results)


@pytest.mark.studies
def test_single_cases_run_with_pytest_benchmark():
    file = "benchmarks/speed/bench_operators.py"
    options = ["-q", "-k", "fused and samples1 and forward", "--benchmark-max-time=0.01", "--benchmark-min-rounds=1"]
    command = [sys.executable, "-m", "pytest", file, *options, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
