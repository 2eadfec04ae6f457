"""Operators, methods, infills and explanations, for generated calls."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from sdfido import infills
from sdfido.methods import several
from sdfido.methods.attention_graph import AttentionGraphSettings
from sdfido.methods.attribution import AttributionSettings
from sdfido.methods.calm import CALMSettings
from sdfido.methods.concepts import ConceptSettings
from sdfido.methods.extremal import ExtremalSettings
from sdfido.methods.igos import IGOSPlusPlusSettings, IGOSSettings
from sdfido.methods.relevance import RelevanceSettings
from sdfido.methods.training import Training
from tests.fuzz.objects import (
    Arguments,
    Function,
    Right,
    anything,
    defaults,
    explains,
    explanation,
    images,
    is_reference,
    network,
    within,
)

NORMALIZATION: Arguments = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


def some(rng: random.Random, **options: Any) -> Arguments:
    """About half of the optional arguments."""
    return {name: value for name, value in options.items() if rng.random() < 0.5}


def _operator(call: Callable[..., Any], right: Right) -> Function:
    return Function(call, right, is_reference(call))


def _sampling(rng: random.Random) -> Arguments:
    logits = torch.randn(2, 2, 4, 4, requires_grad=rng.random() < 0.5)
    arguments: Arguments = {"logits": logits, "rng": sdfido.make_rng(rng.randrange(9)), "num_samples": 3}
    return arguments | some(rng, temperature=0.5, antithetic=True, streams=torch.tensor([5, 9]))


def _blending(rng: random.Random) -> Arguments:
    return {"image": images(rng), "infill": images(rng)} | some(rng, dtype=torch.bfloat16, channels_last=True)


def _attribution(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return images[:, 0]


def _method(kind: Callable[..., Any], settings_type: type, **small: Any) -> Function:
    """A method with any of its settings, at a small size."""

    def call(images: Any, targets: Any, streams: Any, on_step: Any, on_image: Any, infill: Any, **given: Any) -> Any:
        explainer = kind(network(), infill=infill, **given)
        return explainer.explain(images, targets, streams=streams, on_step=on_step, on_image=on_image)

    def right(rng: random.Random) -> Arguments:
        names = [each.name for each in fields(settings_type) if hasattr(settings_type, each.name)]
        options: Arguments = {name: getattr(settings_type, name) for name in rng.sample(names, len(names) // 2)}
        options |= small | some(rng, max_batch=2, channels_last=True, fold_batch_norm=False, normalization=None)
        return options | {
            "images": images(rng),
            "targets": rng.choice((None, 3, [0, 4], torch.tensor([1, 2]))),
            "streams": rng.choice((None, [3, 8], torch.tensor([1, 2]))),
            "on_step": rng.choice((None, lambda now: None)),
            "on_image": rng.choice((None, lambda index, one: None)),
            "infill": rng.choice(("blur", "mean", images(rng), lambda images: images * 0)),
        }

    return Function(call, right, explains, "model|mask_size|score")


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The bytes of a file, in half of the cases damaged or cut off."""
    changed = bytearray(content)
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 3, 20))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        del changed[rng.choice((len(changed), rng.randrange(len(changed)))) :]
    return bytes(changed)


@functools.cache
def _saved() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        explanation().save(Path(folder, "a.npz"))
        return Path(folder, "a.npz").read_bytes()


def _loaded(content: Any) -> sdfido.Explanation:
    """What is read from a file of these bytes."""
    if not isinstance(content, bytes):
        return sdfido.Explanation.load(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content.npz")
        path.write_bytes(content)
        return sdfido.Explanation.load(path)


def _infill(kind: Callable[..., Any], **settings: Any) -> Function:
    """An infill with any of its settings, of any images."""

    def call(images: Any, streams: Any, **given: Any) -> Any:
        return infills.apply(kind(**given), images, streams)

    right = lambda rng: {"images": images(rng), "streams": rng.choice((None, [1, 2])), **settings}  # noqa: E731
    return Function(call, right, within(), "infill|size|sigma|patch|pixels")


_SMALL = {"steps": 2, "mask_size": 4, "num_samples": 1}
_GRAPH = {"mask_size": 2, "guide": "patches", "max_evaluations": 8}

CORE: dict[str, Function] = {
    "make_rng": Function(sdfido.make_rng, lambda rng: {"seed": 3, "step": 1, "device": None}, anything),
    "advance": Function(sdfido.advance, lambda rng: {"rng": sdfido.make_rng(1), "steps": 2}, anything),
    "sample_masks": _operator(sdfido.sample_masks, _sampling),
    "sample_composites": _operator(sdfido.sample_composites, lambda rng: _sampling(rng) | _blending(rng)),
    "blend": _operator(sdfido.blend, lambda rng: {"masks": torch.rand(2, 1, 2, 4, 4)} | _blending(rng)),
    "simplified_concrete": _operator(
        sdfido.simplified_concrete, lambda rng: {"logits": torch.randn(2, 3), "u": torch.rand(2, 3), "temperature": 0.5}
    ),
    "backend": Function(
        lambda name: sdfido.backend(name).__enter__(), lambda rng: {"name": "auto"}, anything, "backend"
    ),
    "FIDO": _method(sdfido.FIDO, sdfido.Settings, repeats=1, **_SMALL),
    "SufficientRegions": _method(sdfido.SufficientRegions, several.RegionsSettings, count=2, **_SMALL),
    "IGOS": _method(sdfido.IGOS, IGOSSettings, steps=2, mask_size=4, path_points=2),
    "IGOSPlusPlus": _method(sdfido.IGOSPlusPlus, IGOSPlusPlusSettings, steps=2, mask_size=4, path_points=2),
    "ExtremalPerturbation": _method(sdfido.ExtremalPerturbation, ExtremalSettings, steps=2, mask_size=4),
    "AttentionGraph": _method(sdfido.AttentionGraph, AttentionGraphSettings, **_GRAPH),
    **({"Relevance": _method(sdfido.Relevance, RelevanceSettings)} if find_spec("zennit") else {}),
    "Attribution": _method(sdfido.Attribution, AttributionSettings, attribution=_attribution),
    "Settings": defaults(sdfido.Settings),
    "RegionsSettings": defaults(several.RegionsSettings),
    "ExtremalSettings": defaults(ExtremalSettings),
    "IGOSSettings": defaults(IGOSSettings),
    "IGOSPlusPlusSettings": defaults(IGOSPlusPlusSettings),
    "AttentionGraphSettings": defaults(AttentionGraphSettings),
    "AttributionSettings": defaults(AttributionSettings, attribution=_attribution),
    "RelevanceSettings": defaults(RelevanceSettings),
    "CALMSettings": defaults(CALMSettings),
    "ConceptSettings": defaults(ConceptSettings),
    "Training": defaults(Training),
    "Execution": defaults(sdfido.Execution),
    "Concepts": Function(
        lambda images, layer, classes, pooling, **given: (
            sdfido.Concepts(network(), layer, classes=classes, pooling=pooling, epochs=1, rounds=1, **given)
            .fit(images)
            .contributions(images)
        ),
        lambda rng: {"images": images(rng), "layer": "1", "classes": (0, 1), "pooling": "mean", "count": 2, "batch": 2},
        within(),
        "activations|logits|model",
    ),
    "CALM": Function(
        lambda images, targets, **given: sdfido.CALM(network(), **given).fit([(images, targets)], epochs=1),
        lambda rng: {
            **{"images": images(rng), "targets": torch.tensor([1, 2]), "example": images(rng)[:1], "classes": 5},
            "seed": 0,
        },
        anything,
        "loader|model|network|features",
    ),
    "methods.load": Function(sdfido.methods.load, lambda rng: {"spec": "fido"}, anything, "method"),
    "Normalization": Function(sdfido.Normalization, lambda rng: dict(NORMALIZATION), anything),
    "Normalization.normalize": Function(
        lambda pixels: sdfido.Normalization(**NORMALIZATION).normalize(pixels),
        lambda rng: {"pixels": images(rng)},
        anything,
    ),
    "infills.from_spec": Function(
        infills.from_spec,
        lambda rng: {"spec": "blur:3", "normalization": None, "seed": 1},
        anything,
        "infill|sigma|size|patch|tensor",
    ),
    "infills.apply": Function(
        infills.apply, lambda rng: {"infill": infills.Blur(), "images": images(rng), "streams": [1, 2]}, within()
    ),
    "Blur": _infill(infills.Blur, sigma=3.0),
    "LocalMean": _infill(infills.LocalMean, size=3),
    "Mean": _infill(infills.Mean),
    "Zeros": _infill(infills.Zeros, normalization=sdfido.Normalization(**NORMALIZATION)),
    "UniformNoise": _infill(infills.UniformNoise, normalization=sdfido.Normalization(**NORMALIZATION), seed=1),
    "NormalNoise": _infill(
        infills.NormalNoise, normalization=sdfido.Normalization(**NORMALIZATION), seed=1, mean=0.5, std=0.1
    ),
    "PatchShuffle": _infill(infills.PatchShuffle, patch=4, seed=0),
    "Fixed": _infill(infills.Fixed, tensor=torch.zeros(3, 1, 1)),
    "Explanation.composites": Function(
        lambda images, infill: explanation().composites(images, infill),
        lambda rng: {"images": images(rng), "infill": images(rng)},
        anything,
    ),
    "Explanation.stack": Function(
        sdfido.Explanation.stack, lambda rng: {"explanations": [explanation(), explanation()]}, explains
    ),
    "Explanation[]": Function(
        lambda index: explanation()[index], lambda rng: {"index": rng.choice((0, 1, "ssr"))}, anything
    ),
    "Explanation.area": Function(
        lambda region: explanation().area(region), lambda rng: {"region": "ssr"}, within(0, 1)
    ),
    "Explanation.share": Function(
        lambda region: explanation().share(region), lambda rng: {"region": "ssr"}, within(0, 1)
    ),
    "Explanation.to": Function(lambda device: explanation().to(device), lambda rng: {"device": "cpu"}, explains),
    "Explanation.load": Function(
        _loaded, lambda rng: {"content": damaged(rng, _saved())}, explains, "content.npz|path|none"
    ),
    "MapInfo": Function(
        sdfido.MapInfo,
        lambda rng: {"title": "a", "note": "b", "role": "keep", "of": (), "mean": "geometric", "signed": False},
        anything,
    ),
    "PatchGraph": Function(
        lambda **given: sdfido.PatchGraph(**given).to_dict(),
        lambda rng: {"grid": (2, 2), "nodes": ((0,), (0, 1)), "shares": (0.2, 0.9), "kept_share": 0.9},
        anything,
        "nodes",
    ),
    "PatchGraph.of": Function(
        sdfido.PatchGraph.of,
        lambda rng: {"nodes": torch.eye(4).view(4, 2, 2) > 0, "shares": torch.rand(4), "kept_share": 0.9},
        anything,
    ),
    "PatchGraph.from_dict": Function(
        sdfido.PatchGraph.from_dict,
        lambda rng: {"table": sdfido.PatchGraph((2, 2), ((0,),), (0.5,)).to_dict()},
        anything,
    ),
}
