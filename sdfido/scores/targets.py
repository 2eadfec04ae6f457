"""The score of callables on a model's output for one image, such as the targets of pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .base import Model, ModelScore
from .scale import Scale

Target = Callable[[Any], Any]
"""From the model's output for one image to a number."""


class TargetScore(ModelScore):
    """What a callable makes of the model's output for an image: a number that is higher, the more there is of it.

    Targets of pytorch-grad-cam work unchanged: ``ClassifierOutputTarget(281)``, ``SemanticSegmentationTarget(...)``,
    ``FasterRCNNBoxScoreTarget(...)`` and one's own. A callable gets what the model returns for that image: the row of a
    tensor; an entry of a list; of a dict, another mapping, an output of transformers, or several tensors with a row for
    each image, the same with the rows.

    ``score = target(output of the image)``, which is the confidence, too. Nothing is known of its range, so shares are
    counted from what the infill alone gets (``sdfido.scores.Scale``).

    A callable that finds nothing in an image may return 0 without a gradient, as ``FasterRCNNBoxScoreTarget`` does.

    Targets, once resolved, are places in the list of callables that were given, int64 [B].

    Args:
        model: whatever the callables understand; a module or any callable from images [B, C, H, W].

    Raises:
        TypeError: the model cannot be called.

    Example:
        >>> score = sdfido.scores.TargetScore(model)
        >>> sdfido.FIDO(score).explain(images, [ClassifierOutputTarget(281), ClassifierOutputTarget(3)])
    """

    scale = Scale(
        name="score",
        meaning="what the target makes of the model's output",
        target="the target",
        percent=False,
        zero=False,
    )

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.callables: list[Target] = []

    def __str__(self) -> str:
        return "target"

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for places [B] of callables.

        Raises:
            TypeError, ValueError: a callable does not return one number.
        """
        output, found = self.output(images), []
        gradients = torch.is_grad_enabled() and _has_gradient(output)
        for place, index in enumerate(targets.tolist()):
            value = self.callables[index](row(output, place, len(images)))
            if not isinstance(value, Tensor) or value.numel() != 1:
                got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"targets must be callables that return one number as a tensor, got {got}")
            value = value.reshape(()).float()
            if gradients and not value.requires_grad and value == 0:
                value = value + 0.0 * images[place].flatten()[0].float()  # 0, but of the image
            found.append(value)
        return torch.stack(found) if found else images.new_zeros(0)

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Places [B], int64, of the callables given: one for all images or a list of one for each.

        Raises:
            TypeError, ValueError: the targets are no callables, or not as many as images.
        """
        n = len(images)
        if isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.shape == (n,):
            if n and not 0 <= int(targets.min()) <= int(targets.max()) < len(self.callables):
                raise ValueError(f"targets must be places of {len(self.callables)} callables, got {targets.tolist()}")
            return targets
        if callable(targets):
            targets = [targets] * n
        if not isinstance(targets, Sequence) or not all(map(callable, targets)):
            raise TypeError(
                "targets must be a callable on the model's output for one image, or a list of one for each, got "
                f"{targets!r}"
            )
        if len(targets) != n:
            raise ValueError(f"targets must be one callable, or one for each of {n} images, got {len(targets)}")
        for each in targets:
            if not any(each is known for known in self.callables):
                self.callables.append(each)
        places = [next(i for i, known in enumerate(self.callables) if known is each) for each in targets]
        return torch.tensor(places, dtype=torch.int64, device=images.device)

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a confidence [B]: the same number."""
        return confidence

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """The same as the score [B], unbounded."""
        return self(images, targets)


def row(output: Any, place: int, n: int) -> Any:
    """What an output for n images holds for one of them.

    Raises:
        TypeError: the output is not by image.
    """
    if isinstance(output, Tensor):
        return output[place]
    if isinstance(output, Mapping):
        rows = {name: row(value, place, n) for name, value in output.items() if value is not None}
        try:
            return type(output)(**rows)  # outputs of transformers have their entries as attributes, too
        except (TypeError, ValueError):
            return rows
    if isinstance(output, list | tuple):
        # As many outputs as images must not be taken for these. A list of one may be of one image's detections.
        several = all(_is_by_image(part, n) for part in output) and (n > 1 or isinstance(output, tuple))
        if len(output) == n and not several:
            return output[place]
        parts = [None if part is None else row(part, place, n) for part in output]
        kind: Any = type(output)
        return kind(*parts) if hasattr(output, "_fields") else kind(parts)
    raise TypeError(
        f"model must return tensors, or lists and dicts of them, for each image, got {type(output).__name__}"
    )


def _is_by_image(part: Any, n: int) -> bool:
    """Whether a part of a list holds something of each of n images; dicts, as of detections, are of one image."""
    if isinstance(part, list | tuple):
        return all(_is_by_image(each, n) for each in part)
    return part is None or (isinstance(part, Tensor) and part.shape[:1] == (n,))


def _has_gradient(output: Any) -> bool:
    """Whether a tensor in an output has one."""
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return any(map(_has_gradient, output))
    return isinstance(output, Tensor) and output.requires_grad
