"""Tables of the trials and of the comparisons with existing code: the blocks of docs/studies/ablation.md."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.common import markers
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, table
from benchmarks.studies.ablation.trials import TRIALS

GROUPS = ("kept", "rule", "sampling", "masks", "penalties", "readout")

COLUMNS = {
    "composites": ("composites", "{:.0f}"),
    "objective": ("objective", "{:.1f}"),
    "sufficient": ("top 30% kept", "{:.2f}"),
    "necessary": ("top 20% infilled", "{:.2f}"),
    "ssr_binary": ("SSR cut at ½", "{:.2f}"),
    "sdr_binary": ("SDR cut at ½", "{:.3f}"),
    "insertion": ("insertion", "{:.2f}"),
    "deletion": ("deletion", "{:.3f}"),
    "variation": ("variation", "{:.3f}"),
    "seeds": ("seeds", "{:.2f}"),
    "iou_joint": ("birds: IoU", "{:.2f}"),
    "pointing": ("pointing", "{:.2f}"),
    "iou": ("planted: IoU", "{:.2f}"),
}


WAYS = {
    "alone": "one after another",
    "batch": "all at once",
    "wide": "all at once, 16 composites in memory",
    "bfloat16": "all at once, in bfloat16",
    "all steps": "all at once, no early stop",
}


def numbers(result: Results) -> dict[str, float]:
    """All that the tables show of one trial."""
    found = {**result["photos"]["mean"], **result["birds"], **result["planted"], "composites": result["composites"]}
    return found | {"seeds": statistics.fmean(found[f"seeds_{name}"] for name in ("ssr", "sdr", "joint"))}


def line(result: Results) -> str:
    """One trial in a line, for the terminal."""
    found = numbers(result)
    return "  ".join(f"{title} {form.format(found[column])}" for column, (title, form) in COLUMNS.items())


def trials_table(results: Results, group: str) -> str:
    rows = []
    for name, (of_group, what, _) in TRIALS.items():
        if of_group == group and name in results["trials"]:
            found = numbers(results["trials"][name])
            rows.append([what, *(form.format(found[column]) for column, (_, form) in COLUMNS.items())])
    return table(["trial", *(title for title, _ in COLUMNS.values())], rows)


def throughput_table(results: Results) -> str:
    rows = [
        [WAYS[name], f"{way['per_minute']:.1f}", f"{way['steps']:.0f}", "yes" if way["same_bits"] else "no"]
        for name, way in results["ways"].items()
    ]
    header = [f"{results['images']} photos", "images a minute", "steps, mean", "same bits as alone"]
    return table(header, rows)


def gains(results: Results, goal: str) -> list[float]:
    """How many times faster than existing code to a goal, for each photo; 0 where the goal was not reached."""
    found = ((row["existing"]["seconds"], row["sdfido"]["seconds"][goal]) for row in results["photos"])
    return [before / after if after else 0.0 for before, after in found]


def existing_code_table(results: Results) -> str:
    def cell(of: dict[str, Any]) -> str:
        return f"{of['objective']:.1f} ({of['score']:.1f})".replace("-", "−")

    def factor(gain: float, digits: int) -> str:
        return f"{gain:.{digits}f}×" if gain else "not reached"

    rows = []
    to_objective, to_both = gains(results, "objective"), gains(results, "both")
    for row, objective, both in zip(results["photos"], to_objective, to_both, strict=True):
        before, after = row["existing"], row["sdfido"]
        cells = [cell(before), f"{before['seconds']:.1f}", cell(after), f"{after['seconds']['all']:.1f}"]
        rows.append([row["photo"], *cells, factor(objective, 0), factor(both, 1)])
    medians = [factor(statistics.median(to_objective), 0), factor(statistics.median(to_both), 1)]
    rows.append(["**median**", "", "", "", "", *medians])
    header = ["photo", "existing code", "seconds", "sdfido", "seconds", "faster to the objective", "and to the score"]
    return table(header, rows)


def blocks(results: Results, throughput: Results, existing_code: Results) -> markers.Blocks:
    more = {"photos": results["photos"], "drawn birds": results["birds"]}
    return {
        **{group: trials_table(results, group) for group in GROUPS},
        "trials-conditions": conditions(results, more),
        "throughput": throughput_table(throughput),
        "throughput-conditions": conditions(throughput),
        "existing-code": existing_code_table(existing_code),
        "existing-code-conditions": conditions(existing_code),
    }
