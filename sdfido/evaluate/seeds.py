"""How far an explanation depends on chance: the same by several seeds, and the core that all of them agree on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from ..checks import check_count, check_kind, check_list
from ..explanation import Explanation
from ..methods.base import Explainer, OnImage, OnStep, Progress
from .agreement import stability

__all__ = ["agreed", "over_seeds"]


def over_seeds(
    explainer: Explainer,
    images: Tensor,
    targets: Any = None,
    *,
    seeds: int = 2,
    streams: Sequence[int] | None = None,
    on_step: OnStep | None = None,
    on_image: OnImage | None = None,
) -> Explanation:
    """Explain images by several seeds, and say how far they agree.

    The seeds are the explainer's own and those after it; the maps are those of the first. It takes as many times as
    long as there are seeds.

    Args:
        explainer: of a method with a ``seed``; it is left as it is.
        images, targets, streams, on_step, on_image: as ``Explainer.explain`` takes them.
        seeds: how many, at least 2.

    Returns:
        The explanation by the first seed, with what ``agreed`` adds.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value, or the method has no seed.

    Example:
        >>> explanation = sdfido.evaluate.over_seeds(sdfido.FIDO(model), images)
        >>> explanation.seeds_overlap_ssr  # intersection over union of the final regions [N]
        >>> explanation.core[:, 0]  # cells that every seed's SSR keeps, bool [N, h, w]
    """
    check_kind("explainer", explainer, Explainer, "an explainer, such as sdfido.FIDO(model)")
    count = check_count("seeds", seeds, 2)
    if not hasattr(explainer.settings, "seed"):
        raise ValueError(f"explainer must have a seed, got method {explainer.name!r}, which is not random")
    first = explainer.settings.seed
    others = []
    for place in range(1, count):
        other = copy.copy(explainer)
        other.settings = replace(explainer.settings, seed=first + place)
        others.append(other.explain(images, targets, streams=streams, on_step=_later(on_step, place - 1, count)))

    def tell(place: int, one: Explanation) -> None:
        if on_image is not None:
            on_image(place, agreed([one, *(other[place] for other in others)]))

    found = explainer.explain(
        images, targets, streams=streams, on_step=_later(on_step, count - 1, count), on_image=tell
    )
    seconds = [each.seconds for each in (found, *others) if each.seconds is not None]
    return replace(agreed([found, *others]), seconds=sum(seconds) if seconds else None)


def agreed(explanations: Sequence[Explanation]) -> Explanation:
    """The first of several explanations of the same images, with how far the others agree with it and each other.

    Args:
        explanations: by seeds, infills, or models that see the same images; of the same method, masks and maps.

    Returns:
        The first one, with these numbers for each image: ``seeds``, how many there are; ``seeds_rank_MAP``, the mean
        rank correlation of their maps, -1..1 (NaN becomes 0 where a map is constant); and for each region
        ``seeds_overlap_REGION``, the mean intersection over union of their final regions, 0..1, and ``core_REGION``,
        the part of the image that is in all of them. The part ``core``, bool [N, K, h, w], has the cells of the cores.

    Raises:
        ValueError: there are fewer than two, or they do not have the same maps, masks and number of images.
    """
    explanations = check_list("explanations", explanations, Explanation, "explanations")
    if len(explanations) < 2:
        raise ValueError(f"explanations must be at least two, got {len(explanations)}")
    first: Explanation = explanations[0]
    for other in explanations[1:]:
        if (other.method, len(other), list(other.maps)) != (first.method, len(first), list(first.maps)):
            raise ValueError(
                "explanations must be of the same images and method, got "
                f"{len(first)} by {first.method!r} and {len(other)} by {other.method!r}"
            )
        shapes = [[list(each[name].shape) for name in each.maps] for each in (first, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"explanations must have maps of one size, got {shapes[0][0]} and {shapes[1][0]}")
        if other.regions and other.mask_size != first.mask_size:
            raise ValueError(f"explanations must have masks of one size, got {first.mask_size} and {other.mask_size}")
    every = torch.ones(len(first), dtype=torch.float32, device=first.targets.device)
    scores = {"seeds": every * len(explanations)}
    for name in first.maps:
        scores[f"seeds_rank_{name}"] = stability(torch.stack([each[name] for each in explanations])).nan_to_num(0.0)
    parts = {}
    if first.regions:
        inside = torch.stack([each.final_cells for each in explanations])  # [R, N, K, h, w]
        core = inside.all(0)
        parts["core"] = core
        for k, name in enumerate(first.regions):
            pairs = [_overlap(a[:, k], b[:, k]) for a, b in combinations(inside, 2)]
            scores[f"seeds_overlap_{name}"] = torch.stack(pairs).mean(0)
            scores[f"core_{name}"] = core[:, k].float().mean((1, 2))
    return replace(first, scores={**first.scores, **scores}, parts={**first.parts, **parts})


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of regions, bool [N, h, w]: [N]; 1 of two that are empty."""
    shared, union = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    return torch.where(union > 0, shared.float() / union.clamp(min=1), 1.0)


def _later(on_step: OnStep | None, place: int, count: int) -> OnStep | None:
    """A callback that is told of one run as a part of several."""
    if on_step is None:
        return None
    tell = on_step

    def told(progress: Progress) -> object:
        step = place * progress.steps + progress.step
        return tell(replace(progress, step=step, steps=count * progress.steps))

    return told
