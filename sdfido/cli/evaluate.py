"""`sdfido evaluate`."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..files import replacing
from ..ops import build_info
from . import results
from .bar import Bar
from .common import complain, fail, find_own_modules, interruptible, printable, reason, say
from .explain import Device
from .measure import AT, MAPS, TOP, Classifiers, Measured, Measuring, Numbers, Originals, Result, agreement, read
from .truth import BOXES, Truth

HELP = f"""Measure how good the results of `sdfido explain` in each folder OUT are.

Prints a table, one row a photo and the average last, and writes into the first OUT:

* {results.EVALUATION}: all numbers, of the SSR, SDR and joint maps, and the average curves

* {results.CURVES}: probability of the class while pixels are kept or infilled in the order of their importance

The columns, each with the map that it is told for, and which way is better:

* p: probability of the class for the photo

* SSR {AT["sufficiency"]:.0%}: part of p that the most important {AT["sufficiency"]:.0%} of the pixels keep, higher

* SDR {AT["necessity"]:.0%}: part of p that is left with the most important {AT["necessity"]:.0%} infilled, lower

* insertion, deletion: area under the curve from infill to photo (SSR), from photo to infill (SDR); higher, lower

* variation, pieces: total variation a pixel of the joint map, connected parts of its top {TOP:.0%}; lower

With --truth, for the joint map:

* IoU: overlap of the truth with as many of the most important pixels, higher

* pointing: whether the most important pixel hits, higher; outside: part of those pixels that miss the truth, lower

With several OUTs (seeds, models), a second table has the rank correlation of the maps between them, for each photo that
all have explained: 1 is the same order of importance, 0 none in common.

The truth is FOLDER/NAME.png for the photo with the results OUT/NAME (sub-folders alike), or for the photo NAME.jpg that
has OUT for itself: as large as the photo, 0 where nothing matters; or rows of FOLDER/{BOXES}: photo,x0,y0,x1,y1 in
pixels, x1 and y1 being the first ones outside, where all rows of a photo count together. Photos without truth are left
out of these columns' average.

Examples:

    sdfido evaluate results

    sdfido evaluate results --truth masks --device cuda

    sdfido evaluate seed0 seed1 seed2

    sdfido evaluate results --photos /new/place/birds

Exit code: 0 if every photo was measured; 1 if one could not be (the others are), or the files not be written; 2 if an
argument is wrong, OUT has no results, the files have no place there, or the model is not the one that the results were
made with (nothing is written); 130 if interrupted (nothing is written).
"""

Same = Sequence[tuple[Result, dict[str, float]]]  # the rank correlations of photos; None with one OUT

_BEST = {"sufficiency": "ssr", "necessity": "sdr", "insertion": "ssr", "deletion": "sdr"}  # the map made for each
_TITLES = {"ssr": "SSR", "sdr": "SDR", "joint": "joint"}
_COLUMNS = {
    f"SSR {AT['sufficiency']:.0%}": ("sufficiency", "ssr", "{:.0%}"),
    f"SDR {AT['necessity']:.0%}": ("necessity", "sdr", "{:.0%}"),
    "insertion": ("insertion", "ssr", "{:.3f}"),
    "deletion": ("deletion", "sdr", "{:.3f}"),
    "variation": ("total_variation", "joint", "{:.3f}"),
    "pieces": ("components", "joint", "{:.1f}"),
    "IoU": ("intersection_over_union", "joint", "{:.2f}"),
    "pointing": ("pointing_game", "joint", "{:.2f}"),
    "outside": ("outside", "joint", "{:.2f}"),
}


def evaluate(
    out: Annotated[list[Path], typer.Argument(metavar="OUT", help="Folders with results.", show_default=False)],
    truth: Annotated[Path | None, typer.Option(help=f"Folder with masks (NAME.png) or {BOXES}.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder where the photos are now, if they have moved; found by content.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Most images given to the classifier at once.")] = 64,
    device: Device = "cpu",
) -> None:
    """The command `sdfido evaluate`."""
    find_own_modules()
    with interruptible(lambda: "nothing is written"):
        try:
            runs = [read(folder) for folder in out]
            results.check_evaluation(out[0])
            importlib.import_module("sdfido.plot_curves")
            known = Truth(truth) if truth else None
            originals = Originals(photos)
            classifiers = Classifiers(device)
            for result in (result for run in runs for result in run):
                classifiers.get(result)
            same = agreement(runs, classifiers) if len(runs) > 1 else None
        except Exception as error:
            fail(error)
        with Bar(sum(map(len, runs))) as bar:
            measuring = Measuring(classifiers, originals, known, max_batch, bar)
            try:
                measured = [measuring.measure(folder, run) for folder, run in zip(out, runs, strict=True)]
            except Exception as error:
                fail(error)
        written = _conclude(out[0], [each for each in measured if each.results], same)
    count = sum(map(len, runs))
    if measuring.without_truth:
        say(f"{measuring.without_truth} of {count} photos have no truth that the classifier sees")
    if measuring.failed:
        complain(f"{measuring.failed} of {count} photos could not be measured")
    if measuring.failed or not written:
        raise typer.Exit(1)


def _conclude(out: Path, measured: Sequence[Measured], same: Same | None) -> bool:
    """Write and print what is measured, if anything; whether that went well."""
    if not measured:
        return True
    files = f"{printable(out / results.CURVES)} and {printable(out / results.EVALUATION)}"
    try:
        _write(out, measured, same)
    except OSError as error:
        complain(f"Error: {files} could not be written: {reason(error)}")
        _print(measured, same)
        return False
    _print(measured, same)
    say(f"See {files}")
    return True


def mean(numbers: Sequence[Numbers]) -> Numbers:
    """The average of all numbers that are known."""
    measures = {measure: None for each in numbers for measure in each}
    return {
        measure: {name: _mean([each[measure][name] for each in numbers if measure in each]) for name in MAPS}
        for measure in measures
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan


def _print(measured: Sequence[Measured], same: Same | None) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 200  # nothing is to be squeezed there
    for each in measured:
        average = mean(each.numbers)
        columns = {title: column for title, column in _COLUMNS.items() if column[0] in average}
        table = Table("photo", "class", "p", title=None if same is None else printable(each.out))
        for title in columns:
            table.add_column(title, justify="right")
        for result, numbers in zip(each.results, each.numbers, strict=True):
            summary = result.summary
            cells = [_cell(numbers, column) for column in columns.values()]
            table.add_row(escape(summary["photo"]), escape(summary["label"]), f"{summary['prob_image']:.0%}", *cells)
        table.add_section()
        p = fmean(result.summary["prob_image"] for result in each.results)
        cells = [_cell(average, column) for column in columns.values()]
        table.add_row("average", "", f"{p:.0%}", *cells, style="bold")
        console.print(table)
    if same:
        table = Table("photo", *_TITLES.values(), title="rank correlation")
        for result, by_map in same:
            table.add_row(escape(result.summary["photo"]), *(_number(value, "{:.2f}") for value in by_map.values()))
        table.add_section()
        means = (_mean([by_map[name] for _, by_map in same]) for name in MAPS)
        table.add_row("average", *(_number(value, "{:.2f}") for value in means), style="bold")
        console.print(table)


def _cell(numbers: Numbers, column: tuple[str, str, str]) -> str:
    measure, name, form = column
    return _number(numbers.get(measure, {}).get(name, math.nan), form)


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "–"


def _write(out: Path, measured: Sequence[Measured], same: Same | None) -> None:
    from .. import plot_curves

    panels = [
        {_TITLES[name]: measured[0].mean_curve(measure, name) for name in MAPS}
        if same is None
        else {printable(each.out): each.mean_curve(measure, best) for each in measured}
        for measure, best in _BEST.items()
    ]
    runs = [
        {
            "out": printable(each.out),
            "photos": [_about(r) | numbers for r, numbers in zip(each.results, each.numbers, strict=True)],
            "mean": mean(each.numbers),
            "curves": {measure: _points(each, measure) for measure in _BEST},
        }
        for each in measured
    ]
    record = {"areas": AT | {"components": TOP}, "runs": runs, "build": build_info()}
    if same is not None:
        record["rank_correlation"] = {
            "photos": [{"photo": result.summary["photo"]} | by_map for result, by_map in same],
            "mean": {name: _mean([by_map[name] for _, by_map in same]) for name in MAPS},
        }
    text = json.dumps(_known(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(out / results.EVALUATION) as record_part, replacing(out / results.CURVES) as picture_part:
        plot_curves.save(plot_curves.curves(*panels, title=_title(measured, same)), picture_part)
        record_part.write_text(text, encoding="utf-8")


def _title(measured: Sequence[Measured], same: Same | None) -> str:
    if same is not None:
        return "SSR maps: sufficiency and insertion; SDR maps: necessity and deletion"
    found = measured[0].results
    about = dict.fromkeys(f"{result.summary['model']}, infill {result.summary['infill']}" for result in found)
    return f"{len(found)} photo{'s' if len(found) > 1 else ''}: {'; '.join(about)}"


def _about(result: Result) -> dict[str, Any]:
    names = ("photo", "target", "label", "prob_image")
    return {name: result.summary[name] for name in names} | {"results": printable(result.place)}


def _points(measured: Measured, measure: str) -> dict[str, list[float]]:
    """The average curve of each map."""
    curves = {name: measured.mean_curve(measure, name) for name in MAPS}
    points = {name: curve.values.mean(0).tolist() for name, curve in curves.items()}
    return {"fractions": curves[MAPS[0]].fractions.tolist()} | points


def _known(value: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
