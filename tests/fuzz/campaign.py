"""Runs generated calls in processes of their own, under a time limit, and counts the verdicts.

    python -m tests.fuzz.campaign --calls 10000 --seed 0 [--sanitized] [--out fuzz.json]

A process that crashes or hangs costs one call: the next one goes on behind it. With --sanitized, the compiled part is
built with the address and the undefined-behaviour sanitizer first.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.functions import FUNCTIONS

ROOT = Path(__file__).parents[2]
SANITIZED = ROOT / "build" / "fuzz"
COMMAND = [sys.executable, "-m", "tests.fuzz.calls"]
LIMIT, START = 60.0, 600.0  # seconds for one call, and for a process to import what it calls
_FLAGS = "-O1 -g -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer"


def campaign(
    calls: int, seed: int = 0, environment: dict[str, str] | None = None, workers: int = 1
) -> list[dict[str, Any]]:
    """The verdict on each of so many calls, made by so many processes at once."""

    def part(worker: int) -> list[dict[str, Any]]:
        begin, end = (calls * edge // workers for edge in (worker, worker + 1))
        found: list[dict[str, Any]] = []
        while begin + len(found) < end:
            found += _until_it_ends(begin + len(found), end - begin - len(found), seed, environment)
        return found

    with ThreadPoolExecutor(workers) as pool:
        return [verdict for found in pool.map(part, range(workers)) for verdict in found]


def _until_it_ends(first: int, count: int, seed: int, environment: dict[str, str] | None) -> list[dict[str, Any]]:
    """The verdicts of one process; the last one may be that it crashed, or hung and was ended."""
    command = [*COMMAND, f"--seed={seed}", f"--first={first}", f"--count={count}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    complaints: list[str] = []

    def read(stream: Any, put: Any) -> None:
        for line in stream:
            put(line)
        put("")

    for stream, put in ((process.stdout, lines.put), (process.stderr, complaints.append)):
        threading.Thread(target=read, args=(stream, put), daemon=True).start()
    found: list[dict[str, Any]] = []
    under_way: int | None = None
    try:
        line = lines.get(timeout=START)
        while line:
            told = json.loads(line)
            under_way = None if "verdict" in told else told["call"]
            if "verdict" in told:
                found.append(told)
            line = lines.get(timeout=LIMIT)
        code = process.wait(LIMIT)
        if len(found) < count:
            why = f"exit code {code}: {''.join(complaints)[-2000:]}"
            if under_way is None:
                raise RuntimeError(f"the calls could not be made: {why}")
            found.append({"call": under_way, "verdict": "crash", "why": why})
    except queue.Empty:
        found.append({"call": first + len(found), "verdict": "hang", "why": f"more than {LIMIT:.0f} s"})
    finally:
        process.kill()
        process.wait()
    return found


def sanitized() -> dict[str, str]:
    """Build the compiled part with sanitizers, beside a copy of the package; the environment that it runs in."""
    for stale in ("sdfido", "tests"):  # what is compiled stays, and is built again where its sources have changed
        shutil.rmtree(SANITIZED / stale, ignore_errors=True)
    plain = os.environ | {"SDFIDO_CUDA": "0", "CFLAGS": _FLAGS, "CXXFLAGS": _FLAGS, "LDFLAGS": _FLAGS}
    build = ["build_ext", f"--build-lib={SANITIZED}", f"--build-temp={SANITIZED / 'objects'}"]
    subprocess.run([sys.executable, "setup.py", "-q", *build], cwd=ROOT, env=plain, check=True)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "sdfido", SANITIZED / "sdfido", ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests" / "fuzz", SANITIZED / "tests" / "fuzz", ignore=ignored)
    for name in ("__init__.py", "support.py"):
        shutil.copy(ROOT / "tests" / name, SANITIZED / "tests" / name)
    library = next((SANITIZED / "sdfido").glob("_C*")).read_bytes()
    if b"__asan_init" not in library or b"__ubsan_handle" not in library:
        raise RuntimeError("the compiled part was built without sanitizers")
    libraries = [
        subprocess.run(["c++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    return os.environ | {
        "PYTHONPATH": str(SANITIZED),
        "PYTHONSAFEPATH": "1",  # not the working folder's package
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    environment = sanitized() if options.sanitized else dict(os.environ)
    found = campaign(options.calls, options.seed, environment | {"OMP_NUM_THREADS": "1"}, options.workers)
    counts = Counter(each["verdict"] for each in found)
    bad = [each for each in found if each["verdict"] not in ("right", "clear")]
    for each in bad:
        print(json.dumps(each))
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "seed": options.seed,
            "calls": len(found),
            "functions": len(FUNCTIONS),
            "sanitized": options.sanitized,
            "verdicts": counts,
            "bad": bad,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
