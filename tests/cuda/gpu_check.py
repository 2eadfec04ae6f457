"""Checks a GPU for the first time: all that docs/cuda.md lists, in one command and within nine minutes.

    make gpu-check            or  python -m tests.cuda.gpu_check [--out out/gpu-check] [--seconds 540]

Builds the kernels for this machine's GPU in a copy of the project, runs each step in a process of its own and writes
OUT.json and OUT.md. Fails if a step fails, or where there is no GPU. SDFIDO_REHEARSAL=1 tries what it can on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import sdfido
from sdfido.files import replacing
from sdfido.ops import gpus
from tests.cuda.gpu_steps import REHEARSAL

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 540
NOT_COPIED = (".git", ".venv", "build", "dist", "out", "*.so", "__pycache__", ".*_cache")
REHEARSED = ("bits", "words", "repeats", "offsets", "small", "benchmark")
# Each with the most seconds that it may take; in the order of what rests on what.
STEPS = {
    "build": 200,
    "bits": 60,
    "words": 60,
    "repeats": 60,
    "graph": 30,
    "streams": 30,
    "offsets": 40,
    "benchmark": 120,
    "tests": 150,
    "memcheck": 60,
    "racecheck": 60,
    "synccheck": 40,
    "initcheck": 40,
}


@dataclass
class Outcome:
    """What came of one step."""

    step: str
    verdict: str  # passed, failed, not run
    why: str = ""
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


def command_of(step: str) -> list[str]:
    """What runs a step, in the copy of the project."""
    python = [sys.executable, "-m"]
    if step == "build":
        return [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    if step == "tests":
        return [
            *python,
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-k",
            "cuda",
            *(f"tests/{name}" for name in ("ops", "methods", "compat")),
        ]
    if step.endswith("check"):
        tool = [
            "compute-sanitizer",
            "--tool",
            step,
            "--error-exitcode",
            "9",
            "--kernel-name",
            "kernel_substring=sdfido",
        ]
        return [*tool, *python, "tests.cuda.gpu_steps", "small"]
    return [*python, "tests.cuda.gpu_steps", step]


def why_not(step: str) -> str:
    """Why a step cannot run here; empty if it can."""
    if REHEARSAL:
        return "" if step in REHEARSED else "needs a GPU"
    if not torch.cuda.is_available():
        return "no GPU"
    if step.endswith("check") and shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer is not on the PATH"
    return ""


def run(step: str, folder: Path, seconds: float) -> Outcome:
    """One step, in a process that ends with its time."""
    if why := why_not(step):
        return Outcome(step, "not run", why)
    if seconds < 5:
        return Outcome(step, "not run", "no time left")
    environment = os.environ | {"PYTHONPATH": str(folder), "SDFIDO_BACKEND": "native"}
    if step == "build":
        major, minor = torch.cuda.get_device_capability()
        environment |= {"SDFIDO_CUDA": "1", "SDFIDO_CUDA_ARCHS": f"{major}{minor}"}
    if step.endswith("check"):
        environment["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command_of(step), cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return Outcome(step, "not run" if step.endswith("check") else "failed", f"no end in {seconds:.0f} s", seconds)
    taken = round(time.monotonic() - begin, 1)
    lines = done.stdout.strip().splitlines() or [""]
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing was said"]
        return Outcome(step, "failed", said[-1], taken, {"output": (done.stdout + done.stderr)[-4000:]})
    if step in ("build", "tests") or step.endswith("check"):
        return Outcome(step, "passed", lines[-1], taken)
    return Outcome(step, "passed", "", taken, json.loads(lines[-1]))


def page(about: dict[str, Any], outcomes: list[Outcome]) -> str:
    """The same in Markdown."""
    lines = ["# GPU check", "", *(f"- {name}: {value}" for name, value in about.items()), ""]
    lines += ["| step | verdict | seconds | |", "|---|---|---:|---|"]
    lines += [f"| {o.step} | {o.verdict} | {o.seconds:.1f} | {o.why.replace('|', '/')} |" for o in outcomes]
    for o in outcomes:
        if o.figures:
            lines += ["", f"## {o.step}", "", "```json", json.dumps(o.figures, indent=1), "```"]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    driver = gpus.driver_version()
    about = {
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "capability": torch.cuda.get_device_capability() if torch.cuda.is_available() else None,
        "driver serves CUDA": ".".join(map(str, driver)) if driver else None,
        "torch": torch.__version__,
        "sdfido": sdfido.__version__,
        "rehearsal on the CPU": REHEARSAL,
    }
    return about


def check(out: Path, seconds: float) -> list[Outcome]:
    """All steps, the files written after each."""
    folder = out.with_name(out.name + "-source")
    if not all(map(why_not, STEPS)):
        shutil.rmtree(folder, ignore_errors=True)
        kept = NOT_COPIED if not REHEARSAL else NOT_COPIED[:5]  # a rehearsal takes the library that is there
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*kept), symlinks=True)
    about, outcomes = machine(), list[Outcome]()
    end = time.monotonic() + seconds
    out.parent.mkdir(parents=True, exist_ok=True)
    for step, limit in STEPS.items():
        # Without a library nothing else can be asked.
        if outcomes and outcomes[0].step == "build" and outcomes[0].verdict == "failed":
            outcomes.append(Outcome(step, "not run", "the build failed"))
        else:
            outcomes.append(run(step, folder, min(limit, end - time.monotonic())))
        last = outcomes[-1]
        print(f"{last.step:10} {last.verdict:8} {last.seconds:6.1f} s  {last.why}", flush=True)
        with replacing(out.with_suffix(".json")) as part:
            part.write_text(json.dumps({"machine": about, "steps": [asdict(o) for o in outcomes]}, indent=1) + "\n")
        with replacing(out.with_suffix(".md")) as part:
            part.write_text(page(about, outcomes))
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out/gpu-check", help="where the results go, without suffix")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all steps together")
    arguments = parser.parse_args()
    outcomes = check(arguments.out, arguments.seconds)
    failed = [o.step for o in outcomes if o.verdict == "failed"]
    passed = [o.step for o in outcomes if o.verdict == "passed"]
    print(f"{len(passed)} passed, {len(failed)} failed; see {arguments.out.with_suffix('.md')}")
    return int(bool(failed) or not passed)


if __name__ == "__main__":
    raise SystemExit(main())
