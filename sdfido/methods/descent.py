"""The update of mask parameters by their gradients."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..smoothing import gaussian_weights, smooth

_TINY = 1e-12  # a mask without any gradient stays where it is


class Descent:
    """Gradient descent with momentum whose step has the same size for all cells of a mask.

    With ``g`` the gradient of one mask's parameters, smoothed by a Gaussian::

        m <- 0.9 m + 0.1 g         v <- 0.99 v + 0.01 mean(g ** 2)         (mean over the mask's cells)
        parameters <- parameters - rate * m' / sqrt(v')                    (m', v': corrected for their start at 0)

    Adam divides each cell by its own ``sqrt(v)``: cells whose gradient is only noise then move as far as those that
    matter, which makes masks patchy. Every image is computed as it is alone; ``descent[keep]`` goes on with some.

    Args:
        parameters: mask parameters [N, K, h, w], where the descent begins.
        rate: the learning rate of a step, counted from 0.
        spread: standard deviation of the Gaussian, in cells; 0 leaves the gradient as it is.
        momentum, memory: what the running mean of gradients and of squares keeps in a step, 0..1.
    """

    def __init__(
        self,
        parameters: Tensor,
        rate: Callable[[int], float],
        *,
        spread: float = 0.0,
        momentum: float = 0.9,
        memory: float = 0.99,
    ) -> None:
        self.parameters = parameters
        self.rate, self.momentum, self.memory = rate, momentum, memory
        self.weights = gaussian_weights(
            spread, math.ceil(min(3 * spread, max(parameters.shape[-2:])))
        )  # of the neighbouring cells
        self._mean = torch.zeros_like(parameters)
        self._square = torch.zeros_like(self.squared(parameters))

    def squared(self, gradient: Tensor) -> Tensor:
        """Squares of a gradient [N, K, h, w], averaged over what shares a step size: here each mask, [N, K, 1, 1]."""
        return (gradient * gradient).mean((2, 3), keepdim=True)

    def step(self, gradient: Tensor, step: int) -> None:
        """Move the parameters against a gradient [N, K, h, w], in a step counted from 0."""
        gradient = smooth(gradient, self.weights)
        self._mean = self.momentum * self._mean + (1 - self.momentum) * gradient
        self._square = self.memory * self._square + (1 - self.memory) * self.squared(gradient)
        mean = self._mean / (1 - self.momentum ** (step + 1))
        square = self._square / (1 - self.memory ** (step + 1))
        self.parameters = self.parameters - self.rate(step) * mean / (square.sqrt() + _TINY)

    def __getitem__(self, keep: Tensor) -> Descent:
        """The descent of those images alone whose place in ``keep`` [N], bool, is true."""
        some = copy.copy(self)
        some.parameters, some._mean, some._square = (t[keep] for t in (self.parameters, self._mean, self._square))
        return some
