"""Methods of what public functions return, small functions, and files of single objects, for generated calls."""

from __future__ import annotations

import functools
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

import sdfido
from sdfido import evaluate, models, reports, scores
from sdfido.compat import fido_pytorch
from sdfido.evaluate import audit, parts
from sdfido.models import Window
from tests.fuzz.core import NORMALIZATION, damaged
from tests.fuzz.measures import photos_of
from tests.fuzz.objects import (
    Function,
    Right,
    anything,
    classifier,
    explains,
    explanation,
    images,
    maps,
    network,
    truth,
    within,
)


def saved(content: Any, save: Callable[[Any], Any], load: Callable[[Any], Any], name: str) -> Any:
    """What is read from a file of these bytes, if they are some; otherwise from the path that was written to."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            if isinstance(content, bytes):
                Path(name).write_bytes(content)
                return load(name)
            save(content)
            return load(content)
        finally:
            left = [path.name for path in Path(folder).rglob(".*")]
            os.chdir(before)
            if left:
                raise AssertionError(f"{', '.join(left)} left behind")


def _file(save: Callable[[Any], Any], load: Callable[[Any], Any], name: str) -> Function:
    """Writing and reading a file, by its path or with damaged bytes."""

    @functools.cache
    def written() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder, name))
            return Path(folder, name).read_bytes()

    def right(rng: random.Random) -> dict[str, Any]:
        return {"content": rng.choice((name, Path(name), damaged(rng, written())))}

    return Function(lambda content: saved(content, save, load, name), right, anything, f"path|{name}")


@functools.cache
def _concepts() -> sdfido.Concepts:
    made = sdfido.Concepts(network(), "1", classes=(0, 1), pooling="mean", count=2, batch=2, epochs=1, rounds=1)
    made.fit(images(random.Random(0)))
    return made


@functools.cache
def _calm() -> sdfido.CALM:
    torch.manual_seed(0)
    some = images(random.Random(0))
    made = sdfido.CALM(network(), example=some[:1], classes=5, seed=0)
    made.fit([(some, torch.tensor([1, 2]))], epochs=1)
    return made


@functools.cache
def _transfer() -> evaluate.Transfer:
    some = random.Random(0)
    return evaluate.transfer({"a": maps(some)}, {"a": network()}, images(some), [0.1, 0.3], targets=1)


@functools.cache
def _agreement() -> evaluate.ModelAgreement:
    some = random.Random(0)
    return evaluate.model_agreement({"a": maps(some), "b": maps(some)})


@functools.cache
def _curve() -> evaluate.Curve:
    some = random.Random(0)
    return evaluate.insertion(network(), images(some), maps(some), num_fractions=3)


def _photo(rng: random.Random) -> Image.Image:
    return Image.new(rng.choice(("RGB", "L", "RGBA")), (9, 12), 77)


def _of_images(call: Callable[[Any], Any]) -> Function:
    return Function(call, lambda rng: {"images": images(rng)}, within(), "model|activations|logits")


def _drawn(**given: Any) -> Any:
    return reports.draw(**given).axes[0].get_title()


def _panels(rng: random.Random) -> list[reports.Panel]:
    return [reports.Panel(images(rng)[0], "photo"), reports.Panel(maps(rng)[0], "map", "of it")]


def _within_file(call: Callable[[Any], Any]) -> Function:
    right: Right = lambda rng: {"path": rng.choice(("a.png", Path("a.png")))}  # noqa: E731

    def called(path: Any) -> Any:
        return saved(path, call, lambda written: Path(written).stat().st_size > 0, "a.png")

    return Function(called, right, anything)


MEMBERS: dict[str, Function] = {
    "Probe.remove": Function(
        lambda maps, fractions: evaluate.Probe(network(), images(random.Random(0)), 1).remove(maps, fractions),
        lambda rng: {"maps": maps(rng), "fractions": rng.choice((3, [0.1, 0.5]))},
        within(0, 4),
        "importance",
    ),
    "Transfer.table": Function(
        lambda **given: _transfer().table(**given),
        lambda rng: {"fraction": None, "of": rng.choice(("kept", "removed")), "measure": "accuracy"},
        anything,
    ),
    "ModelAgreement.table": Function(
        lambda measure: _agreement().table(measure), lambda rng: {"measure": "overlap"}, anything
    ),
    "Explanation.save": _file(explanation().save, sdfido.Explanation.load, "a.npz"),
    "Concepts.save": _file(
        lambda path: _concepts().save(path), lambda path: sdfido.Concepts.load(path, network()), "a.npz"
    ),
    "CALM.save": _file(lambda path: _calm().save(path), lambda path: _calm().load(path), "a.safetensors"),
    "Concepts.features": _of_images(lambda images: _concepts().features(images)),
    "Concepts.predict": _of_images(lambda images: _concepts().predict(images)),
    "Concepts.measure": _of_images(lambda images: _concepts().measure(images)),
    "Concepts.explain": Function(
        lambda images, classes: _concepts().explain(images, classes),
        lambda rng: {"images": images(rng), "classes": rng.choice((None, 1, [0, 1]))},
        explains,
        "model|activations|logits",
    ),
    "CALM.explain": Function(
        lambda images, targets: _calm().explain(images, targets),
        lambda rng: {"images": images(rng), "targets": rng.choice((None, 1, [0, 4]))},
        explains,
        "model|score",
    ),
    "CALM.difference": Function(
        lambda **given: _calm().difference(**given),
        lambda rng: {"images": images(rng), "first": 1, "second": rng.choice((2, torch.tensor([0, 2])))},
        within(0, 1),
        "model|score|targets",
    ),
    "CALM.superclass": Function(
        lambda **given: _calm().superclass(**given),
        lambda rng: {"images": images(rng), "classes": [0, 2]},
        within(0, 1),
        "model|score",
    ),
    "Normalization.pixels": Function(
        lambda images: sdfido.Normalization(**NORMALIZATION).pixels(images),
        lambda rng: {"images": images(rng)},
        anything,
    ),
    "Classifier.preprocess": Function(
        lambda photo: classifier().preprocess(photo), lambda rng: {"photo": _photo(rng)}, within()
    ),
    "Classifier.pixels": Function(
        lambda photo, border: classifier().pixels(photo, border),
        lambda rng: {"photo": _photo(rng), "border": rng.choice((None, (0.5,)))},
        anything,
    ),
    "Classifier.window": Function(
        lambda photo: classifier().window(photo), lambda rng: {"photo": _photo(rng)}, anything
    ),
    "Window.read": Function(
        Window.read,
        lambda rng: {"described": Window.of((9, 12), (8, 8), 1.0, "center").described()},
        anything,
    ),
    "Selected": Function(
        models.Selected,
        lambda rng: {"network": network(), "output": rng.choice((None, 0, "logits"))},
        anything,
    ),
    "as_score": Function(scores.as_score, lambda rng: {"model": rng.choice((network(), classifier()))}, anything),
    "eval_mode": Function(
        lambda score: scores.eval_mode(score).__enter__(), lambda rng: {"score": nn.Flatten()}, anything, "model"
    ),
    "scale_of": Function(scores.scale_of, lambda rng: {"score": scores.ClassScore(network())}, anything),
    "Scale.text": Function(
        lambda confidence, percent: scores.Scale(percent=percent).text(confidence),
        lambda rng: {"confidence": 0.5, "percent": rng.choice((True, False))},
        anything,
    ),
    "Scale.called": Function(
        lambda target: scores.Scale().called(target), lambda rng: {"target": torch.tensor(3)}, anything
    ),
    "Scale.read": Function(scores.Scale.read, lambda rng: {"described": scores.Scale().described()}, anything, "scale"),
    "parts.pieces": Function(parts.pieces, lambda rng: {"region": truth(rng)[0], "least": 0.2}, anything),
    "audit.groups": Function(
        lambda photos, limits: audit.groups(photos, limits),
        lambda rng: {"photos": photos_of(rng), "limits": audit.Limits(resamples=20)},
        anything,
    ),
    "audit.suspicion": Function(audit.suspicion, lambda rng: {"photos": photos_of(rng)}, within(-1, 1)),
    "reports.page": Function(
        reports.page, lambda rng: {"title": "a", "data": {"rows": [], "quantities": []}}, anything
    ),
    "reports.draw": Function(
        _drawn,
        lambda rng: {
            **{"top": _panels(rng), "bottom": _panels(rng), "bars": [reports.Bar("a", 0.5)], "label": "a"},
            **{"title": None, "words": ("some",), "heading": "Probability"},
        },
        anything,
    ),
    "reports.Panel": Function(
        lambda **given: reports.draw(_panels(random.Random(0)), [reports.Panel(**given)], [], label="a"),
        lambda rng: {"image": maps(rng)[0], "title": "a", "subtitle": "b", "colour": "red", "signed": False},
        anything,
        "importance|pixels",
    ),
    "reports.Bar": Function(
        lambda **given: reports.draw(_panels(random.Random(0)), [], [reports.Bar(**given)], label="a"),
        lambda rng: {"name": "a", "value": 0.5, "colour": "red", "text": "b", "start": 0.1},
        anything,
    ),
    "reports.save": _within_file(lambda path: reports.save(reports.curves({"a": _curve()}), path)),
    "compat.FIDO.ssr": Function(
        lambda X, batch_size, deterministic: (
            torch.manual_seed(0),
            fido_pytorch.FIDO(4, infill=torch.zeros(3, 8, 8)).ssr(X, batch_size, deterministic),
        )[1],
        lambda rng: {"X": images(rng)[0], "batch_size": 2, "deterministic": rng.choice((True, False))},
        within(),
    ),
}
