"""Asks whether the groups of `sdfido gallery` are the parts of drawn birds whose species show in two parts.

    python -m benchmarks.studies.gallery [--images 36] [--seeds 20 21 22] [--out FOLDER]

writes benchmarks/results/gallery.json and docs/img/gallery.webp. A trial with other numbers goes elsewhere (--out).
``python -m benchmarks.pages`` puts the tables into docs/studies/gallery.md.

Stopped and started again, it goes on with the regions that were found.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import paths, records, redundant
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits, interval
from benchmarks.studies.gallery import groups, picture, report
from benchmarks.studies.gallery.groups import METHODS, WAYS, Drawn
from benchmarks.studies.gallery.picture import Group
from sdfido.evaluate import parts
from sdfido.models import Classifier

IMAGES = 36
SEEDS = (20, 21, 22)  # what the gallery does was chosen on seed 7, and tried on seed 8
WORK = paths.BUILD / "gallery"  # the regions of each seed
SHOWN = "regions"  # the method of the picture and of the table of groups, which are of the first seed


def galleries(model: Classifier, drawn: Drawn, found: Tensor) -> list[Results]:
    """Of each species what its pieces are on, and the measures of all ways to group them."""
    images = model.normalization.normalize(drawn.birds.pixels)
    rows = []
    for species in range(1, len(redundant.SPECIES)):
        taken = {whole: groups.pieces(found, drawn, species, whole=whole) for whole in (False, True)}
        truth = {whole: groups.where(of, drawn) for whole, of in taken.items()}
        row: Results = {
            "on": torch.bincount(truth[False], minlength=len(groups.LABELS)).tolist(),
            "several": {
                name: float(groups.several(taken[whole], drawn).double().mean())
                for name, whole in (("regions", True), ("pieces", False))
            },
        }
        for way, (whole, features) in WAYS.items():
            of = taken[whole]
            clusters = parts.clusters(features(model.model, images, drawn.birds, of))
            row[way] = groups.measured(clusters, truth[whole], drawn.facing[of.birds])
            if way == "gallery":
                crops = groups.crops_of(drawn.birds, of)
                row["groups"] = [
                    Group([crops[i] for i in each], torch.bincount(truth[False][list(each)], minlength=7).tolist())
                    for each in clusters.members
                ]
        rows.append(row)
    return rows


def summed(rows: Sequence[Results], birds: int) -> Results:
    """Means over galleries, each of one species of one seed, with intervals."""
    on = torch.tensor([row["on"] for row in rows])
    ways: Results = {
        way: {name: interval(torch.tensor([row[way][name] for row in rows])) for name in rows[0][way]} for way in WAYS
    }
    ahead = torch.tensor([row["gallery"]["rand"] - row["pixels"]["rand"] for row in rows])
    return {
        "pieces": digits(float(on.sum()) / birds),
        "on": {name: digits(float(share)) for name, share in zip(groups.LABELS, on.sum(0) / on.sum(), strict=True)},
        "several": {
            name: interval(torch.tensor([row["several"][name] for row in rows])) for name in rows[0]["several"]
        },
        "ahead": interval(ahead),
        "ways": ways,
        "groups": [int(row["gallery"]["groups"]) for row in rows],
    }


def run(count: int, seeds: Sequence[int], folder: Path = WORK, **settings: Any) -> tuple[Results, list[list[Group]]]:
    """Results, and the groups of each species that the picture shows."""
    began, model = time.process_time(), redundant.load()
    rows: dict[str, list[Results]] = {method: [] for method in METHODS}
    for seed in seeds:
        drawn = groups.draw(model, count, seed)
        for method in METHODS:
            rows[method] += galleries(model, drawn, groups.regions(method, model, drawn, folder, **settings))
            print(f"seed {seed}, {method}, {time.process_time() - began:.0f} s", flush=True)
    shown: list[list[Group]] = [row["groups"] for row in rows[SHOWN][: len(redundant.PAIRS)]]
    birds = count * len(redundant.PAIRS) * len(seeds)
    results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "images": count,
        "seeds": list(seeds),
        "methods": {method: summed(each, birds) for method, each in rows.items()},
        "groups": {name: [group.on for group in each] for name, each in zip(redundant.SPECIES[1:], shown, strict=True)},
    }
    return results, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="birds of each species and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the drawings")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    file, image = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    results, shown = run(arguments.images, arguments.seeds)
    results = records.write(file, results)
    picture.draw(shown, image)
    print(report.summary(results))
    print(f"wrote {file} and {image}")


if __name__ == "__main__":
    main()
