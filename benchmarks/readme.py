"""Puts measured numbers into the pages: the text between two markers is replaced by what the results' files say.

    python benchmarks/readme.py [--check]

Markers are comments: ``<!-- speed -->...<!-- /speed -->``, ``<!-- demo:FIELD -->...<!-- /demo -->`` and
``<!-- swap:CASE -->...<!-- /swap -->``.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pages
import report

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/swap-in.md")
DEMO, SWAPS = ROOT / "docs/demo/summary.json", ROOT / "benchmarks/results/swap_in.json"


def speed() -> str:
    return report.readme_block(json.loads(report.RESULTS.read_text()))


def conditions(case: dict[str, Any], machine: dict[str, Any]) -> str:
    return (
        f"Medians of one run on {case['threads']} threads of {machine['cpu']} ({machine['cpu_isa']}), "
        f"torch {machine['torch']}, {machine['date']}"
    )


def swap(name: str) -> str:
    results = json.loads(SWAPS.read_text())
    case, times = results["case"], results["milliseconds"]
    if name == "machine":
        size = f"{case['size']} × {case['size']} pixels, {case['samples']} samples a mask"
        return f"{conditions(case, results['machine'])}. {size}, one image."
    before, after = times[name]["before"], times[name]["after"]
    digits = 1 if before < 100 else 0
    return f"{before:.{digits}f} ms before, {after:.{digits}f} ms after: **{before / after:.1f} times as fast**."


def demo(field: str) -> str:
    value = json.loads(DEMO.read_text())[field]
    if field == "seconds":
        return f"{value:.0f} s"
    return "under 0.1 %" if value < 0.001 else f"{100 * value:.0f} %"


def filled(text: str) -> str:
    text = re.sub(r"(<!-- speed -->).*?(<!-- /speed -->)", lambda m: m[1] + speed() + m[2], text, flags=re.DOTALL)
    return pages.marked(pages.marked(text, "demo", demo), "swap", swap)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only fail if a page would change")
    check = parser.parse_args().check
    for page in PAGES:
        pages.put(ROOT / page, filled((ROOT / page).read_text()), check=check, command="benchmarks/readme.py")


if __name__ == "__main__":
    main()
