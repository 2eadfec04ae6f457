"""What is asked of a classifier: logits, in chunks, in eval mode, in the wanted format."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]


def probability(logits: Tensor, targets: Tensor) -> Tensor:
    """Probability of each row's target class: logits [B, classes], targets [B] -> [B], 0..1."""
    return logits.softmax(1).gather(1, targets[:, None])[:, 0]


def check_model(model: object) -> None:
    """Raise TypeError unless the model can be called."""
    if not callable(model):
        raise TypeError(f"model must be a module or a callable, got {type(model).__name__}")


class Judge:
    """A model as the rest of the package asks it: every answer is checked, every question has the same format.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes].
        dtype: of what the model is fed; below float32 it runs under autocast.
        channels_last: memory format of what the model is fed.
    """

    def __init__(self, model: Model, *, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> None:
        self.model = model
        self.dtype = dtype
        self.channels_last = channels_last

    def stored(self, images: Tensor) -> Tensor:
        """Images in the model's dtype and memory format."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.dtype, memory_format=layout)

    def logits(self, batch: Tensor) -> Tensor:
        """Logits [B, classes], float32, of a batch in that format; the model may work in place on it."""
        low = self.dtype != torch.float32
        with torch.autocast(batch.device.type, dtype=self.dtype) if low else contextlib.nullcontext():
            logits = self.model(batch)
        if not isinstance(logits, Tensor):
            raise TypeError(f"model must return a tensor of logits [B, classes], got {type(logits).__name__}")
        if logits.dim() != 2 or logits.shape[0] != len(batch) or logits.shape[1] < 2:
            raise ValueError(
                f"model must return logits [B, classes] with at least two classes, got {list(logits.shape)} for "
                f"{len(batch)} images"
            )
        return logits.float()

    def classify(self, images: Tensor, chunk: int) -> Tensor:
        """Logits [N, classes] of images of any format, without gradients, ``chunk`` images at a time."""
        if len(images) == 0:
            return images.new_zeros((0, 2))  # the number of classes is not known, and does not matter
        with torch.no_grad():
            parts = (images[begin : begin + chunk] for begin in range(0, len(images), chunk))
            return torch.cat([self.logits(self.stored(part).clone()) for part in parts])


def convolves(model: Model) -> bool:
    """Whether a module holds two-dimensional convolutions, which are faster on channels-last images."""
    return isinstance(model, nn.Module) and any(isinstance(module, nn.Conv2d) for module in model.modules())


_evaluated: dict[int, tuple[int, list[nn.Module]]] = {}  # by model: users at work, modules to set back
_evaluated_lock = threading.Lock()


@contextlib.contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Every part of a module in eval mode inside; as it was when the last of several threads leaves."""
    if not isinstance(model, nn.Module):
        yield
        return
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ValueError("model must not be made under torch.inference_mode: its gradient is needed")
    with _evaluated_lock:
        users, training = _evaluated.get(id(model), (0, []))
        if users == 0:
            training = [module for module in model.modules() if getattr(module, "training", False)]
            for module in training:
                module.training = False
        _evaluated[id(model)] = users + 1, training
    try:
        yield
    finally:
        with _evaluated_lock:
            users, training = _evaluated.pop(id(model))
            if users > 1:
                _evaluated[id(model)] = users - 1, training
            else:
                for module in training:
                    module.training = True
