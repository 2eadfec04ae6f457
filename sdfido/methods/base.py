"""What all methods share: a scene to explain, and the explainer that turns it into an explanation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import _deprecated, infills, ops
from ..checks import check_callback, check_images, check_streams
from ..execution import Execution
from ..explanation import Explanation, MapInfo
from ..folding import folded_score
from ..models.adapters import normalization_of
from ..normalization import Normalization
from ..scores import ClassScore, Model, Scale, Score, as_score, eval_mode, scale_of
from ..scores.scale import PER_IMAGE
from ..smoothing import widen
from . import regions

__all__ = ["Explainer", "OnImage", "OnStep", "Progress", "Scene", "WriteFile"]


@dataclass(frozen=True)
class Progress:
    """Where an explainer stands, for callbacks."""

    step: int  #: steps done, from 1
    steps: int  #: steps in all, at most
    loss: float  #: mean over the images, converged ones as they were; lower is better
    converged: int  #: images that need no more steps
    parameters: Tensor  #: what is learned [N, K, h, w]; FIDO: mask logits, SSR first

    def __getattr__(self, name: str) -> Any:
        return _deprecated.attribute(self, name, _deprecated.PROGRESS)


OnStep = Callable[[Progress], object]
OnImage = Callable[[int, Explanation], object]
WriteFile = Callable[[Explanation, Tensor, str, Path], object]


@dataclass(frozen=True, eq=False)
class Scene:
    """Images under explanation and what belongs to each. ``scene[index]`` is the same of some of the images."""

    score: Score  #: the explainer's, or the same of a copy of its model
    execution: Execution  #: with nothing left open
    composites: int  #: composites of each image that a step scores
    images: Tensor  #: [N, C, H, W], float32
    infill: Tensor  #: [N, C, H, W], expanded
    targets: Tensor  #: [N, ...]
    streams: Tensor  #: noise of each image [N], int64
    confidence: Tensor  #: of the targets for the images [N]
    floor: Tensor  #: confidence that shares count from [N]: 0, or the infill's where the scale has no zero
    unit: Tensor  #: what scores are divided by [N]: 1, or so that image and infill are ten units apart
    #: what a method knows of each image besides, by name [N, ...]
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice) -> Scene:
        tensors = ("images", "infill", "targets", "streams", "confidence", "floor", "unit")
        extras = {name: tensor[index] for name, tensor in self.extras.items()}
        return replace(self, extras=extras, **{name: getattr(self, name)[index] for name in tensors})

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def images_at_once(self) -> int:
        """Images whose composites the model is given at once."""
        return self.execution.images_at_once(self.composites)

    @property
    def scale(self) -> Scale:
        """What the confidences mean."""
        return scale_of(self.score)

    def level(self, share: float) -> Tensor:
        """The confidence that is a share of the images' [N]: ``floor + share * (confidence - floor)``."""
        level: Tensor = self.scale.level(share, self.confidence, self.floor)
        return level

    def blend(self, masks: Tensor) -> Tensor:
        """Composites [N, K, S, C, H, W] by masks [N, K, S, h, w], as the model is given them; differentiable."""
        execution = self.execution
        return ops.blend(
            masks, self.images, self.infill, dtype=execution.dtype, channels_last=bool(execution.channels_last)
        )

    def confidences(self, images: Tensor) -> Tensor:
        """How confident the model is of the targets for other images [N, C, H, W]: [N], without gradients."""
        found = self.execution.map(self.score.confidence, images, self.targets, chunk=self.images_at_once)
        return _numbers(found, len(images))

    def scores(self, masks: Tensor) -> Tensor:
        """Scores [N, K, S] of the composites by masks [N, K, S, h, w], in units, without gradients."""
        return self._of_masked(self.score, masks) / self.unit[:, None, None]

    def masked_confidences(self, masks: Tensor) -> Tensor:
        """How confident the model is of the targets for the composites by masks [N, K, S, h, w]: [N, K, S]."""
        return self._of_masked(self.score.confidence, masks)

    def _of_masked(self, function: Callable[[Tensor, Tensor], Tensor], masks: Tensor) -> Tensor:
        """What a function of images and targets says of composites, one image's at a time: memory stays bounded."""
        n, k, s = masks.shape[:3]
        chunk = self.images_at_once * self.composites
        chunk, found = min(self.execution.max_batch or chunk, chunk), []
        for place in range(n):
            one = self[place : place + 1]
            flat, targets = one.blend(masks[place : place + 1]).flatten(0, 2), one.targets.repeat_interleave(k * s, 0)
            answers = _numbers(self.execution.map(function, flat, targets, chunk=chunk), k * s)
            found.append(answers.view(1, k, s))
        return torch.cat(found) if n else self.images.new_zeros(n, k, s)


class Explainer(ABC):
    """What explains a model's answers for images by importance maps.

    A method is a subclass in a file of its own: it says its ``name``, the ``legend`` of its maps and its settings (a
    frozen dataclass), and implements ``explain``.

    Args:
        model: what is explained: a classifier, from images [B, C, H, W] to class logits [B, classes], a
            ``sdfido.models.Classifier``, a pipeline of Hugging Face, or any ``Score``. A module is put into eval mode
            while it explains; its parameters get no gradients.
        infill: what replaces removed pixels: a name such as ``"blur"`` (see ``sdfido.infills``), a tensor that
            broadcasts against the images, or a callable from images to infill.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it. By
            default that of a ``Classifier`` or pipeline.
        settings: any field of the method's settings, and of ``Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
    """

    name: ClassVar[str]  #: what explanations and the command line call the method
    legend: Mapping[str, MapInfo]  #: what each of its maps shows, in the order of display
    settings_type: ClassVar[type[Any]]  #: the dataclass of its settings
    fast: ClassVar[Mapping[str, Any]] = MappingProxyType({})  #: settings for a first look, if there are such

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        every = self.setting_names()
        if unknown := settings.keys() - every:
            raise TypeError(
                f"settings of {type(self).__name__} are {', '.join(sorted(every))}; got {', '.join(sorted(unknown))}"
            )
        own = {name: settings.pop(name) for name in every & settings.keys() - _field_names(Execution)}
        self.score = as_score(model)
        self.execution = Execution(**settings)
        self.settings: Any = self.settings_type(**own)
        normalization = normalization_of(model, normalization)
        self.infill = infills.from_spec(infill, normalization, seed=getattr(self.settings, "seed", 0))

    @classmethod
    def setting_names(cls) -> set[str]:
        """Names of all that can be set: the fields of the method's settings and of ``Execution``."""
        return _field_names(cls.settings_type) | _field_names(Execution)

    @abstractmethod
    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Sequence[int] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        """Explain the model's answer for each image.

        Args:
            images: [N, C, H, W], or one image [C, H, W], floating point, as the model takes them.
            targets: what is explained of each image, or one for all: class indices for classifiers; the model's own
                answers by default.
            streams: which noise each image gets, 0, ..., N-1 by default. An image with the same seed, stream and target
                gets the same maps in every batch: bit for bit where the model is given one image's composites at a
                time (the default on CPUs) or does not round differently in other batches.
            on_step: called with a ``Progress`` after each step.
            on_image: called with an image's index and its explanation (N = 1) as soon as it is ready.

        Raises:
            TypeError, ValueError: an argument does not fit, the model does not return what the score needs, or an
                image is not finite; the message says which. All of that is found before the work starts.
        """

    def composites_per_image(self) -> int:
        """Composites of each image that the model is given in one step."""
        return 1

    def describe(self) -> dict[str, Any]:
        """What is computed, as plain values, for records: the settings, the infill, the score and the dtype."""
        given = self.infill
        infill = f"tensor {list(given.tensor.shape)}" if isinstance(given, infills.Fixed) else repr(given)
        dtype = self.execution.describe()["dtype"]
        return {**vars(self.settings), "infill": infill, "score": str(self.score), "dtype": dtype}

    def files(self) -> Mapping[str, WriteFile]:
        """What else is written beside the results of each photo, by the file's name; functions of a module.

        A function gets the photo's explanation (N = 1), its pixels [1, 3, H, W] in 0..1, the name of the target, and
        where to write.
        """
        return {}

    @contextmanager
    def scene(
        self,
        images: Tensor,
        targets: Any,
        streams: Sequence[int] | None,
        *,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Iterator[Scene]:
        """The checked images with all that belongs to them, inside a block in which the model is in eval mode.

        The arguments are those of ``explain``; callbacks are only checked.
        """
        check_callback("on_step", on_step)
        check_callback("on_image", on_image)
        with torch.inference_mode(False), eval_mode(self.score):
            images = check_images(images)
            stream_tensor = _normal(check_streams(streams, len(images), images.device))
            self.check_size(images.shape[2], images.shape[3])
            with torch.no_grad():  # an inpainter with parameters would keep its activations
                infill = _normal(infills.apply(self.infill, images.clone(), stream_tensor.tolist()).detach())
            composites = self.composites_per_image()
            execution = self.execution.resolved(self.score, images, composites)
            try:
                asked = self._ask(execution, composites, images, targets)
            except (RuntimeError, TypeError, ValueError):
                # RuntimeError: such as from view() where channels come last; what else is wrong, shows again.
                if self.execution.channels_last is not None or not execution.channels_last:
                    raise
                asked = self._ask(replace(execution, channels_last=False), composites, images, targets)
            score, execution, chosen, confidence = asked
            chosen = _normal(chosen)
            floor, unit = images.new_zeros(len(images)), images.new_ones(len(images))
            scene = Scene(score, execution, composites, images, infill, chosen, stream_tensor, confidence, floor, unit)
            yield scene if scene.scale.zero else _against_infill(scene)

    def _ask(
        self, execution: Execution, composites: int, images: Tensor, targets: Any
    ) -> tuple[Score, Execution, Tensor, Tensor]:
        """The score of a model that may be folded, how it is run, the targets, and how confident it is of them."""
        score = self.score
        if execution.fold_batch_norm:
            score = folded_score(score, replace(execution, dtype=torch.float32).prepare(images[:1]))
            execution = replace(execution, fold_batch_norm=score is not self.score)
        chunk = execution.images_at_once(composites)
        if targets is None and type(score) is ClassScore and len(images):
            both = execution.map(score.answer, images, chunk=chunk)
            return score, execution, both[:, 0].long(), both[:, 1].to(images.dtype)
        chosen = execution.resolve(score, images, targets, chunk=chunk)
        confidence = execution.map(score.confidence, images, chosen, chunk=chunk)
        return score, execution, chosen, _numbers(confidence, len(images))

    def check_size(self, height: int, width: int) -> None:  # noqa: B027 (a method may have no such settings)
        """Raise ValueError where the settings do not fit images of this size."""

    def conclude(
        self,
        scene: Scene,
        maps: Mapping[str, Tensor],
        parts: Mapping[str, Tensor] | None = None,
        *,
        scores: Mapping[str, Tensor] | None = None,
        trace: Tensor | None = None,
        seconds: float | None = None,
        on_image: OnImage | None = None,
        legend: Mapping[str, MapInfo] | None = None,
    ) -> Explanation:
        """The explanation of a scene: its maps, and what the model says of image, infill and each region.

        Args:
            scene: what was explained.
            maps: importance by name [N, H, W], 0..1, without those that the legend computes from others.
            parts: what else there is of each image [N, ...]; ``mask_logits`` or ``masks`` [N, K, h, w] are the keep
                masks of the regions, in the order of the legend. ``kept_cells``, bool [N, K, h, w], are the final
                regions, where the method has found them itself; otherwise they are cut from the maps.
            scores: numbers of the method itself by name [N].
            trace: loss of each step [N, steps].
            seconds: duration of the computation.
            on_image: called with each image's index and explanation, by methods that explain all images at once.
            legend: what each map shows, where that is not the same for all explanations of the explainer.
        """
        explanation = Explanation(
            self.name,
            dict(maps),
            {"prob_image": scene.confidence, "prob_infill": scene.confidences(scene.infill)},
            scene.targets,
            dict(parts or {}),
            scene.images.new_zeros(len(scene), 0) if trace is None else trace,
            self.legend if legend is None else legend,
            self.describe(),
            scene.execution.describe(),
            seconds,
            scene.scale,
        )
        if explanation.regions:
            explanation = self._with_regions(scene, explanation)
        explanation = replace(explanation, scores={**explanation.scores, **(scores or {})})
        if on_image is not None:
            for index in range(len(explanation)):
                on_image(index, explanation[index])
        return explanation

    def _with_regions(self, scene: Scene, explanation: Explanation) -> Explanation:
        """The explanation with its final regions, and what the model says of them and of the masks."""
        if "kept_cells" not in explanation.parts:
            pruning = getattr(self.settings, "pruning", True)
            kept = _final(scene, explanation, pruning)
            explanation = replace(explanation, parts={**explanation.parts, "kept_cells": kept})
        soft = scene.masked_confidences(explanation.masks[:, :, None])[:, :, 0]
        final = scene.masked_confidences(explanation.binary_masks[:, :, None])[:, :, 0]
        found = {f"prob_{name}": soft[:, k] for k, name in enumerate(explanation.regions)}
        found |= {f"prob_{name}_binary": final[:, k] for k, name in enumerate(explanation.regions)}
        return replace(explanation, scores={**explanation.scores, **found})


def _numbers(found: Tensor, count: int) -> Tensor:
    """What a score says of so many images, in float32 at least.

    Raises:
        ValueError: it is not one number an image.
    """
    if found.shape != (count,):
        got = list(found.shape)
        raise ValueError(f"score must have one number, and one confidence, an image: [{count}], got {got}")
    return widen(found)


def _normal(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made under ``torch.inference_mode`` and cannot be used for gradients."""
    return tensor.clone() if tensor.is_inference() else tensor


def _against_infill(scene: Scene) -> Scene:
    """The scene with shares counted from the infill, and scores in units of their distance between image and infill."""
    ends = scene.images.new_tensor([1.0, 0.0]).expand(len(scene), 1, 2)[..., None, None]
    image, infill = scene.scores(ends)[:, 0].unbind(1)
    distance = (image - infill).abs() / PER_IMAGE
    unit = torch.where(distance > 0, distance, torch.ones_like(distance))
    return replace(scene, floor=scene.confidences(scene.infill), unit=unit)


def _final(scene: Scene, explanation: Explanation, pruning: bool) -> Tensor:
    """Cells that the final regions keep, cut from the maps: bool [N, K, h, w]."""
    names, cells = explanation.regions, explanation.mask_size
    kept = torch.ones(len(scene), len(names), *cells, dtype=torch.bool, device=scene.images.device)
    for k, name in enumerate(names):
        keeps, share = explanation.legend[name].role == "keep", explanation.share(name)
        for n in range(len(scene)):
            inside = regions.smallest(explanation[name][n], cells, keeps, scene[n : n + 1], share, pruning)
            kept[n, k] = inside if keeps else ~inside
    return kept


def _field_names(kind: type[Any]) -> set[str]:
    """Names of a dataclass's fields."""
    return {field.name for field in fields(kind)}
