"""Tables of docs/cuda.md: what the compiler and the emulator say of the CUDA kernels, and the times that would follow.

They are made from benchmarks/results/cuda_kernels.json, which ``python -m tests.cuda.record`` writes. No GPU took part:
times are computed, not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.common import markers
from benchmarks.common.records import Results
from benchmarks.common.report import table, text_table

# The stated case: 224 x 224 pixels, three float32 channels, 2 masks of 8 samples.
SIZE, CHANNELS, MASKS, SAMPLES = 224, 3, 2, 8
LOW = 28  # rows and columns of cells below full resolution
BATCHES = (1, 8)
STORED = {"float32": "float", "bfloat16": "BFloat16", "float16": "Float16"}
PIPES = ("all", "multiply", "logic")
# Instructions that a warp issues in a clock, as each mostly waits for the one before: an estimate.
WARP_RATE = 0.3


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


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def distinct(values: Iterable[str]) -> str:
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
        rows.append([label, *numbers, f"{100 * (moved / case['minimum'] - 1):.1f}%"])
    return table(["MB for one image", "loaded", "stored", "both", "least", "over"], rows)


def counted_kernels(results: Results) -> list[tuple[str, bool, str]]:
    """Pass, resolution and format of those whose instructions are counted."""
    cases = itertools.product((False, True), ("forward", "backward"), ("float32", "bfloat16"))
    return [(way, low, stored) for low, way, stored in cases if name_of(way, low, stored) in results["instructions"]]


def per_pixel(results: Results, name: str, arch: str, blocks: int = 1) -> dict[str, float]:
    """Instructions of all masks and samples, by pipe, in so many blocks for a tile."""
    parts = results["instructions"][name][arch]
    times = {"sample": MASKS * SAMPLES, "mask": MASKS, "image": blocks}
    return {pipe: sum(times[part] * parts[part][pipe] for part in times) for pipe in PIPES}


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
        last = parts.get("sample, channels last")
        if last:
            more = last["all"] - parts["sample"]["all"]
            in_all = per_pixel(results, name, gpu.arch)["all"] / (MASKS * SAMPLES) + more
            label = f"{way}, {stored}, channels-last, sm_{gpu.arch}"
            rows.append([label, f"{last['all']:.0f}", *row[2:4], f"{in_all:.0f}", rows[-1][-1]])
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
    """Of memory, and of the instructions of the multiprocessor that has the most blocks."""
    tiles = results["tiles"]
    name = name_of(case["pass"], case["cells"] != SIZE, case["composites"])
    divided = n == 1
    memory = (case["alone"] if divided else n * (case["loads"] + case["stores"])) / gpu.bytes_per_second
    if name not in results["instructions"]:
        return 1e6 * memory, None
    # Where a tile is divided, a block has four samples of one mask, and reads image and infill for itself.
    parts = MASKS * SAMPLES // 4 if divided else 1
    counts = per_pixel(results, name, gpu.arch, parts)
    most = -(-n * tiles * parts // gpu.multiprocessors)
    # A scheduler has as many warps as its multiprocessor has blocks.
    warps = min(most, results["kernels"][name][gpu.arch]["occupancy"] * 16)
    rate = min(1.0, warps * WARP_RATE)
    clocks = max(counts[pipe] / lanes / (rate if pipe == "all" else 1) for pipe, lanes in gpu.lanes.items())
    return 1e6 * memory, 1e6 * most / parts * math.prod(results["tile"].values()) * clocks / gpu.hertz


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


def limit_table(results: Results) -> str:
    """Blocks of 128 threads that a multiprocessor holds."""
    labels = {
        "forward_full_kernel<float, float>": "forward",
        "forward_low_kernel<float, float>": "forward, low resolution",
        "backward_full_kernel<float, float, false>": "backward",
        "backward_low_kernel<float, float, false>": "backward, low resolution",
        "backward_full_kernel<float, float, true>": "backward, image and infill too",
        "backward_low_kernel<float, float, true>": "backward, image and infill too, low resolution",
    }
    archs = list(next(iter(results["blocks"].values())))
    rows = [[label, *(str(results["blocks"][name][arch]) for arch in archs)] for name, label in labels.items()]
    return table(["blocks of a multiprocessor, float32", *(f"sm_{arch}" for arch in archs)], rows)


def access_table(results: Results) -> str:
    labels = {
        "forward": "forward, float32",
        "forward-last": "forward, float32, channels-last",
        "forward-last-bfloat16": "forward, bfloat16, channels-last",
        "backward": "backward, float32",
        "backward-image": "backward, image too, float32",
    }
    rows = []
    for case in results["accesses"]:
        label = f"{labels[case['kernel']]}, {case['cells']} × {case['cells']} cells"
        sectors = "–" if case["kernel"] == "backward" else f"{case['sectors']:.2f}"
        rows.append([label, f"{case['wavefronts']:.2f}", sectors])
    return table(["accesses of a warp, over the least", "the worst load's wavefronts", "stores' sectors"], rows)


def facts_table(results: Results) -> str:
    """What else the file says of the kernels."""
    kernels = results["kernels"]
    each = [(name, arch, report) for name, of in kernels.items() for arch, report in of.items()]
    spilling = [f"`{n}` on sm_{a} ({r['local']} bytes)" for n, a, r in each if r["local"] and "double" not in n]
    reach = " × ".join(str(min(2 * SIZE // LOW, side)) for side in results["tile"].values())
    double = [of[gpu.arch] for name, of in kernels.items() if "double, double" in name for gpu in GPUS]
    newest = [kernels[name_of("backward, image too", low, "float32")]["100"] for low in (False, True)]
    registers, occupancy = (sorted(report[key] for report in double) for key in ("registers", "occupancy"))
    rows = {
        "toolkit and date": f"CUDA {results['toolkit']}, {results['date']}",
        "pixels of a tile": f"{results['tile']['width']} × {results['tile']['height']}",
        f"tiles of {SIZE} × {SIZE} pixels": str(results["tiles"]),
        "blocks of one image, forward": str(results["bytes"][0]["blocks"]),
        f"cells that a tile reads of {LOW} × {LOW}, at most": str(results["window_cells"]),
        "pixels of a tile that read one of these cells, at most": reach,
        "float64, not tuned: registers": f"{registers[0]} to {registers[-1]}",
        "float64, not tuned: occupancy": f"{percent(occupancy[0])} to {percent(occupancy[-1])}",
        "backward with image and infill on sm_100: registers": str(max(k["registers"] for k in newest)),
        "backward with image and infill on sm_100: occupancy": percent(min(k["occupancy"] for k in newest)),
        "kernels for 16 and 32 bits that use local memory on sm_80, sm_90 or sm_100": " and ".join(spilling) or "none",
        "orders of threads and blocks in which the emulator runs the tests": str(results["orders"]),
        "planted faults that the tests find": str(results["mutants"]),
    }
    return text_table(["the kernels", ""], [[name, value] for name, value in rows.items()])


def blocks(results: Results) -> markers.Blocks:
    return {
        "facts": facts_table(results),
        "kernels": kernel_table(results),
        "bytes": byte_table(results),
        "accesses": access_table(results),
        "limits": limit_table(results),
        "instructions": instruction_table(results),
        "times": time_table(results),
    }
