"""CALM: a classifier whose importance map is part of its probability model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_list, check_number, set_count, set_seed
from ..explanation import Explanation, MapInfo
from ..normalization import Normalization
from ..ops import functional
from ..scores import ClassScore
from . import training as _training
from .backbones import feature_map, number_of_classes
from .base import Explainer, OnImage, OnStep, Scene
from .latent import LatentClassifier, posterior
from .training import Epoch, FitProgress, Training

__all__ = ["CALM", "CALMSettings"]


@dataclass(frozen=True, kw_only=True)
class CALMSettings:
    """What a latent-location classifier is made with.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    classes: int | None = None  #: of the class head; None: as many as the network's last linear layer has outputs
    seed: int = 0  #: of the heads' first weights

    def __post_init__(self) -> None:
        if self.classes is not None:
            set_count(self, "classes", 2)
        set_seed(self)


class CALM(Explainer):
    """Class activation latent mapping: trains a network to say where it sees a class, together with the class.

    The network's last feature map gets two heads, see ``sdfido.methods.latent.LatentClassifier``: p(y | z, x), what
    each cell z answers, and p(z | x), how much each cell counts. After ``fit``, or ``load``, the maps of class y are::

        joint      p(y, z | x) = p(y | z, x) p(z | x)     its sum over cells is the probability of the class
        posterior  p(z | x, y) = p(y, z | x) / p(y | x)   where the class is, if it is there
        prior      p(z | x)                               where the model looks, whatever the class

    These are probabilities of cells: the parts ``joint_cells``, ``posterior_cells`` and ``prior_cells`` [N, h, w]. Many
    cells share them, so the maps show them in terms of the highest: joint and prior of the image's highest p(z | x), so
    that the joint map is dark where the class has little probability, and the posterior of its own.

    CALM explains the classifier that it trains, ``calm.model``, which is another one than the network that it began
    with. The network is copied and stays as it is.

    Args:
        model: a convolutional classifier, of torchvision, timm, or an ``nn.Sequential``, up to whose pooling the
            features are taken; a module from images [B, C, H, W] to a feature map [B, D, h, w]; or a
            ``LatentClassifier``, which counts as trained.
        example: an image [1, C, H, W] by which the last feature map is found; zeros of 128 x 128 pixels by default.
        infill: what ``prob_infill`` is the probability of: a name such as ``"blur"`` (see ``sdfido.infills``), a tensor
            that broadcasts against the images, or a callable from images to infill. The maps do not depend on it.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``CALMSettings``, such as ``classes=200``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value, or the network's last feature map cannot be found;
            the message says what to pass instead.

    Example:
        >>> calm = sdfido.CALM(network, classes=200)
        >>> calm.fit(loader, validation=others, checkpoint="calm.safetensors")
        >>> explanation = calm.explain(images)
        >>> where_they_differ = calm.difference(images, 3, 17)

    Source: Kim et al., "Keep CALM and improve visual feature attribution", ICCV 2021, arXiv 2106.07861.
    """

    name = "calm"
    legend = MappingProxyType(
        {
            "joint": MapInfo("Joint: p(y, z | x)", "class and place"),
            "posterior": MapInfo("Posterior: p(z | x, y)", "place, given the class"),
            "prior": MapInfo("Prior: p(z | x)", "place, whatever the class"),
        }
    )
    settings_type = CALMSettings
    settings: CALMSettings
    score: ClassScore

    def __init__(
        self,
        model: nn.Module | ClassScore,
        *,
        example: Tensor | None = None,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        given = model if isinstance(model, ClassScore) else ClassScore(model)
        super().__init__(given, infill=infill, normalization=normalization, **settings)
        network = given.model
        self._trained = isinstance(network, LatentClassifier)
        if not isinstance(network, LatentClassifier):
            features, channels = feature_map(network, example)
            classes = self.settings.classes or number_of_classes(network)
            first = next(features.parameters())
            network = LatentClassifier(features, channels, classes, seed=self.settings.seed).to(first)
        elif self.settings.classes not in (None, network.classes):
            raise ValueError(f"classes must be the model's, {network.classes}, got {self.settings.classes}")
        self.model: LatentClassifier = network  #: what is trained and explained: images to log p(y | x) [B, classes]
        self.score = ClassScore(network, given.link)
        self.settings = replace(self.settings, classes=network.classes)

    def fit(
        self,
        loader: Iterable[tuple[Tensor, Tensor]],
        *,
        validation: Iterable[tuple[Tensor, Tensor]] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        again: bool = False,
        on_step: Callable[[FitProgress], object] | None = None,
        on_epoch: Callable[[Epoch], object] | None = None,
        **settings: Any,
    ) -> list[Epoch]:
        """Train the model, and return what each epoch came to.

        What is drawn in an epoch (the loader's order, augmentation, dropout) depends on the seed and the epoch alone.
        So a training that was interrupted and goes on from its checkpoint gives the same bits, on one machine with the
        same number of threads, as one that ran through. PyTorch's global random numbers are left as they were;
        generators of the loader and its sampler are seeded.

        Args:
            loader: gives batches (images [B, C, H, W], classes [B] int64) anew for each epoch and has a length, such as
                a ``DataLoader`` or a list.
            validation: the same of other images, which are only asked.
            checkpoint: a safetensors file that is written after each epoch. Where it is there, training goes on from
                it; a finished one is only read.
            again: whether to train anew where the checkpoint is there.
            on_step: called with a ``FitProgress`` after each step.
            on_epoch: called with an ``Epoch`` after each epoch.
            settings: any field of ``Training``, such as ``epochs=20`` or ``objective="ml"``.

        Raises:
            TypeError, ValueError: an argument has a wrong type or value, or the checkpoint is of another training.
            RuntimeError: the loss is not finite.
            ImportError: a checkpoint is asked for and safetensors is not installed.
        """
        history = _training.fit(
            self.model,
            loader,
            Training(**settings),
            validation=validation,
            checkpoint=checkpoint,
            again=again,
            on_step=on_step,
            on_epoch=on_epoch,
        )
        self._trained = True
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model's weights as a safetensors file, which appears whole or not at all.

        Raises:
            ImportError: safetensors is not installed.
        """
        _training.write_weights(path, self.model, {"classes": self.model.classes})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that ``save`` or ``fit`` wrote, of a model made alike.

        Raises:
            ImportError: safetensors is not installed.
            OSError: the file cannot be read; FileNotFoundError where there is none.
            ValueError: it is no such file, or of another model.
        """
        self.model.load_state_dict(_training.read_weights(path, self.model)[1])
        self._trained = True

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Sequence[int] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        start = time.perf_counter()
        self._check_trained()
        with self.scene(images, targets, streams, on_step=on_step, on_image=on_image) as scene:
            cells = _cells(scene, _probabilities, scene.targets)
            highest = cells.amax((2, 3), keepdim=True)[:, [2, 1, 2]] if len(scene) else 1
            shown = functional.upsample(cells / highest, scene.size).clamp(0, 1)
            maps = dict(zip(self.legend, shown.unbind(1), strict=True))
            parts = {f"{name}_cells": cells[:, place] for place, name in enumerate(self.legend)}
            seconds = time.perf_counter() - start
            return self.conclude(scene, maps, parts, seconds=seconds, on_image=on_image)

    def difference(self, images: Tensor, first: int | Tensor, second: int | Tensor) -> Tensor:
        """Where two classes differ: ``|p(first, z | x) - p(second, z | x)|`` [N, H, W], 0..1, upsampled.

        Args:
            images: [N, C, H, W], or one image [C, H, W].
            first, second: a class for all images, or one for each [N].

        Raises:
            TypeError, ValueError: an argument does not fit; the message says which.
        """
        self._check_trained()
        with self.scene(images, first, None) as scene:
            chunk = scene.images_at_once
            other = scene.execution.resolve(scene.score, scene.images, second, chunk=chunk)
            return functional.upsample(_cells(scene, _difference, scene.targets, other), scene.size)[:, 0]

    def superclass(self, images: Tensor, classes: Sequence[int]) -> Tensor:
        """Where any of some classes is: ``sum over y in classes of p(y, z | x)`` [N, H, W], 0..1, upsampled.

        Args:
            images: [N, C, H, W], or one image [C, H, W].
            classes: at least one, each once.

        Raises:
            TypeError, ValueError: an argument does not fit; the message says which.
        """
        self._check_trained()
        given = check_list("classes", classes, object, "classes")
        group = [check_number("classes", each, int, 0, self.model.classes - 1) for each in given]
        if not group or len(set(group)) < len(group):
            raise ValueError(f"classes must be at least one, each once, got {classes!r}")
        with self.scene(images, group[0], None) as scene:
            of_all = torch.tensor(group, device=scene.images.device).expand(len(scene), -1)
            return functional.upsample(_cells(scene, _sum, of_all), scene.size)[:, 0].clamp(max=1)

    def _check_trained(self) -> None:
        if not self._trained:
            raise ValueError("model must be trained, as both heads are new: call fit(loader), or load(path), first")


def _cells(scene: Scene, function: Callable[..., Tensor], *others: Tensor) -> Tensor:
    """Maps [N, K, h, w] by a function of the log-joint [B, classes, h, w] and others [B, ...]."""
    latent = scene.score.model  # type: ignore[attr-defined]  # the explainer's, or a copy of it

    def cells(images: Tensor, *others: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=images.dtype == torch.bfloat16):
            return function(latent.log_joint(images), *others)

    maps = scene.execution.map(cells, scene.images, *others, chunk=scene.images_at_once)
    return maps if len(scene) else scene.images.new_zeros(0, 3, 1, 1)


def _probabilities(log_joint: Tensor, targets: Tensor) -> Tensor:
    """Joint, posterior and prior [B, 3, h, w]."""
    joint, prior = log_joint.exp(), log_joint.logsumexp(1).exp()
    chosen = joint[torch.arange(len(targets), device=targets.device), targets]
    return torch.stack([chosen, posterior(log_joint, targets), prior], 1).clamp(0, 1)


def _difference(log_joint: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """[B, 1, h, w]."""
    joint, index = log_joint.exp(), torch.arange(len(first), device=first.device)
    return (joint[index, first] - joint[index, second]).abs()[:, None]


def _sum(log_joint: Tensor, classes: Tensor) -> Tensor:
    """[B, 1, h, w], of classes [B, M]."""
    index = torch.arange(len(classes), device=classes.device)[:, None]
    return log_joint.exp()[index, classes].sum(1, keepdim=True)
