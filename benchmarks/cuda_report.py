"""What the compiler and the emulator say of the CUDA kernels, and the times that would follow on two GPUs.

    python benchmarks/cuda_report.py [--check]

Compiles all kernels as setup.py does, runs some of them in the emulator, writes benchmarks/results/cuda_kernels.json,
and puts its numbers between the markers of docs/cuda.md: ``<!-- cuda:NAME -->...<!-- /cuda -->``. Needs nvcc and the
packages of the tests. With --check nothing is compiled or written; it fails if the page does not say what the file
says. No GPU takes part: times are computed, not measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import shutil
import sys
import tempfile
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pages
from report import dump, table

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/cuda.md", ROOT / "benchmarks/results/cuda_kernels.json"

Results = dict[str, Any]

# The stated case: 224 x 224 pixels, three float32 channels, 2 masks of 8 samples.
SIZE, CHANNELS, MASKS, SAMPLES = 224, 3, 2, 8
LOW = 28  # rows and columns of cells below full resolution
BATCHES = (1, 8)
STORED = {"float32": "float", "bfloat16": "BFloat16", "float16": "Float16", "float64": "double"}


class Gpu(NamedTuple):
    name: str
    arch: str
    multiprocessors: int
    hertz: float
    bytes_per_second: float
    lanes: dict[str, int]  # thread instructions that a multiprocessor takes in a clock: of any kind, and of two kinds


GPUS = (
    Gpu("A100", "80", 108, 1.410e9, 2.039e12, {"all": 128, "multiply": 64, "logic": 64}),
    Gpu("H100", "90", 132, 1.755e9, 3.35e12, {"all": 128, "multiply": 128, "logic": 64}),
)
ARCHS = {"75": ("80", "90"), "100": ("100",)}  # by the PTX that their code comes from, as in setup.py

# Instructions by the pipe that runs them: products and sums; comparisons, selections, integers and bits.
MULTIPLY = {"FADD", "FFMA", "FMUL", "IDP", "IMAD"}
LOGIC = {"CSEL", "FMNMX", "FSEL", "FSETP", "I2FP", "IABS", "IADD", "IADD3", "IMNMX", "ISETP", "LEA", "LOP3", "MOV"}
LOGIC |= {"PLOP3", "PRMT", "R2P", "SEL", "SGXT", "SHF", "VIADD", "VIADDMNMX", "VIMNMX", "VOTE"}

# ---- What is measured


def constant(name: str) -> int:
    """Of csrc/cuda/plan.h."""
    return int(re.search(rf"\b{name} = (\d+)", (ROOT / "csrc/cuda/plan.h").read_text())[1])


def tile_size() -> tuple[int, int]:
    return constant("kTileHeight"), constant("kTileWidth")


def tiles() -> int:
    """Of one image."""
    return math.prod(-(-SIZE // side) for side in tile_size())


def window_cells() -> int:
    """The most cells that the pixels of one tile read, below full resolution."""

    def cells(side: int) -> int:
        first = [max(0, math.floor(Fraction(2 * i + 1, 2) * LOW / SIZE - Fraction(1, 2))) for i in range(SIZE)]
        begins = range(0, SIZE, side)
        return max(min(first[min(b + side, SIZE) - 1] + 2, LOW) - first[b] for b in begins)

    return math.prod(map(cells, tile_size()))


def source() -> str:
    """A file that needs every kernel."""
    plans = {"forward": "CompositePlan<CompositeForward>", "backward": "CompositePlan<CompositeBackward>"}
    lines = ['#include "cuda/select.h"', "namespace sdfido::cuda {"]
    for stored, resolution, way in itertools.product(STORED.values(), ("full", "low"), plans):
        for image in ("",) if way == "forward" else (", false", ", true"):
            kernel = f"{way}_{resolution}_kernel<{'double' if stored == 'double' else 'float'}, {stored}{image}>"
            lines.append(f"template __global__ void {kernel}(const __grid_constant__ {plans[way]});")
    for t, way in itertools.product(("float", "double"), ("Forward", "Backward")):
        name, arguments = way.lower(), ", const Exponent" if way == "Forward" else ""
        lines.append(f"template __global__ void masks_{name}_kernel<{t}>(const __grid_constant__ Mask{way}Plan);")
        lines.append(f"template __global__ void concrete_{name}_kernel<{t}>(const Concrete{way}{arguments});")
    return "\n".join([*lines, "}"])


class Cost(NamedTuple):
    """Instructions of a thread: all, and those of the two busiest pipes."""

    all: float
    multiply: float
    logic: float

    def __add__(self, other: Any) -> Cost:
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def __rmul__(self, factor: Any) -> Cost:
        return Cost(*(factor * a for a in self))

    def __sub__(self, other: Any) -> Cost:
        return self + -1 * Cost(*other)


def cost(instructions: Counter[str]) -> Cost:
    pipes = Counter[str]()
    for text, count in instructions.items():
        name = text.split()[0].partition(".")[0]
        wide = 2 if text.startswith("IMAD.WIDE") else 1  # products of 64 bits, maybe at half the rate
        pipes["multiply"] += wide * count * (name in MULTIPLY)
        pipes["logic"] += count * (name in LOGIC)
    return Cost(instructions.total(), pipes["multiply"], pipes["logic"])


def instructions(code: list[Any], backward: bool, low: bool, stored: str) -> dict[str, Cost]:
    """For each pixel of a tile: of a mask sample, of what is done once a mask, and once for the image.

    These are the cheapest ways that an aligned problem of three channels can take through the kernel's loops; what is
    outside of all loops is left out.
    """
    from machine_code import cheapest_pass, innermost_loop

    reciprocal, draws = r"^MUFU\.RCP", r"^LOP3\.LUT .* 0x96"
    moves = rf"^{'LDG' if backward else 'STG'}\.E\.{'64' if stored == 'BFloat16' else '128'}"
    beside = ("^FMUL",) if backward else ()  # not in the loop that loads images
    drawing, moving = {draws: 18, reciprocal: 8}, {moves: CHANNELS}

    def once(needs: dict[str, int], *inside: str) -> Cost:
        try:
            return cost(cheapest_pass(code, innermost_loop(code, *inside), needs))
        except (ValueError, AssertionError) as error:
            raise LookupError(f"the kernels' loops have changed: none with {inside} and a way over {needs}") from error

    cell, sample = once(drawing, draws), once(moving, moves, *beside)  # four samples of a cell; four pixels of a sample
    four_samples = once(drawing | moving, draws, moves, *beside)  # with one pass through each of both
    prepared = once({"^FMUL": 8}, "^STS", "^FMUL")  # the exponential of a cell
    loaded = once({r"^LDG\.E\.128": 1}, r"^LDG\.E\.128", r"^STS\.128")  # four values of a channel
    mask_loop = draws, moves, "^STG" if backward else "^SHFL"
    needs = drawing | moving
    if not low:  # with all penalties: each rate has a reciprocal
        _, _, body = innermost_loop(code, *mask_loop)
        needs |= {reciprocal: sum(bool(re.search(reciprocal, code[at].text)) for at in body)}
    mask = once(needs, *mask_loop) - four_samples
    if not low and not backward:
        mask += 3 * once({reciprocal: 2}, r"^F2F\.F64", reciprocal)  # rates of the thread's other cells

    # All warps of a block, for each 32 pixels. A warp takes 32 cells at once: of as many as pixels, or under the tile.
    shares = math.prod(tile_size()) // 32
    warps, cells = shares // 4, -(-window_cells() // 32) if low else shares
    group = warps * (four_samples - cell - sample) + cells * cell + shares * sample
    return {
        "sample": 1 / (4 * shares) * group,
        "mask": 1 / shares * (warps * mask + cells * prepared),
        "image": 1 / shares * (warps * 2 * CHANNELS * loaded),
    }


def compiled(folder: Path) -> tuple[dict[str, Results], dict[str, Results]]:
    """What ptxas reports of each kernel, and the instructions of some, by name and architecture."""
    from cuda_build import kernels, run
    from machine_code import disassemble, instructions_per_sample

    (folder / "kernels.cu").write_text(source())
    reports: dict[str, Results] = {}
    counts: dict[str, Results] = {}
    for ptx, archs in ARCHS.items():
        binary = folder / f"{ptx}.fatbin"
        code = f"-gencode=arch=compute_{ptx},code=[{','.join(f'sm_{arch}' for arch in archs)}]"
        flags = ("-std=c++17", "-O3", "--fmad=false", "-Xptxas=-v", f"-I{ROOT / 'csrc'}", code)
        for k in kernels(run("nvcc", *flags, "-fatbin", folder / "kernels.cu", "-o", binary)):
            reports.setdefault(k.name, {})[k.arch] = {
                "registers": k.registers,
                "shared": k.shared,
                "local": max(k.stack, k.spills),
                "occupancy": k.occupancy,
            }
            parts = re.fullmatch(r"(forward|backward)_(full|low)_kernel<float, (float|BFloat16)(, false)?>", k.name)
            # Below full resolution the way back has loops whose length depends on the place.
            if not parts or k.arch not in {gpu.arch for gpu in GPUS} or parts.group(1, 2) == ("backward", "low"):
                continue
            listing = disassemble(binary, k.arch, k.symbol)
            found = instructions(listing, parts[1] == "backward", parts[2] == "low", parts[3])
            if k.name == "forward_full_kernel<float, float>":
                assert math.isclose(found["sample"].all, instructions_per_sample(listing))
            counts.setdefault(k.name, {})[k.arch] = {
                what: {pipe: round(value, 2) for pipe, value in each._asdict().items()} for what, each in found.items()
            }
    return reports, counts


def traffic() -> list[Results]:
    """Bytes that the kernels' threads load and store for one image, as the emulator counts them."""
    import torch
    from emulated import build_module
    from emulated_cases import EmulatedCase

    kernels = build_module("emulated_kernels")

    def size(tensors: Any) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    found = []
    for cells, stored in itertools.product((None, LOW), ("float32", "bfloat16")):
        for way in ("forward", "backward", "backward, image too"):
            counted = []
            for n in (1, 2):
                case = EmulatedCase(
                    *(n, MASKS, SAMPLES, CHANNELS, (SIZE, SIZE), cells and (cells, cells)),
                    out_dtype=getattr(torch, stored),
                    wanted=("image", "infill") if "image" in way else (),
                )
                outputs = case.forward(kernels) if way == "forward" else case.backward(kernels)
                counters = kernels.counters()
                given = [*case.tensors.values(), *(case.weights.values() if way != "forward" else ())]
                counted.append(
                    {
                        "loads": counters["loads"]["bytes"],
                        "stores": counters["stores"]["bytes"],
                        "minimum": size(given) + size(outputs.values()),
                    }
                )
            assert all(2 * counted[0][key] == counted[1][key] for key in counted[0]), "a block works for one image"
            found.append({"pass": way, "cells": cells or SIZE, "composites": stored, **counted[0]})
    return found


def measure() -> Results:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/emulator")]
    if shutil.which("nvcc") is None:
        sys.exit("there is no nvcc on the PATH")
    import mutants
    from cuda_build import run
    from emulated import ORDERS

    with tempfile.TemporaryDirectory() as folder:
        kernels, counts = compiled(Path(folder))
    return {
        "toolkit": re.search(r"V([\d.]+)", run("nvcc", "--version"))[1],
        "date": date.today().isoformat(),
        "tile": dict(zip(("height", "width"), tile_size(), strict=True)),
        "tiles": tiles(),
        "window_cells": window_cells(),
        "mutants": len(mutants.MUTANTS) - 1 + len(mutants.dropped_barriers()),
        "orders": len(ORDERS),
        "kernels": kernels,
        "instructions": counts,
        "bytes": traffic(),
    }


# ---- What is told


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def distinct(values: Any) -> str:
    """Values by storage format, as one where they are the same."""
    texts = list(values)
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)


def name_of(way: str, low: bool, stored: str) -> str:
    image = {"forward": "", "backward": ", false", "backward, image too": ", true"}[way]
    return f"{way.partition(',')[0]}_{'low' if low else 'full'}_kernel<float, {STORED[stored]}{image}>"


def kernel_table(results: Results) -> str:
    rows = []

    def row(label: str, names: list[str]) -> None:
        values = [results["kernels"][name] for name in names]
        row = [label]
        for key, form in (("registers", str), ("occupancy", percent)):
            row += [distinct(form(value[gpu.arch][key]) for value in values) for gpu in GPUS]
        row += [distinct(f"{max(v[gpu.arch][key] for gpu in GPUS):,}" for v in values) for key in ("shared", "local")]
        rows.append(row)

    labels = {
        "forward": "forward",
        "backward": "backward, logits alone",
        "backward, image too": "backward, image and infill too",
    }
    for low, (way, label) in itertools.product((False, True), labels.items()):
        names = [name_of(way, low, stored) for stored in ("float32", "bfloat16", "float16")]
        row(f"{label}{', low resolution' if low else ''}", names)
    for name, label in (("masks", "masks"), ("concrete", "elementwise")):
        for way in ("forward", "backward"):
            row(f"{label}, {way}", [f"{name}_{way}_kernel<float>"])
    header = ["float32 / bfloat16 / float16"]
    header += [f"{what}, sm_{gpu.arch}" for what in ("registers", "occupancy") for gpu in GPUS]
    return table([*header, "shared, bytes", "local, bytes"], rows)


def byte_table(results: Results) -> str:
    rows = []
    for case in results["bytes"]:
        moved = case["loads"] + case["stores"]
        label = f"{case['pass']}, {case['cells']} × {case['cells']} cells, {case['composites']}"
        numbers = [f"{value / 1e6:.3f}" for value in (case["loads"], case["stores"], moved, case["minimum"])]
        rows.append([label, *numbers, f"{100 * (moved / case['minimum'] - 1):.1f} %"])
    return table(["MB for one image", "loaded", "stored", "both", "least", "over"], rows)


def counted_kernels(results: Results) -> list[tuple[str, bool, str]]:
    """Pass, resolution and format of those whose instructions are counted."""
    cases = itertools.product((False, True), ("forward", "backward"), ("float32", "bfloat16"))
    return [(way, low, stored) for low, way, stored in cases if name_of(way, low, stored) in results["instructions"]]


def per_pixel(results: Results, name: str, arch: str) -> dict[str, float]:
    """Instructions of all masks and samples, by pipe."""
    parts = results["instructions"][name][arch]
    times = {"sample": MASKS * SAMPLES, "mask": MASKS, "image": 1}
    return {pipe: sum(times[part] * parts[part][pipe] for part in times) for pipe in Cost._fields}


def affordable(gpu: Gpu, size: int) -> float:
    """Instructions for which there is time while memory takes a pixel of a sample, three channels of `size` bytes."""
    return CHANNELS * size / gpu.bytes_per_second * gpu.multiprocessors * gpu.lanes["all"] * gpu.hertz


def instruction_table(results: Results) -> str:
    rows = []
    for (way, low, stored), gpu in itertools.product(counted_kernels(results), GPUS):
        name = name_of(way, low, stored)
        parts = results["instructions"][name][gpu.arch]
        row = [f"{way}{', low resolution' if low else ''}, {stored}, sm_{gpu.arch}"]
        row += [f"{parts[part]['all']:.0f}" for part in ("sample", "mask", "image")]
        row.append(f"{per_pixel(results, name, gpu.arch)['all'] / (MASKS * SAMPLES):.0f}")
        rows.append([*row, f"{affordable(gpu, 4 if stored == 'float32' else 2):.0f}"])
    header = [
        "instructions a pixel",
        "for each sample",
        "for each mask",
        "for the image",
        "in all, by sample",
        "affordable",
    ]
    return table(header, rows)


def microseconds(results: Results, gpu: Gpu, case: Results, n: int) -> tuple[float, float | None]:
    """Of memory, and of the instructions of the multiprocessor that has the most tiles."""
    memory = n * (case["loads"] + case["stores"]) / gpu.bytes_per_second
    name = name_of(case["pass"], case["cells"] != SIZE, case["composites"])
    if name not in results["instructions"]:
        return 1e6 * memory, None
    counts = per_pixel(results, name, gpu.arch)
    clocks = max(counts[pipe] / lanes for pipe, lanes in gpu.lanes.items())
    most = -(-n * results["tiles"] // gpu.multiprocessors)
    return 1e6 * memory, 1e6 * most * math.prod(results["tile"].values()) * clocks / gpu.hertz


def time_table(results: Results) -> str:
    rows = []
    for case in results["bytes"]:
        if "image" in case["pass"]:
            continue
        row = [f"{case['pass']}, {case['cells']} × {case['cells']} cells, {case['composites']}"]
        for gpu, n in itertools.product(GPUS, BATCHES):
            memory, work = microseconds(results, gpu, case, n)
            row.append(f"{memory:.1f} / {f'{work:.1f}' if work else '–'}")
        rows.append(row)
    return table(["µs: memory / instructions", *(f"{gpu.name}, N = {n}" for gpu in GPUS for n in BATCHES)], rows)


def texts(results: Results) -> dict[str, str]:
    """What stands between the markers of each name."""
    kernels = results["kernels"]
    each = [(name, arch, report) for name, of in kernels.items() for arch, report in of.items()]
    spilling = [f"`{n}` on sm_{a} ({r['local']} bytes)" for n, a, r in each if r["local"] and "double" not in n]
    reach = " × ".join(str(min(2 * SIZE // LOW, side)) for side in results["tile"].values())
    double = [of[gpu.arch] for name, of in kernels.items() if "double, double" in name for gpu in GPUS]
    newest = [kernels[name_of("backward, image too", low, "float32")]["100"] for low in (False, True)]
    forward = "forward_full_kernel<float, float>"
    found = {
        "tile": f"{results['tile']['width']} × {results['tile']['height']}",
        "tiles": str(results["tiles"]),
        "window": str(results["window_cells"]),
        "mutants": str(results["mutants"]),
        "orders": str(results["orders"]),
        "toolkit": f"CUDA {results['toolkit']}, {results['date']}",
        "double": f"{min(d['registers'] for d in double)} to {max(d['registers'] for d in double)} registers, "
        f"{percent(min(d['occupancy'] for d in double))} to {percent(max(d['occupancy'] for d in double))}",
        "newest": f"{max(k['registers'] for k in newest)} registers, {percent(min(k['occupancy'] for k in newest))}",
        "spilling": " and ".join(spilling) or "none",
        "reach": reach,
    }
    for gpu in GPUS:
        found[f"sample{gpu.arch}"] = f"{results['instructions'][forward][gpu.arch]['sample']['all']:.0f}"
        found[f"all{gpu.arch}"] = f"{per_pixel(results, forward, gpu.arch)['all'] / (MASKS * SAMPLES):.0f}"
        found[f"affordable{gpu.arch}"] = f"{affordable(gpu, 4):.0f}"
    tables = {
        "kernels": kernel_table(results),
        "bytes": byte_table(results),
        "instructions": instruction_table(results),
        "times": time_table(results),
    }
    return found | {name: f"\n{text}\n" for name, text in tables.items()}


def filled(page: str, results: Results) -> str:
    known = texts(results)

    def text(key: str) -> str:
        if key not in known:
            raise SystemExit(f"{PAGE.name} asks for cuda:{key}, must be one of {', '.join(known)}")
        return known[key]

    return pages.marked(page, "cuda", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    check = parser.parse_args().check
    if not check:
        RESULTS.write_text(dump(measure()))
    text = filled(PAGE.read_text(), json.loads(RESULTS.read_text()))
    pages.put(PAGE, text, check=check, command="benchmarks/cuda_report.py")


if __name__ == "__main__":
    main()
