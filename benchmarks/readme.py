"""Puts measured numbers into the pages: the text between two markers is replaced by what the results' files say.

    python benchmarks/readme.py [--check]

Markers are comments: ``<!-- speed -->...<!-- /speed -->``, ``<!-- demo:FIELD -->...<!-- /demo -->``,
``<!-- photo:NAME_FIELD -->...<!-- /photo -->``, ``<!-- maps:table -->...<!-- /maps -->`` and
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
PHOTOS, BIRDS = ROOT / "benchmarks/results/photos.json", ROOT / "benchmarks/results/quality.json"


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
    return f"{value:.0f} s" if field == "seconds" else percent(value)


def photo(key: str) -> str:
    name, field = key.split("_", 1)
    return percent(json.loads(PHOTOS.read_text())["photos"][name][field])


def percent(part: float) -> str:
    if part < 0.001:
        return "under 0.1 %"
    return f"{100 * part:.{0 if 0.01 <= part < 0.99 else 1}f} %"


def maps(part: str) -> str:
    """What the maps of all methods are worth, on photos and on drawn birds; or one thing about the photos."""
    photos, birds = json.loads(PHOTOS.read_text()), json.loads(BIRDS.read_text())

    def on_photos(method: str, measure: str) -> float:
        values = photos["methods"][method][measure]
        return float(sum(values) / len(values))

    if part == "seconds":
        return f"{on_photos('joint', 'seconds'):.0f} s"
    if part == "seeds":
        return ", ".join(f"{on_photos(name, 'stability'):.2f} ({name.upper()})" for name in ("ssr", "sdr")) + (
            f" and {on_photos('joint', 'stability'):.2f} (joint)"
        )
    if part == "count":
        return str(len(photos["photos"]))
    rows = []
    for label, method, bird in (
        ("**sdfido, SSR**", "ssr", "fido ssr"),
        ("**sdfido, SDR**", "sdr", "fido sdr"),
        ("**sdfido, joint**", "joint", "fido joint"),
        ("Integrated Gradients", "integrated gradients", "integrated gradients map"),
        ("Occlusion", "occlusion", "occlusion map"),
        ("Grad-CAM", "grad-cam", "grad-cam map"),
    ):
        measures = ("kept_30", "left_20", "insertion", "deletion")
        found = [f"{on_photos(method, measure):.2f}" for measure in measures]
        found += [f"{birds['maps'][bird][measure]['mean']:.2f}" for measure in ("iou", "pointing")]
        rows.append([label, *found])
    header = ["", "30 % kept ↑", "20 % infilled ↓", "insertion ↑", "deletion ↓", "birds: IoU ↑", "pointing ↑"]
    return f"\n{report.table(header, rows)}\n"


def filled(text: str) -> str:
    text = re.sub(r"(<!-- speed -->).*?(<!-- /speed -->)", lambda m: m[1] + speed() + m[2], text, flags=re.DOTALL)
    for name, filling in (("demo", demo), ("photo", photo), ("swap", swap), ("maps", maps)):
        text = pages.marked(text, name, filling)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only fail if a page would change")
    check = parser.parse_args().check
    for page in PAGES:
        pages.put(ROOT / page, filled((ROOT / page).read_text()), check=check, command="benchmarks/readme.py")


if __name__ == "__main__":
    main()
