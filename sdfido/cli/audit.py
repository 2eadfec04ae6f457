"""`sdfido audit`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .. import runs
from ..evaluate.audit import SPREAD, Limits
from ..files import printable
from ..runs import events, layout
from ..runs.detections import CONFIDENCE
from ..runs.sequences import GAP, PHOTOS
from ..runs.truth import FOLDERS
from .console import Tally, complain, fail, find_own_modules, in_markup, interruptible, one_line, say, table_console
from .explain import Device

_LIMITS = Limits()

HELP = f"""Audit a classifier: does it look at the animal, or at what comes with it?

Takes the results of `sdfido explain` in OUT, and where the animals are:

    sdfido explain photos --model timm:resnet50 --out results

    sdfido audit results --truth detections.json

Asks the model of each photo a dozen times more: of the animal alone (all else an even grey), of the background alone
(the animal filled in from around it), and of the background alone without each edge and corner of the frame. Prints a
table by class and by site, what it finds suspicious, and the photos to look at first. Writes into OUT:

* {layout.AUDIT}: everything, for programs

* {layout.AUDIT_PHOTOS}: a row a photo, with p for animal and background alone and how suspicious that is

* {layout.AUDIT_GROUPS}: a row a class and a site, with 95% intervals (bootstrap over sequences of photos)

The columns; in brackets the interval:

* p: probability of the class for the photo

* animal, background: the same for the animal alone, for the background alone

* rise: by how much the backgrounds of a class's photos raise its probability over what the backgrounds of the other
photos get. A model that looks at the animal alone has 0

* outside: part of the evidence map (SSR) outside the animal; chance: part of the photo that lies there

* suffices, needed: part of the photo that suffices for the class, without which it is lost

It flags a class where the rise is above {_LIMITS.background:.0%} (at the lower end of its interval), and names the edge
or corner that holds {_LIMITS.place:.0%} of it, if one does: a timestamp, a logo. If none does, it names the sites whose
backgrounds speak for the class. It flags evidence that lies outside the animal as much as by chance. Classes and sites
with fewer than {_LIMITS.photos} photos, or sequences, are not flagged. A flag is a reason to look, no proof; no flag is
none either.

Photos that a camera took at one trigger are nearly the same, and say hardly more than one of them. The intervals, and
the flags that rest on them, are therefore over such sequences, not over photos. Which sequence a photo is of is told by
the first of these: the table --sequences; seq_id in COCO Camera Traps; its site and time (DateTimeOriginal in its Exif
data), at most {GAP:g} s after another photo (--sequence-gap). Else the photo is a sequence by itself.

The truth, as many as there are (--truth repeatable), told apart by its content:

* MegaDetector's batch output, every version, and the list of Microsoft's package

* SpeciesNet's predictions

* COCO, COCO Camera Traps: its location is the site

* a folder with masks NAME.png or boxes.csv, as for `sdfido evaluate`

Paths in it may be relative or absolute, from this machine or another: they are compared from their ends. Photos of the
same name in several folders need these folders in the truth, too. Boxes are turned and cropped as the photo is.

Examples:

    sdfido audit results --truth detections.json --sites {FOLDERS}

    sdfido audit results --truth site1.json --truth site2.json --sites sites.csv

    sdfido audit results --truth detections.json --sites cameras.csv --sequences cameras.csv

    sdfido audit results --truth coco.json --category "red fox" --category badger

    sdfido audit results --truth detections.json --photos /new/place/photos

Run again after an interrupt, or with more results, it measures only what is new (from {layout.AUDIT_ROWS} in OUT).

Exit code: 0 if every photo with a truth was measured, whatever was flagged; 1 if one could not be (the others are), or
the files not be written; 2 if an argument is wrong, OUT has no results of one model, the truth does not fit the photos,
or the model is not the one that the results were made with; 130 if interrupted, 143 if ended by SIGTERM (what is
measured is kept).
"""

_SHOWN = {
    "prob_image": "p",
    "animal_alone": "animal",
    "background_alone": "background",
    "background_rise": "rise",
    "outside": "outside",
    "outside_by_chance": "chance",
    "sufficient_area": "suffices",
    "necessary_area": "needed",
}
_INTERVALS = ("background_alone", "background_rise", "outside")
Confidence = Annotated[float, typer.Option(min=0, max=1, help="Boxes of which the detector is less sure do not count.")]
Category = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of the boxes that count; repeatable. [default: all but people, vehicles and nothing]",
        show_default=False,
    ),
]
_MOST = 10  # of the worst photos that are printed


def audit(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder with results.", show_default=False)],
    truth: Annotated[
        list[Path],
        typer.Option(help="File with boxes, or folder with masks; repeatable.", show_default=False),
    ],
    sites: Annotated[
        str | None,
        typer.Option(
            metavar=f"FILE|{FOLDERS}",
            help=f"Where each photo's site is from: a CSV file with the columns photo and site; {FOLDERS}: the photos' "
            "sub-folders. [default: what the truth says, or else the sub-folders]",
            show_default=False,
        ),
    ] = None,
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar=f"FILE|{PHOTOS}",
            help="Which photos were taken at one trigger: a CSV file with the columns photo and sequence; "
            f"{PHOTOS}: each photo is by itself. [default: what the truth says, or else sites and times]",
            show_default=False,
        ),
    ] = None,
    sequence_gap: Annotated[
        float, typer.Option(min=0, help="Most seconds between two photos of a sequence that is told by their times.")
    ] = GAP,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; found by content.")
    ] = None,
    confidence: Confidence = CONFIDENCE,
    category: Category = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Most images given to the classifier at once.")] = 64,
    device: Device = "cpu",
) -> None:
    """The command `sdfido audit`."""
    find_own_modules()
    tally = Tally()
    with interruptible(lambda: f"{tally.done} photos are measured; run again to go on"):
        try:
            importlib.import_module("PIL")  # a missing package must not wait
            work = runs.Audit(
                out,
                truth,
                sites=sites,
                sequences=sequences,
                sequence_gap=sequence_gap,
                photos=photos,
                confidence=confidence,
                categories=category,
                max_batch=max_batch,
                device=device,
            )
        except Exception as error:
            fail(error)
        tally.follow(len(work) - work.without_truth, work.measure)
        written = _write(work)
    if work.failed:
        complain(f"{work.failed} of {len(work)} photos could not be measured")
    if work.failed or not written:
        raise typer.Exit(1)


def _write(work: runs.Audit) -> bool:
    """Write and print the audit; whether writing went well."""
    try:
        record, written = work.write(), True
    except OSError as error:
        complain(f"Error: the audit could not be written into {printable(work.out)!r}: {events.reason(error)}")
        record, written = work.record(), False
    _print(record)
    if written:
        files = (printable(work.out / name) for name in (layout.AUDIT_PHOTOS, layout.AUDIT_GROUPS))
        say(f"See {one_line(', '.join(files))}")
        if (work.out / layout.PAGE).is_file():
            say(one_line(f"`sdfido report {printable(work.out)}` puts it on the page of the results"))
    return written


def _print(record: dict[str, Any]) -> None:
    console = table_console()
    for kind, title in (("classes", "class"), ("sites", "site")):
        if record[kind]:
            console.print(_groups(title, record[kind]))
    counts = record["counts"]
    in_sequences = f" in {counts['sequences']} sequences" if counts["sequences"] < counts["audited"] else ""
    say(f"{counts['audited']} photo{'s' if counts['audited'] != 1 else ''}{in_sequences} audited")
    if counts["without_truth"]:
        say(f"{counts['without_truth']} of {counts['results']} photos are not in the truth")
    if counts["without_animal"]:
        say(f"{counts['without_animal']} of {counts['results']} photos have no animal in the truth that the model sees")
    if not counts["audited"]:
        return
    say(record["intervals"])
    if record["worst"]:
        console.print(_worst(record))
    if not record["flags"]:
        say("Nothing is flagged")
    for number, flag in enumerate(record["flags"], 1):
        where = [flag["site"] and f"site {flag['site']}", flag["place"] if flag["place"] != SPREAD else None]
        about = ", ".join(filter(None, [flag["class"], *where]))
        say(f"Flag {number}: {one_line(about)}\n  {one_line(flag['reason'])}")


def _groups(title: str, groups: list[dict[str, Any]]) -> Table:
    shown = [name for name in _SHOWN if name in groups[0]]
    counts = ["photos", "sequences"] if any(group["sequences"] < group["photos"] for group in groups) else ["photos"]
    table = Table(title, *counts)
    for name in shown:
        table.add_column(_SHOWN[name], justify="right")
    for group in groups:
        cells = [_cell(group[name], name in _INTERVALS) for name in shown]
        table.add_row(in_markup(group["name"]), *(str(group[name]) for name in counts), *cells)
    return table


def _worst(record: dict[str, Any]) -> Table:
    table = Table("look first at", "class", "site", "p", "animal", "background", "outside", "results")
    for n in record["worst"][:_MOST]:
        row = record["photos"][n]
        numbers = (row[name] for name in ("prob_image", "animal_alone", "background_alone", "outside"))
        site = in_markup(row["site"] or "–")
        table.add_row(
            in_markup(row["photo"]), in_markup(row["class"]), site, *map(_percent, numbers), in_markup(row["results"])
        )
    return table


def _cell(estimate: dict[str, float | None], interval: bool) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if not interval or value is None or low is None or high is None:
        return _percent(value)
    return f"{value:.0%} ({low:.0%} to {high:.0%})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
