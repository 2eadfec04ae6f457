"""The classifiers of the study: one body with several heads, trained on the same birds, kept in build/classifiers.

    python -m benchmarks.studies.calm.models [NAME ...]

trains those that are missing and prints their accuracy.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import sdfido
from benchmarks.common import classifiers, drawing
from benchmarks.common.classifiers import NORMALIZATION, RECIPES, TEST_SEED
from sdfido.files import replacing
from sdfido.methods import latent, training
from sdfido.methods.latent import LatentClassifier
from sdfido.methods.training import Training

RECIPE = replace(RECIPES["strong"], epochs=3)
"""The new heads begin with the body of the ordinary classifier, and see the same birds three times more."""
TRAININGS = {
    name: Training(
        objective=name,
        refresh=5,  # with 25, three epochs are too few
        epochs=RECIPE.epochs,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        seed=RECIPE.seed,
    )
    for name in ("ml", "em")
}
ORDINARY, AVERAGE = "ordinary", "average"  # heads: the highest of the features, as in other studies, and their mean
QUIET = 0.7  # load of the machine, below which times count
LOAD = os.getloadavg()[0]  # before anything is trained here
NAMES = ("ml", "em", AVERAGE, ORDINARY)


class Birds(Dataset[tuple[Tensor, Tensor]]):
    """Normalised images and species of drawn birds."""

    def __init__(self, count: int, seed: int) -> None:
        self.pixels, self.labels = classifiers._bytes(drawing.birds, count, seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return NORMALIZATION.normalize(self.pixels[index].float() / 255), self.labels[index]


def finer(network: nn.Module) -> nn.Module:
    """A copy of the network with dilation in place of its last stride: the same weights, with 28 x 28 cells.

    CALM's source takes strides out of its networks, too.
    """
    twin = copy.deepcopy(network)
    *_, strided, last = [part for part in twin if isinstance(part, nn.Conv2d)]  # type: ignore[attr-defined]
    assert strided.stride == (2, 2)
    strided.stride = (1, 1)
    last.dilation = last.padding = (2, 2)
    return twin


def average_network() -> nn.Module:
    """The network with the mean of its last features in place of the highest, as class activation maps need it."""
    *layers, _, flatten, last = classifiers.network()
    return finer(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), flatten, last))


def latent_network() -> LatentClassifier:
    """The network with CALM's heads in place of its own."""
    return sdfido.CALM(finer(classifiers.network())).model


def train(name: str) -> nn.Module:
    """A classifier with one of the heads; its random numbers come from the recipe, others are not used nor changed."""
    ordinary, birds = classifiers.strong().model, Birds(RECIPE.birds, RECIPE.seed)
    if name == AVERAGE:
        model: nn.Module = average_network()
        model.load_state_dict(ordinary.state_dict())
        model = model.train().to(memory_format=torch.channels_last)
        classifiers.fit(model, birds.pixels, birds.labels, RECIPE)
    else:
        calm = sdfido.CALM(finer(ordinary), seed=RECIPE.seed)
        model = calm.model.to(memory_format=torch.channels_last)
        loader = DataLoader(birds, RECIPE.batch, shuffle=True, drop_last=True, generator=torch.Generator())
        calm.fit(loader, on_epoch=lambda epoch: print(name, epoch, flush=True), **asdict(TRAININGS[name]))
    return model.eval().to(memory_format=torch.contiguous_format)


def load(name: str) -> nn.Module:
    """A classifier of normalised images of 112 x 112 pixels, in eval mode; trained, in minutes, if none is there."""
    if name == ORDINARY:
        return classifiers.strong().model
    model: nn.Module = average_network() if name == AVERAGE else latent_network()
    model.load_state_dict(_trained(name)["weights"])
    return model.eval()


def training_seconds(name: str) -> float | None:
    """How long drawing and training took, of one thread's time; None where other work disturbed it, or may have."""
    if name == ORDINARY:
        return None
    found = _trained(name)
    return float(found["seconds"]) if found.get("load", QUIET) < QUIET else None


@torch.no_grad()
def accuracy(model: nn.Module, birds: Birds) -> Tensor:
    """Which images it classifies correctly [N], 0 or 1."""
    images = (NORMALIZATION.normalize(part.float() / 255) for part in birds.pixels.split(50))
    return torch.cat([model(part).argmax(1) for part in images]).eq(birds.labels).double()


def weights_file(name: str) -> Path:
    """Where the weights are that belong to recipe, code and torch."""
    parts: list[Callable[..., Any]] = [
        finer,
        average_network,
        latent_network,
        train,
        classifiers.network,
        classifiers.fit,
    ]
    parts += [LatentClassifier.log_joint, latent.ml_loss, latent.em_loss, latent.posterior]
    parts += [training._Run.epoch, training._Run._losses, training._optimizer, training._warmth, training._seed]
    code = [inspect.getsource(drawing), *map(inspect.getsource, parts)]
    about = (name, classifiers.weights_file("strong").name, RECIPE, TRAININGS.get(name), torch.__version__, code)
    return classifiers.CACHE / f"calm-{name}-{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}.pt"


def _trained(name: str) -> dict[str, Any]:
    path = weights_file(name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        start = time.process_time()
        try:
            weights = train(name).state_dict()
        finally:
            torch.set_num_threads(threads)
        with replacing(path) as part:
            torch.save({"weights": weights, "seconds": time.process_time() - start, "load": LOAD}, part)
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def main() -> None:
    birds = Birds(700, TEST_SEED + 2)  # not those of the study
    for name in sys.argv[1:] or NAMES:
        right = accuracy(load(name), birds).mean()
        print(f"{name}: {right:.1%} of 700 birds", flush=True)


if __name__ == "__main__":
    main()
