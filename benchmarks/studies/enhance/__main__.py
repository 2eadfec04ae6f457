"""Whether a second look makes a classifier better: on drawn birds, where the truth is known, and on real photos.

    python -m benchmarks.studies.enhance

takes some minutes (more where the classifier has to be trained first) and writes benchmarks/results/enhance.json and
the pictures in docs/img. A trial with fewer images writes to out/enhance-trial instead. ``python -m benchmarks.pages``
puts the tables into docs/studies/enhance.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sdfido
from benchmarks.common import attributions, classifiers, drawing, paths, photos, records
from benchmarks.common.attributions import BLUR
from benchmarks.common.drawing import Drawings
from benchmarks.common.measuring import machine
from benchmarks.common.records import Results
from benchmarks.common.variants import PLAIN
from benchmarks.studies.enhance import picture, report
from benchmarks.studies.enhance.paired import change
from sdfido import Enhancement, Explanation, enhance, models

TRIAL = paths.OUT / "enhance-trial"
TEST, VALIDATION, PHOTOS = 504, 98, 6
VALIDATION_SEED = 2  # of drawings; that of training is 1, that of tests 0
STEPS = 60  # of the optimisation
FEWER = PLAIN | {"steps": STEPS}
GRID = list(itertools.product((0.2, 0.35, 0.5), (32, 48, 64, 80)))  # thresholds; least sides of boxes, of 112 pixels
PADDING = 5
CHUNK = 56  # drawings at once
EXACT: dict[str, Any] = {"smoothing": 0, "padding": 0, "min_size": 1, "square": False}  # the box is the map's region


@dataclass(frozen=True)
class Sample:
    """Images as the classifier is fed them, what they were shrunk from, and what is known of them."""

    images: Tensor  # [N, 3, 112, 112], normalised
    infill: Tensor  # of the images [N, 3, 112, 112]
    originals: Tensor  # [N, 3, H, W], normalised
    labels: Tensor
    truth: Tensor  # of the images [N, 112, 112], bool
    explanation: Explanation
    grad_cam: Tensor  # [N, 112, 112], 0..1

    def map(self, name: str) -> Tensor:
        if name == "part":
            return self.truth.float()
        return self.grad_cam if name == "grad-cam" else self.explanation[name]


def sample(model: nn.Sequential, kind: str, count: int, seed: int) -> Sample:
    """Drawings of a kind, explained for the classes that the model sees in them."""
    parts: list[dict[str, Tensor]] = []
    explanations: list[Explanation] = []
    start = time.perf_counter()
    for begin in range(0, count, CHUNK):
        indices = range(begin, min(count, begin + CHUNK))
        drawn: Drawings = (drawing.scenes if kind == "scenes" else drawing.birds)(indices, seed=seed)
        pixels, truth = drawn.pixels, drawn.truth
        if kind == "scenes":
            pixels, truth = classifiers.thumbnails(pixels), F.max_pool2d(truth[:, None].float(), 2)[:, 0] > 0
        images = classifiers.NORMALIZATION.normalize(pixels)
        explanation = sdfido.FIDO(model, infill=BLUR, max_batch=32, **FEWER).explain(images, streams=list(indices))
        heat = attributions.grad_cam(model, images, explanation.targets)["map"]
        parts.append(
            {
                "images": images,
                "infill": BLUR(images),
                "originals": classifiers.NORMALIZATION.normalize(drawn.pixels),
                "labels": drawn.labels,
                "truth": truth,
                "grad_cam": heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12),
            }
        )
        explanations.append(explanation)
        print(f"{kind} of seed {seed}: {indices.stop} of {count}, {time.perf_counter() - start:.0f} s", flush=True)
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Sample(**joined, explanation=Explanation.stack(explanations))


def look(model: nn.Module, given: Sample, method: str, options: dict[str, Any], *, detail: bool) -> Enhancement:
    """The second look that a method takes; with detail, at what the images were shrunk from."""
    name, _, blend = method.partition(" ")
    originals = given.originals if detail else None
    settings = {"blend": blend or "original", "infill": given.infill, "padding": PADDING} | options
    return enhance(model, given.images, given.map(name), originals=originals, **settings)


def choose(model: nn.Module, given: Sample, method: str) -> tuple[float, dict[str, Any]]:
    """The threshold and the least side with the highest mean log-probability of the true class, and that."""

    def quality(options: dict[str, Any]) -> float:
        probabilities = look(model, given, method, options, detail=True).probabilities
        return float(probabilities.gather(1, given.labels[:, None]).clamp(min=1e-6).log().mean())

    grid = [{"threshold": threshold, "min_size": side} for threshold, side in GRID]
    return max(((quality(options), options) for options in grid), key=lambda pair: pair[0])


def blind(model: nn.Module, given: Sample, sides: Tensor, where: str, *, detail: bool) -> Enhancement:
    """A second look at a square of the same side [N], in the middle of the image or anywhere."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.zeros_like(given.truth, dtype=torch.float32)
    size = maps.shape[-1]
    for one, side in zip(maps, sides.tolist(), strict=True):
        room = size - side
        place = [room // 2] * 2 if where == "centre" else torch.randint(room + 1, (2,), generator=generator).tolist()
        one[place[0] : place[0] + side, place[1] : place[1] + side] = 1
    originals = given.originals if detail else None
    return enhance(model, given.images, maps, originals=originals, blend="original", **EXACT)


def measured(given: Sample, result: Enhancement, options: dict[str, Any], *, detail: bool) -> dict[str, Any]:
    """What a method made of the test images; boxes are counted in pixels of the images."""
    first = result.predictions_image == given.labels
    boxes = result.boxes * (given.images.shape[-1] / given.originals.shape[-1] if detail else 1.0)
    return {
        **options,
        "found": round(float(result.found.float().mean()), 4),
        "agrees": round(float((result.predictions_crop == result.predictions_image).float().mean()), 4),
        "side": round(float((boxes[:, 2] - boxes[:, 0]).mean()), 2),
        "inside_right": inside(given, boxes, first),
        "inside_wrong": inside(given, boxes, ~first),
        "averaged": change(first, result.predictions == given.labels),
        "alone": change(first, result.predictions_crop == given.labels),
    }


def inside(given: Sample, boxes: Tensor, chosen: Tensor) -> float | None:
    """Mean share of the part that is in the box, over chosen images with a part, if there are any."""
    size = given.truth.shape[-1]
    at = torch.arange(size) + 0.5
    y0, x0, y1, x1 = (edge[:, None] for edge in boxes.unbind(1))
    within = ((at >= y0) & (at < y1))[:, :, None] & ((at >= x0) & (at < x1))[:, None, :]
    area = given.truth.flatten(1).sum(1)
    share = (given.truth & within).flatten(1).sum(1) / area.clamp(min=1)
    counted = share[chosen & (area > 0)]
    return round(float(counted.mean()), 4) if len(counted) else None


def compare(model: nn.Sequential, validation: Sample, test: Sample, details: Sequence[bool]) -> list[dict[str, Any]]:
    """All methods on the test images, with and without detail, by what is best on the validation images with it."""
    chosen = {method: choose(model, validation, method) for method in report.MAPS}
    best = max(report.OWN, key=lambda method: chosen[method][0])
    print(f"chosen: {best}, {chosen}", flush=True)
    squares = look(model, test, best, chosen[best][1], detail=False).boxes
    arms = []
    for detail in details:
        of, right = {}, {}
        for method, (_, options) in chosen.items():
            result = look(model, test, method, options, detail=detail)
            of[method], right[method] = measured(test, result, options, detail=detail), right_ones(test, result)
        for where in report.BLIND:
            result = blind(model, test, squares[:, 2] - squares[:, 0], where, detail=detail)
            of[where], right[where] = measured(test, result, {}, detail=detail), right_ones(test, result)
        arms.append(
            {
                "images": len(test.labels),
                "before": round(float((result.predictions_image == test.labels).float().mean()), 5),
                "best": best,
                "methods": of,
                "ahead": {name: change(right[name], right[best]) for name in report.OTHERS},
            }
        )
    return arms


def right_ones(given: Sample, result: Enhancement) -> Tensor:
    """Which images the average of both looks has right [N], bool."""
    return result.predictions == given.labels


@torch.no_grad()
def whole(model: nn.Sequential, test: Sample) -> dict[str, Any]:
    """What the same network says of the whole original in its full size, which it can be fed as it ends in pooling."""
    first, second = (
        torch.cat([model(part).softmax(1) for part in given.split(CHUNK)]) for given in (test.images, test.originals)
    )
    right = first.argmax(1) == test.labels
    return {
        "averaged": change(right, (first + second).argmax(1) == test.labels),
        "alone": change(right, second.argmax(1) == test.labels),
    }


def look_at_photos(count: int) -> tuple[list[dict[str, Any]], list[picture.Example]]:
    """First and second predictions of photos, cropped out of all the pixels that they have."""
    classifier = models.load(models.DEMO)
    explainer = sdfido.FIDO(classifier.model, infill=BLUR, **FEWER)
    rows, shown = [], []
    for photo in photos.load(count):
        image = classifier.preprocess(photo.image)
        side = max(classifier.size[0], round(classifier.crop * min(photo.image.size)))
        original = replace(classifier, size=(side, side)).preprocess(photo.image)
        explanation = explainer.explain(image)
        row: dict[str, Any] = {"name": photo.name, "side": side}
        for blend in ("original", "infill"):
            result = enhance(classifier.model, image, explanation, originals=original[None], blend=blend)
            looks = {
                "first": result.logits_image.softmax(1),
                "second": result.logits_crop.softmax(1),
                "both": result.probabilities,
            }
            row["box"] = result.boxes[0].tolist()
            row[blend] = {name: _says(classifier, probabilities[0]) for name, probabilities in looks.items()}
            if blend == "original":
                shown.append(picture.photo(photo.name, original, result, classifier))
        rows.append(row)
        print(f"photo {photo.name}: {row['original']}", flush=True)
    return rows, shown


def _says(classifier: models.Classifier, probabilities: Tensor) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {"label": classifier.label(best), "probability": round(float(probabilities[best]), 5)}


def run(tests: int, validations: int, photo_count: int) -> tuple[Results, dict[str, list[picture.Example]]]:
    load, start = os.getloadavg()[0], time.perf_counter()
    model = classifiers.load("weak").model
    assert isinstance(model, nn.Sequential)
    trained = time.perf_counter()
    print(f"classifier: {trained - start:.0f} s", flush=True)
    splits = ((validations, VALIDATION_SEED), (tests, classifiers.TEST_SEED))
    validation, test = (sample(model, "scenes", *of) for of in splits)
    arms = compare(model, validation, test, details=(True, False))
    best = arms[0]["best"]
    arms[0]["methods"]["whole"] = whole(model, test)
    options = {name: arms[0]["methods"][best][name] for name in ("threshold", "min_size")}
    looked = look(model, test, best, options, detail=True)
    shown = {"scenes": picture.examples(test.originals, test.labels, looked, classifiers.NORMALIZATION)}
    explaining = test.explanation.seconds / tests
    del validation, test, looked  # a few hundred megabytes
    arms += compare(model, *(sample(model, "close-ups", *of) for of in splits), details=(True,))
    photo_rows, shown["photos"] = look_at_photos(photo_count)
    return {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "load": round(load, 2),
        "seconds": round(time.perf_counter() - trained),
        "steps": STEPS,
        "explain_seconds": round(explaining, 3),
        "validation": validations,
        "grid": len(GRID),
        "padding": PADDING,
        "arms": dict(zip(report.ARMS, arms, strict=True)),
        "photos": photo_rows,
    }, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", type=int, help="a trial with so many test images, a third as many to choose by")
    arguments = parser.parse_args()
    file, folder = report.RESULTS, paths.IMAGES
    counts = (TEST, VALIDATION, PHOTOS)
    if arguments.trial is not None:
        file, folder, counts = TRIAL / report.RESULTS.name, TRIAL, (arguments.trial, max(1, arguments.trial // 3), 1)
    results, shown = run(*counts)
    results = records.write(file, results)
    picture.draw(results, shown["scenes"], folder / report.PICTURE.name)
    picture.draw_photos(shown["photos"], folder / report.PHOTOS.name)
    print(f"\n{report.arm_table(results, 'scenes')}\n\n{report.summary_table(results)}\n\nwrote {file}")


if __name__ == "__main__":
    main()
