"""Records what `sdfido audit` prints for one classifier with a planted timestamp: the example of docs/guides/audit.md.

    python -m benchmarks.studies.audit.example

writes benchmarks/results/audit_example.json; ``python -m benchmarks.pages`` puts it into the page.
"""

from __future__ import annotations

import json
import tempfile
import textwrap
from pathlib import Path

import torch
from typer.testing import CliRunner

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.studies.audit.__main__ import audited
from benchmarks.studies.audit.scenes import Draw
from sdfido import cli
from sdfido.files import replacing

FILE = paths.RESULTS / "audit_example.json"
SEED = 100  # one of those that the limits were chosen on


def blocks(results: Results) -> markers.Blocks:
    """The table of classes, and the first flag, in the width of a page."""
    lines = results["output"].splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("└"))
    first = next(n for n, line in enumerate(lines) if line.startswith("Flag 1"))
    reason = textwrap.fill(lines[first + 1].strip(), 110, initial_indent="  ", subsequent_indent="  ")
    return {"example": "\n".join(["```text", *lines[: end + 1], lines[first], reason, "```"])}


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        audited(Draw("timestamp", SEED), out)
        arguments = ["audit", str(out / "results"), "--truth", str(out / "truth.json")]
        result = CliRunner().invoke(cli.make_app(), arguments, catch_exceptions=False)
        output = result.stdout.replace(f"{folder}/", "")
    text = json.dumps({"seed": SEED, "output": output}, indent=1, ensure_ascii=False)  # with the spaces of the table
    with replacing(FILE) as part:
        part.write_text(text + "\n", encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()
