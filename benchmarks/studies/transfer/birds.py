"""The classifiers of drawn birds: the relevance of each, the transfer matrix, and the statements that it bears out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import sdfido
from benchmarks.common import classifiers, drawing
from benchmarks.common.attributions import BLUR, grad_cam
from benchmarks.common.records import Results
from benchmarks.common.statistics import RESAMPLES, digits
from benchmarks.studies.transfer import labels, models
from sdfido import evaluate

NAMES = ("species 1", "species 2", "group", "facing", "after facing", "after clutter")
"""The classifiers that are compared; "clutter" is only pretrained with."""
GRAD_CAM, OTHER = "Grad-CAM", "other image"
FRACTIONS = (0.05, 0.1, 0.2)
AT = 0.1  # the part of the image by which statements are judged
SHARED = 0.5  # share of a map's own gain from which it counts as transferring

PAIRS = {
    "initialisation": (("species 1", "species 2"),),
    "related task": (("species 1", "group"), ("species 2", "group")),
    "other task": (("species 1", "facing"), ("species 2", "facing")),
    "pretraining": (("after facing", "after clutter"),),
}
"""Pairs of classifiers by that in which they differ; each is taken in both directions."""


def drawn(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Normalised images [N, 3, 56, 56] and the hulls of the species' parts [N, 56, 56], bool; no common birds."""
    kinds = len(drawing.SPECIES)
    found = drawing.birds([i for i in range(2 * count) if i % kinds][:count], seed=seed)
    truth = models.small(found.truth[:, None].float())[:, 0] >= 0.5
    return classifiers.NORMALIZATION.normalize(models.small(found.pixels)), truth


def targets(count: int, seed: int) -> dict[str, Tensor]:
    """Labels [N] of the same images for each classifier, by its task."""
    kinds = len(drawing.SPECIES)
    index = [i for i in range(2 * count) if i % kinds][:count]
    return {name: labels.birds(index, models.PLANS[name].task, seed=seed) for name in NAMES}


def maps(images: Tensor, truths: dict[str, Tensor], **settings: object) -> dict[str, Tensor]:
    """Relevance of each classifier for its own label, and the rows that are compared with it."""
    found = {}
    for name in NAMES:
        explainer = sdfido.Relevance(models.load(name), infill=BLUR, max_batch=16, **settings)
        found[name] = explainer.explain(images, truths[name])["relevance"]
    first = models.load(NAMES[0])
    other = sdfido.Attribution(first, attribution=grad_cam, infill=BLUR, max_batch=16)
    found[GRAD_CAM] = other.explain(images, truths[NAMES[0]])["map"]
    found[OTHER] = found[NAMES[0]].roll(1, 0)
    return found


def matrix(count: int, seed: int, **settings: object) -> tuple[evaluate.Transfer, dict[str, Tensor], Results]:
    """The transfer matrix, the maps, and what is known of the classifiers."""
    images, truth = drawn(count, seed)
    asked = targets(count, seed)
    found = maps(images, asked, **settings)
    networks = {name: models.load(name) for name in NAMES}
    result = evaluate.transfer(found, networks, images, FRACTIONS, targets=asked, infill=BLUR, max_batch=64)
    pointed = {name: evaluate.pointing_game(found[name], truth) for name in NAMES}
    alike = {
        " / ".join(pair): evaluate.rank_correlation(found[pair[0]], found[pair[1]]).mean().item()
        for pairs in PAIRS.values()
        for pair in pairs
    }
    about = {
        "accuracy": dict(zip(result.models, map(digits, result.accuracy.tolist()), strict=True)),
        "pointing": {name: digits(float(value.float().mean())) for name, value in pointed.items()},
        "rank_correlation": {name: digits(value) for name, value in alike.items()},
        "training": {name: round(models.training_seconds(name)) for name in models.PLANS},
    }
    return result, found, about


def resampled(result: evaluate.Transfer, of: str, fraction: float, resamples: int = RESAMPLES) -> Tensor:
    """Relative probabilities of bootstrap samples of the images [1 + R, A, B]; the first is of all images."""
    masked = getattr(result, of)
    values = masked.confidence[:, :, result.fractions.index(fraction)].double()  # [A, B, N]
    count = values.shape[2]
    chosen = torch.randint(count, (resamples, count), generator=torch.Generator().manual_seed(0))
    weights = torch.cat([torch.ones(1, count), torch.stack([torch.bincount(row, minlength=count) for row in chosen])])
    weights = weights.double()
    return (
        torch.einsum("abn,rn->rab", values, weights)
        / torch.einsum("bn,rn->rb", masked.unmasked.double(), weights)[:, None]
    )


def interval(values: Tensor) -> dict[str, float]:
    """Of values [1 + R]: that of all images, and the 95% percentile interval of the others."""
    low, high = values[1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"value": digits(float(values[0])), "low": digits(low), "high": digits(high)}


def statements(result: evaluate.Transfer) -> Results:
    """Shares of a map's own gain that another classifier's map has, with intervals, by what the two differ in.

    The gain of map a for model b is T[a, b] less the best control, random, centre or another image's map, at ``AT`` of
    the image kept; the share is the gain of a's map over that of b's own, averaged over pairs and directions.
    """
    values = resampled(result, "kept", AT)
    row = {name: place for place, name in enumerate(result.maps)}
    column = {name: place for place, name in enumerate(result.models)}
    controls = [row[name] for name in (*result.controls, OTHER)]
    best = torch.tensor(controls)[values[0, controls].argmax(0)]  # by model
    control = values[:, best, torch.arange(len(best))]  # [1 + R, B]

    def own(b: str) -> Tensor:
        return values[:, row[b], column[b]] - control[:, column[b]]

    def share(a: str, b: str) -> Tensor:
        return (values[:, row[a], column[b]] - control[:, column[b]]) / own(b)

    def mean(of: Callable[[str, str], Tensor], pairs: tuple[tuple[str, str], ...]) -> Tensor:
        return torch.stack([of(*pair) for pair in (*pairs, *((b, a) for a, b in pairs))]).mean(0)

    shares = {name: mean(share, pairs) for name, pairs in PAIRS.items()}
    ((a, b),) = PAIRS["pretraining"]
    one, other = (values[:, row[x], column[y]] for x, y in ((a, b), (b, a)))
    return {
        "diagonal": {name: interval(own(name)) for name in NAMES},
        "best_control": {name: result.maps[int(best[column[name]])] for name in NAMES},
        "share": {name: interval(value) for name, value in shares.items()},
        "pretraining_less": interval(shares["initialisation"] - shares["pretraining"]),
        "asymmetry": interval(one - other),
        "asymmetry_of_shares": interval(share(a, b) - share(b, a)),
    }


def tables(result: evaluate.Transfer) -> Results:
    """The matrices as plain numbers: by what is kept or removed, by fraction, by map, by model."""
    return {
        of: {
            str(fraction): {
                name: {
                    model: {
                        "probability": digits(float(getattr(result, of).probability[a, b, p])),
                        "accuracy": digits(float(getattr(result, of).accuracy[a, b, p])),
                    }
                    for b, model in enumerate(result.models)
                }
                for a, name in enumerate(result.maps)
            }
            for p, fraction in enumerate(result.fractions)
        }
        for of in ("kept", "removed")
    }
