"""How a model is run: how many images at once, in which memory format and in which dtype."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .checks import check_answer, check_flag, check_kind, check_number
from .scores import Score, module_of

__all__ = ["Execution"]

Made = TypeVar("Made")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_ON_CPUS = 4  # composites at once there, at most: what they leave in the caches is still there for the backward pass
_ELSEWHERE = 64  # composites at once on a GPU: fills it with classifiers of photos, and fits into 8 GB


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a model is run. It changes how fast a result is computed; only ``dtype`` changes more of it than rounding.

    Raises:
        TypeError, ValueError: a field has a wrong type or value; the message says which.
    """

    max_batch: int | None = None  #: images at once; None: 64 on GPUs, at most 4 of one image's composites on CPUs
    channels_last: bool | None = None  #: memory format of the images; None: channels-last for models with convolutions
    dtype: torch.dtype = torch.float32  #: of the images; below float32 classifiers run under autocast
    #: whether explainers ask a copy of the model whose batch normalisation is folded into the layers before it, where
    #: that changes nothing but rounding; in results: whether they did
    fold_batch_norm: bool = True
    #: on CPUs with glibc: whether the process keeps the memory that a step has freed for the next one, and so stays as
    #: large as it was at most; once asked for, that holds for all that the process does
    keep_memory: bool = True

    def __post_init__(self) -> None:
        if self.max_batch is not None:
            object.__setattr__(self, "max_batch", check_number("max_batch", self.max_batch, int, 1))
        check_flag("channels_last", self.channels_last, optional=True)
        check_flag("fold_batch_norm", self.fold_batch_norm)
        check_flag("keep_memory", self.keep_memory)
        if check_kind("dtype", self.dtype, torch.dtype, "a torch.dtype") not in (torch.float32, torch.bfloat16):
            # float16 is left out: without scaling, the gradients of the composites vanish in it.
            raise ValueError(f"dtype must be torch.float32 or torch.bfloat16, got {self.dtype}")

    def resolved(self, score: Score, images: Tensor, composites: int) -> Execution:
        """The same with nothing left open, for these images [N, C, H, W] and so many composites of each in a step.

        Convolutions are faster on channels-last images.

        An image with the same seed gets the same bits in every batch where the model is given one image's composites
        at a time, which is why that is the default on CPUs.
        """
        if self.keep_memory and images.device.type == "cpu":
            _keep_memory()
        max_batch = self.at_once(images.device.type, composites)
        channels_last = self.channels_last
        if channels_last is None:
            module = module_of(score)
            channels_last = module is not None and any(isinstance(part, nn.Conv2d) for part in module.modules())
        return replace(self, max_batch=max_batch, channels_last=channels_last)

    def at_once(self, device: str, composites: int) -> int:
        """``max_batch`` on a type of device, such as "cuda", for so many composites of each image in a step."""
        if self.max_batch is not None:
            return self.max_batch
        return min(composites, _ON_CPUS) if device == "cpu" else _ELSEWHERE

    def prepare(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in the dtype and memory format that the model is given."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.dtype, memory_format=layout)

    def images_at_once(self, composites: int) -> int:
        """How many images' composites fit into ``max_batch``, at least one image's."""
        return max(1, (self.max_batch or composites) // composites)

    def map(self, function: Callable[..., Tensor], images: Tensor, *others: Tensor, chunk: int) -> Tensor:
        """``function(images, *others)`` [N, ...] without gradients, ``chunk`` images at a time, each chunk prepared.

        The function gets copies: models may work in place.
        """
        with torch.no_grad():
            name, parts = getattr(function, "__qualname__", type(function).__name__), []
            for part in chunks(len(images), chunk):
                some = images[part]
                answer = function(self.prepare(some).clone(), *(other[part] for other in others))
                parts.append(check_answer(name, answer, len(some)))
            return torch.cat(parts) if parts else images.new_zeros(0)

    def resolve(self, score: Score, images: Tensor, targets: Any, *, chunk: int) -> Tensor:
        """The targets [N, ...] that a user means; the model's own answers, ``chunk`` images at a time, for None."""
        if targets is None and len(images):
            return self.map(score.resolve, images, chunk=chunk)
        with torch.no_grad():
            return score.resolve(self.prepare(images).clone(), targets)

    def describe(self) -> dict[str, Any]:
        """The fields as plain values, for records."""
        return vars(self) | {"dtype": str(self.dtype).removeprefix("torch.")}


@functools.cache
def _keep_memory() -> None:
    """Have malloc keep what is freed: the system clears memory that it hands out anew, at a third of a step's time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    # Before 2.35 glibc refuses more than 32 MiB. Any other setting ends its own adaptation, which begins at 128 KiB.
    if mallopt(_M_MMAP_THRESHOLD, 2**30) or mallopt(_M_MMAP_THRESHOLD, 2**25):
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_SHORT = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was short, of a GPU or of this machine."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).casefold() for text in _SHORT)


def halving(function: Callable[[int], Made], at_once: int, lessened: Callable[[int], object]) -> Made:
    """What a function returns, given how many images it may give a model at once: half as many where memory is short.

    Args:
        function: called once, and again each time that memory was short.
        at_once: images at first.
        lessened: told of each smaller number.
    """
    while True:
        try:
            return function(at_once)
        except Exception as error:
            if at_once == 1 or not is_out_of_memory(error):
                raise
        at_once //= 2  # out here, where the error no longer holds on to memory
        lessened(at_once)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count``."""
    return (slice(begin, begin + size) for begin in range(0, count, size))
