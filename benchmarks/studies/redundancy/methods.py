"""The methods that give several explanations of an image, by name; all of them infill by the same blur."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.attributions import BLUR
from sdfido.ops.functional import upsample


class Separate(NamedTuple):
    """Explanations of N images that each stand for themselves, E of an image at most."""

    maps: Tensor  #: importance [N, E, H, W]
    regions: Tensor  #: what each finds sufficient [N, E, H, W], bool; empty where there is no such explanation
    confidences: Tensor  #: of the target for the regions alone [N, E]


MOST = 3  # explanations of an image that are looked at

Method = Callable[[nn.Module, Tensor, Tensor], Separate]
"""From a model, images [N, C, H, W] and targets [N]."""


def separate(*explanations: sdfido.Explanation) -> Separate:
    """All regions that are kept, as explanations of their own."""
    found = []
    for each in explanations:
        kept = each.binary_masks > 0.5
        for k, name in enumerate(each.regions):
            if each.legend[name].role == "keep":
                found.append((each[name], kept[:, k], each.scores[f"prob_{name}_binary"]))
    return Separate(*(torch.stack(tensors, 1) for tensors in zip(*found, strict=True)))


def sufficient_regions(model: nn.Module, images: Tensor, targets: Tensor, **settings: Any) -> Separate:
    return separate(sdfido.SufficientRegions(model, infill=BLUR, **settings).explain(images, targets))


def seeds(model: nn.Module, images: Tensor, targets: Tensor, seeds: Sequence[int], **settings: Any) -> Separate:
    """FIDO once for each seed."""
    explainers = (sdfido.FIDO(model, infill=BLUR, seed=seed, **settings) for seed in seeds)
    return separate(*(explainer.explain(images, targets) for explainer in explainers))


def attention_graph(model: nn.Module, images: Tensor, targets: Tensor, **settings: Any) -> Separate:
    """The first roots of each image's graph; of the map, what lies in their patches."""
    explanation = sdfido.AttentionGraph(model, infill=BLUR, **settings).explain(images, targets)
    graphs = sdfido.AttentionGraph.graphs(explanation)
    rows, columns = graphs[0].grid
    patches = torch.zeros(len(images), MOST, rows * columns)
    confidences = explanation.scores["prob_infill"][:, None].repeat(1, MOST)
    for n, graph in enumerate(graphs):
        for k, root in enumerate(graph.roots[:MOST]):
            patches[n, k, list(graph.nodes[root])] = 1
            confidences[n, k] = graph.shares[root] * explanation.scores["prob_image"][n]
    height, width = images.shape[2:]
    regions = upsample(patches.unflatten(2, (rows, columns)), (height, width)) > 0.5
    return Separate(explanation["sag"][:, None] * regions, regions, confidences)


METHODS: dict[str, Method] = {
    "regions": sufficient_regions,
    "graph": attention_graph,
    "two seeds": partial(seeds, seeds=(0, 1), repeats=1),
    "three seeds": partial(seeds, seeds=(0, 1, 2), repeats=1),
}


def settings() -> dict[str, Any]:
    """Those of sufficient regions, as plain values."""
    return sdfido.SufficientRegions(nn.Identity(), infill=BLUR).describe()
