"""Installs one wheel under several versions of Python and torch, and runs tests/packaging/smoke.py there.

    python tests/packaging/environments.py dist/sdfido-*.whl [--pythons "python3.11 python3.13"]
        [--torches "torch==2.10.* torch"]

The environments lie in build/environments and are kept, so that a second run only installs the wheel anew. Each one
with a torch for GPUs takes some 6 GB; large files that two of them share are stored once. Python is named by a command
or a path; by default the one that runs this and the newest other one that is found take part. Ends with a table, and
the same as JSON; exit code 1 if a smoke test failed, or a version of torch could be installed nowhere.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from csv import reader
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "environments"
TORCHES = "torch==2.10.* torch==2.13.0 torch"  # the oldest supported, one that is built for CPUs here, the newest
NEEDED_GB = 10  # while a torch for GPUs is unpacked
SHARED_FROM = 1 << 20  # bytes


class Unavailable(Exception):
    """An environment that cannot be had here, and why."""


@dataclass(frozen=True)
class Python:
    path: Path
    version: tuple[int, int]

    @property
    def name(self) -> str:
        return "{}.{}".format(*self.version)


@dataclass
class Outcome:
    """A row of the table."""

    python: str
    requirement: str
    torch: str = ""
    backend: str = ""
    devices: list[str] = field(default_factory=list)
    result: str = "passed"


def run(*command: object) -> str:
    """Output of a command, which raises RuntimeError with its last lines if it fails."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SDFIDO_", "PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run([str(part) for part in command], env=kept, capture_output=True, text=True, cwd=FOLDER)
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise RuntimeError(" / ".join(lines[-3:]) or f"exit code {result.returncode}")
    return result.stdout


def examine(command: str) -> Python:
    """The Python behind a command or path, able to make environments."""
    path = shutil.which(command)
    if path is None:
        raise Unavailable("not on the PATH")
    code = "import ensurepip, sys, venv; print(sys.executable, *sys.version_info[:2])"
    result = subprocess.run([path, "-c", code], capture_output=True, text=True)
    if result.returncode != 0:
        raise Unavailable(f"does not run: {(result.stderr.strip() or 'no message').splitlines()[0]}")
    executable, major, minor = result.stdout.rsplit(maxsplit=2)
    if (int(major), int(minor)) < (3, 10):
        raise Unavailable(f"is Python {major}.{minor}; sdfido needs 3.10")
    return Python(Path(executable), (int(major), int(minor)))


def candidates() -> list[str]:
    """Commands that may be a Python: this one first, then those on the PATH and pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    on_path = [f"python3.{minor}" for minor in range(10, 30)]
    found = [command for command in on_path if shutil.which(command)]
    return [sys.executable, *found, *sorted(str(path) for path in pyenv.glob("*/bin/python3"))]


def choose_pythons(wanted: Sequence[str]) -> list[Python]:
    """Those named, or this one and the newest other; prints which are left out and why."""
    found: dict[tuple[int, int], Python] = {}
    for command in wanted or candidates():
        try:
            python = examine(command)
            found.setdefault(python.version, python)
        except Unavailable as reason:
            print(f"skipped: {command}: {reason}")
    if wanted or len(found) <= 2:
        return list(found.values())
    here, *others = found.values()
    newest = max(others, key=lambda python: python.version)
    for python in others:
        if python is not newest:
            print(f"skipped: {python.path}: two versions of Python are enough; --pythons (PYTHONS=…) names others")
    return [here, newest]


def share_large_files(site: Path) -> None:
    """Replaces large installed files by links to equal ones of other environments, which pip's records tell."""
    store = FOLDER / "files"
    store.mkdir(exist_ok=True)
    for record in site.glob("*.dist-info/RECORD"):
        with open(record, newline="") as file:
            rows = [(site / row[0], row[1].removeprefix("sha256="), int(row[2] or 0)) for row in reader(file)]
        for path, digest, size in rows:
            if size < SHARED_FROM or not digest or not path.is_file():
                continue
            stored = store / urlsafe_b64decode(digest + "=").hex()
            if not stored.exists():
                os.link(path, stored)
            elif not stored.samefile(path):
                path.unlink()
                os.link(stored, path)
    for stored in store.iterdir():
        if stored.stat().st_nlink == 1:  # the environments that had it are gone
            stored.unlink()


def environment(python: Python, torch: str) -> Path:
    """The interpreter of an environment with this torch and numpy in it, made by an earlier run or now."""
    folder = FOLDER / f"python{python.name}-{re.sub(r'[^a-z0-9.]+', '-', torch).strip('-.')}"
    inside, done = folder / "bin/python", folder / "done"
    FOLDER.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(FOLDER).free / 1e9
    if not done.exists() and free < NEEDED_GB:
        raise Unavailable(f"{free:.0f} GB free on the disk, {NEEDED_GB} needed")
    try:
        if not done.exists():
            run(python.path, "-m", "venv", "--clear", folder)
        # Again where it is there: a requirement that names no version means the newest.
        run(inside, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade", torch, "numpy")
    except RuntimeError as error:
        raise Unavailable(f"pip cannot install {torch}: {error}") from error
    share_large_files(Path(run(inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()))
    done.touch()
    return inside


def try_wheel(wheel: Path, python: Python, torch: str) -> Outcome:
    print(f"Python {python.name}, {torch} …", flush=True)
    try:
        inside = environment(python, torch)
    except Unavailable as reason:
        return Outcome(python.name, torch, result=f"skipped: {reason}")
    try:
        run(inside, "-m", "pip", "install", "--quiet", f"{wheel}[cli]")
        run(inside, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel)
        told = json.loads(run(inside, "-I", ROOT / "tests/packaging/smoke.py").splitlines()[-1])
    except RuntimeError as error:
        return Outcome(python.name, torch, result=f"FAILED: {error}")
    return Outcome(python.name, torch, **told)


def table(outcomes: Sequence[Outcome]) -> str:
    rows = [("Python", "asked for", "torch", "backend", "tested on", "result")]
    rows += [(o.python, o.requirement, o.torch, o.backend, ", ".join(o.devices), o.result) for o in outcomes]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the wheel to test")
    parser.add_argument("--pythons", default="", help="commands or paths, separated by spaces")
    parser.add_argument("--torches", default=TORCHES, help="requirements, separated by spaces; by default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("out/wheel-test.json"), help="by default %(default)s")
    options = parser.parse_args()
    wheel, torches = options.wheel.resolve(strict=True), options.torches.split()
    pythons = choose_pythons(options.pythons.split())
    if not pythons or not torches:
        parser.error("--pythons and --torches must name at least one that is there")
    outcomes = [try_wheel(wheel, python, torch) for python in pythons for torch in torches]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(outcome) for outcome in outcomes]
    options.out.write_text(json.dumps({"wheel": wheel.name, "environments": rows}, indent=2) + "\n")
    print(f"\n{wheel.name}\n\n{table(outcomes)}")
    if len(pythons) < 2:
        print("Only one version of Python was to be had: that the wheel serves others was not tested.")
    tested = {outcome.requirement for outcome in outcomes if not outcome.result.startswith("skipped")}
    if untested := [torch for torch in torches if torch not in tested]:
        print(f"Tested nowhere: {', '.join(untested)}")
    return 1 if untested or any(outcome.result.startswith("FAILED") for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
