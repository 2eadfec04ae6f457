"""Results on disk: the files of each photo, which of them are finished, and the table and page of all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checks import check_callback, check_list, check_path
from ..explanation import Explanation
from ..files import naming, printable, remove_leftovers, replacing, sync
from ..interrupts import held
from ..methods.base import WriteFile
from . import layout, page_files, summary, table
from .beside import Beside
from .events import reason
from .items import Item

__all__ = ["OnDamaged", "Results", "Store"]

OnDamaged = Callable[[Path, str], object]

_LONG = ("settings", "build", "maps", "photo_path", "photo_sha256", "model_sha256", "geometry")
"""Of a summary; no table has them."""


@dataclass(frozen=True, eq=False)
class Results:
    """The results of one photo, to be written."""

    folder: Path
    summary: Mapping[str, Any]
    explanation: Explanation  #: of this photo alone
    pixels: Tensor  #: what the model saw [1, 3, H, W], 0..1
    infill: Tensor  #: broadcasts against ``pixels``
    label: str  #: name of the target
    files: Mapping[str, WriteFile] = field(default_factory=dict)  #: what the method writes besides, by name
    picture: bool = True  #: whether the overview is drawn

    def write(self) -> None:
        """Write all files or none; the summary comes last, and so stands for all.

        Raises:
            OSError: a file cannot be written.
        """
        from ..reports.view import as_script, view  # needs Pillow, which reading results does not

        text = json.dumps(self.summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with held() as interrupts, contextlib.ExitStack() as stack:  # renames in reverse

            def part(name: str) -> Path:
                parts.append(stack.enter_context(replacing(self.folder / name)))
                return parts[-1]

            parts: list[Path] = []
            with interrupts.allowed():
                part(layout.SUMMARY).write_text(text, encoding="utf-8")
                self.explanation.save(part(layout.MAPS))
                shown = view(self.explanation, self.pixels, self.infill)
                part(layout.VIEW).write_text(as_script(shown), encoding="utf-8")
                if self.picture:
                    self._draw(part(layout.OVERVIEW))
                for name, write in self.files.items():
                    write(self.explanation, self.pixels, self.label, part(name))
                for each in parts:
                    sync(each)
            (self.folder / layout.SUMMARY).unlink(missing_ok=True)  # an old summary must not stand for new files
            if not self.picture and (self.folder / layout.MAPS).exists():  # nor an old picture
                (self.folder / layout.OVERVIEW).unlink(missing_ok=True)

    def _draw(self, path: Path) -> None:
        from .. import reports  # needs matplotlib, which reading results does not

        reports.save(reports.overview(self.explanation, self.pixels, self.infill, label=self.label), path)


class Store:
    """The results in a folder OUT and its sub-folders, each photo's in a folder of its own.

    Args:
        out: the folder; it is made when the first results are written.

    Example:
        >>> for folder, summary in runs.Store("results").find():
        ...     print(folder, summary["label"], summary["prob_image"])
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self.out = check_path("out", out)

    def check(self, items: Sequence[Item], files: Sequence[str] = layout.FILES) -> None:
        """Raise ValueError unless all results, of these files, can be written, and none would replace a photo."""
        items = check_list("items", items, Item, "items, such as choose makes")
        if self.has_index(items):
            self._check_index()
        photos = [item.path for item in items if item.path is not None]
        originals = {(s.st_dev, s.st_ino): path for path in photos if (s := _stat(path))}
        shown = repr(printable(self.out))
        for folder in dict.fromkeys([self.out, *(item.folder for item in items)]):
            there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
            if not there.is_dir():
                raise ValueError(f"out must be a folder, got {shown}, where {there} is not a folder")
            if not os.access(there, os.W_OK | os.X_OK):
                raise ValueError(f"out must be a folder to write to, got {shown}, where {there} is not writable")
        for path in (item.folder / name for item in items for name in files):
            status = _stat(path)
            if status is None:
                continue
            original = originals.get((status.st_dev, status.st_ino))
            if original is not None:
                raise ValueError(f"out must not be where a result replaces a photo, got {shown}, with {original}")
            if not path.is_file() or not os.access(path, os.W_OK):
                raise ValueError(f"out must take the results, got {shown}, where {path} cannot be replaced")

    def clean(self, items: Sequence[Item]) -> None:
        """Remove what killed processes have left in the folders of these items."""
        for folder in {self.out, *(item.folder for item in items)}:
            remove_leftovers(folder)

    def read(self, folder: Path, needed: Sequence[str] = layout.NUMBERS) -> dict[str, Any] | None:
        """The summary of the results in a folder, in the names of this version.

        None where a needed file is missing or the summary cannot be read: such results are not finished.
        """
        folder, needed = check_path("folder", folder), check_list("needed", needed, str, "names of files")
        try:
            return self._read(folder, needed)
        except (OSError, ValueError):
            return None

    def _read(self, folder: Path, needed: Sequence[str]) -> dict[str, Any] | None:
        if not all((folder / name).is_file() for name in needed):
            return None
        return summary.read(folder / layout.SUMMARY)

    def find(
        self, needed: Sequence[str] = layout.NUMBERS, on_damaged: OnDamaged | None = None
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """All results that have the needed files, sorted: the folder and the summary of each.

        Args:
            needed: names of files.
            on_damaged: told of each summary that cannot be read: its folder, and a sentence that names the file.
        """
        check_callback("on_damaged", on_damaged)
        needed = check_list("needed", needed, str, "names of files")
        for parent, names, _ in os.walk(self.out):
            names[:] = sorted(name for name in names if not name.startswith("."))
            try:
                found = self._read(Path(parent), needed)
            except (OSError, ValueError) as error:
                if on_damaged is not None:
                    path = printable(Path(parent) / layout.SUMMARY)
                    on_damaged(Path(parent), f"results {path!r} cannot be read: {reason(error)}")
                continue
            if found is not None:
                yield Path(parent), found

    def has_index(self, items: Sequence[Item]) -> bool:
        """Whether the items have folders of their own in OUT, so that a table and a page of all are written."""
        return any(item.folder != self.out for item in items)

    def write_index(self, beside: Beside | None = None, on_damaged: OnDamaged | None = None) -> None:
        """Write the table of all results, and the page of them; nothing where there are none.

        Processes that do so at the same time take turns, and the last one finds the results of all.

        Args:
            beside: what else the page says; by default what files in the folder say.
            on_damaged: told of what is left out since it cannot be read; see ``find``.

        Raises:
            OSError: a file cannot be written.
            ValueError: the labels beside the results cannot be read.
        """
        with table.lock(self.out).holding(wait=True):
            self._write_index(beside, on_damaged)

    def write_table(self) -> None:
        """Write the table of all results as they are now; nothing where there are none, or another process is at it.

        Raises:
            OSError, ValueError: as ``write_index``.
        """
        with table.lock(self.out).holding() as is_free:
            if is_free and (found := self.told(without=_LONG)):
                table.write(self.out, found)

    def told(
        self, *, without: Sequence[str] = (), on_damaged: OnDamaged | None = None
    ) -> list[tuple[Path, dict[str, Any]]]:
        """The results that say what tables and pages need, sorted; of their summaries, without some keys."""
        return [
            (folder.relative_to(self.out), {name: about[name] for name in about if name not in without})
            for folder, about in self.find(on_damaged=on_damaged)
            if summary.is_told(about)
        ]

    def has_told(self) -> bool:
        """Whether ``told`` finds anything; no more is read than that takes."""
        return any(summary.is_told(about) for _, about in self.find())

    def _write_index(self, beside: Beside | None, on_damaged: OnDamaged | None) -> None:
        if not (found := self.told(on_damaged=on_damaged)):
            return
        table.write(self.out, found)
        known = beside or Beside(self.out)
        if on_damaged is not None:
            for message in known.damaged:
                on_damaged(self.out, message)
        page_files.write(self.out, found, known)
        if on_damaged is not None and known.outdated:
            on_damaged(self.out, known.outdated)

    def _check_index(self) -> None:
        """Raise ValueError where the table or the page would replace a file that sdfido has not written."""
        table.check(self.out)
        page_files.check(self.out)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
