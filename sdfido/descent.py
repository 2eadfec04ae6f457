"""The update of keep logits by their gradients."""

import math

import torch
from torch import Tensor

from .smoothing import gaussian_weights, smooth

_MOMENTUM = 0.9  # of the gradient's running mean
_MEMORY = 0.99  # of its mean square
_TINY = 1e-12  # a mask without any gradient stays where it is


class Descent:
    """Gradient descent with momentum whose step has the same size for all cells of a mask.

    With ``g`` the gradient of one mask's logits, smoothed by a Gaussian::

        m <- 0.9 m + 0.1 g         v <- 0.99 v + 0.01 mean(g ** 2)         (mean over the mask's cells)
        logits <- logits - rate * m' / sqrt(v')                            (m', v': corrected for their start at 0)

    Adam divides each cell by its own ``sqrt(v)``: cells whose gradient is only noise then move as far as those that
    matter, which is what makes masks patchy. Every image is computed as it is alone.

    Args:
        logits: keep logits [N, K, h, w], where the descent begins.
        spread: standard deviation of the Gaussian, in cells; 0 leaves the gradient as it is.
    """

    def __init__(self, logits: Tensor, spread: float) -> None:
        self.logits = logits
        self._mean = torch.zeros_like(logits)
        self._square = torch.zeros_like(logits[:, :, :1, :1])
        self._steps = 0
        self._weights = gaussian_weights(spread, math.ceil(3 * spread))  # of the neighbouring cells

    def step(self, gradient: Tensor, rate: float) -> None:
        """Move the logits against a gradient [N, K, h, w]."""
        self._steps += 1
        gradient = smooth(gradient, self._weights)
        self._mean = _MOMENTUM * self._mean + (1 - _MOMENTUM) * gradient
        square = (gradient * gradient).mean((2, 3), keepdim=True)
        self._square = _MEMORY * self._square + (1 - _MEMORY) * square
        mean = self._mean / (1 - _MOMENTUM**self._steps)
        square = self._square / (1 - _MEMORY**self._steps)
        self.logits = self.logits - rate * mean / (square.sqrt() + _TINY)

    def keep(self, images: Tensor) -> None:
        """Go on with these images [M] (indices) alone."""
        self.logits, self._mean, self._square = (t[images] for t in (self.logits, self._mean, self._square))
