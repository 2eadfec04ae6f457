"""The methods that are compared on the drawn birds, by name.

All of them remove pixels in one way, by the same blur: it is FIDO's infill, and the baseline of integrated gradients
and occlusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

import sdfido
from benchmarks.common import attributions
from benchmarks.common.attributions import BLUR
from benchmarks.common.variants import PublishedFIDO, StandardFIDO

Method = Callable[..., sdfido.Explanation | Mapping[str, Tensor]]
"""From a model, images [N, C, H, W] and targets [N] to an explanation, or to maps [N, H, W] by name."""

SMALL_PARTS = {"sparsity_weight": 100.0, "spread": 1.5}
"""Settings for classes that parts of a few percent of the image decide; chosen on drawings that are not compared."""


def explained(
    kind: type[sdfido.FIDO], model: nn.Module, images: Tensor, targets: Tensor, **settings: Any
) -> sdfido.Explanation:
    return kind(model, infill=BLUR, **settings).explain(images, targets)


METHODS: dict[str, Method] = {
    "fido": partial(explained, sdfido.FIDO, **SMALL_PARTS),
    "defaults": partial(explained, sdfido.FIDO),
    "standard": partial(explained, StandardFIDO, **SMALL_PARTS),
    "published": partial(explained, PublishedFIDO),
    "saliency": attributions.saliency,
    "integrated gradients": attributions.integrated_gradients,
    "occlusion": attributions.occlusion,
    "grad-cam": attributions.grad_cam,
}


def settings() -> dict[str, Any]:
    """Those of sdfido's own, as plain values."""
    return sdfido.FIDO(nn.Identity(), infill=BLUR, **SMALL_PARTS).describe()
