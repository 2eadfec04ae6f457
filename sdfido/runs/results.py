"""Finished results in a folder, and what they were made of: their photos, and their classifiers."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import models
from ..checks import check_device, check_path
from ..explanation import Explanation
from ..files import printable
from ..models.hub import code_of
from . import items, layout
from .events import Failed
from .question import Question
from .store import Store

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Classifiers", "Originals", "Result", "read"]

_NEEDED = ("photo", "prob_image", "model", "model_spec", "model_sha256", "target", "label", "infill")


@dataclass(frozen=True)
class Result:
    """Finished results of one photo."""

    folder: Path
    place: Path  #: of the folder in OUT; "." where it is OUT itself
    summary: dict[str, Any]

    @property
    def photo(self) -> str:
        """Name of the photo."""
        return str(self.summary["photo"])

    @property
    def named(self) -> Path:
        """What masks of the photo are called, without the suffix: the place of the results, or the photo's own name."""
        return self.place if self.place != Path() else Path(Path(self.photo).stem)

    @property
    def content(self) -> str:
        """What two results of the same photo share."""
        return str(self.summary.get("photo_sha256", self.summary["photo"]))

    @property
    def stream(self) -> int:
        """The random stream that the photo was explained with: 0 in older results, which do not say it."""
        value = self.summary.get("stream", 0)
        return value if isinstance(value, int) else 0

    @property
    def kind(self) -> tuple[Any, ...]:
        """What results must share to be measured together."""
        names = ("model_spec", "model_sha256", "infill", "seed", "method")
        return *(self.summary.get(name) for name in names), Question.read(self.summary)

    def load(self, classifier: models.Classifier) -> Explanation:
        """The explanation.

        Raises:
            OSError, ValueError: it cannot be read, or does not have finite maps of one photo of the classifier's size
                and the target that the summary has.
        """
        explanation = self.explanation(classifier.size)
        targets, labels = explanation.targets, classifier.labels
        if labels is not None and targets.dtype == torch.int64 and not bool((targets < len(labels)).all()):
            raise ValueError(
                f"{printable(self.folder / layout.MAPS)} explains the target {targets[0].tolist()}, and "
                f"{classifier.name} has {len(labels)} classes"
            )
        return explanation

    def explanation(self, size: tuple[int, int]) -> Explanation:
        """The explanation, whose maps must have a size; errors as ``load``."""
        path = self.folder / layout.MAPS
        explanation = Explanation.load(path, size=size)
        if any(each.shape != (1, *size) or not each.isfinite().all() for each in explanation.maps.values()):
            raise ValueError(f"{printable(path)} does not have the maps of one photo, {size}, finite everywhere")
        explained, said = json.dumps(explanation.targets[0].tolist()), json.dumps(self.summary["target"])
        if explained != said:  # as texts, since 1 is not 1.0 here
            raise ValueError(
                f"{printable(path)} explains the target {explained[:60]}, and its {layout.SUMMARY} {said[:60]}; "
                "explain the photo again"
            )
        return explanation


def read(out: str | os.PathLike[str], damaged: list[Failed] | None = None) -> list[Result]:
    """The results in a folder and its sub-folders, whose pictures are not needed.

    Args:
        out: the folder.
        damaged: takes what is left out, since its summary cannot be read or does not say what measuring needs.

    Raises:
        ValueError: there are none that can be read.
    """
    store, left_out = Store(out), [] if damaged is None else damaged
    before = len(left_out)

    def leave_out(folder: Path, message: str) -> None:
        left_out.append(Failed(printable(folder), message, folder))

    found = []
    for folder, about in store.find((layout.SUMMARY, layout.MAPS), leave_out):
        if missing := [name for name in _NEEDED if name not in about]:
            leave_out(
                folder,
                f"results {printable(folder)!r} do not say {', '.join(missing)}: they are of an older sdfido, or of "
                "another program; explain the photo again",
            )
        else:
            found.append(Result(folder, folder.relative_to(store.out), about))
    if not found and len(left_out) > before:
        raise ValueError(left_out[before].message)
    if not found:
        raise ValueError(f"out must be a folder with results of `sdfido explain`, got {printable(out)!r}")
    return found


class Classifiers:
    """The classifiers that results were made with, each loaded once."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = str(check_device("device", device))
        self._loaded: dict[str, tuple[models.Classifier, str]] = {}

    def get(self, result: Result) -> models.Classifier:
        """The classifier of a result.

        Raises:
            ValueError: it is not the same any more.
        """
        spec = result.summary["model_spec"]
        if spec not in self._loaded:
            try:
                _check_code(result)
                classifier = models.load(spec, self.device)
            except ValueError as error:
                raise ValueError(f"{error} (the model of {printable(result.folder)!r})") from error
            self._loaded[spec] = classifier, classifier.fingerprint()
        classifier, fingerprint = self._loaded[spec]
        if fingerprint != result.summary["model_sha256"]:
            raise ValueError(
                f"model {spec!r} has other weights, or takes photos otherwise, than when {printable(result.folder)!r} "
                "was made; explain again"
            )
        return classifier


def _check_code(result: Result) -> None:
    """Raise ValueError where the model of a result is code that lies among the results, which may be anybody's."""
    spec = result.summary["model_spec"]
    code, folder = code_of(spec), result.folder.resolve()
    out = [folder, *folder.parents][len(result.place.parts)]
    if code is not None and code.resolve().is_relative_to(out):
        raise ValueError(
            f"results {printable(result.folder)!r} name the model {spec!r}, whose code lies among the results; so that "
            "nobody's results can bring code, move it out of that folder"
        )


class Originals:
    """The photos that results are of: where they were, or anywhere in another folder, by their content.

    Args:
        moved: the other folder.

    Raises:
        ValueError: that folder has no photos.
    """

    def __init__(self, moved: str | os.PathLike[str] | None = None) -> None:
        self._moved = None if moved is None else check_path("photos", moved)
        self._by_content: dict[str, Path] = {}
        if self._moved is not None:
            for path in items.inside(self._moved):
                with contextlib.suppress(OSError, ValueError):  # told where it is the one that is needed
                    self._by_content[items.fingerprint(path)] = path
            if not self._by_content:
                raise ValueError(f"photos must be a folder with photos, got {printable(self._moved)!r}")

    def open(self, result: Result) -> Image:
        """The photo of a result.

        Raises:
            ValueError: it cannot be read, is not there, or has changed; the message says what to do.
        """
        about = result.summary
        if "photo_sha256" not in about and result.photo in (
            items.DEMO_PHOTO,
            "chelsea",
        ):  # the demo's until version 0.1
            return models.demo_photo("cat" if result.photo == "chelsea" else items.DEMO_PHOTO)
        return models.read_photo(self.path(result))

    def path(self, result: Result) -> Path:
        """Where the photo of a result is.

        Raises:
            OSError, ValueError: it cannot be read, is not there, or has changed; the message says what to do.
        """
        about = result.summary
        there = [result.folder.resolve() / str(about.get("photo_path")), Path(result.photo)]
        unreadable: Exception | None = None
        for path in filter(Path.is_file, there):
            try:
                if items.fingerprint(path) == about.get("photo_sha256"):
                    return path
            except (OSError, ValueError) as error:
                unreadable = error
        if moved := self._by_content.get(str(about.get("photo_sha256"))):
            return moved
        if unreadable is not None:
            raise unreadable
        state = "has changed since it was explained" if any(map(Path.is_file, there)) else "is not where it was"
        where = "is not in the given folder either" if self._moved else "--photos FOLDER says where it is now"
        raise ValueError(f"photo {result.photo!r} of {printable(result.folder)!r} {state}; {where}")
