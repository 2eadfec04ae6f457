"""Optional packages: imported where they are needed, with the pip command in the message if one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

FOR_PHOTOS = 'pip install "sdfido[cli]"'
FOR_DEMO = 'pip install "sdfido[demo]"'


def require(module: str, purpose: str, command: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: its dotted name, such as "PIL.Image".
        purpose: what needs it; the message begins with this.
        command: how to install it.

    Raises:
        ImportError: the package is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{purpose} needs the package {error.name}; install it with: {command}") from error
