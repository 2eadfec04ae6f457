"""Times the code of docs/guides/migration.md, before and after each change, side by side in one run.

    python -m benchmarks.speed.migration [--json FILE] [--rounds 20] [--threads 2] [--size 224] [--samples 8]

Takes the blocks of code from that page, runs them and prints medians. Rounds alternate between before and after, so
that both see the same machine. Run it with nothing else running. To record a run, let it write
benchmarks/results/migration.json and run ``python -m benchmarks.pages``.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import sdfido
from benchmarks.common import markers, paths, records
from benchmarks.common.existing import ScoredClassifier
from benchmarks.common.measuring import machine, measure
from benchmarks.common.report import machine as machine_line
from benchmarks.common.report import table
from sdfido import models
from sdfido.infills import Blur

PAGE = paths.DOCS / "guides/migration.md"
# What the code of a change computes, which is differentiated in the logits; none: the code has its own backward pass.
OUTPUTS = {"sampling": ["masks"], "blending": ["composites"], "penalties": ["composites", "l1", "tv"], "class": []}
SIDES = ("before", "after")


def code() -> dict[tuple[str, str], str]:
    """The page's blocks of code by (change, side): those below a comment such as ``<!-- sampling:before -->``."""
    blocks = re.findall(r"<!-- (\w+):(before|after) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {(change, side): block for change, side, block in blocks}


def linear_classifier(size: int) -> ScoredClassifier:
    """Two classes, told apart at next to no cost."""
    torch.manual_seed(0)
    return scored(nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 2)))


def scored(network: nn.Module) -> ScoredClassifier:
    return ScoredClassifier(network.eval().requires_grad_(False))


def setting(size: int, samples: int, cells: int, clf: Any, iterations: int) -> dict[str, Any]:
    """The names that the page's code uses."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, size, size, generator=generator)
    return {
        "logits": torch.randn(1, 2, cells, cells, generator=generator).requires_grad_(),
        "image": image,
        "infill": Blur()(image),
        "num_samples": samples,
        "temperature": 0.1,
        "im": image[0],
        "y": 1,
        "clf": clf,
        "iterations": iterations,
        "torch": torch,
        "F": F,
        "sdfido": sdfido,
    }


def runner(block: str, names: dict[str, Any], outputs: list[str]) -> Callable[[], object]:
    """Runs a block of code, and its backward pass for given gradients."""
    compiled = compile(block, PAGE.name, "exec")
    exec(compiled, names)
    gradients = [torch.randn_like(names[output]) for output in outputs]

    def run() -> object:
        exec(compiled, names)
        return torch.autograd.grad([names[o] for o in outputs], names["logits"], gradients) if outputs else None

    return run


CASES = {
    "sampling": "sampling",
    "blending": "sampling, upsampling and blending",
    "penalties": "penalties",
    "class": "the whole class, 20 iterations, a linear classifier",
    "class_network": "the whole class, 1 iteration, EfficientNet-Lite0",
}


def times_table(results: records.Results) -> str:
    rows = []
    for case, label in CASES.items():
        before, after = (results["milliseconds"][case][side] for side in SIDES)
        cells = [f"{value:.{1 if before < 100 else 0}f}" for value in (before, after)]
        rows.append([label, *cells, f"**{before / after:.1f}×**"])
    return table(["change", "before, ms", "after, ms", "as fast"], rows)


def blocks(results: records.Results) -> markers.Blocks:
    """Of docs/guides/migration.md."""
    case = results["case"]
    size = f"One image of {case['size']} × {case['size']} pixels, {case['samples']} samples of each mask"
    line = f"{size}; medians of one run. {machine_line({**results, 'threads': case['threads']})}."
    return {"times": f"{times_table(results)}\n\n{line}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results there")
    for name, default in (("rounds", 20), ("threads", 2), ("size", 224), ("samples", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size, samples, rounds = arguments.size, arguments.samples, arguments.rounds
    linear, network = linear_classifier(size), scored(models.load(models.DEMO).model)
    cases = {  # cells, classifier, iterations, rounds
        "sampling": (size, linear, 0, rounds),
        "blending": (size // 4, linear, 0, rounds),
        "penalties": (size, linear, 0, rounds),
        "class": (size, linear, 20, rounds),
        "class_network": (size, network, 1, max(1, rounds // 5)),
    }
    results: dict[str, Any] = {
        "case": {name: value for name, value in vars(arguments).items() if name != "json"},
        "machine": machine(),
        "milliseconds": {},
    }
    print(json.dumps(results["machine"]), json.dumps(results["case"]), sep="\n")
    print(f"{'':16}{'before, ms':>12}{'after, ms':>12}{'gain':>8}")
    blocks = code()
    for case, (cells, clf, iterations, count) in cases.items():
        change = case.partition("_")[0]
        functions = {}
        for side in SIDES:
            names = setting(size, samples, cells, clf, iterations)
            functions[side] = runner(blocks[change, side], names, OUTPUTS[change])
        medians = measure(functions, count)
        results["milliseconds"][case] = medians
        print(f"{case:16}{medians['before']:12.2f}{medians['after']:12.2f}{medians['before'] / medians['after']:7.1f}x")
    if arguments.json:
        records.write(arguments.json, results)


if __name__ == "__main__":
    main()
