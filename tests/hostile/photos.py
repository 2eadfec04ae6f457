"""Damaged and unusual photos."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.damage import Damaged, damaged

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tiff", "GIF": "gif"}


def photos(seed: int = 0) -> dict[str, Damaged]:
    """Photos by their file names."""
    random_, found = random.Random(seed), {}
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    good = Image.fromarray(pixels)
    for kind, suffix in SUFFIXES.items():
        for each in damaged(_saved(good, kind), kind.lower(), 3, 4, random_):
            found[f"{each.name}.{suffix}"] = each
    for kind, content in _claims().items():
        found[f"claims-{kind.lower()}.{SUFFIXES[kind]}"] = Damaged(f"claims-{kind}", content)
    for name, (content, refused) in (_odd(good) | _orientations(good)).items():
        found[name] = Damaged(name, content, refused)
    return found


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _claims() -> dict[str, bytes]:
    """A few bytes that claim billions of pixels."""
    small = Image.new("RGB", (8, 8))
    jpeg, side = bytearray(_saved(small, "JPEG")), struct.pack(">H", 60000)
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = side * 2
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    png += _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")
    gif = bytearray(_saved(small, "GIF"))
    gif[6:10] = struct.pack("<HH", 60000, 60000)
    tiff = bytearray(_saved(small, "TIFF"))
    for tag in (256, 257):  # width and height, each an entry of 12 bytes
        heads = [struct.pack("<HHI", tag, kind, 1) for kind in (3, 4)]
        place = next(tiff.index(head) for head in heads if head in tiff)
        tiff[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 60000)
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    webp += b"VP8 " + struct.pack("<I", 8) + bytes(8)
    return {
        "JPEG": bytes(jpeg),
        "PNG": png,
        "GIF": bytes(gif),
        "TIFF": bytes(tiff),
        "WEBP": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
    }


def _odd(good: Image.Image) -> dict[str, tuple[bytes, bool | None]]:
    """Files that are not what they seem, and pictures of unusual kinds; whether they are refused."""
    png = _saved(good, "PNG")
    palette = good.convert("P")
    text = b"\x89PNG\r\n\x1a\n" + png[8:33] + _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(8 << 20), 1)) + png[33:]
    depth = np.arange(32 * 48).reshape(32, 48)
    return {
        "text.jpg": (b"no picture\n" * 50, True),
        "page.png": (b"<!DOCTYPE html><script>alert(1)</script>", True),
        "archive.jpg": (b"PK\x03\x04" + bytes(60), True),
        "pickle.jpg": (b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.", True),
        "zeros.tiff": (bytes(5000), True),
        "float.tiff": (_saved(Image.fromarray(depth.astype(np.float32)), "TIFF"), True),
        "integers.tiff": (_saved(Image.fromarray(depth.astype(np.int32)), "TIFF"), True),
        "text-bomb.png": (text, None),
        "png-called.jpg": (png, False),
        "jpeg-called.png": (_saved(good, "JPEG"), False),
        "cmyk.jpg": (_saved(good.convert("CMYK"), "JPEG"), False),
        "deep.png": (_saved(Image.fromarray((40 * depth).astype(np.uint16)), "PNG"), False),
        "grey-with-opacity.png": (_saved(good.convert("LA"), "PNG"), False),
        "two-colours.png": (_saved(good.convert("1"), "PNG"), False),
        "palette.png": (_saved(palette, "PNG", transparency=bytes(range(256))), False),
        "animated.gif": (_saved(palette, "GIF", save_all=True, append_images=[palette.rotate(90)] * 3), False),
        "animated.webp": (_saved(good, "WEBP", save_all=True, append_images=[good.rotate(90)] * 3), False),
        "garbage-behind.png": (png + bytes(1000), False),
        "one-pixel.png": (_saved(Image.new("RGB", (1, 1)), "PNG"), False),
        "thin.png": (_saved(Image.new("RGB", (4000, 1)), "PNG"), False),
    }


def _orientations(good: Image.Image) -> dict[str, tuple[bytes, bool | None]]:
    """Photos whose Exif data do not say how they are turned, or say it oddly."""
    tags = {
        "six": (3, 1, b"\6\0\0\0"),
        "none": (3, 1, b"\0\0\0\0"),
        "too-many": (3, 1, b"\x63\0\0\0"),
        "text": (2, 3, b"up\0\0"),
        "fraction": (11, 1, struct.pack("<f", 5.5)),
        "missing": (3, 5000, b"\xff\xff\xff\x7f"),
        "of-no-type": (99, 1, b"\6\0\0\0"),
        "loop": (13, 1, b"\x08\0\0\0"),
    }
    exifs = {f"turned-{name}": _exif(*tag) for name, tag in tags.items()}
    exifs |= {"exif-cut": _exif(3, 1, b"\6\0\0\0")[:19], "exif-garbage": b"Exif\0\0" + bytes(range(200))}
    return {f"{name}.jpg": (_saved(good, "JPEG", exif=exif), False) for name, exif in exifs.items()}


def _exif(kind: int, count: int, value: bytes) -> bytes:
    """Exif data with an orientation alone."""
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, count) + value + bytes(4)
