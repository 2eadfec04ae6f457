"""Builds small models of every family with random weights, and explains two images by each, with nothing but the model.

    python -m benchmarks.studies.conformance [--workers 2] [--only 'timm [a-d]'] [--out FOLDER]

writes benchmarks/results/conformance.json; interrupted, it goes on where it stopped. The tables of
docs/studies/conformance.md are made from it. With --times, a time per step is added to what the file has: on a quiet
machine. It needs timm, torchvision, transformers and open_clip:

    python -m benchmarks.studies.conformance.environment

makes an environment with them in build/conformance (6 GB, once) and runs the study there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from benchmarks.common import records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.studies.conformance import catalogue, report
from benchmarks.studies.conformance.catalogue import Entry
from benchmarks.studies.conformance.checks import SETTINGS, check, step_time

NEEDED = ("timm", "torchvision", "transformers", "open_clip")
PART = 60  # models that a process builds
NAMES = ("timm", "torchvision", "transformers", "open_clip_torch", "torch")


def study(entries: list[Entry], workers: int, done: Path, finish: bool = False) -> Results:
    """Results; each row is appended to a file at once, and those that it has are not made again."""
    load, start = os.getloadavg()[0], time.monotonic()
    before = [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []
    rows: Results = {row["library"] + row["name"]: row for row in before if row["size"]}
    waiting = [] if finish else [entry for entry in entries if entry.library + entry.name not in rows]
    for first in range(0, len(waiting), PART):  # with new processes each, since libraries keep memory
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(check, entry): entry for entry in waiting[first : first + PART]}
            for future in as_completed(futures):
                entry, row = futures[future], future.result()
                rows[entry.library + entry.name] = row
                with done.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{len(rows)}/{len(entries)} {entry.library} {entry.name}: {_said(row)}", flush=True)
    return {
        "machine": machine(),
        # Of a run that went on with earlier rows, these say nothing.
        **({} if before else {"load": round(load, 2), "seconds": round(time.monotonic() - start)}),
        "versions": {name: importlib.metadata.version(name) for name in NAMES},
        "settings": SETTINGS,
        "missing": [entry.name for entry in entries if entry.library + entry.name not in rows],
        "rows": [rows[entry.library + entry.name] for entry in entries if entry.library + entry.name in rows],
    }


def _said(row: Results) -> str:
    return f"{row['kind']}: {row['error']}" if row["error"] else f"{row['size']} pixels, apart {row['apart']:.1e}"


def time_steps(entries: list[Entry], results: Results) -> Results:
    """The results with a time per step of each model that runs, taken one after the other in a process of its own."""
    by_name = {entry.library + entry.name: entry for entry in entries}
    waiting = [row for row in results["rows"] if not row["error"] and row["library"] + row["name"] in by_name]
    load = os.getloadavg()[0]
    for first in range(0, len(waiting), PART):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for row in waiting[first : first + PART]:
                entry = by_name[row["library"] + row["name"]]
                row["step_ms"] = pool.submit(step_time, entry, row["size"]).result()
                print(f"{entry.library} {entry.name}: {row['step_ms']:.1f} ms a step", flush=True)
    return results | {"times": {"machine": machine(), "load": round(load, 2)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="models at once")
    parser.add_argument("--only", default="", help="a regular expression of libraries and names, such as 'timm [a-d]'")
    parser.add_argument("--finish", action="store_true", help="write what an interrupted run has found, and stop")
    parser.add_argument("--times", action="store_true", help="time a step of each model that runs, on a quiet machine")
    parser.add_argument("--out", type=Path, help="folder of the file; by default it goes to its place")
    arguments = parser.parse_args()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        parser.error(f"{', '.join(missing)} must be installed; see the first lines of --help")
    if arguments.only and not arguments.out:
        parser.error("--only must go elsewhere: give --out")
    entries = [entry for entry in catalogue.entries() if re.search(arguments.only, f"{entry.library} {entry.name}")]
    file = arguments.out / report.RESULTS.name if arguments.out else report.RESULTS
    done = file.with_suffix(".rows")
    done.parent.mkdir(parents=True, exist_ok=True)
    if arguments.times:
        records.write(file, time_steps(entries, records.read(report.RESULTS)))
        print(f"wrote {file}")
        return
    results = records.write(file, study(entries, arguments.workers, done, arguments.finish))
    if not results["missing"]:
        done.unlink()
    print(report.summary(results))
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
