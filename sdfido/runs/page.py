"""What the page of results says: of each photo, and of all together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..explanation import MapInfo
from ..files import printable
from . import layout, summary
from .beside import AUDITED, Beside, Known

__all__ = ["Found", "about_all", "rows"]

_MADE_WITH = {
    **{"model": "model", "loaded as": "model_spec", "SHA-256 of the model": "model_sha256", "method": "method"},
    **{"infill": "infill", "device": "device", "seeds": "seeds", "question": "question"},
}
"""Title and key of what a summary says of how it was made, besides its settings."""

Found = Sequence[tuple[Path, Mapping[str, Any]]]
"""Folder, seen from OUT, and summary of each result."""

Row = dict[str, Any]
"""What the page says of a photo, as JSON has it."""


def rows(out: Path, found: Found, beside: Beside) -> list[Row]:
    """What the page says of each photo, in the order of the results; ``rank`` counts from the worst one."""
    made = [_row(out, *each, known) for each, known in zip(found, beside.find_all(found), strict=True)]
    for rank, row in enumerate(sorted(made, key=_doubt)):
        row["rank"] = rank
    return made


def _row(out: Path, folder: Path, about: Mapping[str, Any], known: Known) -> Row:
    """What the page says of one photo."""
    scale = summary.scale(about)
    numbers = {name: round(value, 5) for name, value in {**summary.numbers(about), **known.numbers}.items()}
    if scale.sign < 0:
        numbers |= {name: -value for name, value in numbers.items() if name.startswith("prob_")}
    # Only an answer of the model's own to "which class?" is right or wrong.
    answered = about.get("target_is_predicted") is True and "question" not in about
    right = _alike(known.truth, str(about["label"])) if answered and known.truth is not None else None

    def link(name: str) -> str | None:
        path = folder / name
        return quote(path.as_posix(), errors="surrogateescape") if (out / path).is_file() else None

    return {
        "photo": str(about["photo"]),
        "results": printable(folder),
        "label": str(about["label"]),
        "confidence": scale.text(about["prob_image"]),
        "truth": known.truth,
        "right": right,
        "site": known.site,
        "sequence": known.sequence,
        "sentence": summary.sentence(about),
        "flags": list(known.flags),
        "notes": summary.notes(about),
        "numbers": numbers,
        "picture": link(layout.OVERVIEW),
        "view": link(layout.VIEW),
    }


def _alike(truth: str, label: str) -> bool:
    """Whether two names of classes are one, whatever their case."""
    return truth.casefold() == label.casefold()


def _doubt(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Sorts the results that most need a look first: wrong, flagged, outside, with notes, unstable, unsure."""
    numbers = row["numbers"]
    agreements = [value for name, value in numbers.items() if name.startswith(("seeds_overlap_", "agreement_"))]
    return (
        0 if row["right"] is False else 1,
        -len(row["flags"]),
        -numbers.get("suspicion", 0.0),
        -numbers.get("outside", 0.0),
        -len(row["notes"]),
        min(agreements, default=1.0),
        numbers["prob_image"],
    )


def about_all(found: Found, rows: Sequence[Mapping[str, Any]], beside: Beside) -> dict[str, Any]:
    """What the page says of all results together."""
    summaries = [about for _, about in found]
    legend: dict[str, MapInfo] = {}
    for about in summaries:
        legend = summary.legend(about) | legend
    names = dict.fromkeys(name for row in rows for name in row["numbers"])
    views = _views(legend, names)
    models = dict.fromkeys(f"{about.get('model', '?')}, explained by {about.get('method', '?')}" for about in summaries)
    percent = all(summary.scale(about).percent for about in summaries)
    return {
        "about": f"Model: {'; '.join(models)}.",
        "quantities": [
            {"key": key, "title": title, "percent": key != "suspicion" and (percent or not key.startswith("prob_"))}
            for key, title in _quantities(legend, names, summary.scale(summaries[0]).heading)
            if key in names
        ],
        "views": [{"key": key, "title": title, "note": note} for key, title, note in views],
        "shown": next((key for key, _, _ in views if key.startswith("map:")), "photo"),
        "reading": [
            [info.heading, ", ".join(filter(None, [info.title.partition(":")[2].strip(), info.note])) or "map"]
            for info in legend.values()
        ],
        "signed": any(info.signed for info in legend.values()),
        "numbers": list(names),
        "audited": beside.audited,
        "findings": beside.findings,
        "made": _made(summaries, beside),
    }


def _views(legend: Mapping[str, MapInfo], names: Container[str]) -> list[tuple[str, str, str]]:
    """The pictures that the page has of a photo: key, title and note of each."""
    views = [("photo", "Photo", "")]
    for name, info in legend.items():
        views.append((f"map:{name}", f"{info.heading} map", info.note))
        if f"kept_{name}" in names:
            views.append((f"cut:{name}", f"{info.heading} alone", "all else replaced by the infill"))
        elif f"removed_{name}" in names:
            views.append((f"cut:{name}", f"Without {info.heading}", "the region replaced by the infill"))
    return [*views, ("infill", "Infill", "what replaces pixels")]


def _quantities(legend: Mapping[str, MapInfo], names: Container[str], confidence: str) -> Iterator[tuple[str, str]]:
    """The numbers that the page sorts, filters and summarises by, as far as results have them: key and title."""
    yield "prob_image", confidence
    for name, info in legend.items():
        does = f"{info.heading} alone" if f"kept_{name}" in names else f"without {info.heading}"
        yield f"prob_{name}_binary", f"{confidence}, {does}"
        yield f"area_{name}", f"{info.heading} area"
    yield from AUDITED.items()
    for name, info in legend.items():
        yield f"seeds_overlap_{name}", f"Seeds agree, {info.heading}"
        yield f"agreement_{name}", f"Repeats agree, {info.heading}"


def _made(summaries: Sequence[Mapping[str, Any]], beside: Beside) -> list[dict[str, Any]]:
    """How the results were made: a table for each way, with the number of photos."""
    ways = Counter(json.dumps(_way(about)) for about in summaries)
    return [
        {
            "title": f"{count:,} photo{'s' if count != 1 else ''}",
            "entries": [*json.loads(way), *([["known besides", ", ".join(beside.sources)]] if beside.sources else [])],
        }
        for way, count in ways.most_common()
    ]


def _way(about: Mapping[str, Any]) -> list[list[str]]:
    """What one photo's results were made with: name and value of each setting."""
    build = about.get("build")
    version = build.get("version") if isinstance(build, dict) else None
    first = {"sdfido": version, **{title: about.get(name) for title, name in _MADE_WITH.items()}}
    settings = about.get("settings")
    first |= {name: value for name, value in settings.items()} if isinstance(settings, dict) else {}
    return [
        [name, value if isinstance(value, str) else json.dumps(value)]
        for name, value in first.items()
        if value is not None
    ]
