"""Plants faults in copies of the CUDA kernels, one at a time; the emulated tests must find every one.

Prints how each was found, and fails if one was not. A fault that no emulator can show, such as a missing fence, is
not among them.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

EMULATOR = Path(__file__).parent
ROOT = EMULATOR.parents[1]

import torch

from tests.cuda.emulated_cases import EmulatedCase, Mismatch, check, check_masks

FORK = multiprocessing.get_context("fork")
BARRIER = "__syncthreads();"
TIME_LIMIT = 60  # seconds; a mutant that runs for longer is found, too
DEVICE, TILE, MASKS = "cuda/device.cuh", "cuda/tile.cuh", "cuda/masks_kernel.cuh"
FORWARD, BACKWARD = "cuda/composites_forward_kernel.cuh", "cuda/backward_kernel.cuh"


@dataclass
class Mutant:
    why: str
    file: str  # under csrc
    old: str  # occurs once there, unless there is a number
    new: str
    number: int | None = None  # which of them is replaced

    def planted(self) -> str:
        text = (ROOT / "csrc" / self.file).read_text()
        parts = text.split(self.old)
        if self.number is None and len(parts) != 2:
            raise SystemExit(f"{self.why}: {len(parts) - 1} times in {self.file}, must be once: {self.old!r}")
        at = (self.number or 0) + 1
        return self.old.join(parts[:at]) + self.new + self.old.join(parts[at:])


def dropped_barriers() -> list[Mutant]:
    """Every barrier of the kernels: one without which all tests pass is not needed.

    But for the one before a block takes its ticket: it is for blocks that run at once, which the emulator's do not.
    """
    mutants = []
    for file in (DEVICE, TILE, FORWARD, BACKWARD):
        rests = (ROOT / "csrc" / file).read_text().split(BARRIER)[1:]
        reasons = [rest.splitlines()[0].strip().removeprefix("//").strip() for rest in rests]
        mutants += [
            Mutant(f"no barrier {reason}", file, BARRIER, "", number)
            for number, reason in enumerate(reasons)
            if reason != "before the block takes its ticket"
        ]
    return mutants


MUTANTS = [
    Mutant("none: what is right must pass", DEVICE, "#pragma once", "#pragma once"),
    Mutant("warp_sum leaves out a distance", DEVICE, "distance > 0; distance /= 2", "distance > 1; distance /= 2"),
    Mutant("warp_sum over half a warp", DEVICE, "value, distance);", "value, distance, 16);"),
    Mutant("a mask that names half a warp", DEVICE, "(0xFFFFFFFFu, value", "(0x0000FFFFu, value"),
    Mutant(
        "no guard at the tail of store_four",
        DEVICE,
        "if (i < valid) store_one(p + i * stride, v[i]);",
        "store_one(p + i * stride, v[i]);",
    ),
    Mutant(
        "no guard at the tail of load_four",
        DEVICE,
        "i < valid ? load_one(p + i * stride) : T(0)",
        "load_one(p + i * stride)",
    ),
    Mutant(
        "16-bit elements in the wrong order",
        DEVICE,
        "words[i / 2] >> (16 * (i % 2))",
        "words[i / 2] >> (16 - 16 * (i % 2))",
    ),
    Mutant(
        "strides of rows and columns swapped",
        TILE,
        "pixels.row * from.strides[2] + pixels.column * from.strides[3]",
        "pixels.row * from.strides[3] + pixels.column * from.strides[2]",
    ),
    Mutant("complement of antithetic samples ignored", DEVICE, "words[3] = ~words[1]", "words[3] = words[1]"),
    Mutant("the second half of a block's words is not used", DEVICE, "pairs && first & 4", "pairs && first & 0"),
    Mutant(
        "the second half of a block's words is not used, one at a time",
        DEVICE,
        "if (first & 2) words[0] = words[2], words[1] = words[3];",
        "",
    ),
    Mutant("streams not spread over masks", DEVICE, "stream_word(number, s.masks, 0)", "stream_word(number, 1, 0)"),
    Mutant("all masks of an image drawn alike", DEVICE, "c1 = first_stream + mask", "c1 = first_stream"),
    Mutant("tickets are not reset", DEVICE, "atomicInc(ticket, blocks - 1)", "atomicInc(ticket, blocks)"),
    Mutant("the first block takes itself for the last", DEVICE, "== blocks - 1;", "== 0;"),
    Mutant(
        "weights of rows swapped",
        TILE,
        "rows.weight[row]);",
        "T(1) - rows.weight[row]);",
    ),
    Mutant("the window lacks its last row", TILE, ".first + 2, s.cell_rows)", ".first + 1, s.cell_rows)"),
    Mutant(
        "the tile of logits lacks the column to the right",
        TILE,
        "kRing = kTileWidth + kTileHeight;",
        "kRing = kTileWidth;",
    ),
    Mutant(
        "the ring of logits is off by one",
        TILE,
        "= load_one(from + y * columns + x)",
        "= load_one(from + y * columns + x - (x > 0))",
    ),
    Mutant(
        "a block's sums go to the first tile",
        FORWARD,
        "plan.tiles.count() + place.tile;",
        "plan.tiles.count();",
    ),
    Mutant(
        "the last block leaves out a tile",
        FORWARD,
        "tile < plan.tiles.count(); ++tile",
        "tile + 1 < plan.tiles.count(); ++tile",
    ),
    Mutant("channels and pixels swapped", FORWARD, "p = at / kChannels, c = at % kChannels", "p = at % 4, c = at / 4"),
    Mutant(
        "a thread's values go to its neighbour",
        TILE,
        "values[c] + thread_index() * kVector",
        "values[c] + (thread_index() ^ 1) * kVector + c",
    ),
    Mutant(
        "image and infill's gradients swapped",
        BACKWARD,
        "input == 0 ? plan.problem.grad_image : plan.problem.grad_infill",
        "input == 1 ? plan.problem.grad_image : plan.problem.grad_infill",
    ),
    Mutant("a group of channels forgets the one before", BACKWARD, ": __ldcg(out + i);", ": T(0);"),
    Mutant(
        "cells begin to gather too late",
        TILE,
        "begin[first[i] + 1] = static_cast<uint8_t>(i);",
        "begin[first[i] + 1] = static_cast<uint8_t>(i + 1);",
    ),
    Mutant("tiles begin to be added up too late", BACKWARD, "/ (2 * cells) - 2;", "/ (2 * cells) + 70;"),
    Mutant(
        "weights of the two cells swapped",
        TILE,
        "first[pixel] == cell ? T(1) - weight[pixel] : first[pixel] + 1 == cell ? weight[pixel]",
        "first[pixel] == cell ? weight[pixel] : first[pixel] + 1 == cell ? T(1) - weight[pixel]",
    ),
    Mutant(
        "a cell misses the last tile that reads it", BACKWARD, "window.first_column > x", "window.first_column >= x"
    ),
    Mutant(
        "image and mask swapped",
        MASKS,
        "static_cast<uint32_t>(plane % s.masks)",
        "static_cast<uint32_t>(plane / s.masks)",
    ),
    Mutant("a step of the grid too far", MASKS, "i += step", "i += step + 1"),
    Mutant("a round of Philox too few", "math/philox.h", "round < 10;", "round < 9;"),
]

CASES = [
    EmulatedCase(2, 2, 9, 3, (20, 132), antithetic=True, streams=(3, 1)),
    EmulatedCase(1, 2, 3, 5, (17, 65), layout="sliced", infill="pixel"),
    EmulatedCase(1, 1, 2, 3, (10, 68), channels_last=True, out_dtype=torch.bfloat16),
    EmulatedCase(2, 2, 9, 3, (33, 70), (7, 33), antithetic=True),
    EmulatedCase(1, 2, 5, 4, (24, 132), (3, 4), wanted=()),
    EmulatedCase(1, 1, 4, 3, (12, 68), (5, 9)),
]
ORDERS = [0, 1, 2, 3]

# What the cases do not need is not built.
UNUSED = ["float, Float16", "double, double"]


def compile_to(output: Path, csrc: Path, *arguments: Any) -> None:
    includes = subprocess.check_output([sys.executable, "-m", "pybind11", "--includes"], text=True).split()
    includes += [f"-I{folder}" for folder in (EMULATOR / "include", EMULATOR, csrc)]
    flags = ["-std=c++20", "-O0", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden", "-pthread", "-w"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, *includes, *arguments, "-o", output], check=True)


def build(mutant: Mutant, bindings: Path, folder: Path) -> Path:
    shutil.copytree(ROOT / "csrc", folder / "csrc", ignore=shutil.ignore_patterns("cpu"))
    (folder / "csrc" / mutant.file).write_text(mutant.planted())
    select = folder / "csrc/cuda/select.h"
    text = select.read_text()
    for types in UNUSED:
        call = f"return visit(Kind<{types}>{{}});"
        if call not in text:
            raise SystemExit(f"not found in {select.name}: {call}")
        text = text.replace(call, "return;")
    select.write_text(text)
    module = folder / ("emulated_kernels" + sysconfig.get_config_var("EXT_SUFFIX"))
    compile_to(module, folder / "csrc", "-shared", bindings, EMULATOR / "launches.cpp")
    return module


@functools.cache
def expected() -> list[dict[str, torch.Tensor]]:
    return [case.native() for case in CASES]


def find_fault(module: Path) -> str:
    spec = spec_from_file_location("emulated_kernels", module)
    assert spec is not None
    assert spec.loader is not None
    kernels = module_from_spec(spec)
    spec.loader.exec_module(kernels)
    for order in ORDERS:
        kernels.set_order(order)
        try:
            for case, results in zip(CASES, expected(), strict=True):
                check(kernels, case, results)
            for antithetic in (False, True):
                check_masks(kernels, torch.float32, 5, [4, 1], temperature=0.1, antithetic=antithetic)
        except (Mismatch, kernels.Error) as error:
            return f"order {order}, {'value' if isinstance(error, Mismatch) else 'emulator'}: {error}"
    return ""


def examine(bindings: Path, mutant: Mutant) -> str:
    """How the fault was found; empty if it was not."""
    with tempfile.TemporaryDirectory() as folder:
        module = build(mutant, bindings, Path(folder))
        receiver, sender = multiprocessing.Pipe(duplex=False)
        # In a process of its own, as it may crash or never end.
        process = FORK.Process(target=lambda: sender.send(find_fault(module)))
        process.start()
        process.join(TIME_LIMIT)
        if process.is_alive():
            process.kill()
            process.join()
            return f"no end in {TIME_LIMIT} s"
        if process.exitcode:
            return f"exit code {process.exitcode}"
        return receiver.recv()


def main() -> int:
    begin = time.monotonic()
    torch.set_num_threads(1)  # threads do not survive a fork
    expected()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, FORK) as pool:
        bindings = Path(folder) / "kernels.o"  # they are the same for all
        compile_to(bindings, ROOT / "csrc", "-c", EMULATOR / "kernels.cpp")
        mutants = MUTANTS + dropped_barriers()
        for mutant, how in zip(mutants, pool.map(functools.partial(examine, bindings), mutants), strict=True):
            is_right = mutant.old == mutant.new
            wrong += bool(how) == is_right
            verdict = how or ("passes" if is_right else "SURVIVES")
            print(f"{mutant.file.split('/')[1]:22} {mutant.why:62} {verdict}", flush=True)
    print(f"{len(mutants) - 1} mutants, {wrong} wrong verdicts, {time.monotonic() - begin:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
