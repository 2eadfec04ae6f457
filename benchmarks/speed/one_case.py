"""Times one case: a FIDO step without the classifier, forward and backward, side by side in one run.

    python -m benchmarks.speed.one_case [--rounds 20] [--threads 2] [--size 224] [--cells 224] [--samples 8]

Prints medians, and ratios to the fused operator. Run it with nothing else running. All cases:
benchmarks/speed/suite.py.
"""

import argparse
import json
import statistics

import torch

from benchmarks.common.measuring import alternate, machine
from benchmarks.speed.cases import Case, copy, implementations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"rounds": 20, "threads": 2, "size": 224, "cells": None, "samples": 8, "images": 1}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--temperature", type=float, default=0.1)
    options = vars(parser.parse_args())
    rounds = options.pop("rounds")
    torch.set_num_threads(options["threads"])
    case = Case("case", "", **options)
    steps = {"copy": copy(case)} | {name: one.step for name, one in implementations(case).items()}
    medians = {
        name: {stage: statistics.median(values) for stage, values in stages.items()}
        for name, stages in alternate(steps, rounds=rounds).items()
    }
    print(json.dumps(machine()), json.dumps(options), sep="\n")
    print(f"{'':12}{'forward':>9}{'backward':>9}{'total, ms':>10}{'of fused':>10}{'of copy':>10}")
    for name, stages in medians.items():
        parts = "".join(f"{stages[stage]:9.2f}" if stage in stages else " " * 9 for stage in ("forward", "backward"))
        ratios = "".join(f"{stages['total'] / medians[to]['total']:9.1f}x" for to in ("fused", "copy"))
        print(f"{name:12}{parts}{stages['total']:10.2f}{ratios}")


if __name__ == "__main__":
    main()
