"""Classifiers with a latent location: every cell of a feature map answers, and a second head weighs the cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import check_count, check_seed
from ..outputs import ask
from ..surroundings import seeded

__all__ = ["LatentClassifier", "em_loss", "ml_loss", "posterior"]

_FLOOR = 1e-8  # of the location's weights, as published: no cell is impossible, and a map of zeros is uniform


class LatentClassifier(nn.Module):
    """A classifier whose class and location are one joint distribution over the cells z of a feature map.

    ::

        p(y | z, x) = softmax over classes y of  (W f_z + b)             class head, a 1 x 1 convolution
        p(z | x)    = s_z / sum_z s_z,   s_z = softplus(v f_z + c) + 1e-8   location head, a 1 x 1 convolution
        p(y, z | x) = p(y | z, x) p(z | x),   p(y | x) = sum_z p(y, z | x)

    where f [D, h, w] are the features. Called with images [B, C, H, W], it returns ``log p(y | x)`` [B, classes], which
    serves as class logits: their softmax is p(y | x). So any explainer takes it as a classifier.

    Args:
        features: a module from images [B, C, H, W] to a feature map [B, D, h, w].
        channels: of the feature map, D.
        classes: how many there are, at least 2.
        seed: of the heads' first weights.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Kim et al., "Keep CALM and improve visual feature attribution", ICCV 2021, arXiv 2106.07861, section 3. The
    published location head is a ReLU, which knows no location where it is 0 everywhere.
    """

    def __init__(self, features: nn.Module, channels: int, classes: int, *, seed: int = 0) -> None:
        if not isinstance(features, nn.Module):
            raise TypeError(f"features must be a torch.nn.Module, got {type(features).__name__}")
        super().__init__()
        self.features = features
        channels, classes = check_count("channels", channels), check_count("classes", classes, 2)
        with seeded(check_seed("seed", seed)):
            self.class_head, self.location_head = (
                nn.Conv2d(channels, outputs, 1, dtype=torch.float32, device="cpu") for outputs in (classes, 1)
            )
        if (like := next(filter(Tensor.is_floating_point, features.parameters()), None)) is not None:
            self.class_head.to(like)
            self.location_head.to(like)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.class_head.out_channels

    def forward(self, images: Tensor) -> Tensor:
        """``log p(y | x)`` [B, classes] of images [B, C, H, W]."""
        return self.log_joint(images).logsumexp((2, 3))

    def log_joint(self, images: Tensor) -> Tensor:
        """``log p(y, z | x)`` [B, classes, h, w] of images [B, C, H, W]."""
        features = ask(self.features, images)
        if not isinstance(features, Tensor) or features.dim() != 4 or features.shape[1] != self.class_head.in_channels:
            got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"features must return [B, {self.class_head.in_channels}, h, w], got {got}")
        weights = F.softplus(_wide(self.location_head(features))) + _FLOOR
        log_prior = weights.log() - weights.sum((2, 3), keepdim=True).log()
        return _wide(self.class_head(features)).log_softmax(1) + log_prior


def ml_loss(log_joint: Tensor, targets: Tensor) -> Tensor:
    """Negative marginal log-likelihood ``-log sum_z p(y, z | x)`` [B].

    Args:
        log_joint: ``log p(y, z | x)`` [B, classes, h, w].
        targets: classes y [B], int64.
    """
    return -_of_class(log_joint, targets).logsumexp((1, 2))


def posterior(log_joint: Tensor, targets: Tensor) -> Tensor:
    """Where class y is, if it is there: ``p(z | x, y) = p(y, z | x) / sum_z p(y, z | x)`` [B, h, w].

    Args:
        log_joint: ``log p(y, z | x)`` [B, classes, h, w].
        targets: classes y [B], int64.
    """
    chosen = _of_class(log_joint, targets)
    return chosen.flatten(1).softmax(1).view_as(chosen)


def em_loss(log_joint: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Expected negative log-likelihood ``-sum_z q(z) log p(y, z | x)`` [B]: the M-step of expectation-maximisation.

    Where q is the posterior by the same parameters, its gradient is exactly that of ``ml_loss``::

        sum_z p(z | x, y) grad log p(y, z | x) = grad log p(y | x)

    Args:
        log_joint: ``log p(y, z | x)`` [B, classes, h, w].
        targets: classes y [B], int64.
        weights: q [B, h, w], which gets no gradient.
    """
    return -(weights.detach() * _of_class(log_joint, targets)).sum((1, 2))


def _wide(values: Tensor) -> Tensor:
    """In float32 at least: probabilities are lost in less."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _of_class(log_joint: Tensor, targets: Tensor) -> Tensor:
    return log_joint[torch.arange(len(targets), device=targets.device), targets]
