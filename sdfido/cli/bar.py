"""How far a command is, on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Photos done, the step of those under way, and the time left; nothing is shown elsewhere than on a terminal."""

    def __init__(self, photos: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[done]}/{task.total:.0f} photos"),
            TextColumn("{task.fields[step]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # elsewhere, lines on stdout must not land on stderr
            speed_estimate_period=300,
            expand=True,
        )
        self._task = self._progress.add_task("", total=photos, done=0, step="")
        self._done = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, names: list[str]) -> None:
        """The photos that are under way now."""
        first = names[0] if len(names[0]) <= 24 else f"…{names[0][-23:]}"
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._progress.update(self._task, description=escape(first + more), step="")

    def step(self, step: int, steps: int, photos: int) -> None:
        """A step of `photos` photos is done."""
        self._progress.update(self._task, completed=self._done + photos * step / steps, step=f"step {step}/{steps}")

    def settle(self) -> None:
        """One photo is done, whatever came of it."""
        self._done += 1
        self._progress.update(self._task, completed=self._done, done=self._done)
