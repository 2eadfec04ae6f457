"""Runs over folders of photos and what is made of their results, for generated calls.

Each call gets a folder of its own, with photos, results and a truth, as its working folder. It may leave nothing
half-written in it, and where it is refused, all is to be as it was.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdfido import exports, runs
from sdfido.evaluate import audit
from sdfido.runs import layout
from tests.fuzz.objects import Arguments, Function, Holds, Right, anything, classifier

_MODEL = "tests.fuzz.objects:classifier"
_PHOTOS = {"a/one": (200, 90, 0), "b/two": (0, 60, 220)}


@functools.cache
def explainer() -> runs.PhotoExplainer:
    return runs.PhotoExplainer(_MODEL, infill="zeros", steps=3, mask_size=4, num_samples=1, pictures=False)


def both(out: str) -> list[runs.Item]:
    """The two photos, with results in a folder."""
    return [runs.Item(Path("photos", f"{name}.png"), Path(out, name)) for name in _PHOTOS]


@functools.cache
def made() -> Path:
    """A folder with two photos, their results in ``out``, and masks of what they show in ``truth``."""
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name, colour in _PHOTOS.items():
        for folder in ("photos", "truth"):
            (place / folder / name).parent.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(40, 80, (12, 10, 3), dtype=np.uint8)
        pixels[3:9, 2:8] = colour
        Image.fromarray(pixels).save(place / "photos" / f"{name}.png")
        mask = np.zeros((12, 10), np.uint8)
        mask[3:9, 2:8] = 255
        Image.fromarray(mask).save(place / "truth" / f"{name}.png")
    (place / "sites.csv").write_text("photo,site\na/one.png,river\nb/two.png,hill\n")
    (place / "labels.csv").write_text("photo,label\na/one.png,a\nb/two.png,b\n")
    _inside(place, lambda: runs.Run(explainer(), both("out"), runs.Store("out")).execute())
    return place


def _inside(place: Path, call: Callable[[], Any]) -> Any:
    before = Path.cwd()
    os.chdir(place)
    try:
        return call()
    finally:
        os.chdir(before)


def contents(place: Path) -> dict[str, bytes | None]:
    """Everything in a folder, by name; None for a folder."""
    paths = sorted(place.rglob("*"))
    return {str(path.relative_to(place)): path.read_bytes() if path.is_file() else None for path in paths}


def _among(
    call: Callable[..., Any], right: Right, names: str = "", holds: Holds = anything, *, refuses: bool = False
) -> Function:
    """A call in a folder as ``made`` makes it."""

    def called(**given: Any) -> Any:
        with tempfile.TemporaryDirectory() as place:
            here = Path(shutil.copytree(made(), Path(place, "here")))
            before = contents(here)
            try:
                result = _inside(here, lambda: call(**given))
            except Exception:
                after = contents(here)
                changed = sorted(name for name in before | after if before.get(name, 0) != after.get(name, 0))
                if changed:
                    raise AssertionError(f"refused, and {', '.join(changed)} changed") from None
                raise
            hidden = [path.name for path in here.rglob(".*") if path.name != layout.AUDIT_ROWS]
            if hidden:
                raise AssertionError(f"{', '.join(hidden)} left behind")
            return result

    return Function(called, right, holds, names, refuses)


def _run(explainer: Any, items: Any, store: Any, batch: Any, again: Any, executor: Any, on_event: Any) -> Any:
    items = both("new") if items is None else items
    outcome = runs.Run(explainer, items, store, batch=batch, again=again).execute(executor, on_event)
    maps = [runs.Result(folder, folder, about).load(classifier()) for folder, about in runs.Store("new").find()]
    return outcome.photos, outcome.explained, outcome.failed, [each.ssr for each in maps]


def _audit(on_event: Any, **given: Any) -> Any:
    made = runs.Audit(**given)
    made.measure(on_event)
    record = made.write()
    return [record[name] for name in ("counts", "classes", "sites", "worst")]


def _gallery(on_event: Any, **given: Any) -> Any:
    made = runs.Gallery(**given)
    made.make(on_event)
    made.write()
    return len(made), made.classes


def _report(on_event: Any, to: Any, **given: Any) -> Any:
    made = runs.Report(**given)
    return made.complete(on_event), made.write(to).name


def _evaluation(on_event: Any, name: Any, **given: Any) -> Any:
    made = runs.Evaluation(**given)
    made.measure(on_event)
    pairs = made.each_with_each(name)
    made.write()
    record = made.record()
    return record["runs"], record.get("rank_correlation"), pairs


def _truth(**given: Any) -> Any:
    results = [runs.Result(folder, folder.relative_to("out"), about) for folder, about in runs.Store("out").find()]
    truth = runs.Truth(results=results, **given)
    return truth.knows(results[0]), truth.site(results[0])


def _store(out: Any, needed: Any, on_damaged: Any, folder: Any, items: Any) -> Any:
    store = runs.Store(out)
    items = both("out") if items is None else items
    store.check(items)
    store.clean(items)
    found = list(store.find(needed, on_damaged))
    store.write_index(on_damaged=on_damaged)
    return (
        len(found),
        store.read(folder, needed) is None,
        store.has_index(items),
        len(store.told(on_damaged=on_damaged)),
    )


def _callback(rng: random.Random) -> Any:
    return rng.choice((None, lambda *event: None))


def _of_results(rng: random.Random) -> Arguments:
    return {"photos": rng.choice((None, "photos")), "device": "cpu", "on_event": _callback(rng)}


FOLDERS: dict[str, Function] = {
    "runs.Run": _among(
        _run,
        lambda rng: {
            **{"explainer": explainer(), "items": None, "store": runs.Store("new"), "batch": rng.choice((1, 2))},
            **{"again": False, "executor": rng.choice((None, runs.Serial(0))), "on_event": _callback(rng)},
        },
    ),
    "runs.Item": _among(
        lambda **given: runs.Run(explainer(), [runs.Item(**given)], runs.Store("new")).execute().failed,
        lambda rng: {
            **{"path": rng.choice(("photos/a/one.png", Path("photos/b/two.png"), Path("none.png")))},
            **{"folder": Path("new/x"), "again": rng.choice((True, False))},
        },
    ),
    "runs.Audit": _among(
        _audit,
        lambda rng: (
            _of_results(rng)
            | {
                **{"out": "out", "truth": ["truth"], "sites": rng.choice((None, "folders", "sites.csv"))},
                **{"confidence": 0.2, "categories": None, "limits": audit.Limits(resamples=20), "max_batch": 3},
            }
        ),
    ),
    "runs.Gallery": _among(
        _gallery,
        lambda rng: _of_results(rng) | {"results": "out", "out": rng.choice((None, "gallery")), "most": 3, "shown": 2},
    ),
    "runs.Report": _among(
        _report,
        lambda rng: (
            _of_results(rng)
            | {
                **{
                    "out": "out",
                    "labels": rng.choice((None, "folders", "labels.csv")),
                    "to": rng.choice((None, "copy")),
                },
            }
        ),
    ),
    "runs.Evaluation": _among(
        _evaluation,
        lambda rng: (
            _of_results(rng)
            | {
                **{
                    "outs": rng.choice((["out"], ["out", Path("out")])),
                    "truth": rng.choice((None, "truth", ["truth"])),
                },
                **{"confidence": 0.2, "categories": None, "max_batch": 3, "name": "ssr"},
            }
        ),
    ),
    "runs.Truth": _among(
        _truth,
        lambda rng: {"paths": ["truth"], "confidence": 0.2, "categories": ["animal"]},
        "truth",
    ),
    "runs.Annotations": _among(
        lambda folder, photo, name: runs.Annotations(folder).find(photo, name, classifier()),
        lambda rng: {"folder": "truth", "photo": Image.new("RGB", (10, 12)), "name": "a/one"},
        "truth",
    ),
    "runs.Store": _among(
        _store,
        lambda rng: {
            **{"out": "out", "needed": ("summary.json",), "on_damaged": _callback(rng), "folder": Path("out/a/one")},
            "items": None,
        },
    ),
    "runs.Serial": Function(runs.Serial, lambda rng: {"writers": rng.choice((None, 0, 2))}, anything),
    "Export": _among(
        lambda on_event, **given: exports.Export(**given).write(on_event),
        lambda rng: {
            **{
                "results": "out",
                "format": rng.choice(("coco", "png", "safetensors")),
                "out": "export",
                "maps": ("ssr",),
            },
            **{"photos": rng.choice((None, "photos")), "again": False, "on_event": _callback(rng)},
        },
    ),
}
