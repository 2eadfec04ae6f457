"""Tables of results in Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.common.records import Results

Goal = tuple[str, str, str, bool | None]
"""What is measured, its goal, its value, and whether that reaches the goal (None: there is none)."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """With aligned columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], *rows]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in lines
    )


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of sentences, all to the left and not aligned."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def goals_table(about: str, rows: Sequence[Goal]) -> str:
    """Misses are bold."""
    marks = {True: "yes", False: "**no**", None: ""}
    return table([about, "goal", "measured", "reached"], [[*row[:3], marks[row[3]]] for row in rows])


def with_interval(value: Mapping[str, float], form: str = ".2f") -> str:
    """A mean with its interval, as ``statistics.interval`` gives them."""
    return "{} ({} to {})".format(*(format(value[key], form) for key in ("value", "low", "high")))


def percent(part: float | None, digits: int = 1) -> str:
    """Of a part in 0..1."""
    if part is None:
        return "–"
    return "< 0.1%" if 0 < part < 0.001 else f"{100 * part:.{digits}f}%"


def machine(results: Results) -> str:
    """What a run was measured on, in one line."""
    about = results["machine"]
    parts = [f"{about['cpu']} ({about['cpu_isa']})", about.get("gpu"), f"torch {about['torch']}", about["date"]]
    if "threads" in results:
        parts[0] = f"{results['threads']} thread{'s' if results['threads'] > 1 else ''} of {parts[0]}"
    return ", ".join(part for part in parts if part)


def conditions(results: Results, more: Mapping[str, object] | None = None) -> str:
    """How a run was made: a table of two columns."""
    rows: dict[str, object] = {"measured on": machine(results), **(more or {})}
    if "load" in results:
        rows["load of the machine at the start"] = results["load"]
    if "seconds" in results:
        rows["duration"] = f"{results['seconds'] / 60:.0f} minutes"
    if settings := results.get("settings"):
        used = [f"{name} {value}" for name, value in sorted(settings.items()) if value is not None]
        rows["settings of sdfido"] = ", ".join(used)
    return text_table(["run", ""], [[name, str(value)] for name, value in rows.items()])
