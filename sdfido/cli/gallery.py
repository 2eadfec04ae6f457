"""`sdfido gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import runs
from ..files import printable
from ..runs.events import reason
from ..runs.gallery import PAGE, SHEET
from .console import Tally, complain, fail, find_own_modules, interruptible, one_line, say
from .explain import Device

HELP = f"""Show which parts suffice for each class: the regions of `sdfido explain`, clustered by the model's features.

Writes into OUT:

* {PAGE}: for each class its clusters, with their counts and some of their pieces, the medoid first; one file

* {SHEET}: the medoids with their counts, a row a class

A region in several places is taken apart, and each piece is clustered by itself. Its features are the model's
activations at the last two resolutions, averaged inside, of the photo and of its mirror image. Clusters are as many as
halves of the pieces agree on best. The model is the one that the results were made with.

Examples:

    sdfido gallery results

    sdfido gallery results --out parts --photos /new/place/birds

Exit code: 0 if every photo was read; 1 if one could not be (the others are shown), or the files not be written; 2 if an
argument is wrong, a package is missing, there is nothing to show, or files of these names are not a gallery's (nothing
is written); 130 if interrupted, 143 if ended by SIGTERM (nothing is written).
"""


def gallery(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder with results.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for the files; if not given, RESULTS.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; found by content.")
    ] = None,
    most: Annotated[int, typer.Option(min=2, help="Photos of a class that are taken, evenly chosen.")] = 500,
    device: Device = "cpu",
) -> None:
    """The command `sdfido gallery`."""
    find_own_modules()
    tally = Tally()
    with interruptible(lambda: "nothing is written"):
        try:
            made = runs.Gallery(results, out=out, photos=photos, device=device, most=most)
        except Exception as error:
            fail(error)
        tally.follow(len(made), made.make)
        try:
            made.write()
        except OSError as error:
            complain(f"Error: the gallery could not be written: {reason(error)}")
            raise typer.Exit(1) from error
        except Exception as error:
            fail(error)
    for label, remark, parts in made.classes:
        counts = f": {', '.join(str(part.count) for part in parts)}" if len(parts) > 1 else ""
        say(f"{one_line(label)}: {remark}{counts}")
    say(one_line(f"See {printable(made.out / PAGE)} and {printable(made.out / SHEET)}"))
    if tally.failed:
        complain(f"{tally.failed} of {len(made)} photos could not be read")
        raise typer.Exit(1)
