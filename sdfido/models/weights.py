"""Weights from files, without running what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from . import packages


def load_weights(network: nn.Module, path: str) -> None:
    """Load a state dict into a network: safetensors, or what ``torch.save`` wrote, read without unpickling code.

    Raises:
        ValueError: the file is missing, is no state dict, or does not fit the network; the message says why.
        ImportError: safetensors is not installed, and the file needs it.
    """
    try:
        if path.endswith(".safetensors"):
            reader = packages.require("safetensors.torch", f"weights {path!r}", "pip install safetensors")
            found: Any = reader.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise
    except Exception as error:  # what a damaged file makes the readers raise is no closed list
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"weights {path!r} cannot be read: {why}") from error
    for name in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping):
        raise ValueError(f"weights {path!r} must be a state dict, got {type(found).__name__}")
    try:
        network.load_state_dict(found)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ValueError(
            f"weights {path!r} must be those of {type(network).__name__}: {' '.join(lines)[:300]}"
        ) from error
