"""Tables of the recorded speed: the blocks of docs/benchmarks.md and of README.md.

    python -m benchmarks.speed.report

draws docs/img/benchmarks.webp again from benchmarks/results/speed.json.
"""

from pathlib import Path
from typing import Any

from benchmarks.common import markers, paths, records
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, machine, percent, table

RESULTS, PAGE = paths.RESULTS / "speed.json", paths.DOCS / "benchmarks.md"
PICTURE = Path("img/benchmarks.webp")  # beside the page
LABELS = {
    "fused": "**sdfido, fused**",
    "compiled": "`torch.compile` of vectorised PyTorch",
    "vectorised": "vectorised PyTorch",
    "loop": "PyTorch, one sample at a time",
}
LEVELS = {"avx512": "AVX-512", "avx2": "AVX2"}
MILLISECONDS = ("loop", "vectorised", "compiled", "fused")

Group = dict[str, Any]


def median(group: Group, implementation: str, stage: str = "total") -> float:
    return float(group["milliseconds"][implementation][stage]["median"])


def ratio(group: Group, implementation: str, to: str = "fused", stage: str = "total") -> float:
    return median(group, implementation, stage) / median(group, to, stage)


def operator_groups(results: Results) -> dict[str, Group]:
    """Those that compare the fused operator with other implementations."""
    return {name: group for name, group in results["groups"].items() if "fused" in group["milliseconds"]}


def title(results: Results, group: Group) -> str:
    """With the instruction set where that is not the usual one."""
    usual = group["isa"] == results["machine"]["cpu_isa"]
    return str(group["title"]) if usual else f"{group['title']}, {group['isa']}"


def of_limit(group: Group, implementation: str, stage: str = "total") -> float:
    """The time in which memory could carry the bytes at the speed of the copy beside it, over the time taken."""
    milliseconds = group["bytes"][stage] / group["copied"] * median(group, "copy")
    return milliseconds / median(group, implementation, stage)


def time(milliseconds: float) -> str:
    return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f}"


def times(factor: float) -> str:
    return f"{factor:.2f}×" if factor < 2 else f"{factor:.1f}×"


def megabytes(group: Group, implementation: str) -> str:
    if "extra_bytes" not in group:
        return "–"
    found = group["extra_bytes"][implementation] / 1e6
    return f"{found:.{2 if found < 1 else 1}f}"


def main_table(results: Results) -> str:
    group = results["groups"]["main"]
    rows = []
    for name, label in LABELS.items():
        launched = group.get("operators", {}).get(name, {})
        cells = [label, time(median(group, name)), f"{ratio(group, name):.1f}×", megabytes(group, name)]
        rows.append([*cells, str(sum(launched.values())) if launched else "–"])
    header = [f"forward + backward with penalties, {group['title']}", "ms", "of fused", "extra MB", "operators"]
    return table(header, rows)


def main_line(results: Results) -> str:
    threads = results["groups"]["main"]["threads"]
    return f"Medians of one run in which all implementations take turns. {machine({**results, 'threads': threads})}."


def cases_table(results: Results) -> str:
    rows = [
        [
            title(results, group),
            *(time(median(group, name)) for name in MILLISECONDS),
            *(times(ratio(group, name)) for name in ("loop", "compiled")),
            percent(of_limit(group, "fused"), 0),
            *(megabytes(group, name) for name in ("loop", "compiled", "fused")),
            f"{group['compile_seconds']:.1f}" if "compile_seconds" in group else "–",
        ]
        for group in operator_groups(results).values()
    ]
    header = ["case", "loop, ms", "vectorised", "compiled", "fused", "loop / fused", "compiled / fused", "of the limit"]
    return table([*header, "extra MB: loop", "compiled", "fused", "compile time, s"], rows)


def stages_table(results: Results) -> str:
    """Medians with their quartiles."""

    def cell(stages: dict[str, dict[str, float]], stage: str) -> str:
        if stage not in stages:
            return "–"
        return "{} ({} – {})".format(*(time(stages[stage][key]) for key in ("median", "q1", "q3")))

    rows = [
        [
            title(results, group),
            implementation,
            *(cell(stages, stage) for stage in ("forward", "backward", "total")),
            str(stages["total"]["rounds"]),
        ]
        for group in results["groups"].values()
        for implementation, stages in group["milliseconds"].items()
    ]
    return table(["case", "what", "forward, ms", "backward", "total", "times"], rows)


def whole_step_table(results: Results, name: str = "classifier") -> str:
    if name not in results["groups"]:
        return "This run had no GPU."
    group = results["groups"][name]
    implementations = list(group["milliseconds"])
    stages = list(group["milliseconds"][implementations[0]])
    rows = [
        ["**whole step**" if stage == "total" else stage, *(time(median(group, i, stage)) for i in implementations)]
        for stage in stages
    ]
    first = implementations[0]
    rows.append([f"`{first}` over this", *(times(ratio(group, first, one)) for one in implementations)])
    return table(["ms", *implementations], rows)


def targets(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    groups = results["groups"]
    main, scaling, classifier = groups["main"], groups["scaling"], groups["classifier"]
    full, low, twice = scaling["milliseconds"]

    def goal(what: str, sign: str, bound: float, value: float, measured: str) -> Goal:
        unit = measured.lstrip("0123456789.")
        return what, f"{sign} {bound:g}{unit}", measured, value >= bound if sign == "≥" else value <= bound

    def factor(what: str, sign: str, bound: float, value: float) -> Goal:
        return goal(what, sign, bound, value, times(value))

    def at(level: str, baseline: str, bound: float) -> Goal:
        what = f"{LEVELS[level]}: {baseline} / fused"
        found = [g for name, g in groups.items() if name in ("main", f"main@{level}") and g["isa"] == level]
        if not found:
            return what, f"≥ {bound:g}×", f"not measured: no {LEVELS[level]} here", None
        return factor(what, "≥", bound, ratio(found[0], baseline))

    rows = [at("avx512", "loop", 9), at("avx512", "compiled", 5.5), at("avx2", "loop", 6)]
    rows.append(factor(f"{low} / {full}", "≤", 1, ratio(scaling, low, full)))
    rows.append(factor(f"{twice} / 1 image", "≤", 2.1, ratio(scaling, twice, full)))
    if "extra_bytes" in main:
        extra = main["extra_bytes"]["fused"] / 1e6
        rows.append(goal("memory beyond the outputs", "≤", 1, extra, f"{extra:.2g} MB"))
    whole = median(classifier, "loop float32") / median(classifier, "fused bfloat16")
    rows.append(
        factor("whole step: loop in float32, channels-first / fused in bfloat16, channels-last", "≥", 1.5, whole)
    )
    return rows


def targets_table(results: Results) -> str:
    return goals_table("forward + backward with penalties, as in the main case", targets(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return f"\n{machine(results)}\n\n{main_table(results)}\n\n{targets_table(results)}\n"


def blocks(results: Results) -> markers.Blocks:
    """Of docs/benchmarks.md; README.md has "speed" too."""
    return {
        "speed": f"{main_table(results)}\n\n{main_line(results)}",
        "goals": targets_table(results),
        "cases": cases_table(results),
        "whole-step": whole_step_table(results),
        "whole-step-gpu": whole_step_table(results, "classifier@cuda"),
        "stages": stages_table(results),
        "conditions": conditions(results),
    }


def write(results: Results, folder: Path) -> tuple[Path, Path]:
    """The page with the tables of these results, and its chart."""
    from benchmarks.speed.chart import draw

    page, picture = folder / PAGE.name, folder / PICTURE
    draw(results, picture)
    page.write_text(markers.filled(PAGE.read_text(), blocks(results)))
    return page, picture


def main() -> None:
    write(records.read(RESULTS), paths.DOCS)


if __name__ == "__main__":
    main()
