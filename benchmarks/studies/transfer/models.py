"""The study's classifiers of drawn birds, trained where they are first asked for and kept in build/classifiers.

    python -m benchmarks.studies.transfer.models

trains those that are missing and prints their accuracy.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import classifiers, drawing
from benchmarks.common.classifiers import Recipe
from benchmarks.studies.transfer import labels
from sdfido.files import replacing

DATA_SEED = 21  # of the drawings that all are trained on; they differ in nothing but what their plan says


@dataclass(frozen=True)
class Plan:
    """What a classifier is trained for, and from where."""

    task: str  #: a name of ``labels.CLASSES``
    seed: int  #: of its weights and the order of images
    pretrained: str = ""  #: the plan whose convolutions it begins with; "": random weights


PLANS = {
    "species 1": Plan("species", 1),
    "species 2": Plan("species", 2),
    "group": Plan("group", 3),
    "facing": Plan("facing", 4),
    "clutter": Plan("clutter", 5),
    "after facing": Plan("species", 6, "facing"),
    "after clutter": Plan("species", 7, "clutter"),
}
"""All classifiers by name. "clutter" has never seen a bird, and is there to be pretrained with."""
SIZE = (
    drawing.SIZE // 2
)  # of the images: a quarter of the pixels has all parts to be seen, and trains four times as fast
SCRATCH = Recipe(birds=3500, scenes=0, epochs=6)
FINE = Recipe(birds=3500, scenes=0, epochs=4, learning_rate=2e-3)  # after pretraining
EASY = Recipe(birds=2100, scenes=0, epochs=4)  # which way a bird faces, what grows there
RECIPES = {"facing": EASY, "clutter": EASY}


def recipe(name: str) -> Recipe:
    plan = PLANS[name]
    return replace(FINE if plan.pretrained else RECIPES.get(plan.task, SCRATCH), seed=plan.seed)


def load(name: str) -> nn.Sequential:
    """A classifier of normalised images of 56 x 56 pixels, in eval mode; trained, in minutes, if none is there."""
    model = network(PLANS[name].task)
    model.load_state_dict(_trained(name)["weights"])
    return model.eval()


def training_seconds(name: str) -> float:
    """CPU time that training took, without the drawings and without what it was pretrained with."""
    return float(_trained(name)["seconds"])


def network(task: str) -> nn.Sequential:
    """That of the other drawn birds with the classes of a task."""
    *layers, last = classifiers.network()
    return nn.Sequential(*layers, nn.Linear(last.in_features, labels.CLASSES[task]))


def train(name: str) -> nn.Sequential:
    """A network trained by its plan, which says all of its random numbers; others are neither used nor changed."""
    plan, how = PLANS[name], recipe(name)
    pixels, truth = _data(plan.task, how.birds)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        model = network(plan.task)
    if plan.pretrained:
        model[:-1].load_state_dict(load(plan.pretrained)[:-1].state_dict())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classifiers.fit(model.train().to(memory_format=torch.channels_last), pixels, truth, how)
    finally:
        torch.set_num_threads(threads)
    return model.eval().to(memory_format=torch.contiguous_format)


@functools.lru_cache(maxsize=2)
def _pixels(of_birds: bool, count: int) -> Tensor:
    if of_birds:
        drawn = classifiers._bytes(drawing.birds, count, DATA_SEED)[0]
    else:
        drawn = labels.clutter(range(count), seed=DATA_SEED)[0]
    return torch.cat([small(part.float()).round().to(torch.uint8) for part in drawn.split(100)])


def small(pixels: Tensor) -> Tensor:
    """Drawings [N, 3, 112, 112] in the size of the study: means of 2 x 2 pixels."""
    return F.avg_pool2d(pixels, 2)


def _data(task: str, count: int) -> tuple[Tensor, Tensor]:
    if task == "clutter":
        kinds = labels.CLASSES[task]
        return _pixels(False, count), torch.arange(count) % kinds
    return _pixels(True, SCRATCH.birds)[:count], labels.birds(range(count), task, seed=DATA_SEED)


def weights_file(name: str) -> Path:
    """Where the weights are that belong to plan, code and torch."""
    parts = (drawing, labels, classifiers.network, network, train, _data, small, classifiers.fit)
    chain = [PLANS[name], recipe(name)]
    if PLANS[name].pretrained:
        chain += [PLANS[PLANS[name].pretrained], recipe(PLANS[name].pretrained)]
    code = [inspect.getsource(part) for part in parts]
    key = hashlib.sha256(repr((chain, torch.__version__, code)).encode()).hexdigest()[:16]
    return classifiers.CACHE / f"transfer-{name.replace(' ', '-')}-{key}.pt"


def _trained(name: str) -> dict[str, Any]:
    path = weights_file(name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if PLANS[name].pretrained:
            _trained(PLANS[name].pretrained)
        _data(PLANS[name].task, recipe(name).birds)  # drawn before time is taken
        start = time.process_time()
        weights = train(name).state_dict()
        with replacing(path) as part:
            torch.save({"weights": weights, "seconds": time.process_time() - start}, part)
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def accuracy(name: str, images: Tensor, truth: Tensor) -> float:
    """Part of normalised images [N, 3, 56, 56] that a classifier gives their label [N]."""
    with torch.no_grad():
        answers = torch.cat([load(name)(part).argmax(1) for part in images.split(50)])
    return float((answers == truth).float().mean())


def main() -> None:
    count, seed = 350, classifiers.TEST_SEED
    birds = small(drawing.birds(range(count), seed=seed).pixels)
    things, kinds = labels.clutter(range(count), seed=seed)
    for name, plan in PLANS.items():
        of_birds = plan.task != "clutter"
        pixels = birds if of_birds else small(things.float() / 255)
        truth = labels.birds(range(count), plan.task, seed=seed) if of_birds else kinds
        right = accuracy(name, classifiers.NORMALIZATION.normalize(pixels), truth)
        print(f"{name:16}{training_seconds(name):5.0f} s of training, {right:.1%} right", flush=True)


if __name__ == "__main__":
    main()
