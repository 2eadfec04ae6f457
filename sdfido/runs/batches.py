"""Explaining photos batch after batch; a batch that fails is halved until only the photo at fault fails."""

from __future__ import annotations

from collections.abc import Sequence

from ..explanation import Explanation
from ..methods import Progress
from .events import Explained, Failed, OnEvent, Retried, Started, Stepped, reason
from .items import Item
from .photo_explainer import Opened, PhotoExplainer
from .store import Results
from .writer import Writer

__all__ = ["explain_in_batches"]


def explain_in_batches(
    explainer: PhotoExplainer, items: Sequence[Item], size: int, writer: Writer, report: OnEvent
) -> None:
    """Explain photos and hand the results of each to the writer as soon as it has converged.

    Photos that fail are reported, and the others explained: each photo ends with one ``Explained`` or ``Failed``.

    Args:
        explainer: what explains them.
        items: the photos.
        size: how many are explained at once.
        writer: what writes the results.
        report: what is told of the events.

    Raises:
        ImportError: a package that reads photos is not installed.
    """
    waiting: list[Opened] = []
    for number, item in enumerate(items, 1):
        if (opened := _open(explainer, item, report)) is not None:
            waiting.append(opened)
        if waiting and (len(waiting) == size or number == len(items)):
            _explain(explainer, waiting, writer, report)
            waiting = []


def _open(explainer: PhotoExplainer, item: Item, report: OnEvent) -> Opened | None:
    try:
        return explainer.open(item)
    except ImportError:
        raise
    except Exception as error:
        report(_failed(item, error))
        return None


def _explain(explainer: PhotoExplainer, group: Sequence[Opened], writer: Writer, report: OnEvent) -> None:
    """Explain a batch; where that fails, the halves of what is left."""
    left = dict(enumerate(group))

    def ready(index: int, explanation: Explanation) -> None:
        opened = left.pop(index)
        try:
            results = explainer.results(opened, explanation)
        except Exception as error:
            report(_failed(opened.item, error))
        else:
            writer.write(results, lambda error: report(_written(opened.item, results, error)))

    def stepped(now: Progress) -> None:
        report(Stepped(now.step, now.steps, len(left)))

    report(Started(tuple(opened.item.name for opened in group)))
    message = ""
    try:
        whole = explainer.explain(group, on_step=stepped, on_image=ready)
        for index in list(left):  # of a method that does not hand out each image
            ready(index, whole[index])
    except Exception as error:
        message = reason(error)  # the error itself would hold on to the batch's memory
    rest = list(left.values())
    if len(group) > 1 and rest:
        report(Retried(len(group), message))
        middle = (len(rest) + 1) // 2
        for half in (rest[:middle], rest[middle:]):
            if half:
                _explain(explainer, half, writer, report)
    elif rest:
        report(_failed(rest[0].item, message))


def _written(item: Item, results: Results, error: BaseException | None) -> Explained | Failed:
    return Explained(item.name, item.folder, results.summary) if error is None else _failed(item, error)


def _failed(item: Item, error: BaseException | str) -> Failed:
    why = error if isinstance(error, str) else reason(error)
    named = why.startswith(f"photo {str(item.path)!r}")  # by what reads photos
    return Failed(item.name, why if named else f"photo {item.name!r} could not be explained: {why}")
