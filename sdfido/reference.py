"""The definition of every operator in plain PyTorch: fallback, oracle and documentation of the compiled kernels.

Symbols: N images, K masks an image, S samples a mask, C channels, H x W pixels, h x w mask cells. Keep is 1, infill 0.
Arguments are taken as valid here; :mod:`sdfido.ops` checks them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_PHILOX_M = (0xD2511F53, 0xCD9E8D57)
_PHILOX_W = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def philox4x32_10(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox4x32-10, a counter-based random function: four 32-bit words (as int64) for each counter.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # The product of two 32-bit words wraps around in int64, which leaves all of its 64 bits in place.
        p0, p1 = c0 * _PHILOX_M[0], c2 * _PHILOX_M[1]
        c0, c1, c2, c3 = ((p1 >> 32) & _LOW) ^ c1 ^ k0, p1 & _LOW, ((p0 >> 32) & _LOW) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _PHILOX_W[0]) & _LOW, (k1 + _PHILOX_W[1]) & _LOW
    return c0, c1, c2, c3


def random_words(
    rng: Tensor, streams: Tensor, num_masks: int, num_samples: int, num_cells: int, antithetic: bool
) -> Tensor:
    """The 32-bit word (as int64) behind every mask value: [N, K, S, cells].

    ``counter = (cell, streams[n]*K + k, block, step)``, ``key = (low, high half of the seed)``. Sample s uses word
    s mod 4 of block s div 4; antithetic: samples 2j and 2j+1 share what sample j would use, the odd one complemented.
    """
    device = rng.device
    num_draws = (num_samples + 1) // 2 if antithetic else num_samples
    num_blocks = (num_draws + 3) // 4
    stream = streams[:, None] * num_masks + torch.arange(num_masks, device=device)
    cells = torch.arange(num_cells, device=device)
    blocks = torch.arange(num_blocks, device=device)
    counter = (cells, (stream & _LOW)[:, :, None, None], blocks[:, None], rng[1] & _LOW)
    words = philox4x32_10(counter, (rng[0] & _LOW, (rng[0] >> 32) & _LOW))
    shape = (streams.shape[0], num_masks, num_blocks, num_cells)
    out = torch.stack([word.expand(shape) for word in words], dim=3).flatten(2, 3)[:, :, :num_draws]
    if antithetic:
        out = torch.stack([out, out ^ _LOW], dim=3).flatten(2, 3)[:, :, :num_samples]
    return out


def odds(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Odds (1-u)/u of the uniform number in a random word, never 0 or infinite; its complement's are the reciprocal."""
    numbers = words >> 8
    a = numbers.to(dtype) + 0.5
    b = (0xFFFFFF - numbers).to(dtype) + 0.5
    return b / a


def sample_masks(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float, antithetic: bool
) -> Tensor:
    """``m = sigmoid((logits + log u - log(1-u)) / temperature)``: [N, K, h, w] -> [N, K, S, h, w]."""
    n, k, h, w = logits.shape
    if streams is None:
        streams = torch.arange(n, device=logits.device)
    words = random_words(rng, streams, k, num_samples, h * w, antithetic)
    noise = odds(words, logits.dtype).log().neg().view(n, k, num_samples, h, w)
    return torch.sigmoid((logits[:, :, None] + noise) / temperature)


def upsample(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres: [..., h, w] -> [..., H, W]; the identity where the sizes are equal."""
    if masks.shape[-2:] == size:
        return masks
    if masks.numel() == 0:
        return masks.new_empty(*masks.shape[:-2], *size)
    flat = masks.reshape(-1, 1, *masks.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).view(*masks.shape[:-2], *size)


def penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Sparsity (mean keep rate) and smoothness (anisotropic total variation a cell) of [N, K, h, w]: two [N, K]."""
    rates = torch.sigmoid(logits)
    sparsity = rates.mean((-2, -1))
    variation = rates.diff(dim=-1).abs().sum((-2, -1)) + rates.diff(dim=-2).abs().sum((-2, -1))
    return sparsity, variation / (logits.shape[-2] * logits.shape[-1])


def sample_composites(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    streams: Tensor | None,
    num_samples: int,
    temperature: float,
    antithetic: bool,
    dtype: torch.dtype,
    channels_last: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Composites ``infill + M * (image - infill)`` [N, K, S, C, H, W] of sampled masks, and both penalties."""
    masks = sample_masks(logits, rng, streams, num_samples, temperature, antithetic)
    size = (image.shape[-2], image.shape[-1])
    masks = upsample(masks, size)[:, :, :, None]
    base = infill.to(logits.dtype)[:, None, None]
    composites = (base + masks * (image.to(logits.dtype)[:, None, None] - base)).to(dtype)
    composites = composites.movedim(3, -1).contiguous().movedim(-1, 3) if channels_last else composites.contiguous()
    return (composites, *penalties(logits))


def simplified_concrete(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """``sigmoid((logits + log u - log(1-u)) / temperature)``, elementwise; NaN where u lies outside [0, 1]."""
    return torch.sigmoid((logits + torch.logit(u)) / temperature)
