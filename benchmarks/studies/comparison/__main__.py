"""Compares sdfido's methods with each other and with those outside: which method when?

    python -m benchmarks.studies.comparison

writes benchmarks/results/comparison.json and docs/img/comparison.webp, in about an hour and a half on two cores. It
takes a photo and a classifier at a time, keeps what it has in out/comparison, and goes on from there if it was
stopped. The methods are timed at the end, one after the other; let nothing else run then. ``--timings`` takes the
times anew, and leaves the rest as it is. A trial with fewer photos, classifiers, birds or steps writes to
out/comparison-trial instead; more photos, such as ``--photos 12``, are no trial.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import pairs, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.photos import REPORTING, Photo, load_entries
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from benchmarks.studies.comparison import birds, methods, picture, report
from benchmarks.studies.comparison.methods import METHODS, Maps, Settings
from benchmarks.studies.reliability import measures
from benchmarks.studies.reliability.methods import INFILL, Case, asked
from sdfido import evaluate, models

PHOTOS = 4  # the first of REPORTING
CLASSIFIERS = (0, 1, 2)  # numbers of EfficientNet-Lite
EVERY = 3  # pairs of which one has second runs of the random methods
TIMED = 3  # photos on which each method is timed, with the first classifier
OUT, TRIAL = paths.OUT / "comparison", paths.OUT / "comparison-trial"
BLURRED: dict[str, measures.Filler] = {"blur": lambda image, keep: INFILL(image)}

Numbers = dict[str, float]


class Pair:
    """Everything about one photo and one classifier."""

    def __init__(self, case: Case, fill: dict[str, measures.Filler], given: dict[str, Settings], repeat: bool) -> None:
        self.case, self.fill, self.given, self.repeat = case, fill, given, repeat
        self.own = float(case.confidences(case.image))
        self.shown: Maps = {"pixels": case.pixels}  # for the picture: a map of each method

    def measured(self) -> Results:
        """Numbers of each method at its own settings, and at as many calls as FIDO takes at its own."""
        own = {name: self.of(name) for name in METHODS}
        budget = round(own["FIDO"]["calls"])
        equal = {
            name: self.judged(name, *methods.explained_at(name, self.case, budget))
            for name, method in METHODS.items()
            if method.at
        }
        return {"own": own, "equal": equal}

    def of(self, name: str) -> Numbers:
        method, settings = METHODS[name], self.given.get(name, {})
        maps, count = methods.explained(name, self.case, **settings)
        numbers, first = self.judged(name, maps, count), maps[method.uses.both]
        if self.repeat and method.random:
            second = method.explain(self.case, 1, **settings)[method.uses.both]
            numbers |= {f"seeds {key}": value for key, value in measures.agreement(first, second).items()}
        self.shown[name] = picture.visible(first)[0]
        return numbers

    def judged(self, name: str, maps: Maps, count: methods.Count) -> Numbers:
        """What the maps are worth, and what they cost."""
        keep, remove, both = (maps[use] for use in METHODS[name].uses)
        blurred = measures.under_other_infills(self.case, keep, remove, BLURRED, self.own)
        numbers = {
            **measures.judged(self.case, keep, remove, both, self.fill, self.own),
            "kept blur": blurred["kept"],
            "left blur": blurred["left"],
            **coherence(both),
        }
        return {key: digits(value) for key, value in numbers.items()} | vars(count)


def coherence(importance: Tensor) -> Numbers:
    """Of a map [1, H, W] by itself: its total variation, and border and connected parts of its top 20%."""
    region = evaluate.top(importance, measures.TOP)
    return {
        "variation": float(evaluate.total_variation(scaled(importance))),
        "border": float(evaluate.total_variation(region.float())),
        "components": float(evaluate.components(region)),
    }


def scaled(importance: Tensor) -> Tensor:
    """A map with its negative values put to 0, and its highest to 1."""
    positive = importance.clamp(min=0)
    return positive / positive.amax().clamp(min=1e-12)


def pair(photo: Photo, classifier: models.Classifier, steps: int | None, repeat: bool, maps: Path | None) -> Results:
    """One pair's results; what the picture shows of it goes into the file `maps`."""
    start, case = time.perf_counter(), asked(photo, classifier)
    done = Pair(case, measures.fillers(classifier.normalization), methods.fewer(steps), repeat)
    results = {
        "photo": photo.name,
        "classifier": classifier.name,
        "label": classifier.label(case.target),
        "probability": digits(done.own),
        **done.measured(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if maps is not None:
        pairs.store(maps, {name: tensor.numpy() for name, tensor in done.shown.items()})
    return results


def timings(photos: list[Photo], classifier: models.Classifier, steps: int | None) -> list[Results]:
    """Seconds of each method at its own settings for the first photos."""
    return pairs.timings(photos[:TIMED], [classifier], lambda photo, by: _seconds(asked(photo, by), steps))


def _seconds(case: Case, steps: int | None) -> Numbers:
    given, found = methods.fewer(steps), {}
    for name, method in METHODS.items():
        start = time.perf_counter()
        method.explain(case, 0, **given.get(name, {}))
        found[name] = time.perf_counter() - start
    return found


def run(photos: list[Photo], numbers: Iterable[int], steps: int | None, count: int, folder: Path) -> Results:
    """All pairs, those of an earlier run that was stopped as they are in the folder; birds; and the times."""
    classifiers = {k: models.load(f"efficientnet-lite{k}") for k in numbers}

    def measure(i: int, k: int) -> Results:
        drawn = folder / f"maps/{photos[i].name}.npz" if k == 0 and photos[i].name in picture.SHOWN else None
        return pair(photos[i], classifiers[k], steps, (i + k) % EVERY == 0, drawn)

    every = pairs.measured(photos, classifiers, folder / "pairs.jsonl", fingerprint(steps), measure)
    start = time.perf_counter()
    of_birds = birds.compare(count, methods.fewer(steps))
    seconds = time.perf_counter() - start + sum(one["seconds"] for one in every)
    return {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds),
        "defaults": methods.defaults(),
        "every": EVERY,
        "photos": [photo.name for photo in photos],
        "classifiers": [classifier.name for classifier in classifiers.values()],
        "birds": of_birds,
        "timings": timings(photos, next(iter(classifiers.values())), steps),
        "pairs": every,
    }


def fingerprint(steps: int | None) -> str:
    """Of all that the results depend on: those of other code are not gone on from."""
    here, common = Path(__file__).parent, paths.ROOT / "benchmarks/common"
    files = [here / "__main__.py", here / "methods.py", common / "attributions.py"]
    return pairs.fingerprint(
        [*files, *(here.parent / f"reliability/{name}.py" for name in ("measures", "methods"))], steps
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=PHOTOS, help=f"the first so many of {len(REPORTING)}")
    parser.add_argument("--classifiers", default="0,1,2", help="a trial with these of EfficientNet-Lite, such as 0,1")
    parser.add_argument("--birds", type=int, default=birds.COUNT, help="drawn birds, a multiple of 6")
    parser.add_argument("--steps", type=int, help="a trial with so many steps of FIDO, and as much less of the others")
    parser.add_argument("--timings", action="store_true", help="take the times of the last whole run anew")
    arguments = parser.parse_args()
    if arguments.timings:
        results = json.loads(report.RESULTS.read_text())
        taken = timings(load_entries(REPORTING[:TIMED]), models.load(results["classifiers"][0]), None)
        results |= {"machine": machine(), "threads": torch.get_num_threads(), "timings": taken}
        print(report.costs_table(records.write(report.RESULTS, results)))
        return
    numbers = tuple(int(number) for number in arguments.classifiers.split(","))
    less = arguments.photos < PHOTOS or arguments.birds < birds.COUNT
    trial = less or arguments.steps is not None or numbers != CLASSIFIERS
    folder = TRIAL if trial else OUT
    file, drawing = (
        (TRIAL / f"comparison{end}" for end in (".json", ".webp")) if trial else (report.RESULTS, report.PICTURE)
    )
    photos = load_entries(REPORTING[: arguments.photos])
    results = records.write(file, run(photos, numbers, arguments.steps, arguments.birds, folder))
    picture.draw(results, folder / "maps", drawing)
    print("\n\n".join(["", *(report.methods_table(results, budget) for budget in report.BUDGETS), f"wrote {file}"]))


if __name__ == "__main__":
    main()
