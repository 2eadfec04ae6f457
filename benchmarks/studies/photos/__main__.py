"""Real photos explained, and the maps measured against those of other methods.

    python benchmarks/photos/gallery.py

takes some minutes and writes benchmarks/results/photos.json, docs/photos.md, docs/photos.png and
docs/photos-methods.png. A trial with fewer photos or steps writes all of that to out/photos-trial instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from benchmarks.common import records, report
from benchmarks.common.measuring import machine
from benchmarks.common import baselines

import sdfido
from benchmarks.studies.photos import picture, report as page
from benchmarks.common.photos import ENTRIES, Photo, load
from sdfido import evaluate, models, objectives, reference
from sdfido.compat import fido_pytorch
from sdfido.evaluate import Curve
from sdfido.explanation import Explanation
from sdfido.files import replacing
from sdfido.judge import probability

SEEDS = (0, 1)
NUM_FRACTIONS = 21  # steps of 5 % of the pixels
KEPT, INFILLED = 6, 4  # those of 30 % and of 20 %
EXISTING_STEPS = 30  # of existing code
TRIAL = ROOT / "out/photos-trial"

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


def three(explanations: list[Explanation], prefix: str = "") -> Maps:
    return {f"{prefix}{n}": torch.cat([getattr(e, n) for e in explanations]) for n in ("ssr", "sdr", "joint")}


class Asked(nn.Module):
    """A classifier as existing FIDO code asks it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def log_odds(self, x: Tensor, *, c: Tensor) -> tuple[Tensor, Tensor]:
        logits, labels = self.model(x), c.expand(len(x))
        return probability(logits, labels), objectives.log_odds(logits, labels)


def existing(model: nn.Module, image: Tensor, target: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Maps [1, H, W] by standard sampling the way of existing FIDO code: its masks, weights, optimiser and rates."""
    torch.manual_seed(0)
    fido = fido_pytorch.FIDO.new(image, fido_pytorch.MaskConfig(optimized=False), device="cpu")
    fido.fit(image, target, Asked(model), fido_pytorch.FIDOConfig(iterations=iterations))
    return (1 - fido.ssr_dropout_rate.detach())[None], fido.sdr_dropout_rate.detach()[None]


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor) -> others.Maps:
    """Of the features that the classifier averages, those of its last convolution; positive part, bilinear."""
    method = LayerGradCam(model, model._avg_pooling)
    found = method.attribute(images, targets, attribute_to_layer_input=True, relu_attributions=True)
    return {"map": reference.upsample(found.detach()[:, 0], (images.shape[2], images.shape[3]))}


def occlusion(model: nn.Module, images: Tensor, targets: Tensor) -> others.Maps:
    return others.occlusion(model, images, targets, window=32, stride=16)


def rivals(model: nn.Module, images: Tensor, targets: Tensor, iterations: int, clock: Clock) -> Maps:
    """The maps of all other methods [N, H, W]."""
    found: dict[str, list[Tensor]] = {}
    attributions = {"integrated gradients": others.integrated_gradients, "occlusion": occlusion, "grad-cam": grad_cam}
    for image, target in zip(images, targets, strict=True):
        with clock.photo("existing"):
            ssr, sdr = existing(model, image, target, iterations)
        for name, one in (("ssr", ssr), ("sdr", sdr), ("joint", (ssr * sdr).sqrt())):
            found.setdefault(f"existing {name}", []).append(one)
        for name, method in attributions.items():
            with clock.photo(name):
                found.setdefault(name, []).append(method(model, image[None], target[None])["map"])
    return {name: torch.cat(parts) for name, parts in found.items()}


def measured(model: nn.Module, images: Tensor, targets: Tensor, importance: Tensor) -> dict[str, list[float]]:
    """All measures of one method's maps, photo by photo."""

    def curve(measure: Any) -> Curve:
        found: Curve = measure(
            model, images, importance, targets, infill=others.BLUR, num_fractions=NUM_FRACTIONS, max_batch=NUM_FRACTIONS
        )
        return found

    insertion, deletion = curve(evaluate.insertion), curve(evaluate.deletion)
    region = evaluate.top(importance, 0.2)
    values = {
        "insertion": insertion.area,
        "deletion": deletion.area,
        "kept_30": insertion.relative[:, KEPT].clamp(max=1),
        "left_20": deletion.relative[:, INFILLED],
        "border": evaluate.total_variation(region.float()),
        "pieces": evaluate.components(region),
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
    for name in page.METHODS:
        if name not in page.RIVALS:
            found[name] = {"variation": rounded(evaluate.total_variation(maps[name]))}
            if not name.endswith("joint"):
                found[name]["mask_variation"] = rounded(evaluate.total_variation(ends[name]))
    return found


def measure(photos: list[Photo], steps: int | None) -> tuple[page.Results, picture.Arrays]:
    """Everything: results for the file, maps and photos for the pictures."""
    start = time.perf_counter()
    classifier = models.load(models.DEMO)
    model, settings = classifier.model, {} if steps is None else {"steps": steps}
    images = torch.stack([classifier.preprocess(photo.image) for photo in photos])
    with torch.no_grad():
        targets = model(images).argmax(1)
    clock, runs = Clock(), []
    iterations = steps or EXISTING_STEPS
    for seed in SEEDS:
        runs.append(explain(sdfido.FIDO(model, infill=others.BLUR, seed=seed, **settings), images, targets))
        print(f"seed {seed}: {sum(e.seconds for e in runs[-1]):.0f} s", flush=True)
    own = runs[0]
    standard = explain(others.StandardFIDO(model, infill=others.BLUR, **settings), images, targets)
    maps = three(own) | three(standard, "standard ") | rivals(model, images, targets, iterations, clock)
    print(f"maps of all methods: {time.perf_counter() - start:.0f} s", flush=True)
    results_of = {name: measured(model, images, targets, importance) for name, importance in maps.items()}
    for name, values in variations(maps, own, standard).items():
        results_of[name] |= values
    seeds = {name: torch.stack([three(run)[name] for run in runs]) for name in three(own)}
    for name, several in seeds.items():
        results_of[name]["stability"] = rounded(evaluate.stability(several))
        for method, seconds in (
            (name, [e.seconds for e in own]),
            (f"standard {name}", [e.seconds for e in standard]),
            (f"existing {name}", clock.seconds["existing"]),
        ):
            results_of[method]["seconds"] = rounded(seconds, 2)
    for method in page.RIVALS:
        results_of[method]["seconds"] = rounded(clock.seconds[method], 2)
    results = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start),
        "num_fractions": NUM_FRACTIONS,
        "seeds": len(SEEDS),
        "iterations": iterations,
        "settings": own[0].settings,
        "photos": {p.name: about(p, e, classifier) for p, e in zip(photos, own, strict=True)},
        "methods": results_of,
    }
    pixels = classifier.normalization.pixels
    logits = torch.cat([e.logits for e in own])
    cut = reference.upsample((logits > 0).float(), (images.shape[2], images.shape[3]))
    kept = {"pixels": pixels(images), "infill": pixels(others.BLUR(images)), "cut ssr": cut[:, 0], "cut sdr": cut[:, 1]}
    return results, {name: tensor.numpy() for name, tensor in (kept | maps).items()}


def about(photo: Photo, explanation: Explanation, classifier: models.Classifier) -> dict[str, Any]:
    """What one photo's explanation says, and where the photo comes from."""
    names = ("prob_image", "prob_infill", "prob_ssr_binary", "area_ssr", "prob_sdr_binary", "area_sdr")
    return {
        "label": classifier.label(int(explanation.targets)),
        "target": int(explanation.targets),
        **{name: round(float(getattr(explanation, name)), 5) for name in names},
        "steps": int(explanation.steps),
        "seconds": round(explanation.seconds, 2),
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
    results, arrays = measure(load(arguments.photos), arguments.steps)
    file, folder, maps = page.RESULTS, page.PAGE.parent, picture.MAPS
    if trial:
        file, folder, maps = TRIAL / "photos.json", TRIAL, TRIAL / "maps.npz"
    for parent in (file.parent, folder, maps.parent):
        parent.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    with replacing(maps) as part, part.open("wb") as target:
        np.savez_compressed(target, **stored)
    results = report.record(file, results)
    (folder / page.PAGE.name).write_text(page.page(results))
    picture.draw(results, arrays, folder)
    print(f"\n{page.targets_table(results)}\n\n{page.methods_table(results)}\n\n{file}, {folder / page.PAGE.name}")


if __name__ == "__main__":
    main()
