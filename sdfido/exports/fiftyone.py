"""Maps and regions as fields of FiftyOne samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runs import Result
from .base import Exportable, Format, JsonList, save_png, sixteen_bits
from .coco import box

__all__ = ["FiftyOne"]


class FiftyOne(Format):
    """``samples.json``: a list "samples" for ``fiftyone.Sample.from_dict``, with paths seen from the folder.

    Each map is a field ``sdfido_MAP``, a ``Heatmap``; regions are in ``sdfido_regions``, ``Detections`` with masks.
    """

    name = "fiftyone"
    help = "maps as Heatmap and regions as Detection fields of FiftyOne samples, in samples.json with PNG files"
    needs_photos = True

    def __init__(self, folder: Path, results: Sequence[Result]) -> None:
        super().__init__(folder, results)
        self._samples = JsonList(folder / "samples.json", "samples")

    def add(self, photo: Exportable) -> None:
        if photo.photo is None:
            raise ValueError(f"photo {photo.result.photo!r} must be a file for format 'fiftyone', and is in no file")
        height, width = photo.window.photo
        about = photo.result.summary
        label = str(about["label"])
        sample: dict[str, Any] = {
            "filepath": Path(os.path.relpath(photo.photo.resolve(), self.folder.resolve())).as_posix(),
            "tags": [],
            "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
            "sdfido": {"_cls": "Classification", "label": label, "confidence": about["prob_image"]},
        }
        for name in photo.names:
            values = sixteen_bits(photo.map(name), photo.explanation.legend[name].signed)
            place = f"maps/{photo.key}.{name}.png"
            save_png((values / 257).round().astype(np.uint8), self.folder / place)
            sample[f"sdfido_{name}"] = {"_cls": "Heatmap", "map_path": place, "range": [0, 255]}
        detections = [self._region(photo, *each) for each in photo.masks().items()]
        sample["sdfido_regions"] = {"_cls": "Detections", "detections": detections}
        self._samples.add(sample)

    def _region(self, photo: Exportable, name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
        left, top, across, down = box(mask)
        height, width = mask.shape
        place = f"regions/{photo.key}.{name}.png"
        inside = mask[top : top + down, left : left + across]
        save_png(inside.astype(np.uint8) * 255, self.folder / place)
        about = photo.about(name)
        return {
            "_cls": "Detection",
            "label": str(photo.result.summary["label"]),
            "bounding_box": [left / width, top / height, across / width, down / height],
            "mask_path": place,
            "confidence": about.pop("score"),
            **about,
        }

    def finish(self) -> None:
        self._samples.finish()

    def close(self) -> None:
        self._samples.close()
