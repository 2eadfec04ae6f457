"""Drawn birds with a part of the head and a part of the body, in every combination, and a small classifier of them.

    python -m benchmarks.studies.contrast.birds

fits the classifier where it is missing and prints how often it is right.

A species is a pair of parts of ``benchmarks.common.drawing``: none, a crest or a long bill, and none, a bib or bars on
the wing. Two species that share one part differ in the other alone; the truth of the question "why this species rather
than that one" is the convex hull of the pixels in which the two drawings differ.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import classifiers, drawing
from sdfido.files import replacing
from sdfido.models import Classifier

HEADS, BODIES = (None, "crested", "long-billed"), (None, "bibbed", "bar-winged")
PARTS = tuple((head, body) for head in HEADS for body in BODIES)
SPECIES = tuple(", ".join(filter(None, parts)) or "common" for parts in PARTS)
TWO = tuple(species for species, parts in enumerate(PARTS) if all(parts))  # those with both parts
FEATURES = 64
DRAWN, DECAY, TRAINING_SEED = 1350, 1e-3, 1  # birds that the last layer is fitted on, and its penalty


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


def load() -> Classifier:
    """The classifier for normalised images of 112 x 112 pixels, in eval mode; its last layer is fitted if need be.

    Its features are those of ``classifiers.strong``, which has seen each part alone; the last layer is a logistic
    regression on the features of birds of all combinations.
    """
    model = nn.Sequential(*features(), nn.Linear(FEATURES, len(SPECIES)))
    model[-1].load_state_dict(_fitted())
    size = (drawing.SIZE, drawing.SIZE)
    return Classifier("birds-combined", model.eval(), classifiers.NORMALIZATION, size, SPECIES)


def features() -> nn.Sequential:
    """All but the last layer of the strong classifier: [B, 3, 112, 112] to features [B, 64]."""
    strong = classifiers.strong().model
    assert isinstance(strong, nn.Sequential)
    return strong[:-1]


@torch.no_grad()
def seen(indices: Sequence[int], seed: int) -> tuple[Tensor, Tensor]:
    """Features [N, 64] and species [N] of birds, drawn in parts to spare memory."""
    net, found, labels = features(), [], []
    for begin in range(0, len(indices), 100):
        drawn = birds(indices[begin : begin + 100], seed=seed)
        found.append(net(classifiers.NORMALIZATION.normalize(drawn.pixels)))
        labels.append(drawn.labels)
    return torch.cat(found), torch.cat(labels)


def fit(inputs: Tensor, labels: Tensor, decay: float) -> nn.Linear:
    """The logistic regression of species on features with an L2 penalty, by L-BFGS from zero weights."""
    layer = nn.Linear(inputs.shape[1], len(SPECIES))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(inputs), labels) + 0.5 * decay * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return layer


def _fitted() -> dict[str, Any]:
    """Weights of the last layer, from the file that belongs to recipe, code and torch."""
    code = [PARTS, DRAWN, DECAY, *(inspect.getsource(part) for part in (drawing, birds, fit))]
    key = hashlib.sha256(repr((classifiers.weights_file("strong").name, torch.__version__, code)).encode())
    path = classifiers.CACHE / f"combined-{key.hexdigest()[:16]}.pt"
    if not path.exists():
        inputs, labels = seen(range(DRAWN), TRAINING_SEED)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save(fit(inputs, labels, DECAY).state_dict(), part)
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def main() -> None:
    classifier = load()
    drawn = birds(range(270), seed=classifiers.TEST_SEED)
    right = classifiers.predictions(classifier, drawn.pixels) == drawn.labels
    print(f"right for {right.float().mean():.1%} of {len(right)} test images")


if __name__ == "__main__":
    main()
