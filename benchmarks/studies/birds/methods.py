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
from benchmarks.common.variants import PLAIN, PublishedFIDO, StandardFIDO

Method = Callable[..., sdfido.Explanation | Mapping[str, Tensor]]
"""From a model, images [N, C, H, W] and targets [N] to an explanation, or to maps [N, H, W] by name."""


def explained(
    kind: type[sdfido.FIDO], model: nn.Module, images: Tensor, targets: Tensor, **settings: Any
) -> sdfido.Explanation:
    return kind(model, infill=BLUR, **settings).explain(images, targets)


METHODS: dict[str, Method] = {
    "fido": partial(explained, sdfido.FIDO),
    "plain": partial(explained, sdfido.FIDO, **PLAIN),
    "standard": partial(explained, StandardFIDO),
    "published": partial(explained, PublishedFIDO),
    "saliency": attributions.saliency,
    "integrated gradients": attributions.integrated_gradients,
    "occlusion": attributions.occlusion,
    "grad-cam": attributions.grad_cam,
}


def settings() -> dict[str, Any]:
    """Those of sdfido's own, as plain values."""
    return sdfido.FIDO(nn.Identity(), infill=BLUR).describe()
