"""The file format of explanations: one ``.npz`` with a table about it and named tensors, nothing pickled.

Format 3 holds ``about`` (JSON: format, method, legend, settings, execution, seconds), ``targets`` [N, ...], ``trace``
[N, steps], and for each name ``maps/NAME`` [N, H, W], ``scores/NAME`` [N] and ``parts/NAME`` [N, ...].
"""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import json_file, npz_file
from .checks import check_path
from .files import replacing

GROUPS = ("maps", "scores", "parts")  # kinds of tensors that a method names itself
MASKS = ("parts/mask_logits", "parts/masks")

_FORMAT = "sdfido explanation 3"
_OLDER = ("sdfido explanation 1", "sdfido explanation 2")  # by FIDO, its tensors without groups


def write(path: str | os.PathLike[str], about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write an explanation; the file appears whole or not at all.

    Raises:
        ValueError: a tensor has a name that no file could have.
    """
    _check_names(tensors)
    arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps({"format": _FORMAT, **about})), **arrays)


@contextmanager
def reading(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """The table and the tensors of an explanation of any format, checked, in the names of the newest.

    What the file claims to hold is checked before memory is taken for it.

    Args:
        path: of the file.
        size: height and width that its maps must have.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not an explanation, or the ``with`` block finds that it is none.
    """
    path = check_path("path", path)
    shown = repr(os.fspath(path)) if not os.fspath(path).isprintable() else os.fspath(path)
    try:
        with npz_file.opened(path) as file:
            about = _read_about(file)
            claimed = {
                name: torch.empty(header.shape, dtype=_dtype(name, header.dtype), device="meta")
                for name, header in file.headers.items()
                if name != "about"
            }
            _check_about(_renamed(about, claimed)[0])
            _check_tensors(_renamed(about, claimed)[1], size)
            _check_sizes(_renamed(about, claimed)[1])
            file.check_total()
            found = {name: torch.from_numpy(file.read(name)) for name in claimed}
        yield _renamed(about, found)
    except KeyError as error:
        raise ValueError(f"{shown} is not a saved explanation: it has no entry {error}") from error
    except MemoryError as error:
        raise ValueError(f"{shown} is not a saved explanation, or there is too little memory for it") from error
    except Exception as error:
        if isinstance(error, OSError) and not npz_file.is_damage(error):
            raise
        why = textwrap.shorten(str(error), 300, placeholder=" …")  # zipfile quotes whole files
        raise ValueError(f"{shown} is not a saved explanation: {why}") from error


_LONGEST = 1 << 22  # characters of the table
_BESIDE = 64  # times the bytes of the maps, which all other tensors may have together, and at least so many MiB


def _read_about(file: npz_file.Archive) -> dict[str, Any]:
    header = file.headers["about"]
    if header.shape or header.dtype.kind != "U" or header.dtype.itemsize > 4 * _LONGEST:
        raise ValueError(f"its about must be one text of at most {_LONGEST:,} characters, got {header.dtype}")
    about = json_file.parse(str(file.read("about")), finite=False)
    if not isinstance(about, dict):
        raise ValueError(f"its about must be a JSON object, got {type(about).__name__}")
    return about


def _dtype(name: str, dtype: np.dtype[Any]) -> torch.dtype:
    """The dtype of a tensor that NumPy stored as this one."""
    try:
        return torch.from_numpy(np.empty(0, dtype.newbyteorder("="))).dtype
    except TypeError as error:
        raise ValueError(f"its {name[:100]} must be numbers, got {dtype}") from error


def _renamed(about: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The content in the names of the newest format."""
    if about.get("format") == _FORMAT:
        return about, tensors
    if about.get("format") not in _OLDER:
        raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
    first = about["format"] == _OLDER[0]
    scores = [f"prob_{name}" for name in ("image", "infill", "ssr", "sdr", "ssr_binary", "sdr_binary")]
    if first:
        scores = [name for name in scores if name in tensors]  # the earliest files have no binary masks
    found = {f"maps/{name}": tensors[name] for name in ("ssr", "sdr")}
    found |= {f"scores/{name}": tensors[name] for name in scores}
    found |= {"parts/mask_logits": tensors["logits"], "targets": tensors["targets"], "trace": tensors["objective"]}
    if first and found["trace"].dim() == 1:  # the mean of all images
        found["trace"] = found["trace"].expand(len(found["targets"]), -1).clone()
    if found["targets"].dtype != torch.int64:
        raise ValueError(f"its targets must be int64, got {found['targets'].dtype}")
    masks = found["parts/mask_logits"]
    if masks.dim() != 4 or masks.shape[1] != 2:
        raise ValueError(f"its logits must be [{len(found['targets'])}, 2, h, w], got {list(masks.shape)}")
    settings = about["settings"]
    if isinstance(settings, dict) and "objective" in settings:
        settings = {"score" if name == "objective" else name: value for name, value in settings.items()}
    return {"method": "fido", "execution": {}, "legend": {}, **about, "settings": settings}, found


def _check_about(about: Mapping[str, Any]) -> None:
    seconds, method = about["seconds"], about["method"]
    tables = [about[name] for name in ("settings", "execution", "legend")]
    timed = seconds is None or (isinstance(seconds, int | float) and not isinstance(seconds, bool))
    if not timed or not isinstance(method, str) or not all(isinstance(table, dict) for table in tables):
        kinds = ", ".join(type(value).__name__ for value in (seconds, method, *tables))
        raise ValueError(
            "its seconds must be a number, its method a text, and its settings, execution and legend tables, got "
            f"values of {kinds}"
        )
    _check_legend(about["legend"])


_LEGEND = {"title": str, "note": str, "role": str, "of": list, "mean": str, "main": bool, "signed": bool}
_NAME = re.compile(r"[^/\\.][^/\\]{0,99}")  # of a map, score or part: files may be called by it


def _check_names(tensors: Iterable[str]) -> None:
    for name in (name.partition("/")[2] or name for name in tensors):
        if not _NAME.fullmatch(name) or not name.isprintable():
            raise ValueError(f"its tensors must have names that files can have, got {name[:100]!r}")


def _check_legend(legend: Mapping[str, Any]) -> None:
    _check_names(f"maps/{name}" for name in legend)
    for name, info in legend.items():
        if not isinstance(info, dict) or any(not isinstance(info[key], _LEGEND.get(key, object)) for key in info):
            raise ValueError(f"its legend must say {', '.join(_LEGEND)} of {name!r}, each of its type, got {info!r}")


def _check_sizes(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where tensors are far larger than the maps that they belong to."""
    maps = sum(tensor.nbytes for name, tensor in tensors.items() if name.startswith("maps/"))
    others = sum(tensor.nbytes for name, tensor in tensors.items() if not name.startswith("maps/"))
    most = _BESIDE * max(maps, 1 << 20)
    if others > most:
        name = max((name for name in tensors if not name.startswith("maps/")), key=lambda name: tensors[name].nbytes)
        raise ValueError(
            f"its {name} claims to be {list(tensors[name].shape)}: beside maps of {maps:,} bytes, {most:,} are allowed "
            f"for all else, got {others:,}"
        )


def _check_tensors(tensors: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> None:
    """Raise ValueError unless the tensors fit together as those of one explanation."""
    _check_names(tensors)
    maps = [name for name in tensors if name.startswith("maps/")]
    if not maps:
        raise ValueError("it has no maps")
    shape = tensors[maps[0]].shape
    if len(shape) != 3:
        raise ValueError(f"its {maps[0]} must be [N, H, W], got {list(shape)}")
    if size is not None and tuple(shape[1:]) != tuple(size):
        raise ValueError(f"its maps must have the size {size[0]}x{size[1]}, got {shape[1]}x{shape[2]}")
    n = shape[0]
    for name, tensor in tensors.items():
        group = name.partition("/")[0]
        if group == "maps":
            fits, meaning = tensor.shape == shape, str(list(shape))
        elif group == "scores":
            fits, meaning = tensor.shape == (n,), str([n])
        elif name in MASKS:
            fits, meaning = tensor.dim() == 4 and len(tensor) == n, f"[{n}, K, h, w]"
        elif name == "trace":
            fits, meaning = tensor.dim() == 2 and len(tensor) == n, f"[{n}, steps]"
        else:
            fits, meaning = tensor.dim() > 0 and len(tensor) == n, f"[{n}, ...]"
        if not fits:
            raise ValueError(f"its {name} must be {meaning}, got {list(tensor.shape)}")
        real = group in ("maps", "scores") or name in (*MASKS, "trace")
        if real and not tensor.is_floating_point():
            raise ValueError(f"its {name} must be floating point, got {tensor.dtype}")


_ROUNDING = 1e-3  # by which a value may lie outside of its range


def check_ranges(about: Mapping[str, Any], tensors: Mapping[str, Tensor], signed: Collection[str], parts: bool) -> None:
    """Raise ValueError unless all values mean what they should.

    Args:
        about: the table.
        tensors: checked to fit together.
        signed: names of the maps in -1..1; the others are in 0..1.
        parts: whether confidences are probabilities, in 0..1.
    """
    seconds = about["seconds"]
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError(f"its seconds must be finite and at least 0, got {seconds!r}")
    for name in ("kept_share", "left_share"):
        share = about["settings"].get(name, 0.5)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"its settings must have a {name} in 0..1, got {share!r}")
    for name, tensor in tensors.items():
        group, _, key = name.partition("/")
        least, most = -math.inf, math.inf
        if group == "maps":
            least, most = -1.0 if key in signed else 0.0, 1.0
        elif name == "parts/masks" or (parts and group == "scores" and key.startswith("prob_")):
            least, most = 0.0, 1.0
        elif name == "targets" and tensor.dtype == torch.int64 and tensor.dim() == 1:
            least = 0
        elif name not in (*MASKS, "targets") and not key.startswith("prob_"):
            continue  # such as the trace, which is NaN once converged
        if not tensor.numel() or tensor.dtype == torch.bool:
            continue
        low, high = tensor.aminmax()
        if not (least - _ROUNDING <= low and high <= most + _ROUNDING and low.isfinite() and high.isfinite()):
            bounds = f"in {least:g}..{most:g}" if most < math.inf else "at least 0" if least == 0 else "finite"
            raise ValueError(f"its {name} must be {bounds}, got values from {low:g} to {high:g}")
