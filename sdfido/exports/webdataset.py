"""Photos with their maps in the shards of WebDataset."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models import packages, read_photo
from ..models.photo import orientation, upright_rgb, upright_size
from ..runs import Result
from .base import Exportable, Format, sixteen_bits

__all__ = ["WebDataset"]

PHOTOS_A_SHARD = 1000


class WebDataset(Format):
    """``sdfido-000000.tar``, ...: for each photo ``KEY.jpg`` (its own suffix), ``KEY.MAP.png`` and ``KEY.json``.

    A photo that its Exif orientation turns is stored upright, as PNG; any other as the bytes of its file.
    """

    name = "webdataset"
    help = f"photo, 16-bit maps, regions and JSON in tar files of {PHOTOS_A_SHARD} photos each"
    needs_photos = True

    def __init__(self, folder: Path, results: Sequence[Result]) -> None:
        super().__init__(folder, results)
        self._count = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, photo: Exportable) -> None:
        members = dict([self._photo(photo)])
        for name in photo.names:
            values = sixteen_bits(photo.map(name), photo.explanation.legend[name].signed)
            members[f"{name}.png"] = _png(values)
        for name in photo.regions:
            members[f"{name}.region.png"] = _png(photo.region(name).astype(np.uint8) * 255)
        about = photo.result.summary | {"geometry": photo.window.described()}
        members["json"] = json.dumps(about, ensure_ascii=False).encode()
        if self._count % PHOTOS_A_SHARD == 0:
            self.close()
            path = self.folder / f"sdfido-{self._count // PHOTOS_A_SHARD:06d}.tar"
            self._tar = tarfile.open(path, "w")  # noqa: SIM115 - closed with the shard
        assert self._tar is not None
        self._count += 1
        for suffix, content in members.items():
            member = tarfile.TarInfo(f"{photo.key.replace('.', '_')}.{suffix}")  # the key ends at the first dot
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))

    def _photo(self, photo: Exportable) -> tuple[str, bytes]:
        if photo.photo is None:
            raise ValueError(f"photo {photo.result.photo!r} must be a file for format 'webdataset', and is in no file")
        opened = read_photo(photo.photo)
        if orientation(opened) == 1 and upright_size(opened) == photo.window.photo:
            try:
                return photo.photo.suffix.lower().removeprefix("."), photo.photo.read_bytes()
            except OSError as error:
                raise ValueError(f"photo {photo.result.photo!r} cannot be read: {error}") from error
        buffer = io.BytesIO()
        upright_rgb(opened).save(buffer, format="PNG")
        return "png", buffer.getvalue()

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def _png(values: NDArray[Any]) -> bytes:
    image = packages.require("PIL.Image", "writing PNG", packages.FOR_PHOTOS)
    buffer = io.BytesIO()
    image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()
