"""What the commands share: how they speak, fail, and are interrupted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import typer


@contextlib.contextmanager
def interruptible(state: Callable[[], str]) -> Iterator[None]:
    """Ends the command with a line and exit code 130 where the user interrupts it; state: what is done by then."""
    try:
        yield
    except KeyboardInterrupt:
        complain(f"Interrupted: {state()}")
        raise typer.Exit(130) from None


def find_own_modules() -> None:
    """Let a user's package.module lie in the working folder; what is installed comes first."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def printable(path: Path) -> str:
    """The path as text that can be printed and written as UTF-8, whatever bytes it consists of."""
    return os.fsencode(path).decode("utf-8", "replace")


def reason(error: BaseException) -> str:
    """What an error says; with its type where that was not raised for the user to read."""
    readable = isinstance(error, ValueError | TypeError | ImportError | OSError) and str(error)
    return str(error) if readable else f"{type(error).__name__}: {error}".removesuffix(": ")


def say(message: str) -> None:
    """A line on standard output: above the progress bar where that shows on the same terminal."""
    _tell(message, sys.stdout)


def complain(message: str) -> None:
    """A line on standard error."""
    _tell(message, sys.stderr)


def _tell(message: str, stream: TextIO) -> None:
    try:
        print(message, file=stream, flush=True)
    except BrokenPipeError:  # nobody reads any more: the work goes on without
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def fail(error: Exception) -> NoReturn:
    """End the command with exit code 2: an argument is wrong, or something that it needs is missing."""
    complain(f"Error: {reason(error)}")
    raise typer.Exit(2) from error
