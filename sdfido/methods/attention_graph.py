"""Structured attention graphs: several small sets of patches, each enough on its own, and what their subsets keep."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..checks import check_size, set_count, set_number, set_seed
from ..explanation import Explanation, MapInfo
from ..graph import PatchGraph
from ..normalization import Normalization
from ..ops import functional
from ..scores import Model, Score
from . import guides
from .base import Explainer, OnImage, OnStep, Progress, Scene
from .sufficient_sets import Search, Shares, members, windows

__all__ = ["AttentionGraph", "AttentionGraphSettings"]

_TOGETHER = 16  # composites that the model is given at once on CPUs


@dataclass(frozen=True, kw_only=True)
class AttentionGraphSettings:
    """What the search for structured attention graphs can be set to.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    mask_size: int | tuple[int, int] = 7  #: patches (rows, columns)
    kept_share: float = 0.9  #: part of the image's confidence that a sufficient set keeps, above 0, at most 1
    beam_width: int = 3  #: sets that a level goes on with
    branching: int = 15  #: patches that each of them is extended by, those that the guide ranks highest
    max_roots: int = 10  #: independent roots of an image, at most
    max_overlap: int = 1  #: patches that two roots may share
    #: rows and columns of patches in which a root is looked for, so that it lies in one part of the image; 0: anywhere.
    #: Where no such square suffices, the first root is looked for anywhere
    window: int = 0
    max_evaluations: int = 800  #: composites of an image after which no further level and no further round begins
    expanded_share: float = 0.4  #: share above which a node has children, 0..1
    max_children: int = 3  #: children of a node, those that lose most
    max_nodes: int = 60  #: nodes of an image's graph
    seed: int = 0  #: of a guide or an infill that draws

    def __post_init__(self) -> None:
        cells = check_size("mask_size", self.mask_size, "(rows, columns)")
        object.__setattr__(self, "mask_size", cells if isinstance(self.mask_size, tuple | list) else cells[0])
        set_number(self, "kept_share", float, above=0, most=1, meaning="above 0 and at most 1")
        set_number(self, "expanded_share", float, 0, 1)
        for name in ("beam_width", "branching", "max_roots", "max_evaluations", "max_children"):
            set_count(self, name)
        set_count(self, "max_overlap", 0)
        set_count(self, "window", 0)
        set_number(self, "max_nodes", int, self.max_roots, meaning=f"an integer, at least max_roots={self.max_roots}")
        set_seed(self)

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for images of this size."""
        rows, columns = check_size("mask_size", self.mask_size)
        if rows > height or columns > width:
            raise ValueError(f"mask_size must not exceed the image, {height}x{width} pixels, got {rows}x{columns}")
        return rows, columns


class AttentionGraph(Explainer):
    """Structured attention graphs (SAG) explain an answer by several small sets of patches, each of them sufficient.

    A set S of patches keeps the share ``confidence(composite of S) / confidence(image)``, all other patches being
    infilled. A *root* is a minimal sufficient set: its share is ``kept_share`` at least, and below it without any one
    of its patches. Roots share at most ``max_overlap`` patches pairwise. The *graph* has the roots and, removal by
    removal, their subsets with their shares.

    The map ``sag`` is the mean over the roots of ``(1 + loss) / 2`` at their patches, and 0 elsewhere, where
    ``loss = 1 - share(S without the patch) / share(S)``, in 0..1. The final region is the smallest root.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score`` whose
            confidence is positive. A module is put into eval mode for the time of ``explain``.
        infill: what replaces patches, as in ``sdfido.Explainer``.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        guide: what ranks the patches: "fido", the SSR of a short FIDO; "patches", the share of each alone plus what is
            lost without it, which needs no gradients; a map [N, H, W] or [1, H, W] of any size; an explainer, of which
            the first map that is not of role "remove" is taken; or a callable from images [1, C, H, W] to a map
            [1, H, W].
        settings: any field of ``AttentionGraphSettings``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.AttentionGraph(model).explain(images)
        >>> graph = sdfido.AttentionGraph.graphs(explanation)[0]
        >>> print(graph.formula)  # P3 and P10, or P24 and P31

    Source: Shitole et al., "One explanation is not enough: structured attention graphs for image classification",
    NeurIPS 2021, arXiv 2011.06733.
    """

    name = "sag"
    legend = MappingProxyType({"sag": MapInfo("SAG: sufficient patches", "enough in few, several sets", "keep")})
    settings_type = AttentionGraphSettings
    settings: AttentionGraphSettings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        guide: guides.Guide = "fido",
        **settings: Any,
    ) -> None:
        super().__init__(model, infill=infill, normalization=normalization, **settings)
        self.guide = guides.check(guide)

    @staticmethod
    def graphs(explanation: Explanation) -> list[PatchGraph]:
        """The graph of each image of an explanation, also of one that was loaded.

        Raises:
            ValueError: the explanation has none.
        """
        parts = explanation.parts
        if not {"nodes", "node_shares"} <= set(parts):
            raise ValueError(f"explanation must be by method 'sag', got one by method {explanation.method!r}")
        pairs = zip(parts["nodes"], parts["node_shares"], strict=True)
        return [PatchGraph.of(nodes, shares, explanation.share("sag")) for nodes, shares in pairs]

    def files(self) -> dict[str, Callable[[Explanation, Tensor, str, Path], None]]:
        return {"graph.png": _draw, "graph.json": _write}

    def composites_per_image(self) -> int:
        return min(_TOGETHER, self.settings.beam_width * self.settings.branching)

    def check_size(self, height: int, width: int) -> None:
        self.settings.cells(height, width)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "guide": guides.describe(self.guide)}

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Sequence[int] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        with self.scene(images, targets, streams, on_step=on_step, on_image=on_image) as scene:
            n, begin = len(scene), time.perf_counter()
            self._check(scene)
            explanations: list[Explanation] = []
            for place in range(n):
                one = self._explain_one(scene[place : place + 1], place)
                explanations.append(replace(one, seconds=time.perf_counter() - begin))
                if on_image is not None:
                    on_image(place, explanations[-1])
                if on_step is not None:
                    masks = torch.cat([each.parts["masks"] for each in explanations])
                    every = torch.cat([masks, masks.new_zeros(n - len(masks), *masks.shape[1:])])
                    on_step(Progress(place + 1, n, float(masks.mean()), place + 1, every))
            if not n:
                return self._conclude(scene, [], [], Shares(lambda sets: [], 1))
            return replace(Explanation.stack(explanations), seconds=time.perf_counter() - begin)

    def _check(self, scene: Scene) -> None:
        """Raise ValueError where shares mean nothing, or the guide does not fit the images."""
        for place, confidence in enumerate((scene.confidence - scene.floor).tolist()):
            if not 0 < confidence < math.inf:
                raise ValueError(
                    f"score must have a positive confidence for each image, above the infill's where it has no zero, "
                    f"got {confidence:g} for image {place}; sets of patches are measured by their share of it"
                )
        if isinstance(self.guide, Tensor) and len(self.guide) not in (1, len(scene)):
            raise ValueError(f"guide must be a map for each of {len(scene)} images, or one, got {len(self.guide)}")

    def _explain_one(self, scene: Scene, place: int) -> Explanation:
        """The explanation of one image, by its place among all."""
        cells, floor = self.settings.cells(*scene.size), float(scene.floor)
        confidence = float(scene.confidence) - floor

        def ask(sets: list[int]) -> list[float]:
            masks = _as_masks(sets, cells, scene.images.device).float()[None, :, None]
            found: list[float] = scene.masked_confidences(masks).flatten().tolist()
            if not all(map(math.isfinite, found)):
                raise RuntimeError(
                    "the model's confidence must be finite for composites of image and infill, got others"
                )
            return [(each - floor) / confidence for each in found]

        shares = Shares(ask, cells[0] * cells[1])
        order = list(range(shares.patches))
        if shares[0] < self.settings.kept_share:  # otherwise the infill suffices, and no patch matters
            order = guides.ranked(self.guide, scene, place, shares, cells, self.infill, self.settings.seed)
        search = Search(shares, order, self.settings, windows(cells, self.settings.window))
        roots = search.roots()
        return self._conclude(scene, roots, search.graph(roots), shares)

    def _conclude(self, scene: Scene, roots: list[int], nodes: list[int], shares: Shares) -> Explanation:
        """The explanation of one image, or of none, from its roots, the smallest first, and its nodes."""
        n, cells, device = len(scene), self.settings.cells(*scene.size), scene.images.device
        every = torch.zeros(n, self.settings.max_nodes, *cells, dtype=torch.bool, device=device)
        told = torch.full(every.shape[:2], torch.nan, dtype=torch.float32, device=device)
        weights = torch.zeros(n, *cells, dtype=torch.float32, device=device)
        if n:
            every[0, : len(nodes)] = _as_masks(nodes, cells, device)
            told[0, : len(nodes)] = told.new_tensor(shares(nodes))
            weights[0] = weights.new_tensor(_weights(roots, shares)).view(cells)
        kept = every[:, :1]
        maps = {"sag": functional.upsample(weights, scene.size).clamp(0, 1)}
        parts = {"masks": kept.float(), "kept_cells": kept, "nodes": every, "node_shares": told}
        scores = {"roots": weights.new_full((n,), len(roots)), "evaluations": weights.new_full((n,), shares.asked)}
        return self.conclude(scene, maps, parts, scores=scores, seconds=0.0)


def _as_masks(sets: Sequence[int], cells: tuple[int, int], device: torch.device) -> Tensor:
    """Sets of patches as masks, bool [sets, rows, columns]."""
    masks = torch.zeros(len(sets), cells[0] * cells[1], dtype=torch.bool, device="cpu")
    for row, one in enumerate(sets):
        masks[row, members(one)] = True
    return masks.view(-1, *cells).to(device)


def _weights(roots: Sequence[int], shares: Shares) -> list[float]:
    """Importance of each patch: the mean over the roots of (1 + loss) / 2, as described above."""
    weights = [0.0] * shares.patches
    for root in roots:
        for patch in members(root):
            left = shares[root & ~(1 << patch)] / shares[root]
            weights[patch] += (1 + min(max(1 - left, 0.0), 1.0)) / (2 * len(roots))
    return weights


def _draw(explanation: Explanation, pixels: Tensor, label: str, path: Path) -> None:
    from .. import reports  # needs matplotlib, which explaining does not

    figure = reports.attention_graph(AttentionGraph.graphs(explanation)[0], pixels[0], label=label)
    reports.save(figure, path)


def _write(explanation: Explanation, pixels: Tensor, label: str, path: Path) -> None:
    AttentionGraph.graphs(explanation)[0].save(path)
