"""The methods that give several explanations of an image, by name; all of them infill by the same blur."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.attributions import BLUR
from sdfido.graph import PatchGraph
from sdfido.ops.functional import upsample


class Separate(NamedTuple):
    """Explanations of N images that each stand for themselves, E of an image at most."""

    maps: Tensor  #: importance [N, E, H, W]
    regions: Tensor  #: what each finds sufficient [N, E, H, W], bool; empty where there is no such explanation
    confidences: Tensor  #: of the target for the regions alone [N, E]


MOST = 3  # explanations of an image that are looked at, if nothing else is said

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


def attention_graph(model: nn.Module, images: Tensor, targets: Tensor, most: int = MOST, **settings: Any) -> Separate:
    """The first roots of each image's graph, and what their own patches lose."""
    explanation = sdfido.AttentionGraph(model, infill=BLUR, **settings).explain(images, targets)
    graphs = sdfido.AttentionGraph.graphs(explanation)
    grid = graphs[0].grid
    weights = torch.zeros(len(images), most, grid[0] * grid[1])
    confidences = explanation.scores["prob_infill"][:, None].repeat(1, most)
    for n, graph in enumerate(graphs):
        for k, root in enumerate(graph.roots[:most]):
            weights[n, k] = importance(graph, root)
            confidences[n, k] = graph.shares[root] * explanation.scores["prob_image"][n]
    weights, size = weights.unflatten(2, grid), (images.shape[2], images.shape[3])
    regions = upsample((weights > 0).float(), size) > 0.5
    return Separate(upsample(weights, size) * regions, regions, confidences)


def importance(graph: PatchGraph, root: int) -> Tensor:
    """Importance of the patches to one root [patches]: ``(1 + loss) / 2``, as in the method's map, 0 elsewhere.

    The graph has those children of a root that lose most; the other patches get the smallest loss of these.
    """
    edges = [edge for edge in graph.edges if edge.parent == root]
    losses = {edge.removed: min(max(1 - graph.shares[edge.child] / graph.shares[root], 0), 1) for edge in edges}
    weights = torch.zeros(graph.grid[0] * graph.grid[1])
    for patch in graph.nodes[root]:
        weights[patch] = (1 + losses.get(patch, min(losses.values(), default=0))) / 2
    return weights


METHODS: dict[str, Method] = {
    "regions": sufficient_regions,
    "graph": attention_graph,
    "fine graph": partial(attention_graph, most=10, mask_size=12),
    "windows": partial(attention_graph, most=10, mask_size=12, window=4),
    "two seeds": partial(seeds, seeds=(0, 1), repeats=1),
    "three seeds": partial(seeds, seeds=(0, 1, 2), repeats=1),
}


def settings() -> dict[str, Any]:
    """Those of sufficient regions, as plain values."""
    return sdfido.SufficientRegions(nn.Identity(), infill=BLUR).describe()
