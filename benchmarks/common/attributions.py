"""Attribution methods of captum, as maps of importance.

Each explains the target's logit, as they are mostly used. The blur that replaces pixels is FIDO's infill as well.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from torch import Tensor, nn

from sdfido.infills import Blur
from sdfido.ops.functional import upsample

Maps = dict[str, Tensor]
"""Importance [N, H, W] by the map's name, high where important."""

Method = Callable[[nn.Module, Tensor, Tensor], Maps]
"""From a model, images [N, C, H, W] and targets [N] to maps."""

BATCH = 10  # images at once: activations of larger batches take gigabytes
BLUR = Blur()


def saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Absolute gradients, summed over the channels."""
    return {"map": Saliency(model).attribute(images.clone().requires_grad_(), targets).detach().sum(1)}


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor, *, steps: int = 50) -> Maps:
    """From the blurred image to the image; absolute values, summed over the channels."""
    method, parts = IntegratedGradients(model), []
    for image, target in zip(images.split(1), targets, strict=True):
        found = method.attribute(image, BLUR(image), int(target), n_steps=steps, internal_batch_size=BATCH)
        parts.append(found.detach().abs().sum(1))
    return {"map": torch.cat(parts)}


def occlusion(model: nn.Module, images: Tensor, targets: Tensor, *, window: int = 16, stride: int = 4) -> Maps:
    """What the logit loses where a window of 16 x 16 pixels is blurred, every 4 pixels; the mean over the windows."""
    found = Occlusion(model).attribute(
        images,
        (3, window, window),
        (3, stride, stride),
        BLUR(images),
        targets,
        perturbations_per_eval=max(1, 64 // len(images)),
    )
    return {"map": found[:, 0]}


def grad_cam(
    model: nn.Module, images: Tensor, targets: Tensor, *, layer: nn.Module | None = None, of_input: bool = False
) -> Maps:
    """Of a layer's output, or its input; positive part, upsampled bilinearly.

    By default, of the last convolution's features in a model that ends in pooling, flattening and a linear layer.
    """
    if layer is None:
        assert isinstance(model, nn.Sequential)
        layer = model[-4]
    method = LayerGradCam(model, layer)
    found = method.attribute(images, targets, attribute_to_layer_input=of_input, relu_attributions=True)
    return {"map": upsample(found.detach()[:, 0], (images.shape[2], images.shape[3]))}
