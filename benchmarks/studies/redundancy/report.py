"""Tables of the redundant birds: the blocks of docs/studies/redundancy.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval

RESULTS, PICTURE = paths.RESULTS / "redundancy.json", paths.IMAGES / "redundancy.webp"
LABELS = {
    "regions": "**sufficient regions**",
    "graph": "SAG, 7 × 7 patches, three roots",
    "fine graph": "SAG, 12 × 12 patches, all roots",
    "windows": "the same in windows of 4 × 4",
    "two seeds": "FIDO, two seeds, SSR",
    "three seeds": "FIDO, three seeds, SSR",
}
_COLUMNS = {
    "both": "both parts ↑",
    "both_centres": "both, by centres ↑",
    "one": "one part at least ↑",
    "iou": "IoU ↑",
    "another": "both, of another bird",
}
_COUNTS = {
    "explanations": "explanations",
    "stray": "in neither part ↓",
    "area": "area",
    "enough": "enough alone ↑",
}


def _interval(value: dict[str, float] | None) -> str:
    return "–" if value is None else with_interval(value)


def parts_table(results: Results) -> str:
    """Whether separate explanations point at both parts."""
    rows = [[LABELS[name], *(_interval(results["methods"][name].get(key)) for key in _COLUMNS)] for name in LABELS]
    return table(["method", *_COLUMNS.values()], rows)


def explanations_table(results: Results) -> str:
    """How many explanations there are, and what they are worth."""
    rows = []
    for name in LABELS:
        values = {key: results["methods"][name][key]["value"] for key in _COUNTS}
        counts = f"{values['explanations']:.1f}", f"{values['stray']:.2f}"
        rows.append([LABELS[name], *counts, percent(values["area"]), percent(values["enough"], 0)])
    return table(["method", *_COUNTS.values()], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    found = {name: rows["both"]["value"] for name, rows in results["methods"].items()}
    return [
        ("both parts, sufficient regions", "≥ 80%", percent(found["regions"]), found["regions"] >= 0.8),
        ("both parts, SAG, 12 × 12 patches", "≥ 80%", percent(found["fine graph"]), found["fine graph"] >= 0.8),
        ("both parts, SAG, the same in windows", "≥ 80%", percent(found["windows"]), found["windows"] >= 0.8),
        ("both parts, SAG, 7 × 7 patches", "", percent(found["graph"]), None),
        ("both parts, FIDO, three seeds", "", percent(found["three seeds"]), None),
        ("classifier: drawing and training", "< 240 s", f"{results['training']} s", results["training"] < 240),
    ]


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, parts_table, explanations_table))


def blocks(results: Results) -> markers.Blocks:
    said = results["classifier"]
    more = {
        "birds": results["images"],
        "probability with both parts, the first, the second": ", ".join(
            f"{said[name]:.2f}" for name in ("both", "first", "second")
        ),
        "birds of which each part alone is enough": percent(said["fit"], 0),
        "pixels of the first and of the second part, mean": ", ".join(percent(part) for part in results["truth"]),
        "drawing and training before": f"{results['training']} s of one thread",
    }
    return {
        "goals": goals_block(results),
        "parts": parts_table(results),
        "explanations": explanations_table(results),
        "conditions": conditions(results, more),
    }
