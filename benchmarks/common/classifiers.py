"""Small classifiers of the drawn birds, trained where they are first asked for and kept in build/classifiers.

    python -m benchmarks.common.classifiers

trains those that are missing and prints their accuracy. Training repeats exactly on the same machine: it takes one
thread, since sums over a batch depend on their number.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import drawing
from benchmarks.common.drawing import Drawings
from benchmarks.common.paths import BUILD
from sdfido.files import replacing
from sdfido.models import Classifier
from sdfido.normalization import Normalization

Kind = Literal["strong", "weak"]
CACHE = BUILD / "classifiers"
NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
TEST_SEED = 0  # of drawings; those of training have another


@dataclass(frozen=True)
class Recipe:
    """What a classifier is trained on, and how."""

    birds: int  #: images that the bird fills
    scenes: int  #: images of small birds
    epochs: int
    batch: int = 64
    learning_rate: float = 4e-3
    seed: int = 1  #: of drawings, weights and order


RECIPES: dict[Kind, Recipe] = {
    "strong": Recipe(birds=5600, scenes=0, epochs=8),
    "weak": Recipe(birds=2100, scenes=2100, epochs=8),
}


def strong() -> Classifier:
    """For birds that fill the image: right in more than 95 of 100 cases."""
    return load("strong")


def weak() -> Classifier:
    """For birds and thumbnails of scenes: has seen little of either, and in a scene it can hardly see the parts."""
    return load("weak")


def load(kind: Kind) -> Classifier:
    """A classifier for normalised images of 112 x 112 pixels, in eval mode; trained, in minutes, if none is there."""
    model = network()
    model.load_state_dict(_trained(kind)["weights"])
    size = (drawing.SIZE, drawing.SIZE)
    return Classifier(f"birds-{kind}", model.eval(), NORMALIZATION, size, drawing.SPECIES)


def training_seconds(kind: Kind) -> float:
    """How long drawing and training took."""
    return float(_trained(kind)["seconds"])


def retrain(kind: Kind) -> None:
    """Train anew, for the time that it takes; the weights that are there give way to the same."""
    _train(kind, weights_file(kind))


def network() -> nn.Sequential:
    """Five convolutions and the highest of their last features: [B, 3, 112, 112] to logits [B, 7]."""
    layers: list[nn.Module] = []
    channels = 3
    for width, kernel, stride in ((16, 5, 2), (32, 3, 2), (32, 3, 1), (64, 3, 2), (64, 3, 1)):
        convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, len(drawing.SPECIES)))


def train(recipe: Recipe) -> nn.Sequential:
    """A network trained by a recipe, which says all of its random numbers; others are neither used nor changed."""
    birds = _bytes(drawing.birds, recipe.birds, recipe.seed)
    scenes = _bytes(drawing.scenes, recipe.scenes, recipe.seed)
    pixels, labels = torch.cat([birds[0], scenes[0]]), torch.cat([birds[1], scenes[1]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = network().to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit(model, pixels, labels, recipe)
    finally:
        torch.set_num_threads(threads)
    return model.eval().to(memory_format=torch.contiguous_format)


def fit(model: nn.Module, pixels: Tensor, labels: Tensor, recipe: Recipe) -> None:
    order = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
    steps = recipe.epochs * (len(pixels) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.2)
    for _ in range(recipe.epochs):
        shuffled = torch.randperm(len(pixels), generator=order)
        for part in shuffled[: len(pixels) // recipe.batch * recipe.batch].split(recipe.batch):
            images = NORMALIZATION.normalize(pixels[part].float() / 255)
            loss = F.cross_entropy(model(images), labels[part], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def thumbnails(pixels: Tensor) -> Tensor:
    """Scenes [N, 3, 224, 224] in the classifier's size: means of 2 x 2 pixels."""
    return F.avg_pool2d(pixels, 2)


@torch.no_grad()
def predictions(classifier: Classifier, pixels: Tensor) -> Tensor:
    """Classes [N] of pixels [N, 3, 112, 112] in 0..1."""
    images = map(classifier.normalization.normalize, pixels.split(64))
    return torch.cat([classifier.model(part).argmax(1) for part in images])


def _trained(kind: Kind) -> dict[str, Any]:
    """Weights and training time, from the file that belongs to recipe, code and torch."""
    path = weights_file(kind)
    if not path.exists():
        _train(kind, path)
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def weights_file(kind: Kind) -> Path:
    code = [inspect.getsource(part) for part in (drawing, network, train, fit)]
    key = hashlib.sha256(repr((RECIPES[kind], torch.__version__, code)).encode()).hexdigest()[:16]
    return CACHE / f"{kind}-{key}.pt"


def _train(kind: Kind, path: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    weights = train(RECIPES[kind]).state_dict()
    with replacing(path) as part:
        torch.save({"weights": weights, "seconds": time.perf_counter() - start}, part)


def _bytes(draw: Callable[..., Drawings], count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first drawings of a seed: pixels of thumbnails in 0..255, uint8, drawn in parts to spare memory; labels."""
    parts: list[Sequence[int]] = [range(begin, min(begin + 100, count)) for begin in range(0, count, 100)]
    size = drawing.SIZE
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    for part in parts:
        drawn = draw(part, seed=seed)
        small = drawn.pixels if drawn.pixels.shape[-1] == size else thumbnails(drawn.pixels)
        pixels[part[0] : part[-1] + 1] = (small * 255).round().to(torch.uint8)
        labels[part[0] : part[-1] + 1] = drawn.labels
    return pixels, labels


def main() -> None:
    for kind in RECIPES:
        classifier = load(kind)
        print(f"{kind}, {training_seconds(kind):.0f} s of drawing and training; accuracy:")
        for name, draw in (("birds", drawing.birds), ("scenes", drawing.scenes)):
            pixels, labels = _bytes(draw, 700, TEST_SEED)
            right = predictions(classifier, pixels.float() / 255) == labels
            print(f"  {name} {right.float().mean():.1%}")


if __name__ == "__main__":
    main()
