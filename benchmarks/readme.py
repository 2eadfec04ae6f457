"""Puts measured numbers into README.md: the text between two markers is replaced by what the results' files say.

    python benchmarks/readme.py [--check]

Markers are comments: ``<!-- speed -->...<!-- /speed -->`` and ``<!-- demo:FIELD -->...<!-- /demo -->``.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEED, DEMO = ROOT / "benchmarks/results/fused_step.json", ROOT / "docs/demo/summary.json"


def speed() -> str:
    results = json.loads(SPEED.read_text())
    case, machine, times = results["case"], results["machine"], results["milliseconds"]
    names = {
        "fused": "**sdfido, fused**",
        "compiled": "`torch.compile` of vectorised PyTorch",
        "vectorised": "vectorised PyTorch",
        "loop": "PyTorch, one sample at a time",
    }
    rows = [f"| {label} | {times[n]:.1f} | {times[n] / times['fused']:.1f} × |" for n, label in names.items()]
    what = f"{case['size']} × {case['size']}, 2 masks × {case['samples']} samples"
    return "\n".join(
        [
            "",
            f"| forward + backward with penalties, {what} | ms | of fused |",
            "|---|---:|---:|",
            *rows,
            "",
            f"Medians of one run on {case['threads']} threads of {machine['cpu']} ({machine['cpu_isa']}), "
            f"torch {machine['torch']}, {machine['date']}: `make bench` repeats it.",
            "",
        ]
    )


def demo(field: str) -> str:
    value = json.loads(DEMO.read_text())[field]
    if field == "seconds":
        return f"{value:.0f} s"
    return "under 0.1 %" if value < 0.001 else f"{100 * value:.0f} %"


def filled(text: str) -> str:
    text = re.sub(r"(<!-- speed -->).*?(<!-- /speed -->)", lambda m: m[1] + speed() + m[2], text, flags=re.DOTALL)
    return re.sub(
        r"(<!-- demo:(\w+) -->).*?(<!-- /demo -->)", lambda m: m[1] + demo(m[2]) + m[3], text, flags=re.DOTALL
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only fail if README.md would change")
    path = ROOT / "README.md"
    before = path.read_text()
    after = filled(before)
    if parser.parse_args().check:
        sys.exit("README.md is out of date: run python benchmarks/readme.py" if after != before else 0)
    path.write_text(after)


if __name__ == "__main__":
    main()
