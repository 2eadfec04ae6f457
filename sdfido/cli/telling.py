"""What the command line prints of a run, as it goes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .. import runs
from ..files import printable, visible
from ..runs import events, layout
from ..runs.summary import notes, regions, scale
from .console import Bar, complain, fail, say

_SHOWN = {
    **{"model_spec": "model", "model_sha256": "model", "photo_sha256": "photo", "target_is_predicted": "target"},
    **{"num_samples": "samples", "mask_size": "mask size", "dtype": "precision"},
}


class Teller:
    """Prints what a run tells, and moves the bar."""

    def __init__(self) -> None:
        self.photos = 0
        self._done: int | None = None  # before it is known

    def state(self) -> str:
        """What is done, for an interrupt."""
        if self._done is None:
            return "no photo was begun; run it again"
        done = f"{self._done} of {self.photos} photos are explained"
        return f"{done}, and their results complete; run it again to go on"

    def follow(self, run: runs.Run, executor: runs.Executor | None = None) -> runs.Outcome:
        """Execute a run under a bar; exit code 2 where something is missing that it needs."""
        with Bar(len(run.items)) as self._bar:
            try:
                return run.execute(executor, self._tell)
            except (ImportError, ValueError, ConnectionError, RuntimeError) as error:
                fail(error)

    def _tell(self, event: events.Event) -> None:
        match event:
            case events.Resumed():
                self._done = event.finished
                self._bar.expect(event.photos - event.finished)
                _tell_resumed(event)
            case events.Started():
                self._bar.begin(event.names, event.worker)
            case events.Stepped():
                self._bar.step(event.step, event.steps, event.photos, event.worker)
            case events.Explained():
                self._done = (self._done or 0) + 1
                say(_line(event))
                self._bar.finish(explained=True)
            case events.Taken():
                self._done = (self._done or 0) + 1
                say(f"{visible(event.name)}: explained by another process")
                self._bar.finish()
            case events.Failed():
                complain(f"Error: {visible(event.message)}")
                self._bar.finish()
            case events.Retried():
                complain(
                    f"Note: {event.photos} photos together failed, and are tried in halves: {visible(event.message)}"
                )
            case events.Lessened():
                complain(f"Note: {event.message}")
            case events.Vanished():
                of = f"{event.photos} photo{'s' if event.photos > 1 else ''}"
                complain(
                    f"Error: the results of {of} are gone from {printable(event.out)}: something has removed them; run "
                    "it again to explain them anew"
                )
            case events.WriterLost():
                complain("Note: a process that writes results has ended before its time; they are written without it")
            case events.WorkerLost():
                lost, why = f"{event.photos} photo{'s' if event.photos != 1 else ''}", visible(event.message)
                complain(f"Note: worker {event.worker + 1} has ended before its time with {lost} in hand: {why}")
            case events.Damaged():
                complain(f"Note: {visible(event.message)}; the table and the page are without it")
            case events.IndexFailed():
                files = " and ".join(printable(event.out / name) for name in (layout.TABLE, layout.PAGE))
                complain(f"Error: {files} could not be written: {visible(event.message)}")


def _tell_resumed(event: events.Resumed) -> None:
    if event.finished == event.photos == 1:
        say("the photo is explained already (--again explains it anew)")
    elif event.finished:
        say(f"{event.finished} of {event.photos} photos are explained already (--again explains them anew)")
    older: Counter[str] = Counter()
    for names, count in event.older.items():
        older[", ".join(sorted({_SHOWN.get(name, name) for name in names}))] += count
    for shown, count in older.items():
        say(f"{count} of {event.photos} photos have older results (other {shown}), which are replaced")


def _id(target: Any) -> str:
    """A target's classes, as they are numbered."""
    return ", ".join(map(str, target)) if isinstance(target, list) else str(target)


def _line(event: events.Explained) -> str:
    """A photo's numbers in a line."""
    about = event.summary
    write = scale(about).text
    parts = [
        f"{visible(event.name)}: {visible(str(about['label']))} ({_id(about['target'])}) {write(about['prob_image'])}"
    ]
    for number, region in enumerate(regions(about)):
        does, of = ("keeps", "removes")[not region.kept], " of the photo" if number == 0 else ""
        told = f"{region.title} {does} {region.size:.0%}{of}"
        parts.append(told if region.confidence is None else f"{told}: {write(region.confidence)}")
    picture = event.folder / layout.OVERVIEW
    line = "; ".join([*parts, f"see {visible(printable(picture if picture.exists() else event.folder))}"])
    return "\n".join([line, *(f"  Note: {visible(note)}" for note in notes(about))])
