"""Exporting the results in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..checks import check_choice, check_flag, check_list, check_path
from ..files import making_folder, printable, remove_leftovers
from ..locks import Lock
from ..models import Window
from ..ops import build_info
from ..runs import Result, layout
from ..runs.events import Exported, Failed, OnEvent, Started, listener, reason
from ..runs.results import Classifiers, Originals, read
from .base import Exportable, Format
from .coco import Coco
from .fiftyone import FiftyOne
from .png import Png
from .tensors import SafeTensors
from .webdataset import WebDataset

__all__ = ["FORMATS", "MANIFEST", "Export"]

FORMATS: dict[str, type[Format]] = {each.name: each for each in (Coco, FiftyOne, Png, SafeTensors, WebDataset)}
"""All formats by name."""

MANIFEST = "export.json"
"""Says what an export is; a folder with it may be replaced by another export."""


class Export:
    """Writes the results of ``sdfido explain`` in a format of other programs.

    Maps and regions are at the pixels of the upright photo, unless the format says otherwise: the crop that the model
    saw lies where it was taken from, and around it the maps are 0.

    Args:
        results: the folder with results.
        format: one of ``FORMATS``.
        out: the folder to write; it appears whole or not at all.
        maps: names of the maps and their regions; all by default.
        photos: a folder where the photos are now, if they have moved.
        again: whether an earlier export in ``out`` is replaced.

    Raises:
        TypeError: an argument has a wrong type; the message says which.
        ValueError: an argument is wrong, or the folder has no results. That is found before anything is written.
        ImportError: a package of the format is missing; the message has the pip command.

    Example:
        >>> exports.Export("results", "coco", out="regions").write()
    """

    def __init__(
        self,
        results: str | os.PathLike[str],
        format: str,
        *,
        out: str | os.PathLike[str],
        maps: Sequence[str] = (),
        photos: str | os.PathLike[str] | None = None,
        again: bool = False,
    ) -> None:
        check_choice("format", format, list(FORMATS))
        check_flag("again", again)
        self.out, self._format = check_path("out", out), FORMATS[format]
        self._maps = tuple(check_list("maps", maps, str, "names of maps"))
        self._format.check()
        self._damaged: list[Failed] = []
        self._results = read(check_path("results", results), self._damaged)
        self._again = again
        known = dict.fromkeys(name for result in self._results for name in result.summary.get("maps", ()))
        if unknown := [name for name in self._maps if name not in known]:
            raise ValueError(f"maps must be some of {', '.join(known)}, got {', '.join(unknown)}")
        remove_leftovers(self.out.parent)
        self._check_place()
        self._originals, self._classifiers = Originals(photos), Classifiers()

    def __len__(self) -> int:
        """Number of results."""
        return len(self._results)

    def write(self, on_event: OnEvent | None = None) -> int:
        """Write all results; one that cannot be read is reported and left out.

        Args:
            on_event: called with each event of ``sdfido.runs.events``.

        Returns:
            How many photos are exported; where there are none, nothing is written.

        Raises:
            OSError: a file cannot be written; then nothing is.
            ValueError: another process writes the same folder.
        """
        report = listener(on_event)
        for event in self._damaged:
            report(event)
        with Lock(self.out.with_name(f".{self.out.name}.lock")).holding() as is_free:
            if not is_free:
                raise ValueError(f"out must not be written by another export now, got {printable(self.out)!r}")
            self._check_place()  # another one may have been quicker
            return self._write(report)

    def _write(self, report: OnEvent) -> int:
        done: list[str] = []
        try:
            with making_folder(self.out) as folder:
                writer = self._format(folder, self._results)
                try:
                    for key, result in zip(_keys(self._results), self._results, strict=True):
                        report(Started((result.photo,)))
                        try:
                            opened = self._open(key, result)
                        except (OSError, ValueError) as error:
                            report(Failed(result.photo, reason(error)))
                            continue
                        try:
                            writer.add(opened)
                        except ValueError as error:  # of a photo; after an OSError, the files cannot be trusted
                            report(Failed(result.photo, reason(error)))
                        else:
                            done.append(key)
                            report(Exported(result.photo))
                    writer.finish()
                finally:
                    writer.close()
                if not done:
                    raise _NothingError
                about = {"sdfido": build_info()["version"], "format": self._format.name, "photos": len(done)}
                (folder / MANIFEST).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        except _NothingError:
            pass
        return len(done)

    def _open(self, key: str, result: Result) -> Exportable:
        path = self._originals.path(result) if self._format.needs_photos and "photo_path" in result.summary else None
        window = Window.read(result.summary.get("geometry"))
        if window is None:  # of an older version
            window = self._classifiers.get(result).window(self._originals.open(result))
        explanation = result.explanation(window.size)
        names = tuple(name for name in explanation.maps if not self._maps or name in self._maps)
        return Exportable(key, result, explanation, window, path, names)

    def _check_place(self) -> None:
        shown = repr(printable(self.out))
        if not os.path.lexists(self.out):
            return
        if not self.out.is_dir() or self.out.is_symlink():
            raise ValueError(f"out must be a folder, got {shown}, which is not one")
        if not any(self.out.iterdir()):
            return
        if not (self.out / MANIFEST).is_file():
            raise ValueError(f"out must be a new or empty folder, or an earlier export, got {shown}, which has files")
        if not self._again:
            raise ValueError(f"out must be a new folder, got {shown}, which has an export; --again replaces it")
        if (self.out / layout.SUMMARY).exists():
            raise ValueError(f"out must not be a folder with results, got {shown}")


class _NothingError(Exception):
    """No photo could be exported."""


def _keys(results: Sequence[Result]) -> list[str]:
    """A name for each result, all different also with "." as "_", which WebDataset asks for."""
    taken: set[str] = set()
    keys = []
    for result in results:
        name = printable(result.place if result.place != Path() else Path(result.photo).stem)
        key, number = name, 2
        while key.replace(".", "_").casefold() in taken:
            key, number = f"{name}-{number}", number + 1
        taken.add(key.replace(".", "_").casefold())
        keys.append(Path(key).as_posix())
    return keys
