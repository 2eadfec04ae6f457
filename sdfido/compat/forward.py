"""The score of any forward function with further arguments and the targets of captum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice, check_integers
from ..scores import PROBABILITY, ModelScore, Scale, log_odds, probability

__all__ = ["ForwardScore", "as_sequence", "mapped", "only"]

NUMBER = Scale(
    name="output", meaning="the chosen output of the forward function", target="the target", percent=False, zero=False
)


class ForwardScore(ModelScore):
    """What a forward function returns for an image, as captum selects it.

    Of class logits [B, classes], classes at least 2, and one class an image the score is the log-odds of the class, and
    the confidence its probability, as of ``ClassScore``; of any other output it is the selected number itself.

    Resolved targets hold the image's place and the indices that select the number, int64 [B, 1 + indices].

    Args:
        forward_func: called with images [B, C, H, W] and the further arguments.
        arguments: further arguments; tensors with an entry for each image go with their images.
        images: how many images are explained.
    """

    def __init__(self, forward_func: Any, arguments: tuple[Any, ...], images: int) -> None:
        super().__init__(forward_func)
        self.arguments, self.images, self.classes = arguments, images, False

    def __str__(self) -> str:
        return "log_odds" if self.classes else "output"

    @property
    def scale(self) -> Scale:  # type: ignore[override]  # depends on the output
        return PROBABILITY if self.classes else NUMBER

    def _goes_with_images(self, argument: Any) -> bool:
        return isinstance(argument, Tensor) and not argument.is_nested and argument.shape[:1] == (self.images,)

    def outputs(self, images: Tensor, places: Tensor) -> Tensor:
        """The forward function's output [B, ...], float32, for images [B, C, H, W] by their places [B]."""
        arguments = [each[places.to(each.device)] if self._goes_with_images(each) else each for each in self.arguments]
        found = self.output(images, lambda batch: self.model(batch, *arguments))
        if not isinstance(found, Tensor) or found.dim() == 0 or len(found) != len(images):
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"forward_func must return a tensor [B, ...] for {len(images)} images, got {got}")
        return found.float()

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Places and indices [B, 1 + indices], int64, of targets as captum takes them.

        Args:
            images: [B, C, H, W].
            targets: one index for all images, or one for each; for outputs of more axes a tuple of indices, or one for
                each image; None where the output is one number for each image.

        Raises:
            TypeError, ValueError: the targets do not select one number of each image's output.
        """
        n = len(images)
        places = torch.arange(n, device=images.device)[:, None]
        output = self.outputs(images[:1], places[:1, 0]) if n else images.new_zeros(0)
        if targets is None:
            indices = places.new_zeros(n, 0)
        elif isinstance(targets, tuple):
            indices = check_integers("target", targets, "an index, or one for each image", images.device).expand(n, -1)
        else:
            indices = check_integers("target", targets, "an index, or one for each image", images.device)
            indices = indices.flatten().expand(n)[:, None] if indices.numel() == 1 else indices
            indices = indices[:, None] if indices.dim() == 1 else indices
        if len(indices) != n:
            raise ValueError(f"target must be an index, or one for each of {n} images, got {list(indices.shape)}")
        shape = output.shape[1:]
        if n and (indices.shape[1] != len(shape) and not (indices.shape[1] == 0 and output.numel() == 1)):
            raise ValueError(
                f"target must select one number of an output {['B', *shape]}, got {indices.shape[1]} indices for each "
                "image"
            )
        sizes = torch.tensor(shape[: indices.shape[1]], device=images.device)
        if n and ((indices < 0) | (indices >= sizes)).any():
            raise ValueError(f"target must be indices below {list(shape)}, got {indices.tolist()}")
        self.classes = indices.shape[1] == 1 and output.dim() == 2 and output.shape[1] > 1
        return torch.cat([places, indices.long()], 1)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        return self._chosen(images, targets, log_odds)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        return self._chosen(images, targets, probability)

    def at_confidence(self, confidence: Tensor) -> Tensor:
        return torch.logit(confidence) if self.classes else confidence

    def _chosen(self, images: Tensor, targets: Tensor, link: Any) -> Tensor:
        output = self.outputs(images, targets[:, 0])
        if self.classes:
            found: Tensor = link(output, targets[:, 1])
            return found
        if targets.shape[1] == 1:
            return output.flatten()
        return output[(torch.arange(len(images), device=images.device), *targets[:, 1:].unbind(1))]


def mapped(explanation: Any, name: str | None) -> Tensor:
    """The map of an explanation by name; by default the joint one, or the first.

    Raises:
        ValueError: there is no such map.
    """
    maps: dict[str, Tensor] = dict(explanation.maps)
    name = ("joint" if "joint" in maps else next(iter(maps))) if name is None else name
    return maps[check_choice("map", name, list(maps))]


def only(values: Any, name: str) -> tuple[Any, bool]:
    """The tensor of a tuple with one, and whether there was a tuple.

    Raises:
        ValueError: there are several.
    """
    if not isinstance(values, tuple):
        return values, False
    if len(values) != 1:
        raise ValueError(
            f"{name} must be one tensor of images, got {len(values)}; hand the others to additional_forward_args"
        )
    return values[0], True


def as_sequence(value: Any) -> tuple[Any, ...]:
    """Further arguments as a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple) else (value,)
