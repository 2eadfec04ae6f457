"""Drawn birds with a part of the head and a part of the body, in every combination, and a small classifier of them.

    python -m benchmarks.studies.contrast.birds

trains the classifier where it is missing and prints how often it is right.

A species is a pair of parts of ``benchmarks.common.drawing``: none, a crest or a long bill, and none, a bib or bars on
the wing. Two species that share one part differ in the other alone; the truth of the question "why this species rather
than that one" is the convex hull of the pixels in which the two drawings differ.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import classifiers, drawing
from benchmarks.common.classifiers import Recipe
from sdfido.files import replacing
from sdfido.models import Classifier

HEADS, BODIES = (None, "crested", "long-billed"), (None, "bibbed", "bar-winged")
PARTS = tuple((head, body) for head in HEADS for body in BODIES)
SPECIES = tuple(", ".join(filter(None, parts)) or "common" for parts in PARTS)
TWO = tuple(species for species, parts in enumerate(PARTS) if all(parts))  # those with both parts
RECIPE = Recipe(birds=6300, scenes=0, epochs=9)


@dataclass(frozen=True)
class Birds:
    """Images with what is known of them; image i of a seed is the same in whatever selection it is drawn."""

    pixels: Tensor  #: [N, 3, H, W], 0..1
    labels: Tensor  #: species [N], int64
    truth: Tensor  #: where its part of the head, and that of the body, shows [N, 2, H, W], bool

    def some(self, index: Tensor | slice) -> Birds:
        """The birds at these places."""
        return Birds(self.pixels[index], self.labels[index], self.truth[index])


def without(species: int, part: int) -> int:
    """The species that lacks the part of the head (0) or of the body (1)."""
    parts = tuple(None if place == part else name for place, name in enumerate(PARTS[species]))
    return PARTS.index(parts)


def birds(indices: Sequence[int], *, seed: int = 0) -> Birds:
    """Birds of 112 x 112 pixels; image i shows species i mod 9."""
    size = drawing.SIZE
    pixels = torch.empty(len(indices), 3, size, size)
    labels = torch.tensor([index % len(SPECIES) for index in indices], dtype=torch.int64)
    truth = torch.zeros(len(indices), 2, size, size, dtype=torch.bool)
    for n, index in enumerate(indices):
        parts = PARTS[index % len(SPECIES)]
        places = [place for place, name in enumerate(parts) if name]
        numbers = [drawing.SPECIES.index(name) for name in parts if name]
        common, *others = drawing.render(index, seed=seed, kind="birds", species=(0, *numbers))
        image = common.copy()
        for place, other in zip(places, others, strict=True):
            differs = (other != common).any(2)  # parts of the head and of the body have no pixel in common
            image[differs] = other[differs]
            truth[n, place] = torch.from_numpy(drawing.hull(differs))
        pixels[n] = torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))
    return Birds(pixels, labels, truth)


def network() -> nn.Sequential:
    """That of the other drawn birds with a class for each species here: [B, 3, 112, 112] to logits [B, 9]."""
    *layers, last = classifiers.network()
    return nn.Sequential(*layers, nn.Linear(last.in_features, len(SPECIES)))


def load() -> Classifier:
    """The classifier for normalised images of 112 x 112 pixels, in eval mode; trained, in minutes, if none is there."""
    model = network()
    model.load_state_dict(_trained()["weights"])
    size = (drawing.SIZE, drawing.SIZE)
    return Classifier("birds-combined", model.eval(), classifiers.NORMALIZATION, size, SPECIES)


def training_seconds() -> float:
    """How long drawing and training took, of one thread."""
    return float(_trained()["seconds"])


def drawn_bytes(recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The birds of a recipe: pixels in 0..255, uint8 [N, 3, 112, 112], and species [N]."""
    pixels = torch.empty(recipe.birds, 3, drawing.SIZE, drawing.SIZE, dtype=torch.uint8)
    labels = torch.empty(recipe.birds, dtype=torch.int64)
    for begin in range(0, recipe.birds, 100):
        part = range(begin, min(begin + 100, recipe.birds))
        drawn = birds(part, seed=recipe.seed)
        pixels[begin : part[-1] + 1] = (drawn.pixels * 255).round().to(torch.uint8)
        labels[begin : part[-1] + 1] = drawn.labels
    return pixels, labels


def train(recipe: Recipe) -> nn.Sequential:
    """A network trained by a recipe, which says all of its random numbers; others are neither used nor changed."""
    pixels, labels = drawn_bytes(recipe)
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


def _trained() -> dict[str, Any]:
    parts = (drawing, birds, classifiers.network, network, train, classifiers.fit)
    code = [PARTS, *(inspect.getsource(part) for part in parts)]
    key = hashlib.sha256(repr((RECIPE, torch.__version__, code)).encode()).hexdigest()[:16]
    path = classifiers.CACHE / f"combined-{key}.pt"
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
    drawn = birds(range(450), seed=classifiers.TEST_SEED)
    right = classifiers.predictions(classifier, drawn.pixels) == drawn.labels
    print(
        f"{training_seconds():.0f} s of drawing and training; right for {right.float().mean():.1%} of 450 test images"
    )


if __name__ == "__main__":
    main()
