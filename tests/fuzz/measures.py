"""Measures of ``sdfido.evaluate``, for generated calls."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sdfido
from sdfido import evaluate
from sdfido.evaluate import audit, parts
from tests.fuzz.core import some
from tests.fuzz.objects import (
    Arguments,
    Function,
    Holds,
    anything,
    defaults,
    explains,
    explanation,
    images,
    maps,
    network,
    truth,
    within,
)

_MAPS = "maps|importance|pairs"


def _curve(call: Callable[..., Any], **options: Any) -> Function:
    def right(rng: random.Random) -> Arguments:
        given = {"model": network(), "images": images(rng), "importance": maps(rng), "targets": [0, 1]}
        return given | some(rng, infill="blur", streams=[1, 2], max_batch=3, normalization=None) | options

    return Function(call, right, within(0, 4), "score|link|fractions")


def _compared(call: Callable[..., Any], holds: Holds, **options: Any) -> Function:
    return Function(call, lambda rng: {"importance": maps(rng), "truth": truth(rng)} | options, holds, _MAPS)


@functools.cache
def _probe() -> evaluate.Probe:
    return evaluate.Probe(network(), images(random.Random(0)), [0, 1])


def explain(model: nn.Module, images: Tensor, targets: Any) -> Tensor:
    weights = getattr(model, "parameters", list)()
    return images.float().sum(1) * sum(float(each.sum()) for each in weights)


def encode(texts: list[str]) -> Tensor:
    return torch.stack([torch.full((5,), float(len(text))) + torch.arange(5) for text in texts])


def photos(**given: Any) -> audit.Photos:
    return audit.Photos(**given)


def _photos(rng: random.Random) -> Arguments:
    n = 12
    draw = np.random.default_rng(rng.randrange(4))
    return {
        "classes": ["a", "b"] * (n // 2),
        "sites": ["x"] * 6 + ["y"] * 6,
        "numbers": {name: draw.random(n) for name in audit.MEASURES},
        "backgrounds": {name: draw.random(n) for name in "ab"},
        "without": draw.random((n, 8)),
        "sequences": ["s"] * 3 + ["t"] * 7 + [None] * 2,
    }


def photos_of(rng: random.Random) -> audit.Photos:
    return photos(**_photos(rng))


_unknown = within(-1, 1, unknown=True)
_DRAWN = {"module": network(), "seed": 0}

MEASURES: dict[str, Function] = {
    "deletion": _curve(evaluate.deletion, num_fractions=3),
    "insertion": _curve(evaluate.insertion, num_fractions=3),
    "sufficiency": _curve(evaluate.sufficiency, areas=(0.1, 0.5)),
    "necessity": _curve(evaluate.necessity, areas=[0.1, 0.5]),
    "Probe": Function(
        lambda maps, fractions, **given: evaluate.Probe(network(), **given).keep(maps, fractions),
        lambda rng: {"images": images(rng), "targets": 1, "maps": maps(rng), "fractions": rng.choice((3, [0.1, 0.5]))},
        within(0, 4),
        "importance|model",
    ),
    "measure": Function(
        evaluate.measure, lambda rng: {"maps": maps(rng), "probe": _probe(), "truth": truth(rng)}, anything, _MAPS
    ),
    "pointing_game": _compared(evaluate.pointing_game, within(0, 1), tolerance=1),
    "energy_outside": _compared(evaluate.energy_outside, _unknown),
    "outside": _compared(evaluate.outside, _unknown, threshold="truth"),
    "false_positive_rate": _compared(evaluate.false_positive_rate, _unknown, threshold=0.5),
    "intersection_over_union": _compared(evaluate.intersection_over_union, _unknown, threshold=0.5),
    "average_precision": _compared(evaluate.average_precision, _unknown),
    "cue_localisation": _compared(evaluate.cue_localisation, anything, pairs=torch.tensor([[0, 1], [1, 2]])),
    "boxes": Function(
        evaluate.pointing_game,
        lambda rng: {"importance": maps(rng), "truth": torch.tensor([[0, 0, 4, 4], [1, 1, 3, 3]])},
        within(0, 1),
    ),
    "total_variation": Function(evaluate.total_variation, lambda rng: {"maps": maps(rng)}, within(0)),
    "components": Function(
        evaluate.components, lambda rng: {"regions": truth(rng), "connectivity": 8, "min_pixels": 2}, within(0, 64)
    ),
    "rank_correlation": Function(
        evaluate.rank_correlation, lambda rng: {"a": maps(rng), "b": maps(rng)}, _unknown, "maps"
    ),
    "stability": Function(
        evaluate.stability,
        lambda rng: {"maps": rng.choice(([maps(rng), maps(rng)], images(rng)[None].repeat(2, 1, 1, 1, 1)[:, :, 0]))},
        _unknown,
    ),
    "ranks": Function(evaluate.ranks, lambda rng: {"importance": maps(rng)}, within(0, 63)),
    "top": Function(evaluate.top, lambda rng: {"importance": maps(rng), "area": 0.2}, anything, "importance"),
    "model_agreement": Function(
        evaluate.model_agreement,
        lambda rng: {"maps_by_model": {"a": maps(rng), "b": maps(rng)}, "area": 0.2},
        _unknown,
    ),
    "transfer": Function(
        evaluate.transfer,
        lambda rng: {
            "maps_by_model": {"a": maps(rng), "b": maps(rng)},
            "models": {"a": network()},
            "images": images(rng),
            "fractions": [0.1, 0.3],
            "targets": rng.choice((None, 1, {"a": [0, 1]})),
            "seed": 1,
        },
        within(0, 1),
        "model|importance|infill",
    ),
    "agreed": Function(evaluate.agreed, lambda rng: {"explanations": [explanation(), explanation()]}, explains),
    "over_seeds": Function(
        evaluate.over_seeds,
        lambda rng: {
            "explainer": sdfido.FIDO(network(), steps=1, mask_size=2, num_samples=1, repeats=1),
            "images": images(rng),
            "targets": None,
            "seeds": 2,
        },
        explains,
        "model",
    ),
    "randomised": Function(evaluate.randomised, lambda rng: dict(_DRAWN), anything),
    "model_randomisation": Function(
        evaluate.model_randomisation,
        lambda rng: _DRAWN | {"explain": explain, "images": images(rng), "targets": 1, "maps": maps(rng)},
        _unknown,
        "a and b|model",
    ),
    "label_randomisation": Function(
        evaluate.label_randomisation,
        lambda rng: _DRAWN | {"explain": explain, "images": images(rng), "targets": torch.tensor([1, 2]), "classes": 5},
        _unknown,
        "a and b|model",
    ),
    "prompt_check": Function(
        evaluate.prompt_check,
        lambda rng: {
            "score": sdfido.scores.TextScore(network(), ["a", "bb"], encode),
            "images": images(rng),
            "text": "a heron",
            "draws": 3,
            "seed": 0,
        },
        within(-1, 1),
        "model",
    ),
    "from_around": Function(evaluate.from_around, lambda rng: {"images": images(rng), "hidden": truth(rng)}, within()),
    "background": Function(
        evaluate.background,
        lambda rng: {
            "model": network(),
            "images": images(rng),
            "animals": truth(rng),
            "targets": torch.tensor([1, 2]),
            "max_batch": 3,
        },
        within(0, 1, unknown=True),
        "truth|score",
    ),
    "answers": Function(
        evaluate.answers, lambda rng: {"model": network(), "images": images(rng), "max_batch": 3}, within(0, 1), "score"
    ),
    "region_features": Function(
        parts.region_features,
        lambda rng: {"model": network(), "images": images(rng), "masks": truth(rng)[:, None], "mirror": True},
        within(),
    ),
    "clusters": Function(
        parts.clusters, lambda rng: {"features": torch.rand(9, 3), "most": 3, "least": 0.25}, anything
    ),
    "audit.flags": Function(
        lambda limits, **given: audit.flags(photos(**given), limits),
        lambda rng: _photos(rng) | {"limits": audit.Limits(resamples=20)},
        anything,
        "sites",
    ),
    "audit.Photos": Function(photos, _photos, anything, "sites"),
    "audit.Limits": defaults(audit.Limits),
}
