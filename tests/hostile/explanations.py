"""Damaged saved explanations."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.hostile.damage import Damaged, Table, damaged


class Trap:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("pwned", "w"))


def explanations(good: bytes, seed: int = 1) -> list[Damaged]:
    """Saved explanations, made from a good one of one image."""
    found = [*damaged(good, "explanation", 5, 8, random.Random(seed))]
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def changed(name: str, **arrays: Any) -> None:
        other = members | {f"{key.replace('__', '/')}.npy": _npy(value) for key, value in arrays.items()}
        found.append(Damaged(name, _zip(other)))

    def about(name: str, change: Callable[[Table], object]) -> None:
        table = json.loads(str(np.load(io.BytesIO(members["about.npy"]))))
        change(table)
        changed(name, about=np.array(json.dumps(table)))

    for name in ("about", "targets", "trace", "maps/ssr", "scores/prob_image", "parts/mask_logits"):
        left = {key: value for key, value in members.items() if key != f"{name}.npy"}
        refused = None if name.startswith(("scores", "parts")) else True  # a method may have none
        found.append(Damaged(f"without-{name.replace('/', '-')}", _zip(left), refused))
    ssr = np.load(io.BytesIO(members["maps/ssr.npy"]))
    changed("whole-numbers", maps__ssr=ssr.astype(np.int64))
    changed("complex", maps__ssr=ssr.astype(np.complex64))
    changed("other-size", maps__ssr=ssr[:, 1:])
    changed("all-other-size", **{f"maps__{each}": np.zeros((1, 1200, 1200), np.float32) for each in ("ssr", "sdr")})
    changed("two-images", maps__ssr=np.concatenate([ssr, ssr]))
    changed("not-finite", maps__ssr=ssr * np.nan)
    changed("out-of-range", maps__ssr=ssr + 1e9)
    changed("text", maps__ssr=np.array(["a"]))
    changed("negative-target", targets=np.array([-1]))
    changed("huge-target", targets=np.array([1 << 60]))
    changed("target-as-fraction", targets=np.load(io.BytesIO(members["targets.npy"])).astype(np.float32))
    changed("target-of-fractions", targets=np.array([0.5]))
    changed("probability", scores__prob_image=np.array([7.0], np.float32))
    changed("many-masks", parts__mask_logits=np.zeros((1, 1 << 20, 1, 1), np.float32))
    changed("bomb", parts__more=np.zeros((1, (64 << 20) + 1), np.uint8))
    changed("about-list", about=np.array("[]"))
    changed("about-bytes", about=np.array(b"{}"))
    changed("about-deep", about=np.array("[" * 100_000))
    changed("about-number", about=np.array(1.0))
    about("format", lambda table: table.update(format="another program 7"))
    about("legend-types", lambda table: table["legend"].update(ssr={"title": 5}))
    about("legend-names", lambda table: table["legend"].update({"../../x": {"title": "x"}}))
    about("legend-roles", lambda table: table["legend"]["ssr"].update(role="any"))
    about("settings", lambda table: table.update(settings=[1]))
    about("shares", lambda table: table["settings"].update(kept_share=1e300))
    about("seconds", lambda table: table.update(seconds=-1))
    about("scale", lambda table: table.update(scale={"target": "{:999999999}"}))
    traps = {"maps/ssr.npy": _pickled(), "parts/more.npy": _pickled(), "about.npy": _pickled()}
    for name, content in traps.items():
        found.append(Damaged(f"pickled-{name.replace('/', '-')}", _zip(members | {name: content})))
    found.append(Damaged("outside", _zip(members | {"maps/../../x.npy": members["maps/ssr.npy"]})))
    found.append(Damaged("header-claims", _zip(members | {"maps/ssr.npy": _header((1, 1 << 20, 1 << 20)) + bytes(64)})))
    found.append(Damaged("header-overflows", _zip(members | {"maps/ssr.npy": _header((1 << 40, 1 << 40)) + bytes(64)})))
    found.append(Damaged("header-negative", _zip(members | {"maps/ssr.npy": _header((-1, 4, 4)) + bytes(64)})))
    found.append(Damaged("header-code", _zip(members | {"maps/ssr.npy": _raw_header("__import__('os').abort()")})))
    found.append(Damaged("directory-claims", _claiming(_zip(members))))
    found.append(Damaged("lzma", _zip(members, zipfile.ZIP_LZMA)))
    found.append(Damaged("one-array", members["maps/ssr.npy"]))
    found.append(Damaged("many-arrays", _zip(members | {f"parts/{n}.npy": b"" for n in range(1200)})))
    return found


def _npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _raw_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


def _header(shape: tuple[int, ...]) -> bytes:
    return _raw_header(repr({"descr": "<f4", "fortran_order": False, "shape": shape}))


def _zip(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _claiming(archive: bytes) -> bytes:
    """An archive whose directory claims four gigabytes for its first member."""
    other = bytearray(archive)
    place = other.index(b"PK\x01\x02")
    other[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(other)
