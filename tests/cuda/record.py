"""Records what the compiler and the emulator say of the CUDA kernels.

    python -m tests.cuda.record

Compiles all kernels as setup.py does, runs some of them in the emulator, and writes
benchmarks/results/cuda_kernels.json, from which ``python -m benchmarks.pages`` makes the tables of docs/cuda.md. Needs
nvcc and the packages of the tests.
"""

from __future__ import annotations

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

import torch

from sdfido.files import replacing
from tests.cuda import accesses
from tests.cuda.build import LIMITS, kernels, occupancy, run
from tests.cuda.emulated import ORDERS, build_module
from tests.cuda.emulated_cases import EmulatedCase
from tests.cuda.machine_code import TENTH_POWERS, cheapest_pass, disassemble, innermost_loop, instructions_per_sample
from tests.emulator import mutants, order_mutants

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "benchmarks/results/cuda_kernels.json"

Results = dict[str, Any]

# 224 x 224 pixels, three float32 channels, 2 masks of 8 samples.
SIZE, CHANNELS, MASKS, SAMPLES = 224, 3, 2, 8
LOW = 28  # rows and columns of cells below full resolution
STORED = {"float32": "float", "bfloat16": "BFloat16", "float16": "Float16", "float64": "double"}
COUNTED = ("80", "90")  # architectures whose instructions are counted
ARCHS = {"80": ("80", "90"), "100": ("100",)}  # by the PTX that their code comes from, as in setup.py

# Instructions by the pipe that runs them: products and sums; comparisons, selections, integers and bits.
MULTIPLY = {"FADD", "FFMA", "FMUL", "IDP", "IMAD"}
LOGIC = {"CSEL", "FMNMX", "FSEL", "FSETP", "I2FP", "IABS", "IADD", "IADD3", "IMNMX", "ISETP", "LEA", "LOP3", "MOV"}
LOGIC |= {"PLOP3", "PRMT", "R2P", "SEL", "SGXT", "SHF", "VIADD", "VIADDMNMX", "VIMNMX", "VOTE"}


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
    """A file that needs every kernel of sample_composites and sample_masks."""
    lines = ['#include "cuda/select.h"', '#include "cuda/masks_kernel.cuh"', "namespace sdfido::cuda {"]
    for stored, resolution, way in itertools.product(STORED.values(), ("full", "low"), ("Forward", "Backward")):
        for image in ("",) if way == "Forward" else (", false", ", true"):
            types = f"Composites{way}, {'double' if stored == 'double' else 'float'}, {stored}{image}"
            plan = f"const __grid_constant__ CompositesPlan<Composites{way}>"
            lines.append(f"template __global__ void {way.lower()}_{resolution}_kernel<{types}>({plan});")
    for t in ("float", "double"):
        plan = "const __grid_constant__ CompositesPlan<CompositesBackward>"
        lines.append(f"template __global__ void combine_kernel<CompositesBackward, {t}>({plan});")
    for t, way in itertools.product(("float", "double"), ("Forward", "Backward")):
        name, arguments = way.lower(), ", const Exponent" if way == "Forward" else ""
        lines.append(f"template __global__ void masks_{name}_kernel<{t}>(const __grid_constant__ Masks{way}Plan);")
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

    These are the cheapest ways that an aligned problem of three channels can take through the kernel's loops at a
    temperature of 0.1; what is outside of all loops is left out.
    """
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
    power = once(drawing | TENTH_POWERS, draws) - cell  # what a temperature of 0.1 costs more than the cheapest, 1
    four_samples = once(drawing | moving, draws, moves, *beside)  # with one pass through each of both
    prepared = once({"^FMUL": 8}, "^STS", "^FMUL")  # the exponential of a cell
    loaded = once({r"^LDG\.E\.128": 1}, r"^LDG\.E\.128", r"^STS\.128")  # four values of a channel
    mask_loop = draws, moves, r".* -?0\.693359375" if backward else "^SHFL"  # the exponential; the sums
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
    group = warps * (four_samples - cell - sample) + cells * (cell + power) + shares * sample
    return {
        "sample": 1 / (4 * shares) * group,
        "mask": 1 / shares * (warps * mask + cells * prepared),
        "image": 1 / shares * (warps * 2 * CHANNELS * loaded),
    }


def compiled(folder: Path) -> tuple[dict[str, Results], dict[str, Results]]:
    """What ptxas reports of each kernel, and the instructions of some, by name and architecture."""
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
            if not parts or k.arch not in COUNTED or parts.group(1, 2) == ("backward", "low"):
                continue
            listing = disassemble(binary, k.arch, k.symbol)
            found = instructions(listing, parts[1] == "backward", parts[2] == "low", parts[3])
            counts.setdefault(k.name, {})[k.arch] = {
                what: {pipe: round(value, 2) for pipe, value in each._asdict().items()} for what, each in found.items()
            }
            if k.name == "forward_full_kernel<float, float>":
                assert math.isclose(found["sample"].all, instructions_per_sample(listing))
                last = instructions_per_sample(listing, channels_last=True)
                counts[k.name][k.arch]["sample, channels last"] = {"all": round(last, 2)}
    return reports, counts


def traffic() -> list[Results]:
    """Bytes that the kernels' threads load and store for one image, as the emulator counts them.

    As part of a batch that fills a GPU; and alone, when blocks divide masks and samples, and read images again.
    """
    emulated = build_module("emulated_kernels")

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
                run_pass = case.forward if way == "forward" else case.backward
                emulated.set_enough_blocks(emulated.ENOUGH_BLOCKS)
                run_pass(emulated)
                alone = emulated.counters()
                blocks = emulated.blocks()
                emulated.set_enough_blocks(0)
                outputs = run_pass(emulated)
                counters = emulated.counters()
                given = [*case.tensors.values(), *(case.weights.values() if way != "forward" else ())]
                counted.append(
                    {
                        "loads": counters["loads"]["bytes"],
                        "stores": counters["stores"]["bytes"],
                        "minimum": size(given) + size(outputs.values()),
                    }
                )
                if n == 1:
                    divided = {"alone": alone["loads"]["bytes"] + alone["stores"]["bytes"], "blocks": blocks}
            assert all(2 * counted[0][key] == counted[1][key] for key in counted[0]), "a block works for one image"
            found.append({"pass": way, "cells": cells or SIZE, "composites": stored, **counted[0], **divided})
    return found


def by_address(folder: Path) -> list[Results]:
    """Of each kernel whose accesses are looked at: the worst of its loads from shared memory, and its wide stores."""
    places = [place for place in accesses.measure(folder) if place.kernel != "known"]
    found = []
    for kernel, cells in dict.fromkeys((place.kernel, place.cells) for place in places):
        of = [place for place in places if (place.kernel, place.cells) == (kernel, cells)]
        wavefronts = max(place.ratio for place in of if place.kind == "load")
        stores = max((place for place in of if place.kind == "store"), key=lambda place: place.least)
        numbers = {"wavefronts": round(wavefronts, 2), "sectors": round(stores.ratio, 2)}
        found.append({"kernel": kernel, "cells": cells, **numbers})
    return found


def limits(reports: dict[str, Results]) -> Results:
    """Blocks that a multiprocessor holds: as shared memory allows, and with no more registers than on sm_80."""
    found: Results = {}
    for name, of in reports.items():
        if not re.fullmatch(r"(forward|backward)_(full|low)_kernel<float, float(, \w+)?>", name):
            continue
        registers, shared = of["80"]["registers"], of["80"]["shared"]
        found[name] = {arch: round(occupancy(arch, 128, registers, shared) * LIMITS[arch][0] / 4) for arch in LIMITS}
    return found


def measure() -> Results:
    if shutil.which("nvcc") is None:
        sys.exit("there is no nvcc on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        reports, counts = compiled(Path(folder))
        addresses = by_address(Path(folder))
    return {
        "toolkit": re.search(r"V([\d.]+)", run("nvcc", "--version"))[1],
        "date": date.today().isoformat(),
        "tile": dict(zip(("height", "width"), tile_size(), strict=True)),
        "tiles": tiles(),
        "window_cells": window_cells(),
        "mutants": len(mutants.MUTANTS) - 1 + len(order_mutants.plant()[1]),
        "orders": len(ORDERS),
        "kernels": reports,
        "blocks": limits(reports),
        "instructions": counts,
        "bytes": traffic(),
        "accesses": addresses,
    }


def main() -> None:
    text = json.dumps(measure(), indent=1)
    text = re.sub(r"\{[^{}]*\}", lambda match: " ".join(match[0].split()), text)  # one line for each set of numbers
    with replacing(FILE) as part:
        part.write_text(text + "\n")


if __name__ == "__main__":
    main()
