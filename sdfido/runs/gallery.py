"""The parts that suffice for each class: regions of finished results, clustered by the model's own features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluate import parts
from ..files import printable, replacing
from . import layout, page_files, table
from .events import Failed, Measured, OnEvent, Started, reason
from .results import Classifiers, Originals, Result, read

if TYPE_CHECKING:
    from ..reports.gallery import Part

    Classes = list[tuple[str, str, Sequence[Part]]]

__all__ = ["Gallery"]

PAGE, SHEET = layout.GALLERY, layout.GALLERY_SHEET
_DIMMED = 0.45  # brightness of a crop outside its region
_MARGIN = 0.1  # around a region, as a part of its longer side


class Gallery:
    """Clusters the regions that suffice, class by class, and draws each cluster.

    Args:
        results: folder with results, of methods that have a region that suffices.
        out: folder for ``gallery.html`` and ``gallery.webp``; the results' by default.
        photos: folder where the photos are now, if they have moved.
        device: where the model runs.
        most: regions of a class that are clustered, evenly chosen; time and memory grow with the square.
        shown: crops of each cluster on the page.

    Raises:
        ValueError: the folder has no results, or the files have no place. That is found before the model runs.
        ImportError: an optional package is missing.

    Example:
        >>> gallery = runs.Gallery("results")
        >>> gallery.make()
        >>> gallery.write()
    """

    def __init__(
        self,
        results: str | os.PathLike[str],
        *,
        out: str | os.PathLike[str] | None = None,
        photos: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        most: int = 500,
        shown: int = 8,
    ) -> None:
        self._damaged: list[Failed] = []
        self._results = read(results, self._damaged)
        self.out = Path(out if out is not None else results)
        if self.out.exists() and not (self.out.is_dir() and os.access(self.out, os.W_OK | os.X_OK)):
            raise ValueError(f"out must be a folder to write to, got {printable(self.out)!r}")
        page_files.check_gallery(self.out)
        parts.clusters(torch.zeros(1, 1, device="cpu"))  # a missing package must not wait for the model
        self._originals, self._classifiers = Originals(photos), Classifiers(device)
        self._most, self._shown = most, shown
        by_class: dict[str, list[Result]] = {}
        for result in self._results:
            by_class.setdefault(str(result.summary["label"]), []).append(result)
        self._chosen = {label: _spread(found, most) for label, found in sorted(by_class.items())}
        self._total = {label: len(found) for label, found in by_class.items()}
        self.classes: Classes = []  # of each class its name, a remark and its parts, once ``make`` has run

    def __len__(self) -> int:
        """Number of results that are clustered."""
        return sum(map(len, self._chosen.values()))

    def make(self, on_event: OnEvent | None = None) -> None:
        """Run the model on each photo and cluster the regions; a result that cannot be read is reported and left out.

        Raises:
            ValueError: the model is not the same any more, or has no activations with places.
        """
        from ..reports.gallery import Part

        report = on_event or (lambda event: None)
        self.classes = []
        for event in self._damaged:
            report(event)
        for label, results in self._chosen.items():
            features, crops, names = [], [], []
            for result in results:
                report(Started((result.photo,)))
                classifier = self._classifiers.get(result)
                try:
                    photo = self._originals.open(result)
                    mask, pixels = _region(result, classifier.size), classifier.pixels(photo)
                except (OSError, ValueError) as error:
                    report(Failed(result.photo, reason(error)))
                    continue
                if mask is not None:
                    image = classifier.normalization.normalize(pixels)[None].to(self._classifiers.device)
                    features.append(parts.region_features(classifier.model, image, mask[None].to(image.device)))
                    crops.append(_crop(pixels, mask))
                    names.append(result.photo)
                report(Measured(result.photo))
            if not features:
                continue
            stacked = torch.cat(features)
            found = parts.clusters(stacked)
            shown = []
            for group, medoid in enumerate(found.medoids):
                members = (found.labels == group).nonzero()[:, 0]
                near = (stacked[members] - stacked[medoid]).norm(dim=1).argsort(stable=True)
                order = members[near].tolist()[: self._shown]
                shown.append(Part(len(members), [crops[i] for i in order], [names[i] for i in order]))
            total = f" of {self._total[label]}" if self._total[label] > len(results) else ""
            remark = f"{len(features)}{total} regions, silhouette {found.silhouette:.2f}"
            self.classes.append((label, remark, shown))

    def write(self) -> None:
        """Write the page and the contact sheet.

        Raises:
            ValueError: there is nothing to show.
            OSError: a file cannot be written.
        """
        from ..reports.gallery import gallery_page, gallery_sheet

        if not self.classes:
            raise ValueError(
                "results must have a region that suffices, got none in any photo; fido and igos++ have one"
            )
        about = (
            "For each class, the regions that suffice for the model, grouped by its own features. The first picture of "
            "a group is its medoid."
        )
        self.out.mkdir(parents=True, exist_ok=True)
        with (
            table.lock(self.out).holding(wait=True),
            replacing(self.out / PAGE) as page,
            replacing(self.out / SHEET) as sheet,
        ):
            page.write_text(gallery_page(self.classes, about), encoding="utf-8")
            gallery_sheet(self.classes).save(sheet, format="WEBP", quality=80)


def _spread(results: list[Result], most: int) -> list[Result]:
    """Some of the results, evenly chosen."""
    if len(results) <= most:
        return results
    return [results[i * len(results) // most] for i in range(most)]


def _region(result: Result, size: tuple[int, int]) -> Tensor | None:
    """The first region that suffices, bool [H, W]; None where there is none."""
    explanation = result.explanation(size)
    for name in explanation.regions:
        if explanation.legend[name].role == "keep" and name not in explanation.missing[0]:
            mask = explanation.binary_masks[0, explanation.regions.index(name)] > 0.5
            return mask if bool(mask.any()) else None
    return None


def _crop(pixels: Tensor, mask: Tensor) -> NDArray[np.uint8]:
    """A square around a region of pixels [3, H, W], darker outside of it: [h, w, 3]."""
    rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
    ends = [(int(each[0]), int(each[-1]) + 1) for each in (rows, columns)]
    side = max(end - begin for begin, end in ends)
    side = min(side + 2 * round(_MARGIN * side) + 2, *mask.shape)
    corner = [
        min(max((begin + end - side) // 2, 0), length - side)
        for (begin, end), length in zip(ends, mask.shape, strict=True)
    ]
    part = (slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
    shown = pixels[(slice(None), *part)] * torch.where(mask[part], 1.0, _DIMMED)
    crop: NDArray[np.uint8] = (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return crop
