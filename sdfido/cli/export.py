"""`sdfido export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import exports
from ..files import printable
from .console import Tally, complain, fail, find_own_modules, interruptible, one_line, say

HELP = f"""Write the results of `sdfido explain` in a format that other programs read.

Formats:

{"".join(f"* {each.name}: {each.help}{chr(10)}{chr(10)}" for each in exports.FORMATS.values())}
Maps are not normalised, so that photos can be compared: 0..1 as the method gave them. Maps and regions are at the
pixels of the photo, turned upright as its Exif orientation says; what the model did not see of it is 0. safetensors has
them at the model's size, with the geometry beside.

Regions are the final ones of summary.json. The score of a region that suffices is the confidence with it alone; of one
that destroys, the confidence that is lost without it.

The folder appears when everything is written, with {exports.export.MANIFEST}, which says what it is.

Examples:

    sdfido export results --format coco --out regions

    sdfido export results --format png --map ssr --out maps

    sdfido export results --format webdataset --photos /new/place/birds --out shards

Exit code: 0 if every photo is exported; 1 if one could not be read (the others are exported), or the export not be
written (nothing is written); 2 if an argument is wrong, a package is missing or there are no results (nothing is
written); 130 if interrupted, 143 if ended by SIGTERM (nothing is written).
"""


def export(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder with results.", show_default=False)],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(exports.FORMATS)}.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the export; a new one.", show_default=False)],
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME", help="A map, with its region; may be repeated. If not given, all."),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; found by content.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Replace an earlier export in the folder.")] = False,
) -> None:
    """The command `sdfido export`."""
    find_own_modules()
    tally = Tally()
    with interruptible(lambda: "nothing is written"):
        try:
            made = exports.Export(results, format, out=out, maps=maps or (), photos=photos, again=again)
        except Exception as error:
            fail(error)
        done = tally.follow(len(made), made.write)
    if done:
        say(f"{done} photo{'s' if done > 1 else ''} exported; see {one_line(printable(out))}")
    if tally.failed:
        complain(f"{tally.failed} of {len(made)} photos could not be exported")
        raise typer.Exit(1)
