"""Asks whether FIDO's maps and regions can be trusted, on photos and classifiers that nothing was chosen on.

    python -m benchmarks.studies.reliability

writes benchmarks/results/reliability.json and docs/img/reliability.webp. It takes a photo and a classifier at a time,
keeps what it has in out/reliability, and goes on from there if it was stopped. The methods are timed at the end, one
after the other; let nothing else run then. ``--timings`` takes the times anew, and leaves the rest as it is. A trial
with fewer photos, classifiers or steps writes to out/reliability-trial instead. ``python -m benchmarks.pages`` puts the
tables into docs/studies/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import pairs, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.photos import REPORTING, Photo, load_entries
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from benchmarks.common.variants import PLAIN
from benchmarks.studies.reliability import measures, methods, picture, report
from benchmarks.studies.reliability.methods import INFILL, Case, asked
from sdfido import Explanation, models

CLASSIFIERS = (0, 1, 2)  # numbers of EfficientNet-Lite
EVERY = 3  # pairs of which one has also FIDO before, rounding, and the second runs of all but FIDO as it is
TIMED = 3  # photos on which each method is timed
OUT = paths.OUT / "reliability"
TRIAL = paths.OUT / "reliability-trial"

Numbers = dict[str, float]


class Pair:
    """Everything about one photo and one classifier."""

    def __init__(self, case: Case, fill: dict[str, measures.Filler], steps: int | None, repeat: bool) -> None:
        self.case, self.fill, self.repeat = case, fill, repeat
        self.settings: dict[str, Any] = {} if steps is None else {"steps": steps}
        self.fewer = methods.fewer(steps)
        self.own = float(case.confidences(case.image))
        self.runs: dict[tuple[str, int], Explanation] = {}  # of FIDO, by name and seed

    def measured(self) -> Results:
        fidos = [name for name in methods.FIDOS if self.repeat or name != "FIDO before"]
        found = {name: self.of_fido(name) for name in fidos} | {name: self.of(name) for name in methods.OTHERS}
        rounded = {name: {key: digits(value) for key, value in row.items()} for name, row in found.items()}
        regions = {
            name: measures.regions(self.case, self.runs[name, 0], self.own, half=name == "FIDO before")
            for name in fidos
        }
        return {"methods": rounded, "regions": regions}

    def of_fido(self, name: str) -> Numbers:
        first = self.explained(name, 0)
        numbers = self.judged(first.ssr, first.sdr, first.joint)
        if self.repeat or name == "FIDO":
            numbers |= compared("seeds", first.maps, self.explained(name, 1).maps)
            if self.repeat and name != "FIDO fast":
                numbers |= compared("rounding", first.maps, self.explained(name, 0, fold_batch_norm=False).maps)
        return numbers

    def explained(self, name: str, seed: int, **settings: Any) -> Explanation:
        explainer = methods.FIDOS[name](self.case.model.model, seed, **self.settings, **settings)
        explanation = explainer.explain(self.case.image, self.case.target)
        if not settings:
            self.runs[name, seed] = explanation
        return explanation

    def of(self, name: str) -> Numbers:
        method, fewer = methods.OTHERS[name], self.fewer.get(name, {})
        first = method(self.case, 0, **fewer)
        numbers = self.judged(first, first, first)
        if self.repeat and name in methods.RANDOM:
            numbers |= compared("seeds", {"joint": first}, {"joint": method(self.case, 1, **fewer)})
        return numbers

    def judged(self, keep: Tensor, remove: Tensor, both: Tensor) -> Numbers:
        return measures.judged(self.case, keep, remove, both, self.fill, self.own)

    def shown(self) -> picture.Arrays:
        """For the picture: the photo, what the regions leave of it, and the joint maps of both seeds."""
        first, second = self.runs["FIDO", 0], self.runs["FIDO", 1]
        # On pixels, as the case's image is normalised alike everywhere, and the blur of pixels is the blurred pixels.
        ssr, sdr = first.composites(self.case.pixels[None], INFILL(self.case.pixels[None]))
        tensors = {"pixels": self.case.pixels, "ssr": ssr[0], "sdr": sdr[0], "joint": first.joint[0]}
        return {name: t.numpy() for name, t in (tensors | {"again": second.joint[0]}).items()}


def compared(what: str, first: Any, second: Any) -> Numbers:
    return {
        f"{what} {name} {key}": value
        for name in first
        for key, value in measures.agreement(first[name], second[name]).items()
    }


def pair(photo: Photo, classifier: models.Classifier, steps: int | None, repeat: bool, maps: Path | None) -> Results:
    """One pair's results; what the picture shows of it goes into the file `maps`."""
    start, case = time.perf_counter(), asked(photo, classifier)
    done = Pair(case, measures.fillers(classifier.normalization), steps, repeat)
    results = {
        "photo": photo.name,
        "classifier": classifier.name,
        "label": classifier.label(case.target),
        "probability": digits(done.own),
        **done.measured(),
        "seconds": round(time.perf_counter() - start, 1),
        "settings": done.runs["FIDO", 0].settings,
    }
    if maps is not None:
        pairs.store(maps, done.shown())
    return results


def timings(photos: list[Photo], classifier: models.Classifier, steps: int | None) -> list[Results]:
    """Seconds of each method for the first photos."""
    return pairs.timings(photos[:TIMED], [classifier], lambda photo, by: _seconds(asked(photo, by), steps))


def _seconds(case: Case, steps: int | None) -> Numbers:
    """How long each method takes."""
    fewer, settings, found = methods.fewer(steps), {} if steps is None else {"steps": steps}, {}
    for name in (*methods.FIDOS, *methods.OTHERS):
        start = time.perf_counter()
        if name in methods.FIDOS:
            methods.FIDOS[name](case.model.model, 0, **settings).explain(case.image, case.target)
        else:
            methods.OTHERS[name](case, 0, **fewer.get(name, {}))
        found[name] = time.perf_counter() - start
    return found


def run(photos: list[Photo], numbers: Iterable[int], steps: int | None, folder: Path) -> Results:
    """All pairs, those of an earlier run that was stopped as they are in the folder; and how long each method takes."""
    classifiers = {k: models.load(f"efficientnet-lite{k}") for k in numbers}

    def measure(i: int, k: int) -> Results:
        drawn = folder / f"maps/{photos[i].name}.npz" if k == 0 and photos[i].name in picture.SHOWN else None
        return pair(photos[i], classifiers[k], steps, (i + k) % EVERY == 0, drawn)

    every = pairs.measured(photos, classifiers, folder / "pairs.jsonl", fingerprint(steps), measure)
    settings = every[0]["settings"]
    return {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(sum(one["seconds"] for one in every)),
        "settings": settings,
        "before": PLAIN if steps is None else {**PLAIN, "steps": steps},
        "every": EVERY,
        "photos": {
            photo.name: {
                "package": f"{photo.source.package} {photo.source.version}",
                "path": photo.source.path,
                "licence": photo.licence,
            }
            for photo in photos
        },
        "classifiers": [classifier.name for classifier in classifiers.values()],
        "timings": timings(photos, next(iter(classifiers.values())), steps),
        "pairs": [{name: value for name, value in one.items() if name != "settings"} for one in every],
    }


def fingerprint(steps: int | None) -> str:
    """Of all that the results depend on: those of other code are not gone on from."""
    return pairs.fingerprint(
        (Path(__file__).with_name(f"{name}.py") for name in ("__main__", "measures", "methods")), steps
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=len(REPORTING), help="a trial with the first so many photos")
    parser.add_argument("--classifiers", default="0,1,2", help="a trial with these of EfficientNet-Lite, such as 0,1")
    parser.add_argument("--steps", type=int, help="a trial with so many steps of FIDO, and as much less of the others")
    parser.add_argument("--timings", action="store_true", help="take the times of the last whole run anew")
    arguments = parser.parse_args()
    if arguments.timings:
        results = json.loads(report.RESULTS.read_text())
        taken = timings(load_entries(REPORTING[:TIMED]), models.load(results["classifiers"][0]), None)
        results |= {"machine": machine(), "threads": torch.get_num_threads(), "timings": taken}
        print(report.goals(records.write(report.RESULTS, results)))
        return
    numbers = tuple(int(number) for number in arguments.classifiers.split(","))
    trial = arguments.photos != len(REPORTING) or arguments.steps is not None or numbers != CLASSIFIERS
    folder = TRIAL if trial else OUT
    file, drawing = (
        (TRIAL / f"reliability{end}" for end in (".json", ".webp")) if trial else (report.RESULTS, report.PICTURE)
    )
    results = records.write(file, run(load_entries(REPORTING[: arguments.photos]), numbers, arguments.steps, folder))
    picture.draw(results, folder / "maps", drawing)
    print(f"\n{report.goals(results)}\n\n{report.methods_table(results)}\n\nwrote {file}")


if __name__ == "__main__":
    main()
