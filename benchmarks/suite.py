"""Runs all benchmarks and writes what they measured, as a file, a chart and tables.

    python benchmarks/suite.py [--json out/benchmarks.json] [--smoke]

Parts, each a process of its own: all cases; what is repeated at every lower instruction-set level of the processor,
since SDFIDO_CPU_ISA is read once; memory and operators. Run it with nothing else running. The chart and the tables are
written beside the file. To record a run, copy its file to benchmarks/results/suite.json; report.py and readme.py put it
into the pages.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report
from measuring import machine
from plan import Suite, groups

import sdfido

HERE = Path(__file__).resolve().parent
ISA_LEVELS = ("baseline", "avx2", "avx512")
_STATISTICS = ("median", "q1", "q3", "min", "max")


def _run(title: str, command: list[str], environment: dict[str, str], start: float) -> bool:
    """Whether it ended well."""
    print(f"== {title}, {time.monotonic() - start:.0f} s", flush=True)
    # PyTorch's profiler writes to the error stream when all is well.
    command = [sys.executable, *command]
    done = subprocess.run(command, env=environment, cwd=HERE.parent, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{done.stderr}\n== {title}: failed", file=sys.stderr, flush=True)
    return done.returncode == 0


def _pytest(suite: Suite, file: Path, *selection: str) -> list[str]:
    options = ["-q", "-s", "--no-header", "--disable-warnings", "-p", "no:cacheprovider", "--benchmark-quiet"]
    output = f"--benchmark-json={file}"
    return ["-m", "pytest", str(HERE / "bench_step.py"), *options, output, "--suite", suite, *selection]


def _read(file: Path, suite: Suite, isa: str) -> dict[str, dict[str, Any]]:
    """Groups by name, from pytest-benchmark's file."""
    result: dict[str, dict[str, Any]] = {
        group.name: {
            "title": group.title,
            "device": group.device,
            "isa": isa,
            "threads": group.threads,
            **group.facts,
            "milliseconds": {},
        }
        for group in groups(suite)
    }
    for benchmark in json.loads(file.read_text())["benchmarks"]:
        group, contestant, stage = (benchmark["params"][name] for name in ("group", "contestant", "stage"))
        stats = benchmark["stats"]
        values = {name: round(1e3 * stats[name], 5) for name in _STATISTICS} | {"rounds": stats["rounds"]}
        result[group]["milliseconds"].setdefault(contestant, {})[stage] = values
        if contestant == "compiled" and stage == "total":
            seconds = benchmark["extra_info"]["first_milliseconds"] / 1e3 - stats["median"]
            result[group]["compile_seconds"] = round(seconds, 2)
    return {name: group for name, group in result.items() if group["milliseconds"]}


def _heap_counter(folder: Path) -> dict[str, str]:
    """The environment in which the heap is counted."""
    library = folder / "heap.so"
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(HERE / "heap.cpp"), "-o", str(library)], check=True)
    return {"LD_PRELOAD": str(library)}


def run(smoke: bool) -> tuple[dict[str, Any], bool]:
    """All results, and whether every part ended well."""
    start = time.monotonic()
    about = machine()
    load = os.getloadavg()[0]
    if load > 0.3:
        print(f"note: the load of this machine is {load:.1f}; timings want nothing else running", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"), "SDFIDO_BACKEND": "native"}
        suite: Suite = "smoke" if smoke else "full"
        cases, resources = folder / "cases.json", folder / "resources.json"
        if not _run("all cases", _pytest(suite, cases), environment, start):
            sys.exit(1)
        found = _read(cases, suite, about["cpu_isa"])
        complete = True
        for level in [] if smoke else ISA_LEVELS[: ISA_LEVELS.index(about["cpu_isa"])]:
            if not _run(f"level {level}", _pytest("level", cases), environment | {"SDFIDO_CPU_ISA": level}, start):
                complete = False
                continue
            for name, group in _read(cases, "level", level).items():
                del group["compile_seconds"]  # what was compiled before is read from the cache
                found[f"{name}@{level}"] = group
        if sys.platform == "linux":
            command = [str(HERE / "resources.py"), str(resources), *(["--smoke"] if smoke else [])]
            if _run("memory and operators", command, environment | _heap_counter(folder), start):
                for kind, by_case in json.loads(resources.read_text()).items():
                    for case, values in by_case.items():
                        found[case][kind] = values
            else:
                complete = False
    seconds = round(time.monotonic() - start)
    return {"machine": about, "load": round(load, 2), "seconds": seconds, "groups": found}, complete


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("out/benchmarks.json"), help="where the results go")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: to see that everything runs")
    arguments = parser.parse_args()
    if not sdfido.build_info()["native"]:
        sys.exit(f"sdfido's compiled operators are missing: {sdfido.build_info()['native_error']}")
    results, complete = run(arguments.smoke)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report.record(arguments.json, results)
    page, chart = report.write(results, arguments.json.parent)
    print(report.summary(results))
    print(f"{results['seconds']} s; wrote {arguments.json}, {page}, {chart}")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
