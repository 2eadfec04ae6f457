"""`sdfido evaluate`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer
from rich.table import Table

from .. import runs
from ..evaluate import AT, TOP
from ..explanation import MapInfo
from ..files import printable
from ..runs import events, layout
from ..runs.annotations import BOXES
from ..runs.detections import CONFIDENCE
from ..runs.evaluation import mean, mean_of_known
from ..runs.measure import Measurements, Numbers, Role, best_map
from ..runs.summary import scale
from .audit import Category, Confidence
from .console import Tally, complain, fail, find_own_modules, in_markup, interruptible, one_line, say, table_console
from .explain import Device

HELP = f"""Measure how good the results of `sdfido explain` in each folder OUT are.

Prints a table, one row a photo and the average last, and writes into the first OUT:

* {layout.EVALUATION}: all numbers of all maps, and the average curves

* {layout.CURVES}: probability of the class while pixels are kept or infilled in the order of their importance

The columns, each with the map that it is told for, and which way is better (other methods than FIDO: their map for the
purpose, or their only one):

* p: probability of the class for the photo

* SSR {AT["sufficiency"]:.0%}: part of p that the most important {AT["sufficiency"]:.0%} of the pixels keep, higher

* SDR {AT["necessity"]:.0%}: part of p that is left with the most important {AT["necessity"]:.0%} infilled, lower

* insertion, deletion: area under the curve from infill to photo (SSR), from photo to infill (SDR); higher, lower

* variation, pieces: total variation a pixel of the joint map, connected parts of its top {TOP:.0%}; lower

With --truth, for the joint map:

* IoU: overlap of the truth with as many of the most important pixels, higher

* pointing: whether the most important pixel hits, higher; outside: part of those pixels that miss the truth, lower

With several OUTs (seeds, models, methods), a second table has the rank correlation of the maps between them, for each
photo that all have explained: 1 is the same order of importance, 0 none in common. With three or more, a third table
has it for each two of them, averaged over these photos. Models may differ in size, as long as they see the same part of
a photo.

The truth, as many as there are (--truth repeatable), is a file of MegaDetector, SpeciesNet or COCO, as `sdfido audit`
takes them, or a FOLDER. A mask FOLDER/NAME.png is of the photo with the results OUT/NAME (sub-folders alike), or of the
photo NAME.jpg that has OUT for itself: as large as the photo, 0 where nothing matters. Rows of FOLDER/{BOXES} are
photo,x0,y0,x1,y1 in pixels of the upright photo, x1 and y1 being the first ones outside, where all rows of a photo
count together; photo is the path from the folder that was explained, or any other that ends alike. Photos without truth
are left out of these columns' average.

Examples:

    sdfido evaluate results

    sdfido evaluate results --truth masks --device cuda

    sdfido evaluate results --truth detections.json

    sdfido evaluate seed0 seed1 seed2

    sdfido evaluate resnet50 vit efficientnet

    sdfido evaluate results --photos /new/place/birds

Exit code: 0 if every photo was measured; 1 if one could not be (the others are), or the files not be written; 2 if an
argument is wrong, OUT has no results, the truth has none of the photos, the files have no place there, or the model is
not the one that the results were made with (nothing is written); 130 if interrupted, 143 if ended by SIGTERM (nothing
is written).
"""

_COLUMNS: dict[str, tuple[Role, str]] = {
    "insertion": ("keep", "{:.3f}"),
    "deletion": ("remove", "{:.3f}"),
    "total_variation": ("both", "{:.3f}"),
    "components": ("both", "{:.1f}"),
    "intersection_over_union": ("both", "{:.2f}"),
    "pointing_game": ("both", "{:.2f}"),
    "outside": ("both", "{:.2f}"),
}  # of each measure the role of the map that it is told for, and the form of its numbers
_TITLES = {
    "total_variation": "variation",
    "components": "pieces",
    "intersection_over_union": "IoU",
    "pointing_game": "pointing",
}


def evaluate(
    out: Annotated[list[Path], typer.Argument(metavar="OUT", help="Folders with results.", show_default=False)],
    truth: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"File with boxes, or folder with masks (NAME.png) or {BOXES}; repeatable.", show_default=False
        ),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; found by content.")
    ] = None,
    confidence: Confidence = CONFIDENCE,
    category: Category = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Most images given to the classifier at once.")] = 64,
    device: Device = "cpu",
) -> None:
    """The command `sdfido evaluate`."""
    find_own_modules()
    tally = Tally()
    with interruptible(lambda: "nothing is written"):
        try:
            importlib.import_module("sdfido.reports")  # a missing package must not wait for the end
            evaluation = runs.Evaluation(
                out,
                truth=truth,
                photos=photos,
                confidence=confidence,
                categories=category,
                max_batch=max_batch,
                device=device,
            )
        except Exception as error:
            fail(error)
        tally.follow(len(evaluation), evaluation.measure)
        written = not evaluation.measured or _write(evaluation)
    if evaluation.without_truth:
        say(f"{evaluation.without_truth} of {len(evaluation)} photos have no truth that the classifier sees")
    if tally.failed:
        complain(f"{tally.failed} of {len(evaluation)} photos could not be measured")
    if tally.failed or not written:
        raise typer.Exit(1)


def _write(evaluation: runs.Evaluation) -> bool:
    """Write and print what is measured; whether writing went well."""
    out = evaluation.outs[0]
    files = f"{printable(out / layout.CURVES)} and {printable(out / layout.EVALUATION)}"
    try:
        evaluation.write()
    except OSError as error:
        complain(one_line(f"Error: {files} could not be written: {events.reason(error)}"))
        _print(evaluation)
        return False
    _print(evaluation)
    say(f"See {one_line(files)}")
    return True


def _print(evaluation: runs.Evaluation) -> None:
    console = table_console()
    for measured in evaluation.measured:
        title = None if evaluation.pairs is None else in_markup(printable(measured.out))
        console.print(_measures(measured, title))
    if evaluation.agreement:
        console.print(_agreement(evaluation.agreement, evaluation.legend))
        if len(evaluation.outs) > 2:
            console.print(_pairs(evaluation))


def _measures(measured: Measurements, title: str | None) -> Table:
    average = mean(measured.numbers)
    columns = _columns(measured.legend, average)
    table = Table("photo", "class", "p", title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for result, numbers in zip(measured.results, measured.numbers, strict=True):
        about = result.summary
        cells = [_cell(numbers, *column) for column in columns.values()]
        table.add_row(in_markup(result.photo), in_markup(about["label"]), _confidence([result]), *cells)
    table.add_section()
    cells = [_cell(average, *column) for column in columns.values()]
    table.add_row("average", "", _confidence(measured.results), *cells, style="bold")
    return table


def _confidence(results: Sequence[runs.Result]) -> str:
    """The mean of what the model says of the photos; of different scales there is none."""
    scales = {scale(result.summary) for result in results}
    p, first = fmean(result.summary["prob_image"] for result in results), scales.pop()
    if scales:
        return "–"
    return f"{p:.0%}" if first.percent else in_markup(first.text(p))


def _columns(legend: Mapping[str, MapInfo], known: Numbers) -> dict[str, tuple[str, str, str]]:
    """By their titles the columns of the table: the measure, the map that it is told for, the form of its numbers."""
    keep, remove = best_map(legend, "keep"), best_map(legend, "remove")
    names = ("kept", "gone")
    if keep != remove:
        names = in_markup(legend[keep].heading), in_markup(legend[remove].heading)
    columns = {
        f"{names[0]} {AT['sufficiency']:.0%}": ("sufficiency", keep, "{:.0%}"),
        f"{names[1]} {AT['necessity']:.0%}": ("necessity", remove, "{:.0%}"),
    }
    for measure, (role, form) in _COLUMNS.items():
        if measure in known:
            columns[_TITLES.get(measure, measure)] = (measure, best_map(legend, role), form)
    return columns


def _agreement(rows: Sequence[tuple[runs.Result, dict[str, float]]], legend: Mapping[str, MapInfo]) -> Table:
    names = list(dict.fromkeys(name for _, by_map in rows for name in by_map))
    table = Table(
        "photo", *(in_markup(legend[n].heading if n in legend else n) for n in names), title="rank correlation"
    )
    for result, by_map in rows:
        table.add_row(in_markup(result.photo), *(_number(by_map.get(name, math.nan), "{:.2f}") for name in names))
    table.add_section()
    means = (mean_of_known([by_map[name] for _, by_map in rows if name in by_map]) for name in names)
    table.add_row("average", *(_number(value, "{:.2f}") for value in means), style="bold")
    return table


def _pairs(evaluation: runs.Evaluation) -> Table:
    name = best_map(evaluation.legend, "both")
    pairs = evaluation.each_with_each(name)
    outs = [in_markup(printable(out)) for out in evaluation.outs]
    table = Table(f"{in_markup(evaluation.legend[name].heading)}, each with each", *outs)
    for out, row in zip(outs, [] if pairs is None else pairs.tolist(), strict=False):
        table.add_row(out, *(_number(value, "{:.2f}") for value in row))
    return table


def _cell(numbers: Numbers, measure: str, name: str, form: str) -> str:
    return _number(numbers.get(measure, {}).get(name, math.nan), form)


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "–"
