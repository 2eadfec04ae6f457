"""`sdfido report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import runs
from ..files import printable
from ..runs import events, layout
from ..runs.beside import FOLDERS, LABELS
from ..runs.layout import AUDIT
from ..runs.page_files import EMBEDDED
from .console import complain, fail, find_own_modules, interruptible, one_line, say
from .explain import Device

HELP = f"""Write the page of the results of `sdfido explain` anew: OUT/{layout.PAGE}.

A run writes that page by itself. This command adds what is known besides, brings pages of older versions up to date,
and makes a copy to be sent to somebody.

The page opens in a browser, from the file system, without a server or a network. It compares each photo with its maps
and with what is left of it, sorts and filters, sums up each class, and begins with the results that most need a look.

True classes, for what is right or wrong: {LABELS} in OUT, or --labels FILE, with the columns photo and label (photo is
a path or the end of one, with or without its suffix, or a folder in OUT); or --labels {FOLDERS}, if photos lie in
folders that are called as their classes. What `sdfido audit` has found is read from OUT/{AUDIT}.

With --to FOLDER, the page and all that it shows and links to are written there. Up to {EMBEDDED} photos, the page alone
shows them; beyond that it loads them from the folder {layout.PARTS} beside it, which also has the pictures in full
size.

Examples:

    sdfido report results

    sdfido report results --labels folders

    sdfido report results --to for-a-colleague

Exit code: 0 if the page is complete; 1 if a picture or the page could not be made; 2 if an argument is wrong.
"""


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder with results.", show_default=False)],
    labels: Annotated[
        str | None, typer.Option(metavar="FILE", help=f"CSV file with the true classes; or {FOLDERS}.")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder for a copy that can be sent on.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; for older results only.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """The command `sdfido report`."""
    find_own_modules()
    failed = 0

    def tell(event: events.Event) -> None:
        nonlocal failed
        if isinstance(event, events.Failed):
            failed += 1
            complain(f"Error: {one_line(event.message)}")

    with interruptible(lambda: "no page is written"):
        try:
            made = runs.Report(out, labels=labels, photos=photos, device=device)
            made.complete(tell)
        except Exception as error:
            fail(error)
        try:
            page = made.write(to)
        except ValueError as error:
            fail(error)
        except OSError as error:
            complain(f"Error: the page could not be written: {events.reason(error)}")
            raise typer.Exit(1) from error
    for remark in made.remarks:
        say(f"Note: {one_line(remark)}")
    say(f"See {one_line(printable(page))}")
    if failed:
        raise typer.Exit(1)
