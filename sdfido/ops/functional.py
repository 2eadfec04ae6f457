"""The parts of a composite in plain PyTorch: differentiable, on every device, of masks with any leading axes.

The reference is made of these, and so is whatever needs one of them alone.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def upsample(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation with half-pixel centres; the identity where the sizes are equal.

    Args:
        masks: [..., h, w], floating point.
        size: pixels of the result, (H, W).

    Returns:
        Masks [..., H, W].
    """
    if masks.shape[-2:] == size:
        return masks
    if masks.numel() == 0:
        return masks[..., :1, :1].expand(*masks.shape[:-2], *size)
    flat = masks.reshape(-1, 1, *masks.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).view(*masks.shape[:-2], *size)


def blend(masks: Tensor, image: Tensor, infill: Tensor) -> Tensor:
    """``infill + U(masks) * (image - infill)``, where ``U`` upsamples masks to the image: 1 keeps, 0 infills.

    Args:
        masks: [..., h, w], floating point, of any values.
        image: [..., C, H, W]; its leading axes broadcast against those of ``masks``.
        infill: broadcasts against ``image``.

    Returns:
        Composites [..., C, H, W].
    """
    upsampled = upsample(masks, (image.shape[-2], image.shape[-1])).unsqueeze(-3)
    return infill + upsampled * (image - infill)


def penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Sparsity and smoothness of keep rates ``r = sigmoid(logits)``, as means over cells.

    ``sparsity = mean r``, ``smoothness = (sum |r[y,x+1] - r[y,x]| + sum |r[y+1,x] - r[y,x]|) / (h*w)``, which is the
    anisotropic total variation a cell.

    Args:
        logits: keep logits [..., h, w].

    Returns:
        Two tensors [...]: sparsity in 0..1 and smoothness in 0..2.
    """
    rates = torch.sigmoid(logits)
    sparsity = rates.mean((-2, -1))
    variation = rates.diff(dim=-1).abs().sum((-2, -1)) + rates.diff(dim=-2).abs().sum((-2, -1))
    return sparsity, variation / (logits.shape[-2] * logits.shape[-1])
