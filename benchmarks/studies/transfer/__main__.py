"""Asks whether relevance transfers between classifiers that differ in initialisation, task or pretraining data.

    python -m benchmarks.studies.transfer [--part birds|photos] [--images 140] [--seed 0] [--out FOLDER]

writes benchmarks/results/transfer.json, benchmarks/results/transfer_photos.json and docs/img/transfer.webp. The
classifiers are trained where they are missing. A trial with other numbers goes elsewhere (--out).
``python -m benchmarks.pages`` puts the tables into docs/studies/transfer.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.common import classifiers, records
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.studies.transfer import birds, photos, picture, report

IMAGES = 140


def conditions(start: float, **more: object) -> Results:
    used = round(time.process_time() - start)
    return {"machine": machine(), "threads": torch.get_num_threads(), "cpu_seconds": used, **more}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["birds", "photos"], help="one of both alone")
    parser.add_argument("--images", type=int, default=IMAGES, help="birds that are explained")
    parser.add_argument("--seed", type=int, default=classifiers.TEST_SEED, help="of the drawings")
    parser.add_argument("--out", type=Path, help="folder of all files; by default each goes to its place")
    arguments = parser.parse_args()
    files = {"birds": report.RESULTS, "photos": report.PHOTOS, "picture": report.PICTURE}
    if arguments.out:
        files = {name: arguments.out / file.name for name, file in files.items()}
    if arguments.part != "photos":
        start = time.process_time()
        result, maps, about = birds.matrix(arguments.images, arguments.seed)
        found = {"images": arguments.images, "seed": arguments.seed, "at": birds.AT, **about}
        found |= {"statements": birds.statements(result), "tables": birds.tables(result)}
        written = records.write(files["birds"], conditions(start, **found))
        picture.draw(birds.drawn(arguments.images, arguments.seed), maps, files["picture"])
        print(report.summary(written))
    if arguments.part != "birds":
        start = time.process_time()
        written = records.write(files["photos"], conditions(start, **photos.matrix()))
        print(report.photos_table(written))
    print("wrote", ", ".join(map(str, files.values())))


if __name__ == "__main__":
    main()
