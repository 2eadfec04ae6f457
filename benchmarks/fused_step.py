"""Times one FIDO step without the classifier, forward and backward, side by side in one run.

    python benchmarks/fused_step.py [--json FILE] [--rounds 20] [--threads 2] [--size 224] [--cells 224] [--samples 8]

Prints medians, and ratios to the fused operator. Rounds alternate between the implementations, so that all of them see
the same machine. Run it with nothing else running.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import rivals
import torch
from torch import Tensor

import sdfido


def machine() -> dict[str, Any]:
    """What the timings depend on."""
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    build = {k: v for k, v in sdfido.build_info().items() if k in ("version", "cpu_isa", "torch")}
    return {"cpu": cpu, "python": platform.python_version(), "date": date.today().isoformat(), **build}


def implementations(size: int, cells: int, samples: int, temperature: float) -> dict[str, Callable[[], object]]:
    """Each runs one forward and backward pass for the same given gradients."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, cells, cells, generator=generator).requires_grad_()
    image, infill = (torch.rand(1, 3, size, size, generator=generator) for _ in range(2))
    gradient = torch.randn(2 * samples, 1, 3, size, size, generator=generator)
    penalty = torch.full((1, 2), 0.5)
    buffer, rng = torch.empty_like(gradient), sdfido.make_rng(0)

    def rival(function: Callable[..., tuple[list[Tensor], Tensor, Tensor]]) -> Callable[[], object]:
        def step() -> object:
            composites, sparsity, smoothness = function(logits, image, infill, samples, temperature)
            shaped = gradient.view(len(composites), -1, 3, size, size).unbind()
            return torch.autograd.grad([*composites, sparsity, smoothness], logits, [*shaped, penalty, penalty])

        return step

    def fused() -> object:
        outputs = sdfido.sample_composites(logits, image, infill, rng, num_samples=samples, temperature=temperature)
        return torch.autograd.grad(outputs, logits, [gradient.view(outputs.composites.shape), penalty, penalty])

    return {
        "fill": lambda: buffer.fill_(1.0),
        "loop": rival(rivals.loop),
        "vectorised": rival(rivals.vectorised),
        "compiled": rival(torch.compile(rivals.vectorised)),
        "fused": fused,
    }


def measure(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each."""
    for function in functions.values():
        for _ in range(5):
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            function()  # the one before it has emptied the caches
            for _ in range(4):
                start = time.perf_counter()
                function()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results there")
    for name, default in (("rounds", 20), ("threads", 2), ("size", 224), ("cells", 224), ("samples", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--temperature", type=float, default=0.1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    medians = measure(
        implementations(arguments.size, arguments.cells, arguments.samples, arguments.temperature), arguments.rounds
    )
    case = {name: value for name, value in vars(arguments).items() if name != "json"}
    results = {"case": case, "machine": machine(), "milliseconds": medians}
    print(json.dumps(results["machine"]), json.dumps(case), sep="\n")
    print(f"{'':12}{'ms':>8}{'of fused':>10}{'of fill':>10}")
    for name, value in medians.items():
        print(f"{name:12}{value:8.2f}{value / medians['fused']:9.1f}x{value / medians['fill']:9.1f}x")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
