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
import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.photos import REPORTING, Photo, load_entries
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from benchmarks.common.variants import PLAIN
from benchmarks.studies.reliability import measures, methods, picture, report
from benchmarks.studies.reliability.methods import INFILL, Case
from sdfido import Explanation, models
from sdfido.files import replacing

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
        """Maps for keeping, for removing and for both, by all measures."""
        return {
            **measures.areas_under_curves(self.case, both),
            **measures.under_other_infills(self.case, keep, remove, self.fill, self.own),
            **measures.smallest_areas(self.case, keep, remove, self.own),
        }

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
        maps.parent.mkdir(parents=True, exist_ok=True)
        stored: dict[str, Any] = {name: array.astype(np.float16) for name, array in done.shown().items()}
        with replacing(maps) as part, part.open("wb") as file:
            np.savez_compressed(file, **stored)
    return results


def asked(photo: Photo, classifier: models.Classifier) -> Case:
    """A photo and the classifier's own answer."""
    image = classifier.preprocess(photo.image)[None]
    model = methods.ChannelsLast(classifier.model.to(memory_format=torch.channels_last))
    with torch.no_grad():
        target = int(model(image).argmax())
    return Case(model, image, classifier.normalization.pixels(image)[0].clamp(0, 1), target)


def timings(photos: list[Photo], classifiers: Iterable[models.Classifier], steps: int | None) -> list[Results]:
    """Seconds of each method for each classifier and the first photos, after one that does not count."""
    found: list[Results] = []
    for classifier in classifiers:
        for place, photo in enumerate([photos[0], *photos[:TIMED]]):
            seconds = _seconds(asked(photo, classifier), steps)
            if place:
                found.append({"photo": photo.name, "classifier": classifier.name, "seconds": seconds})
                print(f"timed {photo.name}, {classifier.name}: FIDO takes {seconds['FIDO']:.1f} s", flush=True)
    return found


def _seconds(case: Case, steps: int | None) -> Numbers:
    """How long each method takes."""
    fewer, settings, found = methods.fewer(steps), {} if steps is None else {"steps": steps}, {}
    for name in (*methods.FIDOS, *methods.OTHERS):
        start = time.perf_counter()
        if name in methods.FIDOS:
            methods.FIDOS[name](case.model.model, 0, **settings).explain(case.image, case.target)
        else:
            methods.OTHERS[name](case, 0, **fewer.get(name, {}))
        found[name] = float(digits(time.perf_counter() - start))
    return found


def run(photos: list[Photo], numbers: Iterable[int], steps: int | None, folder: Path) -> Results:
    """All pairs, those of an earlier run that was stopped as they are in the folder; and how long each method takes."""
    classifiers = {k: models.load(f"efficientnet-lite{k}") for k in numbers}
    file, key = folder / "pairs.jsonl", fingerprint(steps)
    folder.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    pairs = {(one["photo"], one["classifier"]): one["pair"] for one in known if one["key"] == key}
    wanted = [(i, photo, k) for i, photo in enumerate(photos) for k in classifiers]
    start, open_ = (
        time.perf_counter(),
        [each for each in wanted if (each[1].name, classifiers[each[2]].name) not in pairs],
    )
    print(f"{len(wanted)} pairs, {len(wanted) - len(open_)} of them known from {file}", flush=True)
    for done, (i, photo, k) in enumerate(open_, 1):
        drawn = folder / f"maps/{photo.name}.npz" if k == 0 and photo.name in picture.SHOWN else None
        found = pair(photo, classifiers[k], steps, (i + k) % EVERY == 0, drawn)
        pairs[photo.name, classifiers[k].name] = found
        with file.open("a") as target:
            line = {"key": key, "photo": photo.name, "classifier": classifiers[k].name, "pair": found}
            target.write(json.dumps(line, ensure_ascii=False) + "\n")
        left = (time.perf_counter() - start) / done * (len(open_) - done) / 60
        print(
            f"{photo.name}, {classifiers[k].name}: {found['seconds']:.0f} s; about {left:.0f} minutes left", flush=True
        )
    every = [pairs[photo.name, classifiers[k].name] for _, photo, k in wanted]
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
        "timings": timings(photos, classifiers.values(), steps),
        "pairs": [{name: value for name, value in one.items() if name != "settings"} for one in every],
    }


def fingerprint(steps: int | None) -> str:
    """Of all that the results depend on: those of other code are not gone on from."""
    files = [*(paths.ROOT / "sdfido").rglob("*.py"), *(paths.ROOT / "sdfido").glob("_C*.so")]
    files += [Path(__file__).with_name(f"{name}.py") for name in ("__main__", "measures", "methods")]
    digest = hashlib.sha256(repr((steps, torch.__version__, torch.get_num_threads())).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=len(REPORTING), help="a trial with the first so many photos")
    parser.add_argument("--classifiers", default="0,1,2", help="a trial with these of EfficientNet-Lite, such as 0,1")
    parser.add_argument("--steps", type=int, help="a trial with so many steps of FIDO, and as much less of the others")
    parser.add_argument("--timings", action="store_true", help="take the times of the last whole run anew")
    arguments = parser.parse_args()
    if arguments.timings:
        results = json.loads(report.RESULTS.read_text())
        again = (models.load(name) for name in results["classifiers"])
        taken = timings(load_entries(REPORTING[:TIMED]), again, None)
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
