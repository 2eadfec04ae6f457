"""The methods of this package as an explanation function of Quantus: NumPy arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..checks import check_integers, check_tensor, from_array
from ..methods import load
from .forward import mapped

__all__ = ["explain"]


def explain(
    model: nn.Module,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    method: str = "fido",
    map: str | None = None,
    device: str | torch.device | None = None,
    **settings: Any,
) -> NDArray[np.float32]:
    """Importance maps [N, 1, H, W], 0..1, as Quantus asks for them.

    Every image gets the noise of stream 0, so that metrics that perturb images see what the perturbation does. Quantus
    itself is not needed here.

    Args:
        model: a classifier; on ``device`` already, or on its own where none is given.
        inputs: images [N, C, H, W], floating point.
        targets: class indices [N].
        method: a name of ``sdfido.methods.METHODS``.
        map: the map that is returned; by default the joint one, or the method's first.
        device: where to compute; by default where the model's parameters are.
        settings: of the method and of ``sdfido.Execution``, such as ``steps=50``, ``infill`` and ``normalization``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    Example:
        >>> metric = quantus.PixelFlipping()
        >>> metric(model, x, y, explain_func=sdfido.compat.quantus.explain, explain_func_kwargs={"steps": 50})
    """
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = check_tensor("inputs", from_array("inputs", inputs), "[N, C, H, W]", 4, floating=True, values=True)
    images = images.to(device, torch.float32)
    chosen = check_integers("targets", from_array("targets", targets), "class indices (integers)", device).flatten()
    explanation = load(method)(model, **settings).explain(images, chosen, streams=[0] * len(images))
    maps: NDArray[np.float32] = mapped(explanation, map)[:, None].float().cpu().numpy()
    return maps
