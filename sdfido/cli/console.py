"""What the commands share: console output, the progress bar, exit codes and interrupts."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, NoReturn, TextIO, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import interrupts
from ..files import visible
from ..interrupts import Ending, Terminated
from ..runs import events
from ..runs.events import reason

_A_MINUTE = 60.0
_Made = TypeVar("_Made")


@contextlib.contextmanager
def interruptible(state: Callable[[], str]) -> Iterator[None]:
    """End the command with a line and exit code 130 if the user interrupts it, 143 if SIGTERM ends it.

    What is being written is written first. Interrupted twice, the command ends at once.

    Args:
        state: what is done by then.
    """
    with Ending():
        try:
            yield
        except KeyboardInterrupt as error:
            is_terminated = isinstance(error, Terminated)
            complain(f"{'Terminated' if is_terminated else 'Interrupted'}: {state()}")
            raise typer.Exit(143 if is_terminated else 130) from None


def find_own_modules() -> None:
    """Let a user's package.module lie in the working folder; what is installed comes first."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def say(message: str) -> None:
    """Print a line on standard output, above the progress bar where that shows on the same terminal."""
    _tell(message, sys.stdout)


def complain(message: str) -> None:
    """Print a line on standard error."""
    _tell(message, sys.stderr)


def fail(error: Exception) -> NoReturn:
    """End the command with exit code 2: an argument is wrong, or something that it needs is missing."""
    interrupts.check()
    complain(f"Error: {one_line(reason(error))}")
    raise typer.Exit(2) from error


def one_line(message: str) -> str:
    """A message that may have texts of files and models in it, as one line that shows them as they are."""
    return visible(" ".join(message.split("\n")))


def table_console() -> Console:
    """Where tables are printed; off a terminal, nothing is squeezed."""
    console = Console()
    if not console.is_terminal:
        console.width = 200
    return console


def in_markup(text: str) -> str:
    """A text of files, models or users for rich, as it is."""
    return escape(visible(text))


def _tell(message: str, stream: TextIO) -> None:
    message = "\n".join(map(visible, message.split("\n")))
    try:
        print(message, file=stream, flush=True)
    except BrokenPipeError:  # nobody reads any more: the work goes on without
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Bar:
    """A progress bar: photos done, the step of those under way, photos a minute, and the time left.

    It shows on terminals only; elsewhere a line a minute says how far it is.
    """

    def __init__(self, photos: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[done]}/{task.total:.0f} photos"),
            TextColumn("{task.fields[step]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # elsewhere, lines on stdout must not land on stderr
            speed_estimate_period=300,
            expand=True,
        )
        self._task = self._progress.add_task("", total=photos, done=0, step="", rate="")
        self._total, self._done, self._explained = photos, 0, 0
        self._begun = self._told = time.monotonic()
        self._parts: dict[int, float] = {}  # of photos, that each worker has done of those under way

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, photos: int) -> None:
        """So many photos are to be done in all, from now on."""
        self._total, self._begun = photos, time.monotonic()
        self._progress.update(self._task, total=photos)

    def begin(self, names: tuple[str, ...], worker: int = 0) -> None:
        """These photos are under way now."""
        first = names[0] if len(names[0]) <= 24 else f"…{names[0][-23:]}"
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._parts[worker] = 0
        self._progress.update(self._task, description=in_markup(first + more), step="")

    def step(self, step: int, steps: int, photos: int, worker: int = 0) -> None:
        """A step is done for ``photos`` photos."""
        self._parts[worker] = photos * step / steps
        self._show(step=f"step {step}/{steps}" if len(self._parts) <= 1 else f"{len(self._parts)} workers")

    def finish(self, *, explained: bool = False) -> None:
        """One photo is done, whatever came of it; where no bar shows, a line a minute says how far it is."""
        self._done += 1
        self._explained += explained
        if len(self._parts) == 1:
            self._parts.clear()
        self._show(done=self._done, rate=self._rate())
        quiet = not self._progress.disable or self._done >= self._total
        if quiet or time.monotonic() - self._told < _A_MINUTE:
            return
        self._told = time.monotonic()
        left = (self._total - self._done) * (self._told - self._begun) / self._done
        complain(f"{self._done} of {self._total} photos, {self._rate()}, {timedelta(seconds=round(left))} left")

    def _show(self, **fields: Any) -> None:
        whole = self._done + sum(self._parts.values())
        self._progress.update(self._task, completed=min(whole, self._total), **fields)

    def _rate(self) -> str:
        """Photos explained a minute, by all workers together."""
        seconds = time.monotonic() - self._begun
        return f"{60 * self._explained / seconds:.1f}/min" if seconds else ""


class Tally:
    """Counts the photos that a command has done or failed to do, with a bar while it works and a line a failure."""

    def __init__(self) -> None:
        self.done = self.failed = 0

    def follow(self, photos: int, work: Callable[[events.OnEvent], _Made]) -> _Made:
        """What some work on photos returns, which is given a callback for its events; an error ends the command."""
        with Bar(photos) as bar:

            def tell(event: events.Event) -> None:
                if isinstance(event, events.Started):
                    bar.begin(event.names)
                elif isinstance(event, events.Lessened):
                    complain(f"Note: {event.message}")
                elif isinstance(event, events.Failed):
                    self.failed += 1
                    complain(f"Error: {one_line(event.message)}")
                    bar.finish()
                elif isinstance(event, events.Measured | events.Exported):
                    self.done += 1
                    bar.finish(explained=True)

            try:
                return work(tell)
            except OSError as error:  # a full disk, for example, is no wrong argument
                complain(f"Error: {reason(error)}")
                raise typer.Exit(1) from error
            except Exception as error:  # a user's own model can raise anything
                fail(error)
