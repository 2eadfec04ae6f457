"""I-GOS and iGOS++: learn by integrated gradients how little need be removed, or kept, to change a model's answer."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import ops
from ..checks import check_flag, set_count, set_number
from ..explanation import Explanation, MapInfo
from ..ops import functional, make_rng
from .base import OnImage, OnStep, Scene
from .bilateral import bilateral_stencil, plain_stencil, variation
from .learner import Drawn, MaskLearner, Readout, Updater, image_by_image
from .projected import Nesterov, line_search
from .settings import MaskSettings

__all__ = ["IGOS", "PUBLISHED", "IGOSPlusPlus", "IGOSPlusPlusSettings", "IGOSSettings"]


@dataclass(frozen=True, kw_only=True)
class IGOSPlusPlusSettings(MaskSettings):
    """How iGOS++ optimises; the defaults suit photos and classifiers of about 224 x 224 pixels.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    steps: int = 10  #: optimisation steps, at most
    path_points: int = 5  #: composites S of each term in a step, evenly on the path up to the mask
    learning_rate: float = 0.1  #: of a step, falling along a cosine to 0 where steps are normalised
    #: whether a mask's gradient is divided by its running root mean square over the cells, and the penalties' weights
    #: are parts of the difference between the scores of image and infill
    normalized: bool = True
    line_search: bool = False  #: whether each step is shortened until the loss falls, without momentum
    sparsity_weight: float = 1.0  #: of the masked part of the image
    smoothness_weight: float = 4.0  #: of the mask's total variation
    bilateral: bool = True  #: whether that counts less across the edges of the image
    noise: float = 0.0  #: standard deviation of normal noise on the composites, in units of the normalised images

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "path_points")
        set_number(self, "learning_rate", float, above=0)
        for name in ("sparsity_weight", "smoothness_weight", "noise"):
            set_number(self, name, float, 0)
        for name in ("normalized", "line_search", "bilateral"):
            check_flag(name, getattr(self, name))

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of this step, counted from 0."""
        if not self.normalized:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True, kw_only=True)
class IGOSSettings(IGOSPlusPlusSettings):
    """How I-GOS optimises: as iGOS++, with one mask.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    path_points: int = 20  #: composites S of each term in a step, evenly on the path up to the mask
    insertion: bool = False  #: whether the mask is to be enough on its own, too: I-GOS+

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("insertion", self.insertion)


PUBLISHED: dict[str, Any] = {
    "steps": 20,
    "path_points": 15,
    "learning_rate": 1000.0,
    "normalized": False,
    "line_search": True,
    "sparsity_weight": 1.0,
    "smoothness_weight": 20.0,
    "noise": 0.2,
    "tolerance": 0.0,
}
"""What the published code does, with ``ClassScore(model, link=probability)``; I-GOS also takes ``bilateral=False``."""

_ONE = {"igos": MapInfo("I-GOS: smallest to remove", "lost without it", "remove")}
_TWO = {
    "deletion": MapInfo("Deletion: smallest to remove", "lost without it", "remove"),
    "insertion": MapInfo("Insertion: smallest to keep", "enough on its own", "keep"),
    "joint": MapInfo("Joint", "in either of both", "both"),
}


class IGOS(MaskLearner):
    """I-GOS (integrated-gradients optimised saliency) explains a model's answers by one learned mask for each image.

    The mask m, 1 where the image stays, minimises::

        mean over s of score(infill + s * U(m) * (image - infill)) + a * mean(1 - m) + b * variation(m)

    with ``s = 1/S, ..., 1``: the gradient is integrated along the path from the infill to the masked image. The setting
    ``insertion`` adds a term that puts the image into the infill instead, ``- mean over s of score(image + s * U(m) *
    (infill - image))``, which is I-GOS+. The map ``igos`` is ``1 - m``.

    Args:
        model, infill, normalization: as ``sdfido.FIDO`` takes them.
        settings: any field of ``IGOSSettings``, such as ``steps=20``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.IGOS(model).explain(images)
        >>> explanation.igos  # importance of each pixel, [N, H, W]

    Source: Qi, Khorram, Li, "Visualizing deep networks by optimizing with integrated gradients", AAAI 2020, arXiv
    1905.00954.
    """

    name = "igos"
    legend = _ONE
    settings_type: ClassVar[type[IGOSPlusPlusSettings]] = IGOSSettings
    settings: IGOSPlusPlusSettings

    @property
    def signs(self) -> tuple[float, ...]:
        """What each term's mean score counts in the loss: deletions above 0, insertions below."""
        assert isinstance(self.settings, IGOSSettings)
        return (1.0, -1.0) if self.settings.insertion else (1.0,)

    def terms(self, masks: Tensor) -> Tensor:
        """The mask of each term [N, V, h, w], of masks [N, K, h, w]."""
        return masks.expand(-1, len(self.signs), -1, -1)

    def product(self, masks: Tensor) -> Tensor:
        """The mask [N, h, w] that the penalties are about."""
        return masks[:, 0]

    def composites_per_image(self) -> int:
        return len(self.signs) * self.settings.path_points

    def learn(self, scene: Scene, on_step: OnStep | None = None, on_image: OnImage | None = None) -> Explanation:
        make = bilateral_stencil if self.settings.bilateral else plain_stencil
        stencil = make(scene.images, self.settings.cells(*scene.size))
        ends = scene.images.new_tensor([1.0, 0.0]).expand(len(scene), 1, 2)[..., None, None]
        extras = {"stencil": stencil, "unit": torch.ones_like(scene.confidence)}
        if self.settings.normalized:
            image, infill = scene.scores(ends)[:, 0].unbind(1)
            extras["unit"] = (image - infill).abs()
        return super().learn(replace(scene, extras=extras), on_step, on_image)

    def start(self, scene: Scene) -> Tensor:
        cells, masks = self.settings.cells(*scene.size), len(self.legend) - ("joint" in self.legend)
        return torch.ones(len(scene), masks, *cells, dtype=torch.float32, device=scene.images.device)

    def draw(self, parameters: Tensor, scene: Scene, step: int) -> Drawn:
        settings, signs = self.settings, self.signs
        offsets, slopes, factors = _paths(signs, settings.path_points, parameters.device)
        # U(a + b * m) = a + b * U(m): every point of every path is a mask.
        composites = scene.blend(offsets + slopes * self.terms(parameters)[:, :, None])
        if settings.noise:
            composites = composites + settings.noise * self._noise(composites, scene, step)

        def penalty(mask: Tensor, stencil: Tensor, unit: Tensor) -> Tensor:
            rough = settings.smoothness_weight * variation(mask, stencil)
            return unit * (settings.sparsity_weight * (1 - mask).mean((1, 2)) + rough)

        penalties = image_by_image(penalty, self.product(parameters), scene.extras["stencil"], scene.extras["unit"])
        return Drawn(composites, factors, (penalties / len(signs))[:, None].expand(-1, len(signs)))

    def _noise(self, composites: Tensor, scene: Scene, step: int) -> Tensor:
        """Standard normal noise for composites [N, V, S, C, H, W], by the images' streams.

        The sampler's masks of logits 0 at temperature 1 are its uniform numbers.
        """
        n, v, s, c, height, width = composites.shape
        rng = make_rng(self.settings.seed, step=step, device=composites.device)
        logits = torch.zeros((), dtype=torch.float32, device=composites.device).expand(n, v, c * height, width)
        uniform = ops.sample_masks(logits, rng, num_samples=s, temperature=1.0, streams=scene.streams)
        normal = image_by_image(torch.special.ndtri, uniform.clamp(1e-7, 1 - 1e-7))
        return normal.view(composites.shape).to(composites.dtype)

    def keep_rates(self, parameters: Tensor) -> Tensor:
        return parameters

    def updater(self, parameters: Tensor) -> Nesterov:
        settings = self.settings
        return Nesterov(parameters, settings.learning_rate_at, normalized=settings.normalized)

    def advance(
        self, updater: Updater, gradient: Tensor, loss: Tensor, scene: Scene, step: int, prices: Tensor
    ) -> None:
        assert isinstance(updater, Nesterov)
        if not self.settings.line_search:
            updater.step(gradient, step)
            return

        def losses(parameters: Tensor, places: Tensor) -> Tensor:
            return self.losses(parameters, scene[places], step, prices[places])

        move = updater.move(gradient, step)
        updater.parameters = line_search(updater.parameters, move, gradient, loss, losses)

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        return Readout({"igos": _heat(parameters[:, 0], scene)}, {"masks": parameters})


class IGOSPlusPlus(IGOS):
    """iGOS++ explains a model's answers by two learned masks for each image, for deletion and for insertion.

    The masks x and y, 1 where nothing is deleted or inserted, minimise::

        (f(x) - g(y) + f(x * y) - g(x * y)) / 2 + a * mean(1 - x * y) + b * variation(x * y)

        f(m) = mean over s of score(infill + s * U(m) * (image - infill))       s = 1/S, ..., 1
        g(m) = mean over s of score(image + s * U(m) * (infill - image))

    The maps are ``deletion = 1 - x``, ``insertion = 1 - y`` and
    ``joint = 1 - x * y``; products are those of the cells.

    Args:
        model, infill, normalization: as ``sdfido.FIDO`` takes them.
        settings: any field of ``IGOSPlusPlusSettings``, such as ``steps=20``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.IGOSPlusPlus(model).explain(images)
        >>> explanation.joint  # importance of each pixel, [N, H, W]

    Source: Khorram, Lawson, Li, "iGOS++: integrated gradient optimized saliency by bilateral perturbations", CHIL 2021,
    arXiv 2012.15783.
    """

    name = "igos++"
    legend = _TWO
    settings_type = IGOSPlusPlusSettings
    signs = (0.5, -0.5, 0.5, -0.5)

    def terms(self, masks: Tensor) -> Tensor:
        both = self.product(masks)[:, None]
        return torch.cat([masks, both, both], 1)

    def product(self, masks: Tensor) -> Tensor:
        return masks[:, 0] * masks[:, 1]

    def readout(self, scene: Scene, parameters: Tensor, rates: Tensor) -> Readout:
        maps = _heat(torch.cat([parameters, self.product(parameters)[:, None]], 1), scene)
        deletion, insertion = parameters.unbind(1)
        masks = torch.stack([deletion, 1 - insertion], 1)  # y is low where the image is kept
        return Readout(dict(zip(self.legend, maps.unbind(1), strict=True)), {"masks": masks})


def _heat(masks: Tensor, scene: Scene) -> Tensor:
    """Importance of each pixel [N, ..., H, W], 0..1; interpolation between ones rounds above 1."""
    return 1 - functional.upsample(masks, scene.size).clamp(0, 1)


@functools.lru_cache(maxsize=8)  # tensors that a step would have to copy to a GPU, and wait
def _paths(signs: tuple[float, ...], points: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets [V, 1, 1, 1] and slopes [V, S, 1, 1] of the masks along each path, and the signs [V].

    A deletion keeps ``s * m`` of the image, an insertion ``1 - s * m``.
    """
    shares = torch.arange(1, points + 1, dtype=torch.float32, device="cpu") / points
    every = torch.tensor(signs, dtype=torch.float32, device="cpu")
    offsets = (every < 0).float().view(-1, 1, 1, 1)
    slopes = torch.stack([shares if sign > 0 else -shares for sign in signs])[:, :, None, None]
    return offsets.to(device), slopes.to(device), every.to(device)
