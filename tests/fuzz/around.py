"""Scores, models, folders of results, reports and interfaces of other packages, for generated calls."""

from __future__ import annotations

import functools
import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, models, reports, runs, scores
from sdfido.compat import captum, fido_pytorch, quantus
from sdfido.models import Window
from tests.fuzz.core import NORMALIZATION, _attribution, damaged
from tests.fuzz.measures import encode
from tests.fuzz.objects import (
    Arguments,
    Function,
    anything,
    defaults,
    explains,
    explanation,
    images,
    maps,
    network,
    within,
)

_TINY = {"steps": 1, "mask_size": 2, "num_samples": 1, "repeats": 1}


def _scored(make: Callable[..., Any], *targets: Any, **options: Any) -> Function:
    """A score with any of its options, images and targets, as an attribution asks it."""

    def call(images: Any, targets: Any, **given: Any) -> Any:
        return sdfido.Attribution(make(**given), attribution=_attribution).explain(images, targets)

    right = lambda rng: {"images": images(rng), "targets": rng.choice((None, *targets)), **options}  # noqa: E731
    return Function(call, right, explains, "model|score|class|rather_than|label|box")


def _detector(images: Tensor) -> list[dict[str, Tensor]]:
    boxes, labels = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 7.0, 7.0]]), torch.tensor([1, 2])
    return [{"boxes": boxes, "labels": labels, "scores": each.mean((1, 2))[:2]} for each in images]


def _segmenter(images: Tensor) -> Tensor:
    return torch.cat([images, -images], 1)


def _classifier(**given: Any) -> models.Classifier:
    return models.Classifier(**({"name": "mine", "model": network(), "labels": ("a", "b")} | given))


class _LogOdds:
    """A classifier as FIDO-PyTorch asks it."""

    def log_odds(self, x: Tensor, *, c: Any) -> tuple[Tensor, Tensor]:
        chosen = network()(x)[:, c if type(c) is int and 0 <= c < 5 else 1]  # its own errors would be its own
        return chosen.sigmoid(), chosen


def _dropout(size: Any, infill: Any, optimized: Any, X: Any, batch_size: Any, deterministic: Any) -> Any:
    torch.manual_seed(0)  # it draws as torch does
    masks = fido_pytorch.FIDO(size, infill=infill, optimized=optimized)
    return masks(X, batch_size, deterministic), masks.tv_loss(), masks.l1_norm()


def _fitted(im: Any, y: Any, clf: Any, iterations: Any, batch_size: Any, approx_steps: Any, mask_config: Any) -> Any:
    torch.manual_seed(0)
    masks = fido_pytorch.FIDO.new(im, mask_config, device=None)
    masks.fit(im, y, clf, fido_pytorch.FIDOConfig(10, batch_size, iterations, approx_steps))
    return masks.joint_dropout_rate


@functools.cache
def _png() -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (9, 12), (200, 100, 0)).save(file, format="png")
        return file.getvalue()


def _photo(content: Any) -> Any:
    if not isinstance(content, bytes):
        return models.read_photo(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content.png")
        path.write_bytes(content)
        return models.read_photo(path)


def _in_folder(call: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "photos").mkdir()
        Path(folder, "photos", "a.png").write_bytes(b"")
        return call(Path(folder))


@functools.cache
def _curves() -> dict[str, evaluate.Curve]:
    rng = random.Random(0)
    return {"a": evaluate.insertion(network(), images(rng), maps(rng), num_fractions=3)}


_CLASSIFIER: Arguments = {
    **{"name": "mine", "normalization": sdfido.Normalization(**NORMALIZATION), "size": (8, 8), "labels": ("a", "b")},
    **{"crop": 0.9, "border": (0.1,), "multi_label": False, "interpolation": "bicubic", "crop_mode": "center"},
    **{"rounding": "torchvision"},
}

AROUND: dict[str, Function] = {
    "a model": Function(
        lambda model, images: sdfido.FIDO(model, **_TINY).explain(images),
        lambda rng: {"model": network(), "images": images(rng)},
        explains,
        "score",
    ),
    "ClassScore": _scored(
        lambda link, output: scores.ClassScore(network(), link, output), 1, [0, 1], link=scores.log_odds, output=None
    ),
    "ContrastScore": _scored(
        lambda rather_than: scores.ContrastScore(network(), rather_than), 1, (1, 2), [[0, 1], [1, 2]], rather_than=3
    ),
    "LabelScore": _scored(lambda present: scores.LabelScore(network(), present), 1, [0, 1], present=True),
    "RegressionScore": Function(
        _scored(lambda direction: scores.RegressionScore(network(), direction)).call,
        lambda rng: {"images": images(rng), "targets": rng.choice((0, [1, 2])), "direction": "down"},
        explains,
    ),
    "TargetScore": Function(
        _scored(lambda: scores.TargetScore(network())).call,
        lambda rng: {"images": images(rng), "targets": lambda row, *rest: row[0]},
        explains,
    ),
    "DetectionScore": _scored(
        lambda: scores.DetectionScore(_detector), 1, {"label": 1, "box": [0, 0, 4, 4]}, torch.tensor([1, 0, 0, 4, 4.0])
    ),
    "EmbeddingScore": Function(
        _scored(lambda: scores.EmbeddingScore(network())).call,
        lambda rng: {"images": images(rng), "targets": torch.rand(5)},
        explains,
    ),
    "SegmentScore": _scored(lambda: scores.SegmentScore(_segmenter), 1, (1, torch.ones(8, 8) > 0)),
    "TextScore": _scored(
        lambda texts, encode_text, logit_scale: scores.TextScore(
            network(), texts, encode_text, logit_scale=logit_scale
        ),
        *("a", 1, ["a", "bb"]),
        **{"texts": ["a", "bb"], "encode_text": encode, "logit_scale": 10.0},
    ),
    **{
        f"scores.{link.__name__}": Function(
            link, lambda rng: {"logits": torch.randn(2, 5), "targets": torch.tensor([0, 4])}, anything, "targets"
        )
        for link in (scores.log_odds, scores.log_probability, scores.margin, scores.probability)
    },
    "Scale": defaults(scores.Scale),
    "Classifier": Function(_classifier, lambda rng: dict(_CLASSIFIER), anything),
    "Classifier.find": Function(
        lambda target: _classifier().find(target), lambda rng: {"target": rng.choice(("a", 1))}, anything
    ),
    "Classifier.label": Function(lambda index: _classifier().label(index), lambda rng: {"index": 1}, anything),
    "models.load": Function(
        models.load, lambda rng: {"spec": "tests.fuzz.objects:network", "device": "cpu"}, anything, "model"
    ),
    "models.read_photo": Function(_photo, lambda rng: {"content": damaged(rng, _png())}, anything, "content.png|photo"),
    "models.demo_photo": Function(models.demo_photo, lambda rng: {"name": "coffee"}, anything),
    "ChannelsLast": Function(models.ChannelsLast, lambda rng: {"network": nn.Flatten()}, anything),
    "Window.of": Function(
        Window.of,
        lambda rng: {
            **{"photo": (9, 12), "size": (8, 8), "crop": 0.9, "crop_mode": rng.choice(("center", "squash"))},
            **{"rounding": rng.choice(("nearest", "transformers"))},
        },
        anything,
    ),
    "Window.onto_photo": Function(
        lambda values: Window.of((9, 12), (8, 8), 1.0, "center").onto_photo(values),
        lambda rng: {"values": np.zeros((8, 8), np.float32)},
        anything,
    ),
    "enhance": Function(
        lambda **given: sdfido.enhance(network(), **given),
        lambda rng: {
            **{"images": images(rng), "importance": rng.choice((maps(rng), explanation())), "originals": None},
            **{"mask": "ssr", "blend": "infill", "infill": "blur", "threshold": 0.5, "smoothing": 1.0, "padding": 1},
            **{"min_size": 4, "square": True, "size": rng.choice((None, 8, (8, 6))), "weight": 0.5, "max_batch": 3},
        },
        within(),
        "model",
    ),
    "compat.FIDO": Function(
        _dropout,
        lambda rng: {
            **{"size": 4, "infill": torch.zeros(3, 8, 8), "optimized": True, "X": images(rng)[0], "batch_size": 2},
            "deterministic": False,
        },
        within(),
    ),
    "compat.FIDO.fit": Function(
        _fitted,
        lambda rng: {
            **{"im": images(rng)[0], "y": 1, "clf": _LogOdds(), "iterations": 2, "batch_size": 2, "approx_steps": None},
            "mask_config": fido_pytorch.MaskConfig(mask_size=4),
        },
        within(0, 1),
    ),
    "compat.FIDOConfig": defaults(fido_pytorch.FIDOConfig),
    "compat.MaskConfig": Function(
        lambda im, **given: fido_pytorch.FIDO.new(im, fido_pytorch.MaskConfig(**given), device=None).infill,
        lambda rng: {"im": images(rng)[0], "optimized": True, "mask_size": (4, 3), "infill_strategy": "blur"},
        within(),
        "infill|size",
    ),
    "compat.concrete_dropout": Function(
        lambda **given: (torch.manual_seed(0), fido_pytorch.concrete_dropout(**given))[1],
        lambda rng: {"dropout_rate": torch.rand(3), "temp": 0.1, "eps": 1e-6},
        anything,
    ),
    "compat.sigmoid_concrete_dropout": Function(
        fido_pytorch.sigmoid_concrete_dropout,
        lambda rng: {"X": torch.randn(3), "temp": 1.0, "u": torch.rand(3)},
        anything,
    ),
    "quantus.explain": Function(
        lambda **given: quantus.explain(network(), **given, **_TINY),
        lambda rng: {"inputs": images(rng).numpy(), "targets": np.array([0, 1]), "method": "fido", "map": None},
        within(0, 1),
        "images|model",
    ),
    "captum.MaskAttribution": Function(
        lambda method, map, **given: captum.MaskAttribution(network(), method, map, **_TINY).attribute(**given),
        lambda rng: {
            **{"inputs": images(rng), "baselines": rng.choice((None, 0, images(rng))), "target": 1, "method": "fido"},
            **{"map": None, "perturbations_per_eval": None, "additional_forward_args": None},
        },
        within(0, 1),
        "images|infill|forward_func|model|arguments",
    ),
    "runs.choose": Function(
        lambda paths, out: _in_folder(
            lambda place: len(runs.choose([place, "a.jpg"] if paths is None else paths, out))
        ),
        lambda rng: {"paths": None, "out": "out"},
        anything,
        "photos",
    ),
    "runs.shard": Function(
        runs.shard, lambda rng: {"items": [runs.Item(None, Path("a"))] * 4, "part": "1/2"}, anything, "shard"
    ),
    "runs.Processes": Function(runs.Processes, lambda rng: {"workers": 2, "device": "cpu", "threads": 1}, anything),
    "runs.PhotoExplainer": Function(
        lambda **given: runs.PhotoExplainer(_classifier(labels=None), **given),
        lambda rng: {
            **{"method": "fido", "target": 1, "rather_than": None, "value": None, "infill": "blur", "device": "cpu"},
            **{"seeds": 1, "pictures": False, "steps": 2},
        },
        anything,
        "model",
    ),
    "reports.heatmap": Function(
        reports.heatmap,
        lambda rng: {"importance": maps(rng)[0], "pixels": images(rng)[0], "signed": False},
        within(0, 1),
    ),
    "reports.overview": Function(
        reports.overview,
        lambda rng: {
            **{"explanation": explanation(), "pixels": images(rng), "infill": images(rng), "index": 1, "label": "a"},
            "title": None,
        },
        anything,
    ),
    "reports.curves": Function(
        lambda panel, title: reports.curves(panel, title=title),
        lambda rng: {"panel": _curves(), "title": None},
        anything,
        "panels",
    ),
    "reports.attention_graph": Function(
        reports.attention_graph,
        lambda rng: {
            **{"graph": sdfido.PatchGraph((2, 2), ((0,), (0, 1)), (0.2, 0.9)), "pixels": images(rng)[0], "roots": 1},
            "label": "a",
        },
        anything,
    ),
}
