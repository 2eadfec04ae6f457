"""Tables of the conformance study: the blocks of docs/studies/conformance.md."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, machine, percent, table, text_table

RESULTS = paths.RESULTS / "conformance.json"
LIBRARIES = {
    "timm": "timm",
    "torchvision": "torchvision",
    "transformers": "transformers",
    "CLIP": "CLIP",
    "others": "others",
}


def _ran(rows: Sequence[Results]) -> list[Results]:
    return [row for row in rows if not row["error"]]


def summary_table(results: Results) -> str:
    """How many models of each library run, and what holds for those."""
    lines = []
    for library, title in [*LIBRARIES.items(), ("", "**all**")]:
        rows = [row for row in results["rows"] if library in ("", row["library"])]
        ran = _ran(rows)
        counts = [
            *(sum(bool(row[name]) for row in ran) for name in ("finite", "repeatable")),
            *(sum(row["apart"] == 0 for row in ran), sum(row["folded"] for row in ran)),
        ]
        lines.append([title, *map(str, (len(rows), len(ran), *counts))])
    return table(["library", "models", "run", "finite", "repeatable", "the same bits alone", "folded"], lines)


def models_table(results: Results, library: str) -> str:
    """The models of a library, one in each row."""
    lines = []
    timed = "times" in results
    for row in results["rows"]:
        if row["library"] != library:
            continue
        millions = row.get("parameters", 0) / 1e6
        size = f"{millions:.{1 if millions >= 1 else 3}f}" if "parameters" in row else "–"
        if row["error"]:
            found = ["**no**", "–", "–"]
        else:
            apart = "same bits" if row["apart"] == 0 else f"{row['apart']:.0e}"
            found = ["yes" if row["finite"] and row["repeatable"] else "**no**", apart, "yes" if row["folded"] else ""]
        if timed:
            found.append(f"{row['step_ms']:.0f}" if "step_ms" in row else "–")
        lines.append([row["name"], str(row["size"]), size, *found])
    header = ["model", "pixels", "million parameters", "runs", "alone and in a batch", "folded"]
    return table([*header, *(["ms a step"] if timed else [])], lines)


def refused_table(results: Results) -> str:
    """What does not run with nothing but the model, and what the error says."""
    rows = [
        [row["name"], row["error"].replace("|", r"\|"), "yes" if row.get("remedied") else ""]
        for row in results["rows"]
        if row["error"]
    ]
    return text_table(["model", "error", "runs with what it says"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    rows = results["rows"]
    libraries = [row for row in rows if row["library"] in ("timm", "torchvision")]
    ran = _ran(rows)
    sound = [row for row in ran if row["finite"] and row["repeatable"]]
    part = len(sound) / len(rows)
    refused = [row for row in rows if row["error"]]
    remedied = sum(bool(row.get("remedied") and row["finite"] and row["repeatable"]) for row in refused)
    return [
        ("models of timm and torchvision", "≥ 60", str(len(libraries)), len(libraries) >= 60),
        ("all models", "", str(len(rows)), None),
        ("models left out by this run", "0", str(len(results["missing"])), not results["missing"]),
        (
            "run with nothing but the model, finite and repeatable",
            "≥ 95%",
            f"{percent(part)} ({len(sound)} of {len(rows)})",
            part >= 0.95,
        ),
        (
            "of the others, run with what the error says",
            "all",
            f"{remedied} of {len(refused)}",
            remedied == len(refused),
        ),
    ]


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, summary_table, refused_table))


def blocks(results: Results) -> markers.Blocks:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    more = {"versions": versions}
    if times := results.get("times"):
        more |= {"times taken on": machine(times), "load of the machine before the times": str(times["load"])}
    if results["missing"]:
        more |= {"not reached": ", ".join(results["missing"])}
    return {
        "goals": goals_block(results),
        "summary": summary_table(results),
        "refused": refused_table(results),
        **{f"models-{library.lower()}": models_table(results, library) for library in LIBRARIES},
        "conditions": conditions(results, more),
    }
