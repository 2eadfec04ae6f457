"""What a run over a folder takes besides the explainer: its share of the time, and whether memory stays flat.

    python -m benchmarks.speed.folders [--photos 2000] [--pictures] [--workers 2] [--json FILE]

Small photos are drawn, and explained by FIDO's defaults for a small network: the less the classifier takes, the more
everything else shows. One process, one thread. The share is 1 - (time in the explainer) / (time of the run), the median
over blocks of photos, by the clock and by processor time; the latter counts on a machine that does other work, too.
Memory is this process's resident set after each photo, against that after the first tenth. With --workers, the same
photos are explained anew by several processes, for photos a minute. Without --pictures, no overview of each photo is
drawn, as `sdfido explain` does for so many.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.common import paths, records
from benchmarks.common.measuring import machine
from sdfido import Explanation, models, runs
from sdfido.runs import events

MODEL = "benchmarks.speed.folders:network"
_BLOCK = 20  # photos


def network() -> models.Classifier:
    """A small classifier of ten classes, at 64 x 64 pixels, with random weights."""
    torch.manual_seed(0)
    widths = (3, 16, 32, 64)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return models.Classifier(
        "small", nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), size=(64, 64)
    )


class Timed(runs.PhotoExplainer):
    """Takes the time of explaining and of what is done with the results, by the clock and by the thread's processor."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self.explaining, self.writing = np.zeros(2), np.zeros(2)

    def explain(self, photos: Any, **callbacks: Any) -> Explanation:
        begin, written = _now(), self.writing
        explanation = super().explain(photos, **callbacks)
        # Results are made and written from within, as soon as they are ready.
        self.explaining = self.explaining + _now() - begin - (self.writing - written)
        return explanation

    def results(self, opened: Any, explanation: Explanation) -> runs.Results:
        begin = _now()
        results = super().results(opened, explanation)
        self.writing = self.writing + _now() - begin
        return results


def _now() -> Any:
    return np.array([time.perf_counter(), time.thread_time()])


def draw(folder: Path, count: int) -> None:
    """Photos of smooth noise, 96 x 72 pixels."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((96, 72), Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg", quality=90)


def resident() -> float:
    """Resident memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def measure(photos: Path, out: Path, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """A run in this process."""
    explainer = Timed(MODEL, **settings)
    whole = runs.Results.write

    def write(results: runs.Results) -> None:
        begin = _now()
        whole(results)
        explainer.writing = explainer.writing + _now() - begin

    def mark() -> Any:
        return np.array([time.perf_counter(), time.process_time(), *explainer.explaining])

    marks, memory = [mark()], []

    def note(event: events.Event) -> None:
        if isinstance(event, events.Started):
            memory.append(resident())
            if len(memory) % _BLOCK == 1 and len(memory) > 1:
                marks.append(mark())

    runs.Results.write = write  # type: ignore[method-assign]
    try:
        runs.Run(explainer, runs.choose([photos], out), runs.Store(out)).execute(on_event=note)
    finally:
        runs.Results.write = whole  # type: ignore[method-assign]
    whole_run = mark() - marks[0]
    blocks = [other - one for one, other in itertools.pairwise(marks)]
    base = memory[count // 10]
    return {
        "share_of_time": statistics.median(float(1 - block[2] / block[0]) for block in blocks),
        "share_of_processor_time": statistics.median(float(1 - block[3] / block[1]) for block in blocks),
        "milliseconds_of_processor_a_photo": {
            "explainer": 1000 * float(explainer.explaining[1]) / count,
            "writing": 1000 * float(explainer.writing[1]) / count,
            "all": 1000 * float(whole_run[1]) / count,
        },
        "memory_mb": {
            "after_a_tenth": base,
            "least_after": min(memory[count // 10 :]),
            "most_after": max(memory[count // 10 :]),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--pictures", action="store_true", help="draw a picture of each result, too")
    parser.add_argument("--workers", type=int, default=0, help="also by so many processes")
    parser.add_argument("--json", type=Path, default=paths.RESULTS / "folders.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"pictures": arguments.pictures}
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place, "photos")
        photos.mkdir()
        draw(photos, arguments.photos)
        results = {"machine": machine(), "photos": arguments.photos, "pictures": arguments.pictures}
        results |= measure(photos, Path(place, "out"), arguments.photos, settings)
        if arguments.workers:
            out = Path(place, "shared")
            run = runs.Run(runs.PhotoExplainer(MODEL, **settings), runs.choose([photos], out), runs.Store(out))
            seconds = run.execute(runs.Processes(arguments.workers, threads=1)).seconds
            results["photos_a_minute"] = {f"{arguments.workers} workers": 60 * arguments.photos / seconds}
    print(records.dump(records.write(arguments.json, results)))


if __name__ == "__main__":
    main()
