"""Tables of the trials and of the comparisons with existing code: the blocks of docs/studies/ablation.md."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.common import markers
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, table

FEW = 3  # settings of a trial that its row lists

COLUMNS = {
    "composites": ("composites", "{:.0f}"),
    "difference": ("insertion − deletion ↑", "{:.3f}"),
    "kept": ("20% kept ↑", "{:.2f}"),
    "left": ("20% infilled ↓", "{:.2f}"),
    "area ssr": ("SSR ↓", "{:.1%}"),
    "area sdr": ("SDR ↓", "{:.1%}"),
    "seeds rank": ("seeds: rank ↑", "{:.2f}"),
    "seeds iou": ("seeds: IoU ↑", "{:.2f}"),
    "birds": ("birds: IoU ↑", "{:.2f}"),
    "planted": ("planted: IoU ↑", "{:.2f}"),
    "seconds": ("seconds", "{:.1f}"),
}

WAYS = {
    "alone": "one after another",
    "batch": "all at once",
    "wide": "all at once, 16 composites in memory",
    "bfloat16": "all at once, in bfloat16",
    "all steps": "all at once, no early stop",
}


def line(numbers: Results) -> str:
    """One trial in a line, for the terminal."""
    return ", ".join(f"{title} {form.format(numbers[name])}" for name, (title, form) in COLUMNS.items())


def trials_table(results: Results) -> str:
    rows, group = [], ""
    for name, trial in results["trials"].items():
        if trial["group"] != group:
            group = trial["group"]
            rows.append([f"**{group}**", *("" for _ in COLUMNS)])
        cells = [form.format(trial["numbers"][column]) for column, (_, form) in COLUMNS.items()]
        rows.append([label(name, trial["settings"]), *cells])
    return table(["trial", *(title for title, _ in COLUMNS.values())], rows)


def label(name: str, settings: Results) -> str:
    """A trial and what it sets; many settings are left to the table of conditions."""
    return f"{name}: `{listed(settings)}`" if 0 < len(settings) <= FEW else name


def listed(settings: Results) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


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
    more = {"photos": ", ".join(results["photos"]), "drawn birds": results["birds"]}
    for name, trial in results["trials"].items():
        if len(trial["settings"]) > FEW:
            more[name] = listed(trial["settings"])
    return {
        "trials": trials_table(results),
        "trials-conditions": conditions(results, more),
        "throughput": throughput_table(throughput),
        "throughput-conditions": conditions(throughput),
        "existing-code": existing_code_table(existing_code),
        "existing-code-conditions": conditions(existing_code),
    }
