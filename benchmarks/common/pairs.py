"""Pairs of a photo and a classifier, measured one after another; a study that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import paths
from benchmarks.common.photos import Photo
from benchmarks.common.records import Results
from benchmarks.common.statistics import digits
from sdfido.files import replacing
from sdfido.models import Classifier


def fingerprint(files: Iterable[Path], *about: object) -> str:
    """Of sdfido, these files and what else the results depend on: those of other code are not gone on from."""
    every = [*(paths.ROOT / "sdfido").rglob("*.py"), *(paths.ROOT / "sdfido").glob("_C*.so"), *files]
    digest = hashlib.sha256(repr((*about, torch.__version__, torch.get_num_threads())).encode())
    for file in sorted(every):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def measured(
    photos: Sequence[Photo],
    classifiers: Mapping[int, Classifier],
    file: Path,
    key: str,
    measure: Callable[[int, int], Results],
) -> list[Results]:
    """The results of all pairs, photo by photo; those that the file has under this key are taken from there.

    Args:
        photos, classifiers: all of them are paired.
        file: one line of JSON for each pair; new ones are appended.
        key: the fingerprint of what the results depend on.
        measure: from the index of a photo and the key of a classifier to results, with ``seconds``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    found = {(one["photo"], one["classifier"]): one["pair"] for one in known if one["key"] == key}
    wanted = {(photo.name, classifiers[k].name): (i, k) for i, photo in enumerate(photos) for k in classifiers}
    missing = {names: place for names, place in wanted.items() if names not in found}
    start = time.perf_counter()
    print(f"{len(wanted)} pairs, {len(wanted) - len(missing)} of them known from {file}", flush=True)
    for done, (names, place) in enumerate(missing.items(), 1):
        found[names] = measure(*place)
        line = {"key": key, "photo": names[0], "classifier": names[1], "pair": found[names]}
        with file.open("a") as target:
            target.write(json.dumps(line, ensure_ascii=False) + "\n")
        left = (time.perf_counter() - start) / done * (len(missing) - done) / 60
        print(f"{', '.join(names)}: {found[names]['seconds']:.0f} s; about {left:.0f} minutes left", flush=True)
    return [found[names] for names in wanted]


def timings(
    photos: Sequence[Photo], classifiers: Iterable[Classifier], seconds: Callable[[Photo, Classifier], dict[str, float]]
) -> list[Results]:
    """Seconds of each method by name, for all photos and classifiers; each classifier warms up on the first photo."""
    found: list[Results] = []
    for classifier in classifiers:
        for place, photo in enumerate([photos[0], *photos]):
            taken = {name: digits(value) for name, value in seconds(photo, classifier).items()}
            if place:
                found.append({"photo": photo.name, "classifier": classifier.name, "seconds": taken})
                print(f"timed {photo.name}, {classifier.name}: FIDO takes {taken['FIDO']:.1f} s", flush=True)
    return found


def store(file: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Arrays for a picture, in half precision; the file appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    with replacing(file) as part, part.open("wb") as target:
        np.savez_compressed(target, **halves)
