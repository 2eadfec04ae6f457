"""Attribution methods of other packages, and functions of one's own, as explainers."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from .. import outputs
from ..checks import check_choice, check_flag
from ..execution import chunks
from ..explanation import Explanation, MapInfo
from ..normalization import Normalization
from ..ops.functional import upsample
from ..scores import ClassScore, Model, Score, module_of
from .base import Explainer, OnImage, OnStep, Scene

__all__ = ["Attribution", "AttributionSettings"]

Maps = Tensor | Mapping[str, Tensor]
Function = Callable[..., Maps]

_COLOURS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda maps: maps.sum(1),
    "size": lambda maps: maps.abs().sum(1),
    "largest": lambda maps: maps.abs().amax(1),
}


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """Which attribution, and how its values become maps.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    #: ``(model, images, targets, **options) -> maps``, a class or an instance of captum's attributions, or
    #: "package.module:name" of one of these
    attribution: Function | str = "captum.attr:Saliency"
    options: Mapping[str, Any] = field(default_factory=dict)  #: further arguments, by name
    colours: str = "sum"  #: of values [N, C, H, W]: "sum", "size" (sum of absolute values), "largest" (absolute value)
    positive: bool = False  #: whether values below 0 count as 0

    def __post_init__(self) -> None:
        if not (isinstance(self.attribution, str) or callable(self.attribution) or _is_captum(self.attribution)):
            raise TypeError(
                "attribution must be a callable (model, images, targets) -> maps, an attribution of captum, or "
                f"'package.module:name', got {self.attribution!r}"
            )
        if not isinstance(self.options, Mapping) or not all(isinstance(name, str) for name in self.options):
            raise TypeError(f"options must be a mapping from names of arguments to values, got {self.options!r}")
        check_choice("colours", self.colours, list(_COLOURS))
        check_flag("positive", self.positive)


class Attribution(Explainer):
    """Makes an explanation of what any attribution of captum, or a function of one's own, says.

    A function gets the model, images [B, C, H, W] and targets [B], and returns maps [B, H, W], values of the pixels
    [B, C, H, W] whose colours are then summed, or several of these by name. A class of captum is made with the model,
    and its ``attribute`` is called with the target; an instance, such as ``LayerGradCam(model, layer)``, is called as
    it is. For other scores than ``ClassScore``, a class of captum is made with the score, which most of them take.
    Maps of other sizes, such as a layer's, are resized bilinearly.

    Each map is divided by its largest absolute value. Where a map has values below 0 it is signed, -1..1.
    ``explanation.scale_NAME`` [N] is the divisor.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score`` with an
            attribute ``model``; the function gets the model.
        infill: what replaces removed pixels where the explanation is measured; the function does not get it.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``AttributionSettings``, such as ``attribution=captum.attr.InputXGradient``, and of
            ``sdfido.Execution``; ``max_batch`` images are explained at once.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
        ImportError: the package that is named is not installed.

    Example:
        >>> explainer = sdfido.Attribution(model, attribution=captum.attr.IntegratedGradients, colours="size")
        >>> explainer.explain(images)["attribution"]

    Source: the attributions themselves; captum is Kokhlikyan et al., arXiv 2009.07896.
    """

    name = "attribution"
    legend = MappingProxyType({})  # each explanation has one of its own
    settings_type = AttributionSettings
    settings: AttributionSettings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model, infill=infill, normalization=normalization, **settings)
        self._attribution = _found(self.settings.attribution)
        _function(self._attribution, self.score)  # what is wrong with it shows here

    def describe(self) -> dict[str, Any]:
        given = self.settings.attribution
        kind = given if isinstance(given, str) or inspect.isroutine(given) or inspect.isclass(given) else type(given)
        name = kind if isinstance(kind, str) else getattr(kind, "__qualname__", repr(kind))
        options = {key: value if _is_plain(value) else repr(value) for key, value in self.settings.options.items()}
        return super().describe() | {"attribution": name, "options": options}

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Any = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        start = time.perf_counter()
        with self.scene(images, targets, streams, on_step=on_step, on_image=on_image) as scene:
            maps, scores, legend = {}, {}, {}
            for name, values in self._values(scene).items():
                scale = values.abs().amax((1, 2)).clamp(min=torch.finfo(values.dtype).tiny)
                maps[name], scores[f"scale_{name}"] = values / scale[:, None, None], scale
                title = name.replace("_", " ").capitalize()
                legend[name] = MapInfo(title, str(self.describe()["attribution"]), signed=bool((values < 0).any()))
            seconds = time.perf_counter() - start
            return self.conclude(scene, maps, scores=scores, seconds=seconds, on_image=on_image, legend=legend)

    def _values(self, scene: Scene) -> dict[str, Tensor]:
        """Maps [N, H, W] by name, as the function gives them."""
        found: dict[str, list[Tensor]] = {}
        function = _function(self._attribution, self.score)
        for part in chunks(len(scene), scene.images_at_once):
            images = scene.execution.prepare(scene.images[part]).clone()
            low = images.dtype == torch.bfloat16
            with torch.enable_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=low):
                given = function(images, scene.targets[part], **self.settings.options)
            named = given if isinstance(given, Mapping) else {self.name: given}
            if found and named.keys() != found.keys():
                raise ValueError(
                    f"attribution must give the same maps for all images, got {sorted(found)}, then {sorted(named)}"
                )
            for name, values in named.items():
                found.setdefault(name, []).append(self._map(name, values, len(images), scene.size))
        if not found:
            return {self.name: scene.images.new_zeros(0, *scene.size)}
        return {name: torch.cat(parts) for name, parts in found.items()}

    def _map(self, name: str, values: Any, count: int, size: tuple[int, int]) -> Tensor:
        """One map of each image [B, H, W]."""
        if not isinstance(values, Tensor) or values.dim() not in (3, 4) or len(values) != count:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"attribution must give [{count}, H, W] or [{count}, C, H, W] for map {name!r}, got {got}")
        values = values.detach().float()
        if values.dim() == 4:
            values = _COLOURS[self.settings.colours](values)
        if not values.isfinite().all():
            raise RuntimeError(f"attribution must give finite values for map {name!r}, got NaN or infinity")
        if self.settings.positive:
            values = values.clamp(min=0)
        return values if values.shape[1:] == size else upsample(values[:, None], size)[:, 0]


def _is_captum(given: Any) -> bool:
    """Whether this is an attribution of captum, or made like one: a class or an instance with ``attribute``."""
    return callable(getattr(given, "attribute", None))


def _function(given: Any, score: Score) -> Function:
    """From images and targets to values."""
    if not _is_captum(given):
        asked = module_of(score)
        model = getattr(score, "model", score) if asked is None else asked
        return lambda images, targets, **options: given(model, images, targets, **options)
    if isinstance(score, ClassScore):
        method = cast(Any, given)(_plain(score)) if inspect.isclass(given) else given
        return lambda images, targets, **options: method.attribute(images.requires_grad_(), target=targets, **options)
    if not inspect.isclass(given):
        raise TypeError(
            f"attribution must be a class of captum for {type(score).__name__}, which it is then made with, got an "
            "instance, whose target is a class; give the class, or a function (model, images, targets) -> maps"
        )
    try:
        method = cast(Any, given)(score)
    except AssertionError as error:
        raise TypeError(
            f"attribution must be one that takes any function for {type(score).__name__}, such as Saliency or "
            f"IntegratedGradients, got {given.__name__}, which needs a module with class logits: {error}"
        ) from error
    return lambda images, targets, **options: method.attribute(
        images.requires_grad_(), additional_forward_args=(targets,), **options
    )


class _Logits(nn.Module):
    """A model that returns class logits [B, classes], whatever the one in it returns."""

    def __init__(self, model: nn.Module, output: outputs.Output) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, images: Tensor) -> Tensor:
        returned = self.model(images)
        if self.output is None and isinstance(returned, Tensor) and returned.dim() == 2 and returned.shape[1] > 1:
            return returned
        return outputs.class_logits(returned, len(images), self.output)


def _plain(score: ClassScore) -> Any:
    """What an attribution of captum is made with: it counts the target's column in class logits."""
    return _Logits(score.model, score.part) if isinstance(score.model, nn.Module) else score.model


def _found(given: Any) -> Any:
    """What a specification in text names."""
    if not isinstance(given, str):
        return given
    module, colon, name = given.partition(":")
    if not colon:
        raise ValueError(f"attribution must be 'package.module:name', such as 'captum.attr:Saliency', got {given!r}")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"attribution {given!r} needs the package {error.name}; install it with pip") from error
    except AttributeError as error:
        raise ValueError(f"attribution {given!r} cannot be found: {error}") from error


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)
