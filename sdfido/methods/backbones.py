"""Finds the part of a convolutional classifier that ends in its last feature map."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checks import check_tensor
from ..scores import eval_mode

__all__ = ["feature_map", "number_of_classes"]

_SIDE = 128  # of the example image, in pixels
_ENDS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear)  # what follows the last feature map
_REMEDY = (
    "pass the part before its pooling, a module from images [B, C, H, W] to a feature map [B, D, h, w], such as "
    "torch.nn.Sequential(*list(network.children())[:-2])"
)


class _Cut(NamedTuple):
    """A part of a network that ends in a feature map."""

    part: nn.Module
    whole: bool  # whether nothing of the network is left out
    output: Tensor  # the feature map of the example


def feature_map(network: nn.Module, example: Tensor | None = None) -> tuple[nn.Module, int]:
    """A copy of a network up to its last feature map, and the channels D of that.

    A network that returns a feature map is taken as it is. Any other must run its parts one after another until the
    pooling, as every ``nn.Sequential`` does, and so do most convolutional classifiers of torchvision and timm. A run of
    the example shows it.

    Args:
        network: a classifier, or a module that returns a feature map [B, D, h, w].
        example: an image [1, C, H, W] as the network takes it; zeros of 128 x 128 pixels by default.

    Raises:
        TypeError: the network is no module.
        ValueError: its last feature map cannot be found; the message says what to pass instead.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"network must be a torch.nn.Module, got {type(network).__name__}; {_REMEDY}")
    own = copy.deepcopy(network)
    if example is None:
        convolution = next((part for part in own.modules() if isinstance(part, nn.Conv2d)), None)
        if convolution is None:
            raise ValueError(f"network must have convolutions, got {type(network).__name__} without any; {_REMEDY}")
        example = convolution.weight.new_zeros(1, convolution.in_channels, _SIDE, _SIDE)
    else:
        check_tensor("example", example, "[1, C, H, W]", 4, floating=True, filled=0)
    try:
        with torch.no_grad(), eval_mode(own):
            cut = _cut(own, example[:1].clone())  # it may work in place
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        size = " x ".join(map(str, example.shape[2:]))
        raise ValueError(
            f"network must run an image of {size} pixels, which failed with: {error}; give an example of another size"
        ) from error
    if cut is None or not any(isinstance(part, nn.Conv2d) for part in cut.part.modules()):
        raise ValueError(
            f"network must run its parts one after another until it pools its last feature map, which "
            f"{type(network).__name__} does not; {_REMEDY}"
        )
    return cut.part, cut.output.shape[1]


def number_of_classes(network: nn.Module) -> int:
    """Outputs of a network's last linear layer.

    Raises:
        ValueError: it has none.
    """
    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ValueError(f"classes must be given, as {type(network).__name__} has no linear layer that tells them")
    return linear[-1].out_features


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4 and value.shape[2] * value.shape[3] > 1


def _cut(module: nn.Module, images: Tensor) -> _Cut | None:
    """The longest part from the start that ends in a feature map; None where there is none."""
    if isinstance(module, _ENDS):
        return None
    if type(module).forward is nn.Sequential.forward:
        parts, complete = list(module.children()), True
    else:
        steps = _Steps(module)
        output = steps.run(images)
        if _is_map(output):
            return _Cut(module, True, output)
        parts, complete = steps.chain, False
    kept: list[nn.Module] = []
    current = images
    for part in parts:
        cut = _cut(part, current)
        if cut is not None:
            kept.append(cut.part)
            current = cut.output
        if cut is None or not cut.whole:
            complete = False
            break
    if not kept:
        return None
    return _Cut(module, True, current) if complete else _Cut(nn.Sequential(*kept), False, current)


class _Steps:
    """Which parts a module runs one after another, each on what the one before returned."""

    def __init__(self, module: nn.Module) -> None:
        self.chain: list[nn.Module] = []  # up to the pooling; empty where something else happens in between
        self._module = module
        self._last: Any = None
        self._ended = False

    def run(self, images: Tensor) -> Any:
        """The module's output; afterwards ``chain`` is known."""
        self._last = images
        handles = [part.register_forward_hook(self._after) for part in _parts(self._module)]
        try:
            return self._module(images)
        finally:
            for handle in handles:
                handle.remove()

    def _after(self, part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._ended:
            return
        if isinstance(part, _ENDS) or not (inputs and _is_map(inputs[0])):
            self._ended = True
        elif len(inputs) == 1 and inputs[0] is self._last and (part not in self.chain or not part.state_dict()):
            self.chain.append(part)
            self._last, self._ended = output, not _is_map(output)
        else:
            self.chain, self._ended = [], True


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The direct parts of a module; of lists and dictionaries of modules, what is in them."""
    for part in module.children():
        if isinstance(part, nn.ModuleList | nn.ModuleDict):
            yield from _parts(part)
        else:
            yield part
