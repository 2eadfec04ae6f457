"""Tables and text of the benchmarks' results; charts are in chart.py.

    python benchmarks/report.py [--json benchmarks/results/suite.json] [--folder docs] [--check]

writes benchmarks.md and benchmarks.png into the folder.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pages

from sdfido.files import replacing

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/suite.json"
LABELS = {
    "fused": "**sdfido, fused**",
    "compiled": "`torch.compile` of vectorised PyTorch",
    "vectorised": "vectorised PyTorch",
    "loop": "PyTorch, one sample at a time",
}

Results = dict[str, Any]
Group = dict[str, Any]


def dump(results: Results) -> str:
    """As JSON with one line for each set of numbers."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    return re.sub(r"\{[^{}]*\}", lambda match: " ".join(match[0].split()), text) + "\n"


def record(path: Path, results: Results) -> Results:
    """Write the file, whole or not at all; the results as they are read from it, which pages are checked by."""
    text = dump(results)
    with replacing(path) as part:
        part.write_text(text)
    found: Results = json.loads(text)
    return found


def table(header: list[str], rows: list[list[str]]) -> str:
    """In Markdown, with aligned columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], *rows]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in lines
    )


def median(group: Group, contestant: str, stage: str = "total") -> float:
    return float(group["milliseconds"][contestant][stage]["median"])


def ratio(group: Group, contestant: str, to: str = "fused", stage: str = "total") -> float:
    return median(group, contestant, stage) / median(group, to, stage)


def operator_groups(results: Results) -> dict[str, Group]:
    """Those of the fused operator and its rivals."""
    return {name: group for name, group in results["groups"].items() if "fused" in group["milliseconds"]}


def title(results: Results, group: Group) -> str:
    """With the instruction set where that is not the usual one."""
    usual = group["isa"] == results["machine"]["cpu_isa"]
    return str(group["title"]) if usual else f"{group['title']}, {group['isa']}"


def of_limit(group: Group, contestant: str, stage: str = "total") -> float:
    """The time in which memory could carry the bytes at the speed of the copy beside it, over the time taken."""
    milliseconds = group["bytes"][stage] / group["copied"] * median(group, "copy")
    return milliseconds / median(group, contestant, stage)


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f}"


def _times(factor: float) -> str:
    return f"{factor:.2f} ×" if factor < 2 else f"{factor:.1f} ×"


def _megabytes(group: Group, contestant: str) -> str:
    if "extra_bytes" not in group:
        return "–"
    megabytes = group["extra_bytes"][contestant] / 1e6
    return f"{megabytes:.{2 if megabytes < 1 else 1}f}"


def _machine(results: Results) -> str:
    machine = results["machine"]
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"{machine['cpu']} ({machine['cpu_isa']}){gpu}, torch {machine['torch']}, {machine['date']}"


def main_table(results: Results) -> str:
    group = results["groups"]["main"]
    rows = []
    for name, label in LABELS.items():
        launched = group.get("operators", {}).get(name, {})
        rows.append(
            [
                label,
                _time(median(group, name)),
                f"{ratio(group, name):.1f} ×",
                _megabytes(group, name),
                str(sum(launched.values())) if launched else "–",
            ]
        )
    return table(
        [f"forward + backward with penalties, {group['title']}", "ms", "of fused", "extra MB", "operators"], rows
    )


def readme_block(results: Results) -> str:
    """What README.md shows."""
    group = results["groups"]["main"]
    threads = f"{group['threads']} thread{'s' if group['threads'] > 1 else ''}"
    return (
        f"\n{main_table(results)}\n\n![Times of one step, and how much faster the fused operator is in all cases]"
        f"(docs/benchmarks.png)\n\nMedians of rounds that alternate between all of them in one run, {threads} of "
        f"{_machine(results)}. [How it is measured, and every case](docs/benchmarks.md); `make bench` repeats it.\n"
    )


def cases_table(results: Results) -> str:
    rows = []
    for group in operator_groups(results).values():
        rows.append(
            [
                title(results, group),
                *(_time(median(group, name)) for name in ("loop", "vectorised", "compiled", "fused")),
                *(_times(ratio(group, name)) for name in ("loop", "compiled")),
                f"{100 * of_limit(group, 'fused'):.0f} %",
                *(_megabytes(group, name) for name in ("loop", "compiled", "fused")),
                f"{group['compile_seconds']:.1f}" if "compile_seconds" in group else "–",
            ]
        )
    header = ["case", "loop, ms", "vectorised", "compiled", "fused", "loop / fused", "compiled / fused", "of the limit"]
    return table([*header, "extra MB: loop", "compiled", "fused", "compile time, s"], rows)


def stages_table(results: Results) -> str:
    """Medians with their quartiles."""

    def cell(stages: dict[str, dict[str, float]], stage: str) -> str:
        if stage not in stages:
            return "–"
        return "{} ({} – {})".format(*(_time(stages[stage][key]) for key in ("median", "q1", "q3")))

    rows = [
        [
            title(results, group),
            contestant,
            *(cell(stages, stage) for stage in ("forward", "backward", "total")),
            str(stages["total"]["rounds"]),
        ]
        for group in results["groups"].values()
        for contestant, stages in group["milliseconds"].items()
    ]
    return table(["case", "what", "forward, ms", "backward", "total", "times"], rows)


def classifier_table(results: Results, name: str) -> str:
    group = results["groups"][name]
    contestants = list(group["milliseconds"])
    stages = list(group["milliseconds"][contestants[0]])
    rows = [
        ["**whole step**" if stage == "total" else stage, *(_time(median(group, c, stage)) for c in contestants)]
        for stage in stages
    ]
    rows.append([f"`{contestants[0]}` over this", *(_times(ratio(group, contestants[0], c)) for c in contestants)])
    return table(["ms", *contestants], rows)


def targets(results: Results) -> list[tuple[str, str, str]]:
    """What was asked for, and what was measured."""
    groups = results["groups"]

    def at(level: str, rival: str) -> str:
        found = [g for name, g in groups.items() if name in ("main", f"main@{level}") and g["isa"] == level]
        return _times(ratio(found[0], rival)) if found else f"not measured: no {level} here"

    main, scaling, classifier = groups["main"], groups["scaling"], groups["classifier"]
    full, low, twice = scaling["milliseconds"]
    forms = "loop float32", "fused bfloat16"
    whole = _times(median(classifier, forms[0]) / median(classifier, forms[1]))
    return [
        ("AVX-512: loop / fused", "≥ 9 ×", at("avx512", "loop")),
        ("AVX-512: compiled / fused", "≥ 5.5 ×", at("avx512", "compiled")),
        ("AVX2 forced: loop / fused", "≥ 6 ×", at("avx2", "loop")),
        (f"{low} / {full}", "≤ 1 ×", _times(ratio(scaling, low, full))),
        (f"{twice} / 1 image", "≤ 2.1 ×", _times(ratio(scaling, twice, full))),
        ("memory beyond the outputs", "< 1 MB", _megabytes(main, "fused") + " MB"),
        ("whole step: loop in float32, channels-first / fused in bfloat16, channels-last", "≥ 1.5 ×", whole),
    ]


def targets_table(results: Results) -> str:
    rows = [list(row) for row in targets(results)]
    return table(["forward + backward with penalties, as in the main case", "asked", "measured"], rows)


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return f"\n{_machine(results)}\n\n{main_table(results)}\n\n{targets_table(results)}\n"


_METHOD = """\
- All contestants of a case take turns in alternating rounds of one process: each does one step that is not timed, as
  the one before it has emptied the caches, then four that are. Two turns before that warm up. Times are medians.
- A step takes new noise, one uniform number for each mask, sample and cell (antithetic: for each pair), writes the
  composites, computes both penalties, and takes given gradients of all of them back to the logits. Forward, backward
  and both are parts of the same steps. Forward prepares the backward pass, as in use.
- `loop` is plain PyTorch with autograd, one sample of one mask at a time, so that each stays in the caches;
  `vectorised` does all at once; `compiled` is `torch.compile` of that, for these very sizes, with its default mode.
  Compile time is its first call less a later one, without what the compiler sets up once, and in no other number.
- A lower instruction set is forced on sdfido alone; PyTorch uses what the processor has.
- The limit is the time in which memory could carry what must be carried (every input read once, every output written
  once, forward and backward) at the speed at which PyTorch copies a buffer of the composites' size, which takes turns
  with the contestants. Caches are part of that machine.
- Extra memory is the most that is live on the heap during a step, less what was before and less the outputs, counted
  by a library that is loaded in place of `malloc`, in a process of its own; on a GPU by PyTorch's allocator.
- Operators are those that compute, as PyTorch's dispatcher sees them after autograd, without views and allocations;
  a kernel that the compiler has generated counts as one.
- On a GPU times are those between events in the stream of an idle device, launches included.
"""


def page(results: Results) -> str:
    """docs/benchmarks.md."""
    sections = [
        "<!-- Written by python benchmarks/report.py from the results' file. -->\n# Benchmarks",
        f"{_machine(results)}; load of the machine at the start {results['load']}; {results['seconds']} s in all. "
        "`make bench` repeats it on yours.",
        main_table(results),
        "![Times of one step, and how much faster the fused operator is in all cases](benchmarks.png)",
        "## Asked and measured\n\n" + targets_table(results),
        "## All cases\n\nMilliseconds of forward and backward with penalties. Where nothing else is said: one image of "
        "224 × 224 pixels in float32, two masks of as many cells, 8 samples, τ 0.1, 2 threads.\n\n"
        + cases_table(results),
    ]
    for name in ("classifier", "classifier@cuda"):
        if name in results["groups"]:
            group = results["groups"][name]
            sections.append(
                f"## {group['title'][0].upper()}{group['title'][1:]}\n\n2 masks × 8 samples = 16 composites of the "
                "demo's photo; float32 is channels-first, bfloat16 channels-last with the classifier under autocast. "
                "Everything but the masks is the same code.\n\n" + classifier_table(results, name)
            )
    sections += ["## How it is measured\n\n" + _METHOD.rstrip(), "## Medians and quartiles\n\n" + stages_table(results)]
    return "\n\n".join(sections) + "\n"


def write(results: Results, folder: Path, *, check: bool = False) -> tuple[Path, Path]:
    """The page and its chart; with check, nothing is written, and a page that differs ends the program."""
    folder.mkdir(parents=True, exist_ok=True)
    text, picture = folder / "benchmarks.md", folder / "benchmarks.png"
    pages.put(text, page(results), check=check, command="benchmarks/report.py")
    if not check:
        from chart import draw  # takes a second, which --check has no use for

        draw(results, picture)
    return text, picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS, help="the results")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where the page and its chart go")
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    arguments = parser.parse_args()
    write(json.loads(arguments.json.read_text()), arguments.folder, check=arguments.check)


if __name__ == "__main__":
    main()
