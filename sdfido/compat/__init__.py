"""Drop-ins for existing FIDO code: the same names, arguments and defaults on sdfido's operators."""

from .concrete import SigmoidConcreteDropout, concrete_dropout, sigmoid_concrete_dropout
from .fido_pytorch import FIDO, FIDOConfig, MaskConfig

__all__ = [
    "FIDO",
    "FIDOConfig",
    "MaskConfig",
    "SigmoidConcreteDropout",
    "concrete_dropout",
    "sigmoid_concrete_dropout",
]
