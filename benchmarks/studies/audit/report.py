"""Tables of the audits: the blocks of docs/studies/audit.md."""

from __future__ import annotations

from typing import Any

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table
from benchmarks.common.statistics import mean
from benchmarks.studies.audit import bursts
from benchmarks.studies.audit.scenes import KINDS

RESULTS, PICTURE = paths.RESULTS / "audit.json", paths.IMAGES / "audit.webp"
LABELS = {"clean": "no shortcut", "timestamp": "a timestamp", "watermark": "a watermark", "site": "a site's background"}
_WANTED = 0.9  # of the draws of each kind


def found(row: Results) -> bool:
    """Whether the planted class is flagged for its backgrounds."""
    return any(flag["kind"] in ("background", "site") and flag["class"] == row["class"] for flag in row["flags"])


def named(row: Results) -> bool:
    """Whether a flag says what was planted: class and place in the frame, or class and site."""
    key = "site" if row["kind"] == "site" else "place"
    kind = "site" if row["kind"] == "site" else "background"
    return any(
        flag["kind"] == kind and flag["class"] == row["class"] and flag[key] == row[key] for flag in row["flags"]
    )


def others(row: Results) -> bool:
    """Whether a class is flagged that has no shortcut."""
    return any(flag["class"] != row["class"] for flag in row["flags"])


def _of(results: Results, kind: str) -> list[Results]:
    return [row for row in results["rows"] if row["kind"] == kind]


def goals_block(results: Results) -> str:
    rows: list[Goal] = []
    wanted = f"≥ {_WANTED:.0%} of draws"
    for kind in KINDS:
        chosen = _of(results, kind)
        for title, test in (("found", found), ("named", named)):
            count = sum(map(test, chosen))
            rows.append(
                (f"{LABELS[kind]}: {title}", wanted, f"{count} of {len(chosen)}", count >= _WANTED * len(chosen))
            )
    clean = _of(results, "clean")
    count = sum(not row["flags"] for row in clean)
    rows.append(("clean model: nothing flagged", wanted, f"{count} of {len(clean)}", count >= _WANTED * len(clean)))
    return goals_table("of the models", rows)


def models_table(results: Results) -> str:
    """Whether the models have learned what was planted, and what the audit measures."""
    rows = []
    for kind in ("clean", *KINDS):
        chosen = _of(results, kind)
        swapped = percent(mean([row["swapped"] for row in chosen]), 0) if kind != "clean" else "–"
        own = [_rise(row, row["class"]) for row in chosen] if kind != "clean" else []
        rest = [_rise(row, name) for row in chosen for name in row["rises"] if name != row["class"]]
        rows.append(
            [
                LABELS[kind],
                percent(mean([row["accuracy"] for row in chosen]), 0),
                swapped,
                f"{mean(own):.2f} ({min(own):.2f})" if own else "–",
                f"{mean(rest):.2f} ({max(rest):.2f})",
                "–" if kind == "clean" else f"{sum(map(others, chosen))} of {len(chosen)}",
            ]
        )
    header = [
        "planted",
        "right",
        "right, swapped",
        "rise, its class (least)",
        "rise, other classes (most)",
        "others flagged",
    ]
    return table(header, rows)


def _rise(row: Results, name: str) -> float:
    value = row["rises"].get(name)
    return 0.0 if value is None else float(value)


def summary(results: Results) -> str:
    return f"{goals_block(results)}\n\n{models_table(results)}"


def blocks(results: Results, drawn: Results) -> markers.Blocks:
    counts: dict[str, Any] = results["photos"]
    limits = results["limits"]
    more: dict[str, Any] = {
        "draws of each kind": results["draws"],
        "photos to train on, to audit, to test": ", ".join(
            str(counts[name]) for name in ("training", "audited", "tested")
        ),
        "limits": ", ".join(f"{name} {value}" for name, value in limits.items()),
    }
    return {
        "goals": goals_block(results),
        "models": models_table(results),
        "bursts": bursts.bursts_table(drawn),
        "conditions": conditions(results, more),
    }
