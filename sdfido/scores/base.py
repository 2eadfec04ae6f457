"""What a score is, and how the module behind one is put into eval mode."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]


@runtime_checkable
class Score(Protocol):
    """What an explainer asks of a model: one differentiable number per image.

    Targets say, image by image, what the score is about: a tensor whose first axis is the image, such as class
    indices [B] or embeddings [B, D].
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


def module_of(score: Score | Model) -> nn.Module | None:
    """The module behind a score or a model, if there is one."""
    for candidate in (score, getattr(score, "model", None)):
        if isinstance(candidate, nn.Module):
            return candidate
    return None


_modules: dict[int, tuple[int, list[nn.Module]]] = {}  # in eval mode: by module, users and parts to set back
_lock = threading.Lock()


@contextlib.contextmanager
def eval_mode(score: Score | Model) -> Iterator[None]:
    """Put every part of the module behind a score into eval mode, and back when the last of several threads leaves.

    Raises:
        ValueError: the module was made under ``torch.inference_mode``.
    """
    module = module_of(score)
    if module is None:
        yield
        return
    if any(parameter.is_inference() for parameter in module.parameters()):
        raise ValueError("model must not be made under torch.inference_mode: its gradient is needed")
    with _lock:
        users, training = _modules.get(id(module), (0, []))
        if users == 0:
            training = [part for part in module.modules() if getattr(part, "training", False)]
            for part in training:
                part.training = False
        _modules[id(module)] = users + 1, training
    try:
        yield
    finally:
        with _lock:
            users, training = _modules.pop(id(module))
            if users > 1:
                _modules[id(module)] = users - 1, training
            else:
                for part in training:
                    part.training = True
