"""Plants faults in copies of the CUDA kernels, one at a time; the emulated tests must find every one.

Prints how each was found, and fails if one was not. Barriers, fences and the like are in order_mutants.py.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

from tests.cuda.emulated_cases import BlendCase, EmulatedCase, Mismatch, check, check_masks

EMULATOR = Path(__file__).parent
ROOT = EMULATOR.parents[1]
FORK = multiprocessing.get_context("fork")
TIME_LIMIT = 60  # seconds of the processor; a mutant that runs for longer is found, too
KERNELS = [*sorted((ROOT / "csrc/cuda").glob("*.cuh")), *sorted((ROOT / "csrc/math").glob("*.h"))]


@dataclass
class Mutant:
    """A fault in one line of a kernel."""

    why: str
    marker: str  # in a comment at the end of the line, or on the line above it: "mutant: marker"
    old: str  # occurs once in the line
    new: str

    @property
    def is_right(self) -> bool:
        return self.old == self.new

    def find(self) -> tuple[str, int]:
        places = [
            (str(path.relative_to(ROOT / "csrc")), number)
            for path in KERNELS
            for number, line in enumerate(path.read_text().splitlines())
            if re.search(rf"//.*\bmutant: {re.escape(self.marker)}$", line)
        ]
        if len(places) != 1:
            raise SystemExit(f"{self.why}: the marker {self.marker!r} must be in one place, is in {len(places)}")
        return places[0]

    def planted(self) -> tuple[str, str]:
        """The file, and its text with the fault."""
        file, number = self.find()
        lines = (ROOT / "csrc" / file).read_text().splitlines(keepends=True)
        number += lines[number].lstrip().startswith("//")
        if lines[number].count(self.old) != 1:
            raise SystemExit(f"{self.why}: {self.old!r} must be once in {file}:{number + 1}: {lines[number]}")
        lines[number] = lines[number].replace(self.old, self.new)
        return file, "".join(lines)


MUTANTS = [
    Mutant("none: what is right must pass", "philox-rounds", "++round", "++round"),
    Mutant("warp_sum leaves out a distance", "warp-sum", "distance > 0", "distance > 1"),
    Mutant("warp_sum over half a warp", "warp-sum", "value, distance)", "value, distance, 16)"),
    Mutant("a mask that names half a warp", "warp-sum", "0xFFFFFFFFu", "0x0000FFFFu"),
    Mutant("no guard at the tail of store_four", "store-tail", "if (i < valid) ", ""),
    Mutant(
        "no guard at the tail of load_four",
        "load-tail",
        "i < valid ? load_one(p + i * stride) : T(0)",
        "load_one(p + i * stride)",
    ),
    Mutant("16-bit elements in the wrong order", "halves", "16 * (i % 2)", "16 - 16 * (i % 2)"),
    Mutant(
        "strides of rows and columns swapped",
        "image-strides",
        "pixels.row * from.strides[2] + pixels.column * from.strides[3]",
        "pixels.row * from.strides[3] + pixels.column * from.strides[2]",
    ),
    Mutant("complement of antithetic samples ignored", "complement", "~words[1]", "words[1]"),
    Mutant("the second half of a block's words is not used", "second-half", "first & 4", "first & 0"),
    Mutant(
        "the second half of a block's words is not used, one at a time", "second-half-single", "first & 2", "first & 0"
    ),
    Mutant("streams not spread over masks", "streams", "s.masks", "1"),
    Mutant("all masks of an image drawn alike", "mask-stream", "first_stream + mask", "first_stream"),
    Mutant("tickets are not reset", "ticket", "(ticket, blocks - 1)", "(ticket, blocks)"),
    Mutant("the first block takes itself for the last", "ticket", "== blocks - 1;", "== 0;"),
    Mutant("weights of rows swapped", "row-weight", "rows.weight[row]);", "T(1) - rows.weight[row]);"),
    Mutant("the window lacks its last row", "window-rows", "first + 2", "first + 1"),
    Mutant("the tile of logits lacks the column to the right", "ring", "kTileWidth + kTileHeight", "kTileWidth"),
    Mutant("the ring of logits is off by one", "ring-cell", "columns + x)", "columns + x - (x > 0))"),
    Mutant("a block's sums go to the first tile", "sums-tile", "count() + place.tile", "count()"),
    Mutant("the last block leaves out a tile", "sums-order", "tile < plan", "tile + 1 < plan"),
    Mutant(
        "channels and pixels swapped",
        "channels-last",
        "p = at / kChannels, c = at % kChannels",
        "p = at % 4, c = at / 4",
    ),
    Mutant(
        "two threads share their values",
        "thread-values",
        "thread_index()",
        "(thread_index() / 2)",
    ),
    Mutant("image and infill's gradients swapped", "image-gradients", "input == 0", "input == 1"),
    Mutant("a group of channels forgets the one before", "channel-groups", ": __ldcg(out + i)", ": T(0)"),
    Mutant("cells begin to gather too late", "gather-begin", "(i)", "(i + 1)"),
    Mutant("tiles begin to be added up too late", "first-pixel", "- 2;", "+ 70;"),
    Mutant(
        "weights of the two cells swapped",
        "cell-weights",
        "(T(1) - weight[i])",
        "weight[i]",
    ),
    Mutant("a cell misses the last tile that reads it", "last-tile", "> x", ">= x"),
    Mutant("image and mask swapped", "mask-number", "plane %", "plane /"),
    Mutant("a step of the grid too far", "grid-step", "i += step", "i += step + 1"),
    Mutant("a round of Philox too few", "philox-rounds", "round < 10", "round < 9"),
    Mutant(
        "given masks: strides of samples and masks swapped",
        "mask-strides",
        "number * masks.strides[1] + sample * masks.strides[2]",
        "number * masks.strides[2] + sample * masks.strides[1]",
    ),
    Mutant(
        "given masks: strides of rows and columns swapped",
        "given-pixel",
        "pixels.row * from.strides[3] + pixels.column * from.strides[4]",
        "pixels.row * from.strides[4] + pixels.column * from.strides[3]",
    ),
    Mutant(
        "given masks: a window's cells transposed",
        "given-cell",
        "row * from.strides[3] + column",
        "column * from.strides[3] + row",
    ),
    Mutant("given masks: the first sample is read for all", "given-draws", "cell += from.strides[2]", "cell += 0"),
    Mutant("given masks: no guard at the last samples", "given-guard", "if (first + q < samples) ", ""),
    Mutant("given masks: vector loads at any address", "given-vector", "plan.vector_masks", "true"),
    Mutant(
        "given masks: gradients of all samples go to the first", "given-gradient", "* s.samples + sample", "* s.samples"
    ),
    Mutant("given masks: a group of channels forgets the one before", "given-groups", "first != 0", "first < 0"),
    Mutant(
        "given masks: below full resolution, a group forgets the one before",
        "given-low-groups",
        "gathered + __ldcg(out + i)",
        "gathered",
    ),
    Mutant("the second launch reads another mask", "combine-number", "i / s.cells()", "0"),
    Mutant("the second launch steps too far", "combine-step", "i += step", "i += step + 1"),
    Mutant("parts of a tile mixed up", "part", "blockIdx.x % blocks", "blockIdx.x % blocks / 2"),
    Mutant(
        "a block for penalties takes another mask", "part-mask", "part - sampling", "masks - 1 - (part - sampling) / 2"
    ),
    Mutant("a part lacks its last sample", "part-samples", "division.part_samples,", "division.part_samples - 1,"),
    Mutant("samples of a part go to one plane", "sample-plane", "* s.samples + sample", "* s.samples"),
    Mutant("the second launch leaves out a sample", "samples-order", "sample = 0", "sample = 1"),
    Mutant("windows overlap in the workspace", "partial", "block * plan.tile_cells", "block * (plan.tile_cells / 2)"),
]

CASES = [
    EmulatedCase(2, 2, 9, 3, (20, 132), antithetic=True, streams=(3, 1)),
    EmulatedCase(1, 2, 3, 5, (17, 65), layout="sliced", infill="pixel"),
    EmulatedCase(1, 1, 2, 3, (10, 68), channels_last=True, out_dtype=torch.bfloat16),
    EmulatedCase(2, 2, 9, 3, (33, 70), (7, 33), antithetic=True),
    EmulatedCase(1, 2, 5, 4, (24, 132), (3, 4), wanted=()),
    EmulatedCase(1, 1, 4, 3, (12, 68), (5, 9)),
    EmulatedCase(1, 2, 9, 3, (20, 36), wanted=()),
    EmulatedCase(1, 2, 9, 3, (20, 36), (5, 9), wanted=()),
    BlendCase(2, 2, 5, 5, (17, 65)),
    BlendCase(1, 2, 3, 3, (10, 68), channels_last=True, masks_layout="sliced"),
    BlendCase(2, 2, 5, 4, (33, 70), (7, 33)),
    BlendCase(1, 1, 3, 3, (24, 132), (6, 20), wanted=("masks",)),
]
ORDERS = [0, 1, 2, 3]


def compile_to(output: Path, csrc: Path, *arguments: Any) -> None:
    includes = subprocess.check_output([sys.executable, "-m", "pybind11", "--includes"], text=True).split()
    includes += [f"-I{folder}" for folder in (EMULATOR / "include", EMULATOR, csrc)]
    flags = ["-std=c++20", "-O0", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden", "-pthread", "-w"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, *includes, *arguments, "-o", output], check=True)


def copy_sources(folder: Path, unused: list[str]) -> None:
    """Kinds of kernels that the cases do not need are not built."""
    shutil.copytree(ROOT / "csrc", folder / "csrc", ignore=shutil.ignore_patterns("cpu"))
    select = folder / "csrc/cuda/select.h"
    text = select.read_text()
    for types in unused:
        call = f"return visit(Kind<{types}>{{}});"
        if call not in text:
            raise SystemExit(f"not found in {select.name}: {call}")
        text = text.replace(call, "return;")
    select.write_text(text)


def module_in(folder: Path) -> Path:
    return folder / ("emulated_kernels" + sysconfig.get_config_var("EXT_SUFFIX"))


def build(mutant: Mutant, bindings: Path, folder: Path) -> Path:
    copy_sources(folder, ["float, Float16", "double, double"])
    file, text = mutant.planted()
    (folder / "csrc" / file).write_text(text)
    module = module_in(folder)
    compile_to(module, folder / "csrc", "-shared", bindings, EMULATOR / "launches.cpp")
    return module


@functools.cache
def expected() -> list[dict[str, torch.Tensor]]:
    return [case.native() for case in CASES]


def load(module: Path) -> Any:
    spec = spec_from_file_location("emulated_kernels", module)
    assert spec is not None
    assert spec.loader is not None
    kernels = module_from_spec(spec)
    spec.loader.exec_module(kernels)
    return kernels


def find_fault(module: Path) -> str:
    kernels = load(module)
    for order in ORDERS:
        kernels.set_order(order)
        kernels.set_enough_blocks(kernels.ENOUGH_BLOCKS if order % 2 else 0)
        try:
            for case, results in zip(CASES, expected(), strict=True):
                check(kernels, case, results)
            for antithetic in (False, True):
                check_masks(kernels, torch.float32, 5, [4, 1], temperature=0.1, antithetic=antithetic)
        except (Mismatch, kernels.Error) as error:
            return f"order {order}, {describe(error)}"
    return ""


def describe(error: Exception) -> str:
    return f"{'value' if isinstance(error, Mismatch) else 'emulator'}: {error}"


def in_child(find: Callable[[], str]) -> str:
    """What `find` returns in a process of its own, as it may crash or never end, or how that ended."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT, TIME_LIMIT + 1))
        signal.alarm(20 * TIME_LIMIT)  # should it wait for ever
        sender.send(find())

    process = FORK.Process(target=run)
    process.start()
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        return f"no end in {TIME_LIMIT} s"
    return f"exit code {process.exitcode}" if process.exitcode else receiver.recv()


def examine(bindings: Path, mutant: Mutant) -> str:
    """How the fault was found; empty if it was not."""
    with tempfile.TemporaryDirectory() as folder:
        module = build(mutant, bindings, Path(folder))
        return in_child(lambda: find_fault(module))


def main() -> int:
    begin = time.monotonic()
    torch.set_num_threads(1)  # threads do not survive a fork
    expected()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, FORK) as pool:
        bindings = Path(folder) / "kernels.o"  # they are the same for all
        compile_to(bindings, ROOT / "csrc", "-c", EMULATOR / "kernels.cpp")
        for mutant, how in zip(MUTANTS, pool.map(functools.partial(examine, bindings), MUTANTS), strict=True):
            wrong += bool(how) == mutant.is_right
            verdict = how or ("passes" if mutant.is_right else "SURVIVES")
            print(f"{mutant.find()[0].split('/')[1]:31} {mutant.why:69} {verdict}", flush=True)
    print(f"{len(MUTANTS) - 1} mutants, {wrong} wrong verdicts, {time.monotonic() - begin:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
