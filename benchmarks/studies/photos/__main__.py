"""Explains real photos, and measures the maps against those of other methods.

    python -m benchmarks.studies.photos

takes some minutes and writes benchmarks/results/photos.json and the pictures in docs/img. A trial with fewer photos or
steps writes all of that to out/photos-trial instead. ``python -m benchmarks.pages`` puts the tables into
docs/studies/photos.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import attributions, paths, records
from benchmarks.common.attributions import BLUR
from benchmarks.common.existing import ScoredClassifier
from benchmarks.common.measuring import machine
from benchmarks.common.photos import ENTRIES, Photo, load
from benchmarks.common.records import Results
from benchmarks.common.variants import StandardFIDO
from benchmarks.studies.photos import picture, report
from sdfido import Explanation, evaluate, models
from sdfido.compat import fido_pytorch
from sdfido.files import replacing

SEEDS = (0, 1)
EXISTING_STEPS = 30  # of existing code
TRIAL = paths.OUT / "photos-trial"

Maps = dict[str, Tensor]


class Clock:
    """Seconds of each photo, by method."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def photo(self, method: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds.setdefault(method, []).append(time.perf_counter() - start)


def explain(explainer: sdfido.FIDO, images: Tensor, targets: Tensor) -> list[Explanation]:
    """Photo by photo, as each would be alone."""
    return [explainer.explain(image, target[None]) for image, target in zip(images, targets, strict=True)]


def maps_of(explanations: list[Explanation], prefix: str = "") -> Maps:
    return {f"{prefix}{name}": torch.cat([e[name] for e in explanations]) for name in explanations[0].maps}


def existing(model: nn.Module, image: Tensor, target: Tensor, iterations: int) -> Maps:
    """Maps [1, H, W] by standard sampling the way of existing FIDO code: its masks, weights, optimiser and rates."""
    torch.manual_seed(0)
    fido = fido_pytorch.FIDO.new(image, fido_pytorch.MaskConfig(optimized=False), device="cpu")
    fido.fit(image, target, ScoredClassifier(model), fido_pytorch.FIDOConfig(iterations=iterations))
    rates = {"ssr": 1 - fido.ssr_dropout_rate, "sdr": fido.sdr_dropout_rate, "joint": fido.joint_dropout_rate}
    return {name: rate.detach()[None] for name, rate in rates.items()}


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Of the features that the classifier averages, those of its last convolution."""
    return attributions.grad_cam(model, images, targets, layer=model._avg_pooling, of_input=True)


def occlusion(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    return attributions.occlusion(model, images, targets, window=32, stride=16)


def maps_of_others(model: nn.Module, images: Tensor, targets: Tensor, iterations: int, clock: Clock) -> Maps:
    """The maps [N, H, W] of existing FIDO and of the attribution methods."""
    found: dict[str, list[Tensor]] = {}
    methods: dict[str, attributions.Method] = {
        "integrated gradients": attributions.integrated_gradients,
        "occlusion": occlusion,
        "grad-cam": grad_cam,
    }
    for image, target in zip(images, targets, strict=True):
        with clock.photo("existing"):
            maps = existing(model, image, target, iterations)
        for name, one in maps.items():
            found.setdefault(f"existing {name}", []).append(one)
        for name, method in methods.items():
            with clock.photo(name):
                found.setdefault(name, []).append(method(model, image[None], target[None])["map"])
    return {name: torch.cat(parts) for name, parts in found.items()}


def measured(probe: evaluate.Probe, importance: Tensor) -> dict[str, list[float]]:
    """All measures of one method's maps, photo by photo."""
    numbers = evaluate.measure(importance, probe).numbers
    values = {
        "insertion": numbers["insertion"],
        "deletion": numbers["deletion"],
        "kept_30": numbers["sufficiency"].clamp(max=1),
        "left_20": numbers["necessity"],
        "border": evaluate.total_variation(evaluate.top(importance, evaluate.TOP).float()),
        "pieces": numbers["components"],
    }
    return {name: rounded(value) for name, value in values.items()}


def rounded(values: Iterable[float | Tensor], digits: int = 5) -> list[float]:
    return [round(float(value), digits) for value in values]


def variations(maps: Maps, own: list[Explanation], standard: list[Explanation]) -> dict[str, dict[str, list[float]]]:
    """Total variation of FIDO's maps, and of the masks that the optimisation ends with, by method."""
    found: dict[str, dict[str, list[float]]] = {}
    ends = dict(maps)  # existing code has no other maps than its masks
    for prefix, explanations in (("", own), ("standard ", standard)):
        ends[f"{prefix}ssr"], ends[f"{prefix}sdr"] = torch.cat([e.masks for e in explanations]).unbind(1)
    for name in report.METHODS:
        if name not in report.ATTRIBUTIONS:
            found[name] = {"variation": rounded(evaluate.total_variation(maps[name]))}
            if not name.endswith("joint"):
                found[name]["mask_variation"] = rounded(evaluate.total_variation(ends[name]))
    return found


def run(photos: list[Photo], steps: int | None) -> tuple[Results, picture.Arrays]:
    """Everything: results for the file, maps and photos for the pictures."""
    start = time.perf_counter()
    classifier = models.load(models.DEMO)
    model, settings = classifier.model, {} if steps is None else {"steps": steps}
    images = torch.stack([classifier.preprocess(photo.image) for photo in photos])
    probe = evaluate.Probe(model, images, infill=BLUR)
    targets = probe.targets
    clock, runs = Clock(), []
    iterations = steps or EXISTING_STEPS
    for seed in SEEDS:
        runs.append(explain(sdfido.FIDO(model, infill=BLUR, seed=seed, **settings), images, targets))
        print(f"seed {seed}: {sum(e.seconds or 0 for e in runs[-1]):.0f} s", flush=True)
    own = runs[0]
    standard = explain(StandardFIDO(model, infill=BLUR, **settings), images, targets)
    others = maps_of_others(model, images, targets, iterations, clock)
    maps = maps_of(own) | maps_of(standard, "standard ") | others
    print(f"maps of all methods: {time.perf_counter() - start:.0f} s", flush=True)
    results_of = {name: measured(probe, importance) for name, importance in maps.items()}
    for name, values in variations(maps, own, standard).items():
        results_of[name] |= values
    for name in own[0].maps:
        several = torch.stack([maps_of(run)[name] for run in runs])
        results_of[name]["stability"] = rounded(evaluate.stability(several))
        for method, seconds in (
            (name, [e.seconds or 0.0 for e in own]),
            (f"standard {name}", [e.seconds or 0.0 for e in standard]),
            (f"existing {name}", clock.seconds["existing"]),
        ):
            results_of[method]["seconds"] = rounded(seconds, 2)
    for method in report.ATTRIBUTIONS:
        results_of[method]["seconds"] = rounded(clock.seconds[method], 2)
    results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start),
        "num_fractions": len(probe.keep(maps["ssr"]).fractions),
        "seeds": len(SEEDS),
        "iterations": iterations,
        "settings": own[0].settings,
        "photos": {p.name: about(p, e, classifier) for p, e in zip(photos, own, strict=True)},
        "methods": results_of,
    }
    pixels = classifier.normalization.pixels
    cut = torch.cat([e.binary_masks for e in own])
    shown = {"pixels": pixels(images), "infill": pixels(probe.infill), "cut ssr": cut[:, 0], "cut sdr": cut[:, 1]}
    return results, {name: tensor.numpy() for name, tensor in (shown | maps).items()}


def about(photo: Photo, explanation: Explanation, classifier: models.Classifier) -> dict[str, Any]:
    """What one photo's explanation says, and where the photo comes from."""
    names = ("prob_image", "prob_infill", "prob_ssr_binary", "area_ssr", "prob_sdr_binary", "area_sdr")
    return {
        "label": classifier.label(int(explanation.targets)),
        "target": int(explanation.targets),
        **{name: round(float(getattr(explanation, name)), 5) for name in names},
        "steps": int(explanation.steps),
        "seconds": round(explanation.seconds or 0.0, 2),
        "package": f"{photo.source.package} {photo.source.version}",
        "path": photo.source.path,
        "licence": photo.licence,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=len(ENTRIES), help="a trial with the first so many photos")
    parser.add_argument("--steps", type=int, help="a trial with so many optimisation steps")
    arguments = parser.parse_args()
    trial = arguments.photos != len(ENTRIES) or arguments.steps is not None
    results, arrays = run(load(arguments.photos), arguments.steps)
    file, folder, maps = report.RESULTS, report.PICTURES, picture.MAPS
    if trial:
        file, folder, maps = TRIAL / file.name, TRIAL, TRIAL / maps.name
    maps.parent.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    with replacing(maps) as part, part.open("wb") as target:
        np.savez_compressed(target, **stored)
    results = records.write(file, results)
    picture.draw(results, arrays, folder)
    print(f"\n{report.targets_table(results)}\n\n{report.methods_table(results)}\n\nwrote {file}")


if __name__ == "__main__":
    main()
