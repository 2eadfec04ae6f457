"""Modules around networks with other inputs or outputs, and the network in what stands for a model elsewhere."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from .. import outputs
from ..checks import check_function, check_kind
from ..normalization import Normalization
from .classifier import Classifier

__all__ = ["ChannelsLast", "ReversedChannels", "Selected", "network_of", "normalization_of"]


class ChannelsLast(nn.Module):
    """A network that takes images [B, H, W, C], such as one converted from TensorFlow, fed [B, C, H, W].

    Args:
        network: the network, whose input has the channels last.

    Example:
        >>> sdfido.FIDO(sdfido.models.ChannelsLast(network)).explain(images)
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        check_function("network", network, "a module")
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images.permute(0, 2, 3, 1))


class ReversedChannels(nn.Module):
    """A network that takes blue, green, red, fed red, green, blue: [B, 3, H, W] either way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images.flip(1))


class Selected(nn.Module):
    """A network with several outputs, of which one is returned.

    Args:
        network: the network.
        output: which: a name, a place or a function, as ``sdfido.ClassScore`` takes it.
    """

    def __init__(self, network: nn.Module, output: outputs.Output) -> None:
        super().__init__()
        check_function("network", network, "a module")
        self.network = network
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        return outputs.tensor_of(self.network(images), self.output)


def network_of(model: Any) -> Any:
    """What is called with images: the network of a ``Classifier`` or of a Hugging Face pipeline, else the model itself.

    Raises:
        TypeError: the model cannot be called with images.
    """
    if isinstance(model, Classifier) or (_is_pipeline(model)):
        return model.model
    if isinstance(model, str):
        raise TypeError(f"model must be a module or a callable, got {model!r}; load it with sdfido.models.load")
    if isinstance(model, type):
        raise TypeError(
            f"model must be a module or a callable, got the class {model.__name__}; call it to make a model"
        )
    if not callable(model):
        raise TypeError(f"model must be a module or a callable, got {type(model).__name__}")
    return model


def normalization_of(model: Any, given: Normalization | None = None) -> Normalization | None:
    """How a model's input is normalised: as given, or as that of a ``Classifier`` or of a Hugging Face pipeline."""
    if given is not None:
        return cast(Normalization, check_kind("normalization", given, Normalization, "a sdfido Normalization"))
    if isinstance(model, Classifier):
        return model.normalization
    if _is_pipeline(model):
        from .huggingface import normalization

        return normalization(model.image_processor)[0]
    return None


def _is_pipeline(model: Any) -> bool:
    """Whether this is a pipeline of Hugging Face: a model with what prepares images for it."""
    return getattr(model, "image_processor", None) is not None and isinstance(getattr(model, "model", None), nn.Module)
