"""A run: photos, what explains them, and the folder that their results go to."""

from __future__ import annotations

import importlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks import check_callback, check_flag, check_kind, check_list, check_number, describe
from . import layout, table
from .events import Damaged, Event, Explained, IndexFailed, OnEvent, Resumed, Taken, Vanished, reason
from .executors import Executor, Serial
from .items import Item
from .photo_explainer import PhotoExplainer
from .resume import claim, differences, finished, tidy
from .store import Store

__all__ = ["Outcome", "Run"]

_PAUSE = 0.5  # seconds between looks at photos that other processes have


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    photos: int  #: in the run
    finished: int  #: of them, before the run
    explained: int  #: of them, by the run; without those whose results something has removed
    elsewhere: int  #: of them, by other processes during the run
    indexed: bool  #: whether the table and the page of all results are written, where the run has any
    seconds: float  #: duration of the explaining

    @property
    def failed(self) -> int:
        """Photos that could not be explained."""
        return self.photos - self.finished - self.explained - self.elsewhere


class Run:
    """Explains photos and writes the results of each as soon as it is explained.

    Run again, it goes on where it was stopped: a photo with complete results of the same content, model, method,
    target, infill and settings is left as it is. Several processes may run it at the same time on the same folder,
    also on several machines: each photo is explained by one of them.

    Args:
        explainer: what explains the photos.
        items: the photos; see ``choose``. Runs of different parts of them may write to the same folder.
        store: the folder for the results.
        batch: how many photos are explained at once; the maps stay the same.
        again: whether finished photos are explained anew.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explainer = runs.PhotoExplainer("efficientnet-lite0", steps=120)
        >>> run = runs.Run(explainer, runs.choose(["birds"], "results"), runs.Store("results"))
        >>> outcome = run.execute(on_event=print)
    """

    def __init__(
        self, explainer: PhotoExplainer, items: Sequence[Item], store: Store, *, batch: int = 1, again: bool = False
    ) -> None:
        self.explainer: PhotoExplainer = check_kind("explainer", explainer, PhotoExplainer, "a PhotoExplainer")
        self.items: list[Item] = check_list("items", items, Item, "items, such as choose makes")
        self.store: Store = check_kind("store", store, Store, "a Store")
        self.batch: int = check_number("batch", batch, int, 1)
        self.again = bool(check_flag("again", again))

    def execute(self, executor: Executor | None = None, on_event: OnEvent | None = None) -> Outcome:
        """Explain the photos that are not finished.

        Args:
            executor: who does it; ``Serial()`` by default.
            on_event: called with each event of ``sdfido.runs.events``, one at a time, perhaps from another thread. What
                it raises stops the run.

        Raises:
            ValueError: a result cannot be written where it belongs, or would replace a photo. That is found before the
                first photo is explained.
            ImportError: a package for reading photos or drawing pictures is missing.
        """
        if executor is not None and not callable(getattr(executor, "execute", None)):
            raise TypeError(f"executor must be an Executor, such as Processes(2), got {describe(executor)}")
        check_callback("on_event", on_event)
        importlib.import_module("sdfido.reports")  # a missing package must not wait for the first result
        self.store.check(self.items, self.explainer.files)
        self.store.clean(())
        for item in self.items:
            tidy(item.folder)
        several = self.store.has_index(self.items)
        report = _Report(on_event, table.Keeper(self.store).update if several else None)
        left: list[Item] = []
        begin = time.monotonic()
        try:
            left = self._left(report)
            begin = time.monotonic()
            self._explain(left, executor or Serial(), report)
            if gone := sum(not _is_there(folder) for folder in report.written):
                report.explained -= gone
                report(Vanished(self.store.out, gone))
        except _Stopped:
            pass
        finally:
            seconds = time.monotonic() - begin
            indexed = self._index(report)
        if report.error is not None:
            raise report.error
        done = len(self.items) - len(left)
        return Outcome(len(self.items), done, report.explained, report.elsewhere, indexed, seconds)

    def _explain(self, items: Sequence[Item], executor: Executor, report: _Report) -> None:
        """Explain photos; for those that other processes have, wait, and explain those that they leave."""
        left = [replace(item, again=self.again) for item in items]
        while left:
            report.taken.clear()
            executor.execute(self.explainer, left, self.batch, report)
            waiting = [item for item in left if item.folder in report.taken]
            left = []
            while waiting and not left:
                free = [item for item in waiting if _is_free(item)]
                for item in free:
                    if not item.again and (about := finished(self.explainer, item)) is not None:
                        report(Taken(item.name, item.folder, about))
                    else:
                        left.append(item)
                waiting = [item for item in waiting if item not in free]
                if waiting and not left:
                    time.sleep(_PAUSE)
            left += waiting

    def _left(self, report: OnEvent) -> list[Item]:
        """The photos without complete results of the same content, model, method and settings."""
        left, older, made_with = [], Counter[tuple[str, ...]](), self.explainer.made_with
        for item in self.items:
            if self.again or (about := self.store.read(item.folder, self.explainer.files)) is None:
                left.append(item)
            elif other := differences(item, about, made_with):
                left.append(item)
                older[tuple(sorted(other))] += 1
        report(Resumed(len(self.items), len(self.items) - len(left), dict(older)))
        return left

    def _index(self, report: OnEvent) -> bool:
        """Write the table and the page of all results, if the photos have folders of their own."""
        if not self.store.has_index(self.items):
            return True
        try:
            self.store.write_index(on_damaged=lambda folder, message: report(Damaged(folder, message)))
        except (OSError, ValueError) as error:  # ValueError: labels that cannot be read
            report(IndexFailed(self.store.out, reason(error)))
            return False
        return True


def _is_there(folder: Path) -> bool:
    """Whether a folder has results."""
    return (folder / layout.SUMMARY).is_file()


def _is_free(item: Item) -> bool:
    """Whether no process is explaining a photo."""
    with claim(item).holding() as is_free:
        return is_free


class _Stopped(BaseException):
    """Stops a run whose callback has raised; unlike an ``Exception``, it is not taken for a photo's failure."""


class _Report:
    """Counts the explained photos, keeps the table up, and hands events to the callback, one at a time."""

    def __init__(self, on_event: OnEvent | None, on_explained: Callable[[], object] | None = None) -> None:
        self.explained = self.elsewhere = 0
        self.taken: set[Path] = set()  #: folders of photos that other processes have
        self.written: list[Path] = []  #: folders of explained photos whose results were seen
        self.error: Exception | None = None  #: what the callback has raised
        self._on_event, self._on_explained = on_event, on_explained
        self._lock, self._thread = threading.RLock(), threading.get_ident()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Explained):
                self.explained += 1
                if _is_there(event.folder):  # another machine's may be seen later
                    self.written.append(event.folder)
            if isinstance(event, Taken):
                self.elsewhere += event.summary is not None
                if event.summary is None:
                    self.taken.add(event.folder)
                    return  # to be told once it is known what came of it
            if self._on_event is not None and self.error is None:
                try:
                    self._on_event(event)
                except Exception as error:
                    self.error = error
            if self._on_explained is not None and isinstance(event, Explained):
                self._on_explained()
            if self.error is not None and threading.get_ident() == self._thread:
                raise _Stopped
