"""The definition of every operator in plain PyTorch: fallback, oracle and documentation of the compiled kernels.

Symbols: N images, K masks an image, S samples a mask, C channels, H x W pixels, h x w mask cells. Keep is 1, infill 0.
Arguments are taken as valid here; the public functions check them.
"""

import torch
from torch import Tensor

from . import functional
from .rng import random_words


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


def blend(masks: Tensor, image: Tensor, infill: Tensor, dtype: torch.dtype, channels_last: bool) -> Tensor:
    """``infill + U(masks) * (image - infill)``, U bilinear: [N, K, S, h, w] -> [N, K, S, C, H, W]."""
    image, infill = (operand.to(masks.dtype)[:, None, None] for operand in (image, infill))
    composites = functional.blend(masks, image, infill).to(dtype)
    return composites.movedim(3, -1).contiguous().movedim(-1, 3) if channels_last else composites.contiguous()


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
    return blend(masks, image, infill, dtype, channels_last), *functional.penalties(logits)


def simplified_concrete(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """``sigmoid((logits + log u - log(1-u)) / temperature)``, elementwise; NaN where u lies outside [0, 1]."""
    return torch.sigmoid((logits + torch.logit(u)) / temperature)
