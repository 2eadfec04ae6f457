"""Interrupts that wait until a piece of work is whole, and end a command cleanly once and at once if repeated."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Ending", "Terminated", "check", "held"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h\n"
_AGAIN = 0.1  # seconds until an interrupt that some code has swallowed comes again

Handler = Callable[[int, FrameType | None], Any]


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as schedulers and ``kill`` do."""


class _State:
    """How deep the main thread is in ``held`` blocks, and what waits until it has left them."""

    def __init__(self) -> None:
        self.depth = 0
        self.before: dict[int, Handler] = {}  # the handlers that are held back
        self.waiting: list[int] = []

    def change(self, by: int) -> None:
        if by == 0:
            return
        if self.depth == 0 and by > 0:
            try:
                for name in _SIGNALS:
                    handler = signal.getsignal(name)
                    if callable(handler) and handler != self.wait:  # neither ignored nor left to the system
                        self.before[name] = handler
                        signal.signal(name, self.wait)
            except BaseException:
                self.restore()
                raise
        self.depth = max(0, self.depth + by)  # 0: an interrupt came between the beginning of a block and its inside
        if self.depth == 0 and by < 0:
            before = self.restore()
            waiting, self.waiting = self.waiting, []
            for number in waiting:
                before[number](number, None)

    def restore(self) -> dict[int, Handler]:
        """Put the handlers back; an interrupt that comes meanwhile comes through, and stands for those that wait."""
        before = self.before
        try:
            for number, handler in before.items():
                signal.signal(number, handler)
        except BaseException:
            self.waiting = []
            for number, handler in before.items():
                signal.signal(number, handler)
            raise
        finally:
            self.before = {}
        return before

    def wait(self, number: int, frame: FrameType | None) -> None:
        if self.waiting or Ending.asked:  # once more: whoever asks twice does not want to wait
            self.waiting.clear()
            self.before[number](number, frame)
        else:
            self.waiting.append(number)


_state = _State()


class held:
    """A block that an interrupt does not break: SIGINT and SIGTERM wait until it is left, or reaches ``allowed``.

    A second one does not wait. Outside the main thread, which alone gets interrupts, the block is like any other.

    Example:
        >>> with held() as interrupts:
        ...     with interrupts.allowed():
        ...         prepare()
        ...     take_effect()
    """

    def __init__(self, change: int = 1) -> None:
        self._change = change

    def __enter__(self) -> held:
        if threading.current_thread() is not threading.main_thread():
            self._change = 0
        depth = _state.depth
        try:
            _state.change(self._change)
        except BaseException:
            _state.change(depth - _state.depth)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _state.change(-self._change)

    def allowed(self) -> held:
        """A block inside in which interrupts come through, also those that wait."""
        return held(-_state.depth)


class Ending:
    """A block that SIGINT or SIGTERM ends by ``KeyboardInterrupt`` or ``Terminated``; repeated, they end the process.

    A signal that is ignored stays ignored, as SIGINT is for what a shell starts in the background.
    """

    asked = 0
    """The signal that has interrupted the command, which is on its way out; 0: none."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Ending:
        if threading.current_thread() is threading.main_thread():
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._swallowed
            for number in _SIGNALS:
                if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if threading.current_thread() is threading.main_thread():
            sys.unraisablehook = self._unraisable
        Ending.asked = 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if Ending.asked:
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)  # a progress bar has hidden it
            os._exit(128 + number)
        Ending.asked = number
        check()

    def _swallowed(self, about: Any) -> None:
        """Interrupt again where the interpreter was in a finaliser, from which nothing can be raised."""
        if not issubclass(about.exc_type, KeyboardInterrupt):
            self._unraisable(about)
            return
        number, Ending.asked = Ending.asked or signal.SIGINT, 0
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()


def check() -> None:
    """Raise the interrupt that has come: for who has caught an error that it may have become in a library."""
    if Ending.asked and threading.current_thread() is threading.main_thread():
        raise Terminated if Ending.asked == signal.SIGTERM else KeyboardInterrupt
