"""The page of finished results, written anew: with what is known besides, and of older results."""

from __future__ import annotations

import os
from pathlib import Path

from .. import infills
from ..checks import check_device, check_path
from ..files import printable, replacing
from . import layout, page_files, table
from .beside import Beside
from .events import Failed, OnEvent, listener, reason
from .results import Classifiers, Originals, Result
from .store import Store

__all__ = ["Report"]


class Report:
    """The page of finished results, for another look at them, or to be sent to somebody.

    Args:
        out: folder with results.
        labels: CSV file with the columns photo and label, the true classes; or "folders", if the folder of each photo
            is called as its class. By default ``labels.csv`` in ``out``, where there is one.
        photos: folder where the photos are now, if they have moved; they are needed for older results only.
        device: where the classifier runs, which is needed for older results only.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: there are no results, or the labels cannot be read.

    Example:
        >>> report = runs.Report("results", labels="folders")
        >>> report.write("for-a-colleague")
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        *,
        labels: str | os.PathLike[str] | None = None,
        photos: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ) -> None:
        self.store = Store(out)
        self._beside = Beside(self.store.out, labels)
        self._photos = None if photos is None else check_path("photos", photos)
        self._device = str(check_device("device", device))
        if not self.store.has_told():
            raise ValueError(f"out must be a folder with results of `sdfido explain`, got {printable(out)!r}")

    @property
    def remarks(self) -> list[str]:
        """What the page that is written does without, a sentence each."""
        count = self._beside.without_label
        unlabelled = f"{count} photo{'s have' if count > 1 else ' has'} no true class in the labels"
        return [*([unlabelled] if count else []), *filter(None, [self._beside.outdated])]

    def complete(self, on_event: OnEvent | None = None) -> int:
        """Make what the page shows of older results, of which it is not there yet; how many that were.

        Each is read anew, with its photo and its classifier. One that cannot be read is reported as ``Failed``, and is
        on the page without a picture.

        Raises:
            ImportError: a package that reads photos is not installed.
        """
        report = listener(on_event)
        for message in self._beside.damaged:
            report(Failed(printable(self.store.out), message, self.store.out))
        lacking = [
            Result(self.store.out / folder, folder, about)
            for folder, about in self.store.told(
                on_damaged=lambda folder, message: report(Failed(printable(folder), message, folder))
            )
            if not (self.store.out / folder / layout.VIEW).is_file()
        ]
        if not lacking:
            return 0
        originals, classifiers = Originals(self._photos), Classifiers(self._device)
        made = 0
        for result in lacking:
            try:
                _draw(result, originals, classifiers)
                made += 1
            except ImportError:
                raise
            except Exception as error:  # a user's own model can raise anything
                report(Failed(result.photo, f"photo {result.photo!r} is shown without a picture: {reason(error)}"))
        return made

    def write(self, to: str | os.PathLike[str] | None = None) -> Path:
        """Write the page, the table and all that they need; the path of the page.

        Args:
            to: a folder for a copy that can be sent on; by default the page is written among the results.

        Raises:
            OSError: a file cannot be written.
            ValueError: a file that sdfido has not written would be replaced.
        """
        place = self.store.out if to is None else check_path("to", to)
        among = to is None or (place.exists() and place.samefile(self.store.out))
        table.check(place)
        page_files.check(place, None if among else self.store.out)
        if among:
            self.store.write_index(self._beside)
            return place / layout.PAGE
        found = self.store.told()
        place.mkdir(parents=True, exist_ok=True)
        with table.lock(place).holding(wait=True):
            table.write(place, found)
            return page_files.write(self.store.out, found, self._beside, place)


def _draw(result: Result, originals: Originals, classifiers: Classifiers) -> None:
    """Write what the page shows of a result whose folder does not have it."""
    from ..reports import view

    classifier = classifiers.get(result)
    photo = originals.open(result)
    explanation = result.load(classifier)
    image = classifier.preprocess(photo)[None]
    filling = infills.from_spec(result.summary["infill"], classifier.normalization, seed=result.summary.get("seed", 0))
    pixels = (classifier.normalization.pixels(each) for each in (image, infills.apply(filling, image)))
    with replacing(result.folder / layout.VIEW) as part:
        part.write_text(view.as_script(view.view(explanation, *pixels)), encoding="utf-8")
