"""Descents of masks that stay in 0..1: Nesterov's accelerated steps, and a line search."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Nesterov", "line_search"]

_MEMORY = 0.9  # what the running mean of squares keeps in a step
_TINY = 1e-12  # a mask without any gradient stays where it is
_SHORTER, _ENOUGH, _TRIALS = 0.2, 1e-4, 12  # of the line search: a step's part of the last one, Armijo's slope


class Nesterov:
    """Projected gradient descent with Nesterov's momentum.

    In step i, counted from 0, with ``g`` the gradient of one mask's cells::

        z_i <- m - rate * g / scale               m <- clip(z_i + i / (i + 3) * (z_i - z_(i-1)), 0, 1)

    where ``scale`` is 1, or, normalised, the running root mean square of the gradient over the mask's cells.

    Args:
        parameters: masks [N, K, h, w], where the descent begins.
        rate: the learning rate of a step, counted from 0.
        normalized: whether the gradient is divided by its running root mean square.

    Source: Khorram et al., "iGOS++", and the accelerated steps of its published code.
    """

    def __init__(self, parameters: Tensor, rate: Callable[[int], float], *, normalized: bool = True) -> None:
        self.parameters, self.rate, self.normalized = parameters, rate, normalized
        self._ahead = parameters
        self._square = parameters.new_zeros(*parameters.shape[:2], 1, 1)

    def move(self, gradient: Tensor, step: int) -> Tensor:
        """What a plain step subtracts from the parameters [N, K, h, w]; to be called once in a step."""
        if not self.normalized:
            return self.rate(step) * gradient
        self._square = _MEMORY * self._square + (1 - _MEMORY) * (gradient * gradient).mean((2, 3), keepdim=True)
        return self.rate(step) * gradient / ((self._square / (1 - _MEMORY ** (step + 1))).sqrt() + _TINY)

    def step(self, gradient: Tensor, step: int) -> None:
        """Move the parameters against a gradient [N, K, h, w], in a step counted from 0."""
        ahead = self.parameters - self.move(gradient, step)
        self.parameters = (ahead + step / (step + 3) * (ahead - self._ahead)).clamp(0, 1)
        self._ahead = ahead

    def __getitem__(self, keep: Tensor) -> Nesterov:
        """The descent of those images alone whose place in ``keep`` [N], bool, is true."""
        some = copy.copy(self)
        some.parameters, some._ahead, some._square = (t[keep] for t in (self.parameters, self._ahead, self._square))
        return some


def line_search(
    parameters: Tensor, move: Tensor, gradient: Tensor, loss: Tensor, losses: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Masks after a step so short that the loss falls; those of images for which none is found stay as they are.

    The trials are ``clip(m - 0.2 ** t * move, 0, 1)``, t = 0, 1, ..., 11. The first one counts whose loss is lower by
    at least 1e-4 times what the gradient promises (Armijo), and never above that of the start.

    Args:
        parameters: masks m [N, K, h, w].
        move: the longest step [N, K, h, w].
        gradient: of the loss, at ``parameters``.
        loss: at ``parameters`` [N].
        losses: from other masks [M, K, h, w] of some of the images, and their places [M], to their losses [M].
    """
    found = parameters.clone()
    places = torch.arange(len(parameters), device=parameters.device)
    for trial in range(_TRIALS):
        tried = (parameters[places] - _SHORTER**trial * move[places]).clamp(0, 1)
        promised = (gradient[places] * (parameters[places] - tried)).sum((1, 2, 3)).clamp(min=0)
        falls = losses(tried, places) <= loss[places] - _ENOUGH * promised
        found[places[falls]] = tried[falls]
        places = places[~falls]
        if not len(places):
            break
    return found
