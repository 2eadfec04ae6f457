"""Drop-ins for existing FIDO code: the same names, arguments and defaults on sdfido's operators and learner."""

from .fido_pytorch import *  # noqa: F403 (the names of existing code are listed there)
from .fido_pytorch import __all__ as __all__
