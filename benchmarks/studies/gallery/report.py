"""Tables of the galleries: the blocks of docs/studies/gallery.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval
from benchmarks.studies.concepts.maps import PLACES

RESULTS, PICTURE = paths.RESULTS / "gallery.json", paths.IMAGES / "gallery.webp"
METHODS = {"regions": "sufficient regions", "FIDO": "FIDO, SSR"}
WAYS = {
    "gallery": "**gallery**",
    "no mirror": "without the mirror image",
    "last": "the last resolution alone",
    "whole": "whole regions",
    "before": "all three",
    "pixels": "pixels of the crops",
}
_COLUMNS = {
    "purity": "purity ↑",
    "chance": "by chance",
    "rand": "adjusted Rand ↑",
    "mutual": "adjusted information ↑",
    "facing": "about facing ↓",
    "groups": "groups",
}
_PURE = 0.9


def ways_table(results: Results, method: str) -> str:
    """How well the groups are the places on the bird."""
    rows = []
    for way, title in WAYS.items():
        found = results["methods"][method]["ways"][way]
        cells = [with_interval(found[key]) for key in ("purity", "rand")]
        rest = [f"{found[key]['value']:.2f}" for key in ("chance", "mutual", "facing")]
        rows.append([title, cells[0], rest[0], cells[1], *rest[1:], f"{found['groups']['value']:.1f}"])
    return table([METHODS[method], *_COLUMNS.values()], rows)


def places_table(results: Results) -> str:
    """Where the pieces lie."""
    rows = []
    for method, title in METHODS.items():
        found = results["methods"][method]
        several = [percent(found["several"][name]["value"], 0) for name in ("regions", "pieces")]
        shares = [percent(found["on"][name], 0) for name in (*PLACES, "elsewhere")]
        rows.append([title, f"{found['pieces']:.1f}", *several, *shares])
    header = ["method", "pieces a bird", "regions in several places", "pieces in several", *PLACES, "elsewhere"]
    return table(header, rows)


def groups_table(results: Results) -> str:
    """Where the pieces of each group of the picture lie, as numbers of pieces."""
    rows = [
        [name if first else "", str(sum(on)), *(str(count) if count else "" for count in on)]
        for name, found in results["groups"].items()
        for first, on in ((on is found[0], on) for on in found)
    ]
    return table(["species", "pieces", *PLACES, "elsewhere"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    rows: list[Goal] = []
    for method, title in METHODS.items():
        found = results["methods"][method]
        pure, chance = (found["ways"]["gallery"][key]["value"] for key in ("purity", "chance"))
        rows += [
            (f"{title}: purity of the groups", f"≥ {_PURE} (chance {chance:.2f})", f"{pure:.2f}", pure >= _PURE),
            (
                f"{title}: adjusted Rand, less that of pixels",
                "> 0",
                with_interval(found["ahead"]),
                found["ahead"]["low"] > 0,
            ),
        ]
    return rows


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    tables = [goals_block(results), places_table(results), groups_table(results)]
    return "\n\n".join([*tables, *(ways_table(results, method) for method in METHODS)])


def blocks(results: Results) -> markers.Blocks:
    more = {
        "birds of each species and seed": results["images"],
        "seeds": ", ".join(map(str, results["seeds"])),
    } | {
        f"groups of each gallery, {title}": ", ".join(map(str, results["methods"][method]["groups"]))
        for method, title in METHODS.items()
    }
    return {
        "goals": goals_block(results),
        "places": places_table(results),
        "groups": groups_table(results),
        "regions": ways_table(results, "regions"),
        "fido": ways_table(results, "FIDO"),
        "conditions": conditions(results, more),
    }
