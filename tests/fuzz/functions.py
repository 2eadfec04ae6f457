"""The public functions that calls are generated of: right arguments of each, and what holds of its result."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, infills, models, runs, scores

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """A public function."""

    call: Callable[..., Any]
    right: Callable[[random.Random], Arguments]  #: arguments that it takes
    holds: Callable[[Any, Arguments], bool] = lambda result, given: True  #: what is true of every result
    costly: tuple[str, ...] = ()  #: arguments that are counts, which may take long
    names: dict[str, str] = field(default_factory=dict)  #: what messages call an argument besides


@functools.cache
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def images(rng: random.Random) -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(rng.randrange(4)))


@functools.cache
def explanation() -> sdfido.Explanation:
    return sdfido.FIDO(network(), steps=1, mask_size=4).explain(images(random.Random(0)))


def maps(rng: random.Random) -> Tensor:
    return images(rng)[:, 0].contiguous()


def truth(rng: random.Random) -> Tensor:
    return images(rng)[:, 1] > 0.5


def _finite(result: Any, given: Arguments) -> bool:
    """Maps in their range, numbers finite."""
    ranges = {name: (-1.0 if info.signed else 0.0) for name, info in result.legend.items()}
    fine = all(
        values.isfinite().all() and values.ge(ranges[name] - 1e-3).all() and values.le(1.001).all()
        for name, values in result.maps.items()
    )
    return bool(fine and (result.targets >= 0).all())


def _same_as_reference(call: Callable[..., Any]) -> Callable[[Any, Arguments], bool]:
    def holds(result: Any, given: Arguments) -> bool:
        with sdfido.backend("reference"):
            expected = call(**given)
        pairs = zip(result, expected, strict=True) if isinstance(result, tuple) else [(result, expected)]
        return all(
            a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, rtol=2e-2, atol=2e-3, equal_nan=True)
            for a, b in pairs
        )

    return holds


def _operator(call: Callable[..., Any], right: Callable[[random.Random], Arguments]) -> Function:
    costly = ("num_samples",)
    return Function(call, right, _same_as_reference(call), costly)


def _sampling(rng: random.Random) -> Arguments:
    arguments: Arguments = {
        "logits": torch.randn(2, 2, 4, 4),
        "rng": sdfido.make_rng(rng.randrange(9)),
        "num_samples": 3,
    }
    options = {"temperature": 0.5, "antithetic": True, "streams": torch.tensor([5, 9])}
    return arguments | {name: value for name, value in options.items() if rng.random() < 0.5}


def _blending(rng: random.Random) -> Arguments:
    options = {"dtype": torch.bfloat16, "channels_last": True}
    return {"image": images(rng), "infill": images(rng)} | {n: v for n, v in options.items() if rng.random() < 0.5}


_FIXED = {"steps": 2, "mask_size": 4, "num_samples": 1}


def _explain(kind: Callable[..., Any], settings: Arguments) -> Callable[..., Any]:
    def call(images: Any, targets: Any, streams: Any, on_step: Any, on_image: Any, infill: Any, **given: Any) -> Any:
        explainer = kind(network(), infill=infill, **(settings | given))
        return explainer.explain(images, targets, streams=streams, on_step=on_step, on_image=on_image)

    return call


def _explaining(**settings: Any) -> Callable[[random.Random], Arguments]:
    def right(rng: random.Random) -> Arguments:
        arguments: Arguments = {
            "images": images(rng),
            "targets": rng.choice((None, 3, [0, 4], torch.tensor([1, 2]))),
            "streams": rng.choice((None, [3, 8], torch.tensor([1, 2]))),
            "on_step": rng.choice((None, lambda now: None)),
            "on_image": rng.choice((None, lambda index, one: None)),
            "infill": rng.choice(("blur", "mean", images(rng), lambda images: images * 0)),
        }
        return arguments | settings

    return right


def _attribution(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return images[:, 0]


def _measured(call: Callable[..., Any]) -> Function:
    def right(rng: random.Random) -> Arguments:
        return {"model": network(), "images": images(rng), "importance": maps(rng), "targets": [0, 1], "infill": "blur"}

    return Function(call, right, names={"model": "score|link", "importance": "maps"})


def _compared(call: Callable[..., Any], **more: Any) -> Function:
    names = {"importance": "maps", "truth": "importance"}
    return Function(call, lambda rng: {"importance": maps(rng), "truth": truth(rng)} | more, names=names)


def _saved(path: Any) -> Any:
    explanation().save(path)


def _loaded(content: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content.npz")
        path.write_bytes(content if isinstance(content, bytes) else b"")
        return sdfido.Explanation.load(path)


def _some_bytes(rng: random.Random) -> Arguments:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "e.npz")
        explanation().save(path)
        content = bytearray(path.read_bytes())
    for _ in range(rng.choice((0, 0, 1, 4, 64))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return {"content": bytes(content[: len(content) if rng.random() < 0.8 else rng.randrange(len(content))])}


_NORMALIZATION = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
_CLASSIFIER = {
    "name": "mine",
    "size": (8, 8),
    "labels": ("a", "b"),
    "crop": 0.9,
    "border": (0.1,),
    "multi_label": False,
}

FUNCTIONS: dict[str, Function] = {
    "make_rng": Function(sdfido.make_rng, lambda rng: {"seed": 3, "step": 1}),
    "advance": Function(sdfido.advance, lambda rng: {"rng": sdfido.make_rng(1), "steps": 2}),
    "sample_masks": _operator(sdfido.sample_masks, _sampling),
    "sample_composites": _operator(sdfido.sample_composites, lambda rng: _sampling(rng) | _blending(rng)),
    "blend": _operator(sdfido.blend, lambda rng: {"masks": torch.rand(2, 1, 2, 4, 4)} | _blending(rng)),
    "simplified_concrete": _operator(
        sdfido.simplified_concrete, lambda rng: {"logits": torch.randn(2, 3), "u": torch.rand(2, 3), "temperature": 0.5}
    ),
    "FIDO": Function(
        _explain(sdfido.FIDO, _FIXED),
        _explaining(
            learning_rate=0.5, spread=1.0, temperature=(1.0, 0.2), seed=1, repeats=1, kept_share=0.9, max_batch=2
        ),
        _finite,
        ("repeats", "max_batch"),
    ),
    "FIDO's settings": Function(
        lambda **given: sdfido.FIDO(network(), **given),
        lambda rng: (
            {"steps": 3, "tolerance": 0.1, "mask_size": 4, "warmup": 0.3, "antithetic": True, "dtype": torch.float32}
            | {"channels_last": None, "fold_batch_norm": True, "normalization": None, "pruning": True, "num_samples": 2}
        ),
    ),
    "SufficientRegions": Function(
        _explain(sdfido.SufficientRegions, _FIXED),
        _explaining(count=2, reach=3.0, parting=2.0, largest=0.5, overlap_weight=10.0),
        _finite,
        ("count",),
    ),
    "Attribution": Function(_explain(sdfido.Attribution, {"attribution": _attribution}), _explaining(), _finite),
    "IGOS": Function(_explain(sdfido.IGOS, {"steps": 2, "mask_size": 4}), _explaining(), _finite),
    "ClassScore": Function(
        lambda link, output, images, targets: sdfido.FIDO(
            sdfido.ClassScore(network(), link, output), steps=1, mask_size=2, num_samples=1, repeats=1
        ).explain(images, targets),
        lambda rng: {"link": scores.log_odds, "output": None, "images": images(rng), "targets": 1},
        names={"link": "score", "output": "model"},
    ),
    "a model": Function(
        lambda model, images: sdfido.FIDO(model, steps=1, mask_size=2, num_samples=1, repeats=1).explain(images),
        lambda rng: {"model": network(), "images": images(rng)},
        names={"model": "score"},
    ),
    "Normalization": Function(sdfido.Normalization, lambda rng: dict(_NORMALIZATION)),
    "Normalization.normalize": Function(
        lambda pixels: sdfido.Normalization(**_NORMALIZATION).normalize(pixels), lambda rng: {"pixels": images(rng)}
    ),
    "Classifier": Function(lambda **given: models.Classifier(model=network(), **given), lambda rng: dict(_CLASSIFIER)),
    "Classifier.find": Function(
        lambda target: models.Classifier("mine", network(), labels=("a", "b")).find(target), lambda rng: {"target": "a"}
    ),
    "infills.from_spec": Function(
        infills.from_spec,
        lambda rng: {"spec": "blur:3", "normalization": None, "seed": 1},
        names={"spec": "infill|sigma|size|patch|tensor"},
    ),
    "infills.apply": Function(
        infills.apply, lambda rng: {"infill": infills.Blur(), "images": images(rng), "streams": [1, 2]}
    ),
    "Blur": Function(infills.Blur, lambda rng: {"sigma": 3.0}),
    "PatchShuffle": Function(infills.PatchShuffle, lambda rng: {"patch": 4, "seed": 0}),
    "Explanation.composites": Function(
        lambda images, infill: explanation().composites(images, infill),
        lambda rng: {"images": images(rng), "infill": images(rng)},
    ),
    "Explanation.stack": Function(
        sdfido.Explanation.stack, lambda rng: {"explanations": [explanation(), explanation()]}
    ),
    "Explanation[]": Function(lambda index: explanation()[index], lambda rng: {"index": rng.choice((0, 1, "ssr"))}),
    "Explanation.area": Function(lambda region: explanation().area(region), lambda rng: {"region": "ssr"}),
    "Explanation.load": Function(
        _loaded, _some_bytes, lambda result, given: _finite(result, given), names={"content": "content.npz"}
    ),
    "MapInfo": Function(sdfido.MapInfo, lambda rng: {"title": "a", "role": "keep", "of": (), "mean": "geometric"}),
    "insertion": _measured(evaluate.insertion),
    "necessity": _measured(evaluate.necessity),
    "pointing_game": _compared(evaluate.pointing_game, tolerance=1),
    "energy_outside": _compared(evaluate.energy_outside),
    "intersection_over_union": _compared(evaluate.intersection_over_union, threshold=0.5),
    "average_precision": _compared(evaluate.average_precision),
    "rank_correlation": Function(
        evaluate.rank_correlation,
        lambda rng: {"a": maps(rng), "b": maps(rng)},
        names={"a": "maps|importance", "b": "maps|importance"},
    ),
    "top": Function(evaluate.top, lambda rng: {"importance": maps(rng), "area": 0.2}),
    "shard": Function(
        runs.shard, lambda rng: {"items": [runs.Item(None, Path("a"))] * 4, "part": "1/2"}, names={"part": "shard"}
    ),
}
