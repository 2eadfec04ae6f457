"""What ranks patches before a search: maps of other methods, or what single patches do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import checks
from ..explanation import Explanation
from .base import Explainer, Scene
from .fido import FIDO
from .settings import FAST
from .sufficient_sets import Shares

__all__ = ["Guide", "check", "describe", "ranked"]

Guide = str | Tensor | Explainer | Callable[[Tensor], Tensor]

_NAMES = ("fido", "patches")


def check(guide: Guide) -> Guide:
    """A guide as it is.

    Raises:
        TypeError, ValueError: it is neither a name of a guide, nor a finite map, an explainer or a callable.
    """
    if isinstance(guide, str):
        return checks.check_choice("guide", guide, _NAMES)
    if isinstance(guide, Tensor):
        return checks.check_tensor("guide", guide, "[N, H, W] or [1, H, W]", 3, floating=True, finite=True, filled=1)
    if not isinstance(guide, Explainer) and not callable(guide):
        names = ", ".join(map(repr, _NAMES))
        raise TypeError(
            f"guide must be one of {names}, a map, an explainer or a callable, got {checks.describe(guide)}"
        )
    return guide


def describe(guide: Guide) -> str | dict[str, Any]:
    """A guide as plain values, for records."""
    if isinstance(guide, Explainer):
        return {"method": guide.name, **guide.describe()}
    if isinstance(guide, Tensor):
        return f"tensor {list(guide.shape)}"
    return guide if isinstance(guide, str) else repr(guide)


def ranked(
    guide: Guide,
    scene: Scene,
    place: int,
    shares: Shares,
    cells: tuple[int, int],
    infill: Callable[..., Tensor],
    seed: int,
) -> list[int]:
    """The patches of one image, the most important first, equals in their order.

    Args:
        guide: as ``AttentionGraph`` takes it.
        scene: of this image.
        place: of the image among those that are explained.
        shares: of its sets of patches.
        cells: rows and columns of patches.
        infill, seed: of a FIDO that guides.
    """
    if isinstance(guide, str) and guide == "patches":
        singles = [1 << patch for patch in range(shares.patches)]
        alone, without = shares(singles), shares(shares.everything & ~one for one in singles)
        importance = torch.tensor(
            [a - w for a, w in zip(alone, without, strict=True)], dtype=torch.float64, device="cpu"
        )
    else:
        found = _map(guide, scene, place, infill, seed).detach().double().cpu()
        importance = F.adaptive_avg_pool2d(found, cells).flatten()
    order: list[int] = importance.argsort(descending=True, stable=True).tolist()
    return order


def _map(guide: Guide, scene: Scene, place: int, infill: Callable[..., Tensor], seed: int) -> Tensor:
    """A map of one image [1, H, W]."""
    if isinstance(guide, str):
        quick = _Quick(scene.score, infill=infill, seed=seed, region_weight=0.0, **FAST)
        try:
            return quick.learn(replace(scene, composites=quick.composites_per_image())).ssr
        except ValueError as error:
            raise ValueError(f"guide 'fido' needs gradients; use guide='patches' without them: {error}") from error
    if isinstance(guide, Tensor):
        return guide[[place if len(guide) > 1 else 0]]
    if isinstance(guide, Explainer):
        explanation = guide.explain(scene.images, scene.targets, streams=scene.streams.tolist())
        names = [name for name, info in explanation.legend.items() if info.role != "remove"]
        return explanation[(names or list(explanation.maps))[0]]
    given = guide(scene.images.clone())  # it may work in place
    found = checks.check_tensor("guide", given, "[1, H, W]", 3, floating=True, finite=True, filled=0)
    if len(found) != 1:
        raise ValueError(f"guide must return one map [1, H, W] for one image, got {list(found.shape)}")
    return found


class _Quick(FIDO):
    """A FIDO of which the maps alone are wanted."""

    def _with_regions(self, scene: Scene, explanation: Explanation) -> Explanation:
        return explanation
