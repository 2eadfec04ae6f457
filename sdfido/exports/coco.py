"""Regions as a COCO data set, with run-length encoded masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runs import Result
from .base import Exportable, Format, JsonList

__all__ = ["Coco", "box", "run_lengths"]


class Coco(Format):
    """``annotations.json``: images, a category for each class, and an annotation for each region."""

    name = "coco"
    help = "regions that suffice or destroy as masks in COCO's RLE, with score and category, in one JSON file"

    def __init__(self, folder: Path, results: Sequence[Result]) -> None:
        super().__init__(folder, results)
        labels = sorted({str(result.summary["label"]) for result in results})
        self._categories = {label: number for number, label in enumerate(labels, 1)}
        self._images: list[dict[str, Any]] = []
        self._annotations = JsonList(folder / "annotations.json", "annotations")

    def add(self, photo: Exportable) -> None:
        height, width = photo.window.photo
        about = photo.result.summary
        number = len(self._images) + 1
        annotations: list[dict[str, Any]] = []
        for name, mask in photo.masks().items():
            annotations.append(
                {
                    "id": self._annotations.count + len(annotations) + 1,
                    "image_id": number,
                    "category_id": self._categories[str(about["label"])],
                    "segmentation": run_lengths(mask),
                    "bbox": box(mask),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    **photo.about(name),
                }
            )
        for each in annotations:
            self._annotations.add(each)
        name = str(about["photo"])
        self._images.append({"id": number, "file_name": name, "height": height, "width": width, "key": photo.key})

    def finish(self) -> None:
        categories = [{"id": number, "name": label} for label, number in self._categories.items()]
        self._annotations.finish(images=self._images, categories=categories)

    def close(self) -> None:
        self._annotations.close()


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask [h, w] as COCO's uncompressed RLE: runs down the columns, the first one of zeros."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def box(mask: NDArray[np.bool_]) -> list[int]:
    """Left, top, width and height of what is inside a mask [h, w], which is something."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
