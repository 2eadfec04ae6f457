"""What a score is, and how the module behind one is put into eval mode."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .. import outputs, surroundings
from ..models.adapters import network_of
from .scale import PROBABILITY, Scale

Model = Callable[[Tensor], Any]


@runtime_checkable
class Score(Protocol):
    """What an explainer asks of a model: one differentiable number per image.

    Targets say, image by image, what the score is about: a tensor whose first axis is the image, such as class
    indices [B] or embeddings [B, D].

    Two attributes are optional. ``scale``, a ``sdfido.scores.Scale``, says what the confidence means and how it is
    written; without it, the confidence is read as a probability. ``at_confidence(confidence [B]) -> scores [B]`` says
    which score means a confidence, so that the weights of FIDO's masks adapt to the share that they are to keep.
    """

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for their targets [B, ...]: differentiable, higher is more of it."""
        ...

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """The targets [B, ...] that a user means for these images; the model's own answer where none are given."""
        ...

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """The score as people read it [B]: for classifiers the probability of the target, 0..1."""
        ...


class ModelScore:
    """What the scores of this package share: the model, and how it is asked.

    Args:
        model: a module or any callable, from images [B, C, H, W]; a ``sdfido.models.Classifier``, or a pipeline of
            Hugging Face.

    Raises:
        TypeError: the model cannot be called.
    """

    scale: Scale = PROBABILITY  #: what the confidence means, and how it is written

    def __init__(self, model: Model) -> None:
        self.model = network_of(model)

    def __str__(self) -> str:
        return type(self).__name__

    def output(self, images: Tensor, ask: Callable[[Tensor], Any] | None = None) -> Any:
        """What the model, or another function, returns for images [B, C, H, W]; under autocast below float32."""
        low = images.dtype in (torch.bfloat16, torch.float16)
        with torch.autocast(images.device.type, dtype=images.dtype) if low else contextlib.nullcontext():
            return outputs.ask(ask or self.model, images)

    def numbers(
        self, images: Tensor, form: str, dims: tuple[int, ...], key: str | tuple[str, ...] = "logits"
    ) -> Tensor:
        """The model's output as a float32 tensor whose first axis is the image.

        An output that is no tensor gives its entry ``key``, an attribute or a key of a dict, or else its only tensor.
        Axes of length 1 after the second one are left out.

        Args:
            images: [B, C, H, W].
            form: what the model must return, for the message.
            dims: how many axes that may have.
            key: of the entry; of several, the first one that is there.

        Raises:
            TypeError, ValueError: the model returns something else.
        """
        output, keys = self.output(images), (key,) if isinstance(key, str) else key
        found = outputs.obvious(output, *keys)
        if found is None:
            raise TypeError(
                f"model must return a tensor {form}, or have it as {' or '.join(map(repr, keys))} of its output, got "
                f"{outputs.parts_of(output)}; wrap it: lambda images: model(images)[NAME]"
            )
        if found.dim() > 2 and len(found) == len(images) and set(found.shape[2:]) == {1}:
            found = found.flatten(1)
        if found.dim() not in dims or len(found) != len(images):
            raise ValueError(f"model must return {form}, got {list(found.shape)} for {len(images)} images")
        return found.float()


def one_by_one(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What a function returns for images [B, C, H, W], asked about one image at a time.

    Targets that a user gives come for any number of images at once, which a model may not take.
    """
    return torch.cat([function(image) for image in torch.split(images, 1)])


def module_of(score: Score | Model) -> nn.Module | None:
    """The module behind a score or a model, if there is one."""
    for candidate in (score, getattr(score, "model", None)):
        if isinstance(candidate, nn.Module):
            return candidate
    return None


def _asked(score: Score | Model) -> nn.Module | None:
    """The module that is asked: the one behind a score, also by a method of it, or by ``functools.partial``."""
    for candidate in (score, getattr(score, "model", None)):
        while isinstance(candidate, functools.partial):
            candidate = candidate.func
        if isinstance(candidate := getattr(candidate, "__self__", candidate), nn.Module):
            return candidate
    return None


class _Use(NamedTuple):
    """Parts of a module that a thread holds in eval mode, and that were in train mode before."""

    thread: int
    parts: list[nn.Module]


_uses: list[_Use] = []
_turn = surroundings.Turn()


@contextlib.contextmanager
def eval_mode(score: Score | Model) -> Iterator[None]:
    """Put every part of the module behind a score into eval mode, and back when the last of several threads leaves.

    A method of a module counts as that module; what other functions call is not known, and stays as it is. Modules that
    share parts may be in use by different threads. Autocast of the caller's does not count inside.

    Raises:
        ValueError: the module was made under ``torch.inference_mode``.
    """
    module = _asked(score)
    with surroundings.plain():
        if module is None:
            yield
            return
        if any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
            raise ValueError(
                "model must not be made under torch.inference_mode: its gradient is needed; load it before that block"
            )
        with _turn:
            held = {id(part) for use in _uses for part in use.parts}
            parts = [part for part in module.modules() if getattr(part, "training", False) or id(part) in held]
            for part in parts:
                part.training = False
            use = _Use(threading.get_ident(), parts)
            _uses.append(use)
        try:
            yield
        finally:
            with _turn:
                _leave([use])


def _leave(left: list[_Use]) -> None:
    """Put parts that nobody else holds back into train mode."""
    _uses[:] = [use for use in _uses if not any(use is each for each in left)]
    held = {id(part) for use in _uses for part in use.parts}
    for part in (part for use in left for part in use.parts if id(part) not in held):
        part.training = True


def _forked() -> None:
    """The other threads do not exist in a process that was forked."""
    _leave([use for use in _uses if use.thread != threading.get_ident()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
