"""What several workers still have to explain, what each has in hand, and what becomes of that if one is lost."""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from .events import Event, Explained, Failed, Lessened, OnEvent, Started, Stepped, Taken, WorkerLost, reason
from .items import Item
from .photo_explainer import PhotoExplainer

__all__ = ["Sharing", "packed"]

_TRIES = 2  # of a photo that a worker had in hand when it ended


def packed(explainer: PhotoExplainer, device: str, workers: str) -> bytes:
    """What makes the same explainer on a device of another process, where ``PhotoExplainer(**pickle.loads(...))`` does.

    Raises:
        ValueError: its classifier cannot be sent to what the message calls ``workers``.
    """
    try:
        return pickle.dumps(explainer.recipe | {"device": device})
    except Exception as error:  # a model of the user's own may refuse in any way
        raise ValueError(
            f"model must be a name or a Classifier that can be pickled, to be sent to {workers}, got one for which: "
            f"{reason(error)}"
        ) from error


class Sharing:
    """Hands photos out to workers in batches, and hands their events on.

    Photos that a lost worker had in hand are tried once more, each alone, so that one that ends every process that
    opens it costs nothing but itself.

    Args:
        items: the photos.
        size: photos in a batch.
        report: what is told of the events.
    """

    def __init__(self, items: Sequence[Item], size: int, report: OnEvent) -> None:
        self._fresh, self._size, self._report = deque(items), size, report
        self._suspects: deque[Item] = deque()
        self._hands: dict[Hashable, dict[Path, Item]] = {}
        self._lost: Counter[Path] = Counter()

    @property
    def batches_left(self) -> int:
        """Batches that nobody has in hand."""
        return -(-len(self._fresh) // self._size) + len(self._suspects)

    @property
    def done(self) -> bool:
        """Whether every photo has ended."""
        return not self.batches_left and not any(self._hands.values())

    def batches_in_hand(self, worker: Hashable) -> int:
        """Batches that a worker has, a begun one counted whole."""
        return -(-len(self._hands.get(worker, ())) // self._size)

    def folders(self, worker: Hashable) -> list[Path]:
        """Where the results of what a worker has in hand go."""
        return list(self._hands.get(worker, ()))

    def take(self, worker: Hashable, batches: int = 1) -> list[Item]:
        """The next photos for a worker: so many batches, or one photo that is tried again; none if there are none."""
        hand = self._hands.setdefault(worker, {})
        if any(self._lost[folder] for folder in hand):
            return []  # what is tried again is tried alone
        if self._fresh:
            taken = [self._fresh.popleft() for _ in range(min(self._size * batches, len(self._fresh)))]
        else:
            taken = [self._suspects.popleft()] if self._suspects and not hand else []
        hand.update((item.folder, item) for item in taken)
        return taken

    def tell(self, worker: Hashable, number: int, event: Event) -> None:
        """Hand on an event of a worker, which has a number from 0."""
        if isinstance(event, Started | Stepped | Lessened):
            self._report(replace(event, worker=number))
            return
        if isinstance(event, Explained | Failed | Taken) and event.folder is not None:
            if self._hands.get(worker, {}).pop(event.folder, None) is None:
                return  # told already
            if isinstance(event, Taken) and event.summary is not None and self._lost[event.folder]:
                event = Explained(event.name, event.folder, event.summary)  # by the worker that was lost
        self._report(event)

    def lose(self, worker: Hashable, number: int, why: str) -> list[Item]:
        """A worker has ended: what it had in hand is tried once more, or has failed. What it had is returned."""
        hand = list(self._hands.pop(worker, {}).values())
        self._report(WorkerLost(number, len(hand), why))
        for item in hand:
            self._lost[item.folder] += 1
            if self._lost[item.folder] < _TRIES:
                self._suspects.append(item)
            else:
                message = f"photo {item.name!r} could not be explained: each process that tried ended ({why})"
                self._report(Failed(item.name, message, item.folder))
        return hand
