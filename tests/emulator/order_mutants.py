"""Weakens what orders the accesses of the CUDA kernels, one place at a time; the emulator's checks must find each.

Every barrier, fence, qualifier of a ticket and of a load is such a place. One without which the checks have nothing to
say is not needed. All are planted in one build, where an environment variable chooses.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.cuda.checked_cases import check_order
from tests.cuda.emulated_cases import Mismatch
from tests.emulator.mutants import (
    EMULATOR,
    FORK,
    KERNELS,
    ROOT,
    compile_to,
    copy_sources,
    describe,
    in_child,
    load,
    module_in,
)

# What may stand in place of a function. __syncwarp is left out, as in these kernels it orders nothing: it makes the
# compiler read shared memory again.
WEAKER = {
    "__syncthreads": ["nothing"],
    "__threadfence": ["nothing", "__threadfence_block"],
    "atomicInc": ["atomicInc_block"],
    "__ldcg": ["__ldg"],
}
# These read what an earlier launch wrote, which __ldg may, too.
OF_EARLIER_LAUNCHES = ("gradients.cuh", "__ldcg")

HEADER = """#pragma once
#include <cstdlib>
inline const int planted = std::atoi(std::getenv("SIMT_PLANTED"));
inline void nothing() {}
"""


@dataclass
class Mutant:
    """A call that becomes another one, in every launch of which the number is asked for."""

    number: int
    file: str
    line: int
    old: str
    new: str


def plant() -> tuple[dict[Path, str], list[Mutant]]:
    """The sources with all of them."""
    texts: dict[Path, str] = {}
    mutants: list[Mutant] = []
    call = re.compile(rf"\b({'|'.join(WEAKER)})\(")

    def choice(match: re.Match[str], file: str, line: int) -> str:
        old = match[1]
        if (file, old) == OF_EARLIER_LAUNCHES:
            return match[0]
        text = ""
        for new in WEAKER[old]:
            mutants.append(Mutant(len(mutants) + 1, file, line, old, new))
            text += f"planted == {len(mutants)} ? {new}(args...) : "
        return f"[&](auto... args) {{ return {text}{old}(args...); }}("

    for path in KERNELS:
        texts[path] = ""
        for number, line in enumerate(path.read_text().splitlines(keepends=True), 1):
            code, comment, rest = line.partition("//")
            texts[path] += call.sub(functools.partial(choice, file=path.name, line=number), code) + comment + rest
    return texts, mutants


def build(folder: Path) -> list[Mutant]:
    copy_sources(folder, ["float, BFloat16", "float, Float16", "double, double"])
    texts, mutants = plant()
    for path, text in texts.items():
        (folder / path.relative_to(ROOT)).write_text(text)
    header = folder / "planted.h"
    header.write_text(HEADER)
    checked = ["-fsanitize=thread", "-g1", "-gdwarf-4", "-include", header]
    for name, *options in (("hooks", "-O2"), ("kernels",), ("launches", *checked)):
        compile_to(folder / f"{name}.o", folder / "csrc", "-c", *options, EMULATOR / f"{name}.cpp")
    # The hooks first: of functions in several objects those are taken, which report nothing.
    objects = (folder / f"{name}.o" for name in ("hooks", "kernels", "launches"))
    compile_to(module_in(folder), folder / "csrc", "-shared", *objects)
    return mutants


def find_fault(module: Path, number: int) -> str:
    os.environ["SIMT_PLANTED"] = str(number)
    kernels = load(module)
    try:
        check_order(kernels)
    except (Mismatch, kernels.Error) as error:
        return describe(error)
    return ""


def examine(module: Path, number: int) -> str:
    """How the fault was found; empty if it was not."""
    return in_child(lambda: find_fault(module, number))


def main() -> int:
    begin = time.monotonic()
    torch.set_num_threads(1)  # threads do not survive a fork
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(2, FORK) as pool:
        mutants = build(Path(name))
        look = functools.partial(examine, module_in(Path(name)))
        wrong = int(look(0) != "")
        print(
            f"{'':31} none: what is right must pass {'':31} {'passes' if wrong == 0 else 'DOES NOT PASS'}", flush=True
        )
        for mutant, how in zip(mutants, pool.map(look, [m.number for m in mutants]), strict=True):
            wrong += not how
            change = f"line {mutant.line}: {mutant.new} in place of {mutant.old}"
            print(f"{mutant.file:31} {change:60} {how or 'SURVIVES'}", flush=True)
    print(f"{len(mutants)} mutants, {wrong} wrong verdicts, {time.monotonic() - begin:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
