"""The parts that suffice for each class: pieces of regions, clustered by the model's own features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..checks import check_count, check_path
from ..evaluate import parts
from ..files import printable, replacing
from . import layout, page_files, table
from .events import Failed, Measured, OnEvent, Started, listener, reason
from .results import Classifiers, Originals, Result, read

if TYPE_CHECKING:
    from ..reports.gallery import Part

    Classes = list[tuple[str, str, Sequence[Part]]]

__all__ = ["Gallery"]

PAGE, SHEET = layout.GALLERY, layout.GALLERY_SHEET


class Gallery:
    """Clusters the regions that suffice, class by class, and draws each cluster.

    A region in several places is taken apart: each of its pieces is clustered and shown by itself. A result with
    several regions that suffice, such as those of ``SufficientRegions``, gives the pieces of all of them.

    Args:
        results: folder with results, of methods that have a region that suffices.
        out: folder for ``gallery.html`` and ``gallery.webp``; the results' by default.
        photos: folder where the photos are now, if they have moved.
        device: where the model runs.
        most: photos of a class whose regions are clustered, evenly chosen; memory grows with the square.
        shown: crops of each cluster on the page.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
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
        self._most, self._shown = check_count("most", most), check_count("shown", shown)
        folder = check_path("results", results)
        self._results = read(folder, self._damaged)
        self.out = folder if out is None else check_path("out", out)
        if self.out.exists() and not (self.out.is_dir() and os.access(self.out, os.W_OK | os.X_OK)):
            raise ValueError(f"out must be a folder to write to, got {printable(self.out)!r}")
        page_files.check_gallery(self.out)
        parts.require()  # a missing package must not wait for the model
        self._originals, self._classifiers = Originals(photos), Classifiers(device)
        by_class: dict[str, list[Result]] = {}
        for result in self._results:
            by_class.setdefault(str(result.summary["label"]), []).append(result)
        self._chosen = {label: _spread(found, self._most) for label, found in sorted(by_class.items())}
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
        from ..reports.gallery import Part, crop

        report = listener(on_event)
        self.classes = []
        for event in self._damaged:
            report(event)
        for label, results in self._chosen.items():
            features, crops, names = [], [], []
            photos = 0
            for result in results:
                report(Started((result.photo,)))
                classifier = self._classifiers.get(result)
                try:
                    photo = self._originals.open(result)
                    masks, pixels = _pieces(result, classifier.size), classifier.pixels(photo)
                except (OSError, ValueError) as error:
                    report(Failed(result.photo, reason(error)))
                    continue
                if len(masks):
                    image = classifier.normalization.normalize(pixels)[None].to(self._classifiers.device)
                    features.append(parts.region_features(classifier.model, image, masks[None].to(image.device))[0])
                    crops += [crop(pixels, mask) for mask in masks]
                    names += [result.photo] * len(masks)
                    photos += 1
                report(Measured(result.photo))
            if not features:
                continue
            found = parts.clusters(torch.cat(features))
            shown = []
            for members in found.members:
                nearest = members[: self._shown]
                shown.append(Part(len(members), [crops[i] for i in nearest], [names[i] for i in nearest]))
            self.classes.append((label, _remark(found, photos, self._total[label], len(results)), shown))

    def write(self) -> None:
        """Write the page and the contact sheet.

        Raises:
            ValueError: there is nothing to show.
            OSError: a file cannot be written.
        """
        from ..reports.gallery import gallery_page, gallery_sheet

        if not self.classes:
            raise ValueError(
                "results must have a region that suffices, got none in any photo; fido, regions and igos++ have one"
            )
        about = (
            "For each class, the regions that suffice for the model, piece by piece, grouped by the model's own "
            "features. The first picture of a group is its medoid, and the others are those nearest to it. Agreement "
            "says how far halves of the pieces have the same groups: 1 fully, 0 as by chance."
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


def _remark(found: parts.Clusters, photos: int, total: int, chosen: int) -> str:
    """How many pieces there are, of how many photos, and how sure the groups are."""
    count, groups = len(found.labels), len(found.members)
    whole = f"{photos} of {total} photos" if total > chosen else f"{photos} photo{'s' if photos > 1 else ''}"
    start = f"{count} piece{'s' if count > 1 else ''} from {whole}"
    if groups > 1:
        return f"{start}, {groups} groups, agreement {found.agreement:.2f}"
    return (
        f"{start}, no groups that halves of them agree on" if count >= parts.FEWEST else f"{start}, too few for groups"
    )


def _pieces(result: Result, size: tuple[int, int]) -> Tensor:
    """The pieces of all regions that suffice, bool [P, H, W]; P is 0 where there is no region."""
    explanation = result.explanation(size)
    found = [torch.zeros(0, *size, dtype=torch.bool, device="cpu")]
    for k, name in enumerate(explanation.regions):
        if explanation.legend[name].role == "keep" and name not in explanation.missing[0]:
            found.append(parts.pieces(explanation.binary_masks[0, k] > 0.5))
    return torch.cat(found)
