"""The results that an audit takes, the files that it writes, and what these say."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluate.audit import Estimate, Flag, Group
from ..files import printable, replacing
from . import items, layout, results, summary, table
from .audit_rows import rounded
from .events import Failed

__all__ = ["flag", "group", "over", "read", "write"]

_SOURCES = {"table": "the table", "truth": "seq_id in the truth", "time": "sites and times"}


def read(out: Path, damaged: list[Failed]) -> list[results.Result]:
    """The results in a folder, all of one classifier, and each of the class that it explains.

    Raises:
        ValueError: there are none, or others.
    """
    try:
        found = results.read(out, damaged)
    except ValueError:
        if next(items.inside(out), None) is None or any(out.rglob(layout.SUMMARY)):
            raise
        raise ValueError(
            f"out must be a folder with results, got photos in {printable(out)!r}; explain them first: "
            f"sdfido explain {printable(out)} --model MODEL --out results, then audit results"
        ) from None
    models = {(each.summary["model"], each.summary["model_sha256"]) for each in found}
    if len(models) > 1:
        raise ValueError(
            f"out must have results of one model, got {', '.join(sorted({name for name, _ in models}))} in "
            f"{printable(out)!r}; audit each by itself"
        )
    for result in found:
        if not isinstance(result.summary["target"], int) or summary.scale(result.summary).name != "probability":
            raise ValueError(
                f"results {printable(result.folder)!r} must explain a class, got {result.summary['label']!r}; an audit "
                "takes those of sdfido explain without --rather-than and --value"
            )
    return found


def write(out: Path, record: Mapping[str, Any]) -> None:
    """Write an audit and its tables, all or none.

    Raises:
        OSError: a file cannot be written.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with (
        table.lock(out).holding(wait=True),
        replacing(out / layout.AUDIT) as whole,
        replacing(out / layout.AUDIT_PHOTOS) as photos,
        replacing(out / layout.AUDIT_GROUPS) as grouped,
    ):
        _table(photos, record["photos"])
        _table(grouped, [_flat(kind, each) for kind in ("classes", "sites") for each in record[kind]])
        whole.write_text(text, encoding="utf-8")


def over(photos: int, sequences: int, sources: Sequence[str], level: float) -> str:
    """What the intervals are over, in a sentence or two, given what says the sequence of each photo."""
    intervals = f"Intervals ({100 * level:g}%) are over"
    told = [f"{title} ({count} photos)" for source, title in _SOURCES.items() if (count := sources.count(source))]
    if not told:
        return f"{intervals} {photos} photos, each taken by itself."
    source = f"Sequences are from {', '.join(told)}."
    if alone := sources.count("alone"):
        source = f"{source[:-1]}; {alone} photos have none."
    if sequences == photos:
        return f"{intervals} {photos} photos, each a sequence by itself. {source}"
    return (
        f"{intervals} {sequences} sequences of {photos} photos, since those of a sequence are nearly the same. {source}"
    )


def group(found: Group) -> dict[str, Any]:
    """A group as plain values."""
    numbers = {name: _estimate(each) for name, each in found.numbers.items()}
    return {"name": found.name, "photos": found.photos, "sequences": found.sequences} | numbers


def flag(found: Flag) -> dict[str, Any]:
    """A flag as plain values."""
    about = {"kind": found.kind, "class": found.name, "site": found.site, "place": found.place}
    counts = {"photos": found.photos, "sequences": found.sequences}
    return about | counts | {"estimate": _estimate(found.estimate), "reason": found.reason}


def _estimate(each: Estimate) -> dict[str, float | None]:
    return {name: rounded(value) for name, value in each._asdict().items()}


def _flat(kind: str, group: Mapping[str, Any]) -> dict[str, Any]:
    """A group as a row of a table."""
    row = {"group": {"classes": "class", "sites": "site"}[kind]}
    row |= {name: group[name] for name in ("name", "photos", "sequences")}
    for name, value in group.items():
        if isinstance(value, dict):
            row |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
    return row


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file for spreadsheets."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({name: table.as_cell(value) for name, value in row.items()} for row in rows)
