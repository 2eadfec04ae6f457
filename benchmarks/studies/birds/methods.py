"""The methods that are compared: each a function from a model, images and targets to importance maps by name.

All of them remove pixels in one way, by the same blur: it is FIDO's infill, and the baseline of integrated gradients
and occlusion. Captum's methods explain the target's logit, as they are mostly used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from torch import Tensor, nn

import sdfido
from sdfido import infill, objectives, reference

Maps = dict[str, Tensor]
"""Importance [N, H, W] by name, high where important. FIDO's are "ssr", "sdr" and "joint", which rank pixels, and "ssr
mask" and "sdr mask", 0..1: the parts that the masks keep and remove at the end."""

Method = Callable[[nn.Sequential, Tensor, Tensor], Maps]
"""From a model that ends in pooling, flattening and a linear layer, images [N, C, H, W] and targets [N]."""

BLUR = infill.Blur()
SMALL_PARTS = {"sparsity_weight": 100.0, "spread": 1.5}
"""Settings for classes that parts of a few per cent of the image decide; chosen on drawings that are not compared."""
_EPSILON = 2.2e-16  # inside the logarithms of standard concrete dropout, as in existing code


def standard_concrete(keep: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Masks sampled from keep rates p by standard concrete dropout, with uniform numbers u in 0..1.

    ``sigmoid((log(p + e) - log(1 - p + e) + log(u + e) - log(1 - u + e)) / temperature)`` with ``e = 2.2e-16``.

    Source: Gal, Hron, Kendall, "Concrete dropout", NeurIPS 2017, arXiv 1705.07832.
    """
    e = _EPSILON
    odds = torch.log(keep + e) - torch.log(1 - keep + e)
    return torch.sigmoid((odds + torch.log(u + e) - torch.log(1 - u + e)) / temperature)


class StandardFIDO(sdfido.FIDO):
    """FIDO with standard concrete dropout; all else, the noise included, is the same."""

    def _sample(self, logits: Tensor, task: Any, step: int) -> sdfido.CompositeSamples:
        settings, (n, k, h, w) = self.settings, logits.shape
        rng = sdfido.make_rng(settings.seed, step=step, device=logits.device)
        words = reference.random_words(rng, task.streams, k, settings.num_samples, h * w, settings.antithetic)
        u = (((words >> 8) + 0.5) / 2**24).to(logits).view(n, k, settings.num_samples, h, w)
        masks = standard_concrete(torch.sigmoid(logits)[:, :, None], u, settings.heat(step))
        composites = _composites(reference.upsample(masks, task.images.shape[-2:]), task.images, task.infill)
        composites = composites.to(settings.dtype)
        if task.judge.channels_last:
            composites = composites.movedim(3, -1).contiguous().movedim(-1, 3)
        return sdfido.CompositeSamples(composites, *reference.penalties(logits))


def fido(model: nn.Module, images: Tensor, targets: Tensor, **settings: Any) -> Maps:
    """sdfido's own, by its defaults where no settings are given."""
    return _maps(sdfido.FIDO(model, infill=BLUR, **settings).explain(images, targets))


def standard_fido(model: nn.Module, images: Tensor, targets: Tensor, **settings: Any) -> Maps:
    """With standard concrete dropout at the same settings."""
    return _maps(StandardFIDO(model, infill=BLUR, **settings).explain(images, targets))


def published_fido(
    model: nn.Module, images: Tensor, targets: Tensor, *, steps: int = 300, cells: int = 56, seed: int = 0
) -> Maps:
    """FIDO as it was published, with both masks learned side by side.

    Keep rates of 56 x 56 cells, upsampled before pixels are sampled by standard concrete dropout of temperature 0.1; 8
    samples, 300 steps of Adam with a rate of 0.05 that falls linearly to 0; 0.001 times the summed area, rising over 30
    steps; no smoothness.

    Source: Chang et al., ICLR 2019, arXiv 1807.08024.
    """
    samples, warmup, size = 8, 30, images.shape[-2:]
    found = []
    for index in range(len(images)):
        image, target = images[index : index + 1], targets[index : index + 1].expand(2 * samples)
        replacement = infill.apply(BLUR, image)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        logits = torch.zeros(1, 2, cells, cells, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.05)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
            keep = torch.sigmoid(logits)
            u = torch.rand(1, 2, samples, *size, generator=generator)
            masks = standard_concrete(reference.upsample(keep, size)[:, :, None], u, temperature=0.1)
            composites = _composites(masks, image, replacement).flatten(0, 2)
            score_ssr, score_sdr = objectives.log_odds(model(composites), target).view(2, samples).mean(1)
            area = keep[:, 0].sum() + (1 - keep[:, 1]).sum()
            loss = score_sdr - score_ssr + 1e-3 * min(1.0, (step + 1) / warmup) * area
            (logits.grad,) = torch.autograd.grad(loss, [logits])
            optimizer.step()
        found.append(logits.detach())
    return _five(*[reference.upsample(torch.sigmoid(torch.cat(found)), size)] * 2)


def saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """Absolute gradients, summed over the channels."""
    return {"map": Saliency(model).attribute(images.clone().requires_grad_(), targets).detach().sum(1)}


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Maps:
    """From the blurred image to the image in 50 steps; absolute values, summed over the channels."""
    method, parts = IntegratedGradients(model), []
    for image, target in zip(images.split(1), targets, strict=True):
        found = method.attribute(image, BLUR(image), int(target), n_steps=50, internal_batch_size=50)
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


def grad_cam(model: nn.Sequential, images: Tensor, targets: Tensor) -> Maps:
    """Of the last convolution's features, positive part, upsampled bilinearly."""
    found = LayerGradCam(model, model[-4]).attribute(images, targets, relu_attributions=True)
    return {"map": reference.upsample(found.detach()[:, 0], images.shape[-2:])}


METHODS: dict[str, Method] = {
    "fido": partial(fido, **SMALL_PARTS),
    "defaults": fido,
    "standard": partial(standard_fido, **SMALL_PARTS),
    "published": published_fido,
    "saliency": saliency,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
    "grad-cam": grad_cam,
}


def settings() -> dict[str, Any]:
    """Those of sdfido's own, as plain values."""
    return sdfido.FIDO(nn.Identity(), infill=BLUR, **SMALL_PARTS).describe()


def _composites(masks: Tensor, images: Tensor, replacement: Tensor) -> Tensor:
    """``infill + M * (image - infill)``: masks [N, K, S, H, W], images, infill [N, C, H, W] -> [N, K, S, C, H, W]."""
    base = replacement[:, None, None]
    return base + masks[:, :, :, None] * (images[:, None, None] - base)


def _maps(explanation: sdfido.Explanation) -> Maps:
    ranking = torch.stack([explanation.ssr, 1 - explanation.sdr], dim=1)
    return _five(ranking, explanation.masks)


def _five(rates: Tensor, masks: Tensor) -> Maps:
    """From keep rates to rank by and those of the masks at the end, SSR first [N, 2, H, W]."""
    (ssr, sdr), (kept, removed) = ((keep[:, 0], 1 - keep[:, 1]) for keep in (rates, masks))
    return {"ssr": ssr, "sdr": sdr, "joint": (ssr * sdr).sqrt(), "ssr mask": kept, "sdr mask": removed}
