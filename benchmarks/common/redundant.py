"""Drawn birds whose species show in two parts, each of which is enough, and a small classifier of them.

    python -m benchmarks.common.redundant

trains the classifier where it is missing and prints how far each part suffices.

Species 0 is the common bird. Each other species has two of the parts of ``benchmarks.common.drawing``: one of the head
and one of the body, which no other species has. Training shows a fifth of a species' birds with both parts, two fifths
with the first alone and two fifths with the second alone, so that the classifier learns that each suffices.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import classifiers, drawing
from benchmarks.common.classifiers import Recipe
from sdfido.files import replacing
from sdfido.models import Classifier

PAIRS = (("crested", "bibbed"), ("ring-eyed", "bar-winged"), ("long-billed", "fork-tailed"))
SPECIES = ("common", *(f"{first}, {second}" for first, second in PAIRS))
BOTH, FIRST, SECOND = (True, True), (True, False), (False, True)  # which of the two parts are drawn
TURNS = (BOTH, FIRST, SECOND, FIRST, SECOND)  # in training
RECIPE = Recipe(birds=6000, scenes=0, epochs=8)


@dataclass(frozen=True)
class Birds:
    """Images with what is known of them; image i of a seed is the same in whatever selection it is drawn."""

    pixels: Tensor  #: [N, 3, H, W], 0..1
    labels: Tensor  #: species [N], int64
    truth: Tensor  #: where each of the species' two parts shows [N, 2, H, W], bool; empty where it is not shown

    def some(self, index: Tensor | slice) -> Birds:
        """The birds at these places."""
        return Birds(self.pixels[index], self.labels[index], self.truth[index])


def birds(indices: Sequence[int], *, seed: int = 0, shown: tuple[bool, bool] | None = BOTH) -> Birds:
    """Birds of 112 x 112 pixels; image i shows species i mod 4, with which of its two parts ``shown`` says.

    ``None``: as in training, where they take turns.
    """
    size = drawing.SIZE
    pixels = torch.empty(len(indices), 3, size, size)
    labels = torch.tensor([index % len(SPECIES) for index in indices], dtype=torch.int64)
    truth = torch.zeros(len(indices), 2, size, size, dtype=torch.bool)
    for n, index in enumerate(indices):
        species, turn = index % len(SPECIES), index // len(SPECIES) % len(TURNS)
        parts = TURNS[turn] if shown is None else shown
        names = [name for name, there in zip(PAIRS[species - 1], parts, strict=True) if there and species]
        numbers = [drawing.SPECIES.index(name) for name in names]
        image, *others = drawing.render(index, seed=seed, kind="birds", species=(0, *numbers))
        common, image = image, image.copy()
        places = [k for k, there in enumerate(parts) if there]
        for k, other in zip(places, others, strict=False):
            differs = (other != common).any(2)  # parts of the head and of the body have no pixel in common
            image[differs] = other[differs]
            truth[n, k] = torch.from_numpy(drawing.hull(differs))
        pixels[n] = torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))
    return Birds(pixels, labels, truth)


def load() -> Classifier:
    """The classifier for normalised images of 112 x 112 pixels, in eval mode; trained, in minutes, if none is there."""
    model = network()
    model.load_state_dict(_trained()["weights"])
    size = (drawing.SIZE, drawing.SIZE)
    return Classifier("birds-redundant", model.eval(), classifiers.NORMALIZATION, size, SPECIES)


def training_seconds() -> float:
    """How long drawing and training took, of one thread."""
    return float(_trained()["seconds"])


def network() -> nn.Sequential:
    """That of the other drawn birds with a class for each species here: [B, 3, 112, 112] to logits [B, 4]."""
    *layers, last = classifiers.network()
    return nn.Sequential(*layers, nn.Linear(last.in_features, len(SPECIES)))


def train(recipe: Recipe) -> nn.Sequential:
    """A network trained by a recipe, which says all of its random numbers; others are neither used nor changed."""
    pixels = torch.empty(recipe.birds, 3, drawing.SIZE, drawing.SIZE, dtype=torch.uint8)
    labels = torch.empty(recipe.birds, dtype=torch.int64)
    for begin in range(0, recipe.birds, 100):
        part = range(begin, min(begin + 100, recipe.birds))
        drawn = birds(part, seed=recipe.seed, shown=None)
        pixels[begin : part[-1] + 1] = (drawn.pixels * 255).round().to(torch.uint8)
        labels[begin : part[-1] + 1] = drawn.labels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = network().to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classifiers.fit(model, pixels, labels, recipe)
    finally:
        torch.set_num_threads(threads)
    return model.eval().to(memory_format=torch.contiguous_format)


@torch.no_grad()
def probabilities(classifier: Classifier, drawn: Birds) -> Tensor:
    """What the classifier says of the true species [N], 0..1."""
    images = map(classifier.normalization.normalize, drawn.pixels.split(64))
    logits = torch.cat([classifier.model(part) for part in images])
    return logits.softmax(1).gather(1, drawn.labels[:, None])[:, 0]


def weights_file() -> Path:
    """Where the weights are that belong to recipe, code and torch."""
    parts = (drawing, birds, classifiers.network, network, train, classifiers.fit)
    code = [PAIRS, TURNS, *(inspect.getsource(part) for part in parts)]
    key = hashlib.sha256(repr((RECIPE, torch.__version__, code)).encode()).hexdigest()[:16]
    return classifiers.CACHE / f"redundant-{key}.pt"


def _trained() -> dict[str, Any]:
    path = weights_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        weights = train(RECIPE).state_dict()
        with replacing(path) as part:
            torch.save({"weights": weights, "seconds": time.process_time() - start}, part)
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def main() -> None:
    classifier = load()
    print(f"{training_seconds():.0f} s of drawing and training; of 400 test images, those of the common bird left out:")
    for name, parts in {"both": BOTH, "first": FIRST, "second": SECOND}.items():
        drawn = birds(range(400), seed=classifiers.TEST_SEED, shown=parts)
        right = probabilities(classifier, drawn.some(drawn.labels > 0))
        print(f"  {name}: probability {right.mean():.3f}, above 1/2 for {(right > 0.5).float().mean():.1%}")


if __name__ == "__main__":
    main()
