"""Tries settings of FIDO against its defaults: on photos, on drawn birds, and on evidence that was planted.

    python -m benchmarks.studies.ablation [TRIAL ...] [--photos 3] [--birds 12] [--json FILE]

writes benchmarks/results/ablation.json, in about ten minutes; run it with nothing else running. For a quick look, name
a few trials, fewer photos and birds, and another file (--json). ``python -m benchmarks.pages`` puts the table into
docs/studies/ablation.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

import sdfido
from benchmarks.common import classifiers, drawing, measuring, paths, records
from benchmarks.common.drawing import Drawings
from benchmarks.common.photos import TUNING, load_entries
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits, means
from benchmarks.studies.ablation import report
from benchmarks.studies.ablation.planted import Planted
from benchmarks.studies.ablation.trials import GROUPS, TRIALS, Settings
from benchmarks.studies.reliability import measures
from benchmarks.studies.reliability.methods import INFILL, Case, ChannelsLast, fido
from sdfido import evaluate, models

RESULTS = paths.RESULTS / "ablation.json"
PHOTOS = ("lion", "coffee", "turtle", "monarch")
COUNTS = range(1, len(PHOTOS) + 1)
SEEDS = (0, 1)  # of the photos
BIRDS_SEED = 7  # of drawings that no other study measures
BOXES = ((40, 40, 72, 72), (0, 0, 36, 48), (60, 10, 84, 100))
BLURRED: dict[str, measures.Filler] = {"blur": lambda image, keep: INFILL(image)}

Numbers = dict[str, float]


def cases(count: int) -> list[Case]:
    """The first photos and the classifier's answers for them."""
    classifier = models.load(models.DEMO)
    model = ChannelsLast(classifier.model.eval().requires_grad_(False).to(memory_format=torch.channels_last))
    known, found = {entry.name: entry for entry in TUNING}, []
    for photo in load_entries([known[name] for name in PHOTOS[:count]]):
        image = classifier.preprocess(photo.image)[None]
        with torch.no_grad():
            target = int(model(image).argmax())
        found.append(Case(model, image, classifier.normalization.pixels(image)[0], target))
    return found


def on_photo(settings: Settings, case: Case) -> Numbers:
    """The means over the seeds, and how far two of them agree."""
    own, rows, joint = float(case.confidences(case.image)), [], []
    for seed in SEEDS:
        start = time.perf_counter()
        found = fido(case.model.model, seed, **settings).explain(case.image, case.target)
        seconds = time.perf_counter() - start
        under_blur = measures.under_other_infills(case, found.ssr, found.sdr, BLURRED, own)
        rows.append(
            {
                "difference": measures.areas_under_curves(case, found.joint)["difference"],
                "kept": under_blur["kept"],
                "left": under_blur["left"],
                "area ssr": float(found.area_ssr),
                "area sdr": float(found.area_sdr),
                "seconds": seconds,
            }
        )
        joint.append(found.joint)
    return means(rows) | {f"seeds {name}": value for name, value in measures.agreement(joint[0], joint[1]).items()}


def on_birds(settings: Settings, model: nn.Module, birds: Drawings) -> float:
    """IoU of the joint map with what decides the species."""
    images = classifiers.NORMALIZATION.normalize(birds.pixels)
    joint = fido(model, 0, **settings).explain(images, birds.labels).joint
    return float(evaluate.intersection_over_union(joint, birds.truth).mean())


def on_planted(settings: Settings) -> float:
    """The lowest IoU of a map, cut at a half, with the planted box; the mean over the boxes."""
    rows = []
    for seed, box in enumerate(BOXES):
        image = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(seed))
        model = Planted(image[0], box)
        maps = fido(model, 0, **settings).explain(image, 0).maps.values()
        found = (evaluate.intersection_over_union(each, model.truth[None], threshold=0.5) for each in maps)
        rows.append(min(float(value) for value in found))
    return sum(rows) / len(rows)


def composites(settings: Settings) -> int:
    """Images that the classifier sees forward and backward, for one explanation: the price of a trial."""
    chosen = sdfido.Settings(**settings)
    return chosen.steps * 2 * chosen.repeats * chosen.num_samples


def run(names: Sequence[str], photos: list[Case], model: nn.Module, birds: Drawings) -> Results:
    """The trials of these names, one after another."""
    groups = {name: group for group, of_group in GROUPS.items() for name in of_group}
    start, trials = time.perf_counter(), {}
    if photos:
        fido(photos[0].model.model, 0, steps=2).explain(photos[0].image)  # warms up
    for done, name in enumerate(names, 1):
        settings = TRIALS[name]
        numbers = means([on_photo(settings, case) for case in photos])
        numbers |= {"birds": on_birds(settings, model, birds), "planted": on_planted(settings)}
        rounded = {"composites": composites(settings)} | {key: digits(value) for key, value in numbers.items()}
        trials[name] = {"group": groups[name], "settings": settings, "numbers": rounded}
        left = (time.perf_counter() - start) / done * (len(names) - done) / 60
        print(f"{name}: {report.line(rounded)}; about {left:.1f} minutes left", flush=True)
    return {
        "machine": measuring.machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start),
        "settings": defaults(),
        "photos": list(PHOTOS[: len(photos)]),
        "birds": len(birds.labels),
        "trials": trials,
    }


def defaults() -> Settings:
    """Those of sdfido, as plain values."""
    return sdfido.FIDO(nn.Identity(), infill=INFILL).describe()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(map(repr, TRIALS))}")
    parser.add_argument("--photos", type=int, default=3, choices=COUNTS, help=f"how many of {', '.join(PHOTOS)}")
    parser.add_argument("--birds", type=int, default=12, help="how many drawn birds")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - set(TRIALS):
        parser.error(f"trials must be of {', '.join(map(repr, TRIALS))}, got {', '.join(map(repr, unknown))}")
    strong = classifiers.load("strong").model.requires_grad_(False)
    of_species = [
        index for index in range(2 * arguments.birds) if index % len(drawing.SPECIES)
    ]  # 0 has nothing to find
    birds = drawing.birds(of_species[: arguments.birds], seed=BIRDS_SEED)
    results = run(arguments.trials or list(TRIALS), cases(arguments.photos), strong, birds)
    print(f"\n{report.trials_table(records.write(arguments.json, results))}\n\nwrote {arguments.json}")


if __name__ == "__main__":
    main()
