"""Who explains the photos of a run: here one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..checks import check_number
from .batches import explain_in_batches
from .events import OnEvent, WriterLost
from .items import Item
from .loader import Loader
from .photo_explainer import PhotoExplainer
from .writer import Writer, processes_that_pay

__all__ = ["Executor", "Serial"]


class Executor(Protocol):
    """What explains the photos that a run still has to explain.

    An executor may share them out in any way, as a photo's maps depend neither on its place nor on the others. One
    that uses other processes gives each of them ``explainer.recipe`` and some of the items, has them do what
    ``Serial`` does, and hands on their events, which can be pickled.
    """

    def execute(self, explainer: PhotoExplainer, items: Sequence[Item], batch: int, report: OnEvent) -> None:
        """Explain photos, ``batch`` at once, and write the results of each.

        Each ends with one ``Explained`` or ``Failed``, or with ``Taken`` if another process has it.
        """
        ...


class Serial:
    """Explains photos in this process, batch after batch.

    Args:
        writers: how many processes write results meanwhile; None: as many as pay, which is none on CPUs.

    Raises:
        TypeError, ValueError: ``writers`` is something else.
    """

    def __init__(self, writers: int | None = None) -> None:
        self.writers = None if writers is None else check_number("writers", writers, int, 0)

    def execute(self, explainer: PhotoExplainer, items: Sequence[Item], batch: int, report: OnEvent) -> None:
        """Explain photos, ``batch`` at once, and write the results of each."""
        writers = processes_that_pay(explainer.device, len(items)) if self.writers is None else self.writers
        with Writer(writers, lambda: report(WriterLost())) as writer, Loader(explainer) as loader:
            explain_in_batches(explainer, loader.ahead(items, batch), batch, writer, report)
