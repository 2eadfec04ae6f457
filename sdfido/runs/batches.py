"""Explaining photos batch after batch; a batch that fails is halved until only the photo at fault fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import interrupts
from ..execution import is_out_of_memory
from ..explanation import Explanation
from ..files import remove_leftovers
from ..interrupts import held
from ..locks import Lock
from ..methods import Progress
from .events import Explained, Failed, Lessened, OnEvent, Retried, Started, Stepped, Taken, reason
from .items import Item
from .loader import Loaded
from .photo_explainer import Opened, PhotoExplainer
from .resume import claim, finished
from .store import Results
from .writer import Writer

__all__ = ["explain_in_batches"]


def explain_in_batches(
    explainer: PhotoExplainer, photos: Iterable[Loaded], size: int, writer: Writer, report: OnEvent
) -> None:
    """Explain photos and hand the results of each to the writer as soon as it has converged.

    Photos that fail are reported, and the others explained: each photo ends with one ``Explained``, ``Failed`` or
    ``Taken``. A photo is locked from before its first step until its results are written.

    Args:
        explainer: what explains them.
        photos: the photos, being opened; see ``Loader``.
        size: how many are explained at once.
        writer: what writes the results.
        report: what is told of the events.

    Raises:
        ImportError: a package that reads photos is not installed.
    """
    work = _Work(explainer, writer, report)
    try:
        waiting: list[Opened] = []
        for loaded in photos:
            if (opened := work.open(loaded)) is not None:
                waiting.append(opened)
            if len(waiting) == size:
                work.explain(waiting)
                waiting = []
        if waiting:
            work.explain(waiting)
    except BaseException:
        work.leave()
        raise


class _Work:
    """Explains groups of photos, and holds the locks of those that are not written yet."""

    def __init__(self, explainer: PhotoExplainer, writer: Writer, report: OnEvent) -> None:
        self.explainer, self.writer, self.report = explainer, writer, report
        self.locks: dict[Item, Lock] = {}

    def open(self, loaded: Loaded) -> Opened | None:
        """An opened photo that this process may explain; None if it is another's, or cannot be explained."""
        item, future = loaded
        try:
            opened = future.result()
            lock = claim(item)
            with held():
                if is_free := lock.acquire():
                    self.locks[item] = lock
            if not is_free:
                self.report(Taken(item.name, item.folder, None))
                return None
            remove_leftovers(item.folder)  # of a process that was killed since this run began
            about = None if item.again else finished(self.explainer, item)
        except ImportError:
            raise
        except Exception as error:
            interrupts.check()
            self._failed(item, error)
            return None
        if about is None:
            return opened
        self._release(item)
        self.report(Taken(item.name, item.folder, about))
        return None

    def explain(self, group: Sequence[Opened]) -> None:
        """Explain a batch; where that fails, the halves of what is left."""
        left = dict(enumerate(group))

        def ready(index: int, explanation: Explanation) -> None:
            opened = left.pop(index)
            try:
                results = self.explainer.results(opened, explanation)
            except Exception as error:
                interrupts.check()
                self._failed(opened.item, error)
            else:
                self.writer.write(results, lambda error: self._written(opened.item, results, error))

        def stepped(now: Progress) -> None:
            self.report(Stepped(now.step, now.steps, len(left)))

        self.report(Started(tuple(opened.item.name for opened in group)))
        message, is_short = "", False
        try:
            whole = self.explainer.explain(group, on_step=stepped, on_image=ready)
            for index in list(left):  # of a method that does not hand out each image
                ready(index, whole[index])
        except Exception as error:
            interrupts.check()
            message, is_short = reason(error), is_out_of_memory(error)  # the error itself would hold on to memory
        rest = list(left.values())
        if rest and is_short:
            if at_once := self.explainer.lessen(len(group)):
                self.report(Lessened(at_once))
                self.explain(rest)
                return
            message = f"{message} (not even one image at a time fits: free some memory, or take a smaller model)"
        if len(group) > 1 and rest:
            self.report(Retried(len(group), message))
            middle = (len(rest) + 1) // 2
            for half in (rest[:middle], rest[middle:]):
                if half:
                    self.explain(half)
        elif rest:
            self._failed(rest[0].item, message)

    def leave(self) -> None:
        """Release all locks."""
        with held():
            for item in list(self.locks):
                self._release(item)

    def _written(self, item: Item, results: Results, error: BaseException | None) -> None:
        if error is not None:
            self._failed(item, error)
            return
        self._release(item)
        self.report(Explained(item.name, item.folder, results.summary))

    def _failed(self, item: Item, error: BaseException | str) -> None:
        self._release(item)
        why = error if isinstance(error, str) else reason(error)
        named = why.startswith(f"photo {str(item.path)!r}")  # by what reads photos
        message = why if named else f"photo {item.name!r} could not be explained: {why}"
        self.report(Failed(item.name, message, item.folder))

    def _release(self, item: Item) -> None:
        with held():
            if (lock := self.locks.pop(item, None)) is not None:
                lock.release()
