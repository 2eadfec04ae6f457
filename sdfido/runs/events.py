"""What a run tells while it works: small events that can be pickled, given to a callback one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks import check_callback

__all__ = [
    "Damaged",
    "Event",
    "Explained",
    "Exported",
    "Failed",
    "IndexFailed",
    "Lessened",
    "Measured",
    "OnEvent",
    "Resumed",
    "Retried",
    "Started",
    "Stepped",
    "Taken",
    "Vanished",
    "WorkerLost",
    "WriterLost",
    "listener",
    "reason",
]


@dataclass(frozen=True)
class Resumed:
    """Which photos are finished already; the first event."""

    photos: int  #: in the run
    finished: int  #: of them, with complete results of the same content, model, method and settings
    older: Mapping[tuple[str, ...], int]  #: how many have other results, by what of them differs


@dataclass(frozen=True)
class Started:
    """A batch of photos is under way."""

    names: tuple[str, ...]
    worker: int = 0  #: which process has it, from 0


@dataclass(frozen=True)
class Stepped:
    """A step is done for the photos that are under way."""

    step: int  #: from 1
    steps: int  #: at most
    photos: int  #: that have not converged
    worker: int = 0  #: which process has them, from 0


@dataclass(frozen=True)
class Explained:
    """A photo is explained, and its results are written."""

    name: str
    folder: Path
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """A photo's results are measured."""

    name: str


@dataclass(frozen=True)
class Exported:
    """A photo's results are exported."""

    name: str


@dataclass(frozen=True)
class Failed:
    """A photo could not be read, explained, written or measured; the others go on."""

    name: str
    message: str  #: a sentence that names the photo
    folder: Path | None = None  #: of its results, if it was to be explained


@dataclass(frozen=True)
class Taken:
    """Another process that writes to the same folder has the photo, or has explained it since this run began."""

    name: str
    folder: Path
    summary: Mapping[str, Any] | None  #: of its results; None while it is being explained


@dataclass(frozen=True)
class Retried:
    """A batch failed, and is tried again in halves, so that only the photo at fault fails."""

    photos: int
    message: str  #: why it failed


@dataclass(frozen=True)
class Lessened:
    """The classifier ran out of memory, and is given fewer images at once from now on: only rounding may change."""

    at_once: int  #: images at most
    worker: int = 0  #: which process has little memory, from 0

    @property
    def message(self) -> str:
        """What is done about it, a sentence."""
        most = f"{self.at_once} image{'s' if self.at_once > 1 else ''}"
        return f"the memory is short: the model is given {most} at most from now on (--max-batch {self.at_once})"


@dataclass(frozen=True)
class Vanished:
    """Results that this run has written are gone at its end: something has removed them."""

    out: Path  #: the folder
    photos: int  #: whose results are gone


@dataclass(frozen=True)
class WriterLost:
    """A process that writes results has ended before its time; the results are written without it."""


@dataclass(frozen=True)
class WorkerLost:
    """A process that explains photos has ended before its time; what it had in hand is tried once more."""

    worker: int  #: which, from 0
    photos: int  #: that it had in hand
    message: str  #: how it ended


@dataclass(frozen=True)
class Damaged:
    """Results that are there already cannot be read; the table and the page are without them."""

    folder: Path
    message: str  #: a sentence that names the file


@dataclass(frozen=True)
class IndexFailed:
    """The table and the page of all results could not be written."""

    out: Path  #: the folder
    message: str  #: why


_OfPhotos = Started | Stepped | Explained | Taken | Measured | Exported | Failed | Retried
Event = Resumed | _OfPhotos | Lessened | Vanished | WriterLost | WorkerLost | Damaged | IndexFailed
OnEvent = Callable[[Event], object]


def listener(on_event: OnEvent | None) -> OnEvent:
    """What a caller has given to be told of events; by default nobody is.

    Raises:
        TypeError: it cannot be called.
    """
    check_callback("on_event", on_event)
    return on_event or (lambda event: None)


def reason(error: BaseException) -> str:
    """What an error says; where it was not raised for the user to read, with its type, and its first line alone."""
    if isinstance(error, ValueError | TypeError | ImportError | OSError) and str(error):
        return str(error)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}".removesuffix(": ")
