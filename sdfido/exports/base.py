"""What an export format is, and what it is given of each photo."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..explanation import Explanation
from ..models import Window, packages
from ..runs import Result

__all__ = ["COMMAND", "Exportable", "Format", "JsonList", "save_png", "sixteen_bits"]

COMMAND = 'pip install "sdfido[export]"'


@dataclass(frozen=True, eq=False)
class Exportable:
    """The results of one photo, whose maps and regions can be had at the pixels of the upright photo [h, w]."""

    key: str  #: its name in the export, such as "birds/robin"; no two are equal
    result: Result
    explanation: Explanation  #: of this photo alone
    window: Window
    photo: Path | None  #: the file, for formats that ask for it
    names: tuple[str, ...]  #: the maps that are exported

    @property
    def regions(self) -> list[str]:
        """Names of the final regions that are exported; those that were looked for and not found are left out."""
        there = set(self.explanation.regions) - set(self.explanation.missing[0])
        return [name for name in self.names if name in there]

    def map(self, name: str) -> NDArray[np.float32]:
        """A map at the photo's pixels [h, w], not normalised: 0..1, signed ones -1..1; 0 where nothing is seen."""
        return self.window.onto_photo(self.explanation[name][0].numpy())

    def region(self, name: str) -> NDArray[np.bool_]:
        """A final region at the photo's pixels [h, w]: what is kept, or what is removed, by the role of its map."""
        mask = self.explanation.binary_masks[0, self.explanation.regions.index(name)]
        if self.explanation.legend[name].role == "remove":
            mask = 1 - mask
        inside: NDArray[np.bool_] = self.window.onto_photo(mask.numpy()) > 0.5
        return inside

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The final regions that have a pixel of the photo [h, w], by name."""
        masks = {name: self.region(name) for name in self.regions}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def about(self, name: str) -> dict[str, Any]:
        """Role, area and confidences of a region; ``score`` is what it keeps, or what is lost without it."""
        explanation, role = self.explanation, self.explanation.legend[name].role
        image, said = (float(explanation.scores[key][0]) for key in ("prob_image", f"prob_{name}_binary"))
        return {
            "region": name,
            "role": role,
            "score": said if role == "keep" else image - said,
            "prob_image": image,
            "prob_region": said,
        }


class Format(ABC):
    """Writes an export into a folder, photo by photo.

    Args:
        folder: an empty folder.
        results: all that are to come, for what must be known before.
    """

    name: ClassVar[str]
    help: ClassVar[str]  #: a line
    packages: ClassVar[tuple[str, ...]] = ()  #: that it needs
    needs_photos: ClassVar[bool] = False

    def __init__(self, folder: Path, results: Sequence[Result]) -> None:
        self.folder = folder

    @classmethod
    def check(cls) -> None:
        """Raise ImportError where a package that it needs is missing."""
        for package in cls.packages:
            packages.require(package, f"format {cls.name!r}", COMMAND)

    @abstractmethod
    def add(self, photo: Exportable) -> None:
        """Write the results of one photo."""

    def finish(self) -> None:  # noqa: B027 - most formats have nothing to do
        """Write what comes last."""

    def close(self) -> None:  # noqa: B027
        """Close files, also where something has failed."""


class JsonList:
    """A file with a JSON object whose first value is a list, written item by item.

    Args:
        path: the file.
        name: of the list.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.count = 0  #: items so far
        self._file = path.open("w", encoding="utf-8")
        self._file.write(f"{{{json.dumps(name)}: [")

    def add(self, item: Mapping[str, Any]) -> None:
        self._file.write(("," if self.count else "") + "\n" + json.dumps(item, ensure_ascii=False))
        self.count += 1

    def finish(self, **rest: Any) -> None:
        """End the list and the object, with what else belongs into it."""
        behind = ",\n" + json.dumps(rest, ensure_ascii=False).removeprefix("{") if rest else "}"
        self._file.write(f"]{behind}\n")

    def close(self) -> None:
        self._file.close()


def sixteen_bits(values: NDArray[np.float32], signed: bool) -> NDArray[np.uint16]:
    """Values 0..1 as 0..65535; of signed maps -1..1, so that 0 becomes 32768."""
    parts = (values + 1) / 2 if signed else values
    whole: NDArray[np.uint16] = np.rint(np.clip(parts, 0, 1) * 65535).astype(np.uint16)
    return whole


def save_png(values: NDArray[Any], path: Path) -> None:
    """Write [h, w], uint8 or uint16, as a grey PNG with 8 or 16 bits."""
    image = packages.require("PIL.Image", "writing PNG", packages.FOR_PHOTOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(values).save(path, format="PNG")
