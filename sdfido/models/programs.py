"""Programs in files: exported by torch.export (.pt2), or TorchScript (.pt, .pth, .ts).

Loading such a file runs what is in it: take it only from those whom you would take code from.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .adapters import ChannelsLast
from .classifier import Classifier


def load(path: str) -> Classifier:
    """The program in a file. Of an exported one, the size of its input and whether channels come last are read, too.

    Raises:
        ValueError: the file is missing, or holds no program; weights alone have no network.
    """
    if not Path(path).is_file():
        raise ValueError(f"model {path!r} must be a file, and there is none")
    if Path(path).suffix.lower() == ".pt2":
        return _exported(path)
    if not _is_torchscript(path):
        raise ValueError(
            f"model {path!r} must be a TorchScript program; this file holds weights or a pickled module. Write a "
            'function that makes the network and loads them, and give it as "package.module:function"'
        )
    try:
        load_program: Callable[..., nn.Module] = torch.jit.load
        network = load_program(path, map_location="cpu")
    except RuntimeError as error:
        raise ValueError(f"model {path!r} cannot be loaded as TorchScript: {_first_line(error)}") from error
    return Classifier(path, network)


def _exported(path: str) -> Classifier:
    try:
        program: Any = torch.export.load(path)
    except Exception as error:  # whatever is not what torch.export.save wrote
        raise ValueError(
            f"model {path!r} must be a program that torch.export.save wrote: {_first_line(error)}"
        ) from error
    network = program.module()
    shape = _input_shape(program)
    if shape is None:
        return Classifier(path, network)
    if shape[1] != 3 and shape[3] == 3:
        return Classifier(path, ChannelsLast(network), size=(shape[1], shape[2]))
    return Classifier(path, network, size=(shape[2], shape[3]))


def _input_shape(program: Any) -> list[int] | None:
    """The shape [B, C, H, W] or [B, H, W, C] of the example that a program was exported with."""
    arguments: tuple[Any, ...] = program.example_inputs[0] if program.example_inputs else ()
    if len(arguments) == 1 and isinstance(arguments[0], Tensor) and arguments[0].dim() == 4:
        return list(arguments[0].shape)
    return None


def _is_torchscript(path: str) -> bool:
    """Whether a file is an archive with code, found without loading it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
