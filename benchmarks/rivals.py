"""The same step as sdfido.sample_composites as people write it in PyTorch: what the fused operator is measured against.

Each takes logits [N, K, h, w], image and infill [N, C, H, W], and returns composites and both penalties; noise comes
from torch.rand. None keeps what it does not need, and all leave gradients to autograd.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    rates = torch.sigmoid(logits)
    variation = rates.diff(dim=-1).abs().sum((-2, -1)) + rates.diff(dim=-2).abs().sum((-2, -1))
    return rates.mean((-2, -1)), variation / (logits.shape[-2] * logits.shape[-1])


def _sample(logits: Tensor, temperature: float) -> Tensor:
    u = torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)
    return torch.sigmoid((logits + torch.log(u) - torch.log1p(-u)) / temperature)


def _blend(masks: Tensor, image: Tensor, infill: Tensor) -> Tensor:
    if masks.shape[-2:] != image.shape[-2:]:
        masks = F.interpolate(masks, size=image.shape[-2:], mode="bilinear", align_corners=False)
    return infill + masks * (image - infill)


def loop(
    logits: Tensor, image: Tensor, infill: Tensor, num_samples: int, temperature: float
) -> tuple[list[Tensor], Tensor, Tensor]:
    """One sample of one mask at a time, so that each stays in the cache: composites is a list of [N, C, H, W]."""
    composites = [
        _blend(_sample(logits[:, k : k + 1], temperature), image, infill)
        for k in range(logits.shape[1])
        for _ in range(num_samples)
    ]
    return (composites, *penalties(logits))


def vectorised(
    logits: Tensor, image: Tensor, infill: Tensor, num_samples: int, temperature: float
) -> tuple[list[Tensor], Tensor, Tensor]:
    """All samples at once: composites is a list of one [N*K*S, C, H, W]."""
    n, k, h, w = logits.shape
    masks = _sample(logits[:, :, None].expand(n, k, num_samples, h, w), temperature)
    expanded = [t[:, None].expand(n, k * num_samples, *t.shape[1:]).flatten(0, 1) for t in (image, infill)]
    return ([_blend(masks.reshape(-1, 1, h, w), *expanded)], *penalties(logits))
