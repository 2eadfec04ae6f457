"""Runs all speed measurements and writes what they found, as a file, a chart and tables.

    python -m benchmarks.speed.suite [--json out/benchmarks.json] [--smoke]

Parts, each a process of its own: all cases; some of them again at every lower instruction set of the processor, since
SDFIDO_CPU_ISA is read once; memory and operators. Run it with nothing else running. The chart and the page with its
tables are written beside the file. To record a run, copy its file to benchmarks/results/speed.json and run
``python -m benchmarks.speed.report`` and ``python -m benchmarks.pages``.
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

import sdfido
from benchmarks.common import records
from benchmarks.common.measuring import machine
from benchmarks.common.paths import OUT, ROOT
from benchmarks.speed import report
from benchmarks.speed.groups import Suite

ISA_LEVELS = ("baseline", "avx2", "avx512")


def run_part(title: str, module: str, options: list[str], environment: dict[str, str], start: float) -> bool:
    """Run a module of this package in a process; whether it ended well."""
    print(f"== {title}, {time.monotonic() - start:.0f} s", flush=True)
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", *options]
    # PyTorch's profiler writes to the error stream when all is well.
    done = subprocess.run(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{done.stderr}\n== {title}: failed", file=sys.stderr, flush=True)
    return done.returncode == 0


def heap_counter(folder: Path) -> dict[str, str]:
    """The environment in which heap.cpp counts the heap."""
    library = folder / "heap.so"
    compiler, source = os.environ.get("CXX", "g++"), Path(__file__).with_name("heap.cpp")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return {"LD_PRELOAD": str(library)}


def run(smoke: bool) -> tuple[records.Results, bool]:
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
        times, resources = folder / "times.json", folder / "resources.json"
        if not run_part("all cases", "measure", [str(times), "--suite", suite], environment, start):
            sys.exit(1)
        found = at_level(times, about["cpu_isa"])
        complete = True
        for level in [] if smoke else ISA_LEVELS[: ISA_LEVELS.index(about["cpu_isa"])]:
            forced = environment | {"SDFIDO_CPU_ISA": level}
            if not run_part(f"level {level}", "measure", [str(times), "--suite", "level"], forced, start):
                complete = False
                continue
            for name, group in at_level(times, level).items():
                del group["compile_seconds"]  # what was compiled before is read from the cache
                found[f"{name}@{level}"] = group
        if sys.platform == "linux":
            options = [str(resources), *(["--smoke"] if smoke else [])]
            counted = environment | heap_counter(folder)
            if run_part("memory and operators", "resources", options, counted, start):
                for kind, by_case in json.loads(resources.read_text()).items():
                    for case, values in by_case.items():
                        found[case][kind] = values
            else:
                complete = False
    seconds = round(time.monotonic() - start)
    return {"machine": about, "load": round(load, 2), "seconds": seconds, "groups": found}, complete


def at_level(file: Path, isa: str) -> dict[str, Any]:
    """The groups of a file, with the instruction set that they were measured at."""
    return {name: {"isa": isa, **group} for name, group in json.loads(file.read_text()).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=OUT / "benchmarks.json", help="where the results go")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: to see that everything runs")
    arguments = parser.parse_args()
    if not sdfido.build_info()["native"]:
        sys.exit(f"sdfido's compiled operators are missing: {sdfido.build_info()['native_error']}")
    results, complete = run(arguments.smoke)
    results = records.write(arguments.json, results)
    written = report.write(results, arguments.json.parent)
    print(report.summary(results))
    print(f"{results['seconds']} s; wrote {', '.join(map(str, (arguments.json, *written)))}")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
