"""Plants shortcuts in small classifiers of drawn camera-trap scenes, and asks whether an audit finds and names them.

    python -m benchmarks.studies.audit [--draws 10] [--seed 10] [--out FOLDER]

writes benchmarks/results/audit.json and docs/img/audit.webp. Each draw trains four classifiers: one on clean photos,
and one for each kind of shortcut; 48 photos of each are explained, and audited by their boxes, in the format of COCO
Camera Traps. A trial with other numbers (--draws, --seed) goes elsewhere (--out). ``python -m benchmarks.pages`` puts
the tables into docs/studies/audit.md.

Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.common import drawing, paths, records
from benchmarks.common.measuring import machine
from benchmarks.common.pairs import fingerprint
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from benchmarks.studies.audit import models, picture, report
from benchmarks.studies.audit.scenes import KINDS, SITES, SIZE, SPECIES, Draw, Kind, Scenes, draw
from sdfido import runs
from sdfido.evaluate.audit import Limits
from sdfido.methods.settings import FAST

DRAWS, TRAINING, AUDITED, TESTED = 10, 600, 48, 150
SEED = 10  # draws 0 to 9 and 100 to 103 were seen while flags and limits were chosen
WORK = paths.BUILD / "audit"  # models, photos and results of the draws; a study that was stopped goes on from them
TRAIN, AUDIT, TEST, SWAPPED = range(4)  # parts of a draw


def known(what: Draw, folder: Path) -> Results:
    """The numbers of a draw, from its folder if they were measured there with the same code, or measured there anew."""
    counts = (TRAINING, AUDITED, TESTED, FAST)
    key = fingerprint([*Path(__file__).parent.glob("*.py"), Path(drawing.__file__)], what, counts)
    file = folder / "row.json"
    if file.exists() and (found := records.read(file))["key"] == key:
        row: Results = found["row"]
        return row
    shutil.rmtree(folder, ignore_errors=True)
    row = audited(what, folder)
    records.write(file, {"key": key, "row": row})
    return row


def audited(what: Draw, folder: Path) -> Results:
    """The numbers of a classifier of a draw, trained, explained and audited in a folder."""
    model = models.train(draw(what, TRAINING, part=TRAIN), what.seed)
    scenes = draw(what, AUDITED, part=AUDIT)
    truth = _write(scenes, folder / "photos")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is old, and small
        spec = models.save(model, folder / "model.pt")
    explainer = runs.PhotoExplainer(spec, pictures=False, **FAST)
    items, store = runs.choose([folder / "photos"], folder / "results"), runs.Store(folder / "results")
    runs.Run(explainer, items, store, batch=16).execute()
    work = runs.Audit(folder / "results", [truth])
    work.measure()
    record = work.write()
    tested = {"accuracy": models.accuracy(model, draw(what, TESTED, part=TEST))}
    if what.kind != "clean":
        tested["swapped"] = models.accuracy(model, draw(what, TESTED, part=SWAPPED, swapped=True))
    rises = {each["name"]: each["background_rise"]["value"] for each in record["classes"]}
    return {
        "kind": what.kind,
        "seed": what.seed,
        "class": SPECIES[what.species] if what.kind != "clean" else None,
        "site": SITES[what.site] if what.kind == "site" else None,
        "place": what.place,
        **{name: digits(value) for name, value in tested.items()},
        "rises": {name: None if value is None else digits(value) for name, value in rises.items()},
        "flags": [{name: each[name] for name in ("kind", "class", "site", "place")} for each in record["flags"]],
        "lows": [each["estimate"]["low"] for each in record["flags"]],
    }


def _write(scenes: Scenes, folder: Path) -> Path:
    """The photos, in no sub-folders, and their boxes and sites in the format of COCO Camera Traps."""
    folder.mkdir(parents=True)
    photos: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for n, (x0, y0, x1, y1) in enumerate(scenes.boxes.tolist()):
        name = f"{n:03}.png"
        Image.fromarray(scenes.pixels[n].permute(1, 2, 0).numpy()).save(folder / name)
        photos.append({"id": n, "file_name": name, "width": SIZE, "height": SIZE, "location": SITES[scenes.sites[n]]})
        boxes.append({"id": n, "image_id": n, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    file = folder.parent / "truth.json"
    file.write_text(json.dumps({"images": photos, "annotations": boxes, "categories": [{"id": 1, "name": "bird"}]}))
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first draw")
    parser.add_argument("--out", type=Path, help="folder of both files; by default each goes to its place")
    arguments = parser.parse_args()
    file, shown = paths.placed(arguments.out, report.RESULTS, report.PICTURE)
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    kinds: tuple[Kind, ...] = ("clean", *KINDS)
    folder = WORK if arguments.out is None else arguments.out / "work"
    for seed in range(arguments.seed, arguments.seed + arguments.draws):
        for kind in kinds:
            rows.append(row := known(Draw(kind, seed), folder / f"{kind}-{seed}"))
            print(f"{time.process_time() - start:.0f} s: {kind} {seed}: {row}", flush=True)
    results = {
        "machine": machine(),
        "draws": arguments.draws,
        "seed": arguments.seed,
        "photos": {"training": TRAINING, "audited": AUDITED, "tested": TESTED},
        "limits": vars(Limits()),
        "settings": FAST,
        "rows": rows,
    }
    results = records.write(file, results)
    picture.draw(folder, arguments.seed, shown)
    print(report.summary(results))
    print(f"wrote {file} and {shown}")


if __name__ == "__main__":
    main()
