"""The same step as sdfido.sample_composites as people write it in PyTorch: what the fused operator is measured against.

Each takes logits [N, K, h, w], image and infill [N, C, H, W], and returns composites and both penalties; noise comes
from torch.rand. None keeps what it does not need, and all leave gradients to autograd.
"""

import torch
from torch import Tensor

from sdfido.ops.functional import blend, penalties

Result = tuple[list[Tensor], Tensor, Tensor]


def uniform(like: Tensor) -> Tensor:
    return torch.rand_like(like).clamp_(1e-7, 1 - 1e-7)


def _noise(like: Tensor) -> Tensor:
    u = uniform(like)
    return torch.log(u) - torch.log1p(-u)


def stored(composites: Tensor, image: Tensor, dtype: torch.dtype | None, channels_last: bool) -> Tensor:
    """Composites as the classifier is given them."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return composites.to(dtype or image.dtype, memory_format=layout)


def loop(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    num_samples: int,
    temperature: float,
    *,
    antithetic: bool = False,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> Result:
    """One sample of one mask at a time, so that each stays in the cache: composites is a list of [N, C, H, W]."""
    composites = []
    for k in range(logits.shape[1]):
        keep = logits[:, k : k + 1]
        for s in range(num_samples):
            if s % 2 == 0 or not antithetic:
                noise = _noise(keep)
            else:
                noise.neg_()
            masks = torch.sigmoid((keep + noise) / temperature)[:, 0]
            composites.append(stored(blend(masks, image, infill), image, dtype, channels_last))
    return (composites, *penalties(logits))


def vectorised(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    num_samples: int,
    temperature: float,
    *,
    antithetic: bool = False,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> Result:
    """All samples at once: composites is a list of one [N*K*S, C, H, W]."""
    n, k, h, w = logits.shape
    draws = (num_samples + 1) // 2 if antithetic else num_samples
    noise = _noise(logits[:, :, None].expand(n, k, draws, h, w))
    if antithetic:
        noise = torch.stack([noise, -noise], dim=3).flatten(2, 3)[:, :, :num_samples]
    masks = torch.sigmoid((logits[:, :, None] + noise) / temperature).reshape(-1, h, w)
    expanded = [t[:, None].expand(n, k * num_samples, *t.shape[1:]).flatten(0, 1) for t in (image, infill)]
    return ([stored(blend(masks, *expanded), image, dtype, channels_last)], *penalties(logits))
