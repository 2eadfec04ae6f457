"""Times the swaps of docs/swap-in.md, before and after, side by side in one run: the very code of that page.

    python benchmarks/swap_in.py [--json FILE] [--rounds 20] [--threads 2] [--size 224] [--samples 8]

Prints medians. Rounds alternate between before and after, so that both see the same machine. Run it with nothing else
running; then ``python benchmarks/readme.py`` puts the results into the page.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import machine, measure
from torch import Tensor, nn
from torch.nn import functional as F

import sdfido
from sdfido import models

PAGE = Path(__file__).resolve().parent.parent / "docs/swap-in.md"
# What the code of a swap computes, and is differentiated in the logits; none: the code is the whole of it.
OUTPUTS = {"sampling": ["masks"], "blending": ["composites"], "penalties": ["composites", "l1", "tv"], "class": []}
SIDES = ("before", "after")


class Scored:
    """A network as existing FIDO code wants it: ``predict`` and ``log_odds``."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    def predict(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)

    def log_odds(self, x: Tensor, c: int) -> tuple[Tensor, Tensor]:
        (logits,) = self.predict(x)
        return logits.softmax(1)[:, c], sdfido.objectives.log_odds(logits, torch.full((len(x),), c))


def code() -> dict[tuple[str, str], str]:
    """The page's blocks of code by (swap, side): those below a comment such as ``<!-- sampling:before -->``."""
    blocks = re.findall(r"<!-- (\w+):(before|after) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {(swap, side): block for swap, side, block in blocks}


def linear_classifier(size: int) -> Scored:
    """Two classes, told apart at next to no cost."""
    torch.manual_seed(0)
    return Scored(nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 2)))


def setting(size: int, samples: int, cells: int, clf: Scored, iterations: int) -> dict[str, Any]:
    """The names that the page's code uses."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, size, size, generator=generator)
    return {
        "logits": torch.randn(1, 2, cells, cells, generator=generator).requires_grad_(),
        "image": image,
        "infill": sdfido.infill.Blur()(image),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results there")
    for name, default in (("rounds", 20), ("threads", 2), ("size", 224), ("samples", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size, samples, rounds = arguments.size, arguments.samples, arguments.rounds
    linear, network = linear_classifier(size), Scored(models.load(models.DEMO).model)
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
        swap = case.partition("_")[0]
        functions = {}
        for side in SIDES:
            names = setting(size, samples, cells, clf, iterations)
            functions[side] = runner(blocks[swap, side], names, OUTPUTS[swap])
        medians = measure(functions, count)
        results["milliseconds"][case] = medians
        print(f"{case:16}{medians['before']:12.2f}{medians['after']:12.2f}{medians['before'] / medians['after']:7.1f}x")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
