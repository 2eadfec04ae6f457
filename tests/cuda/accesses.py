"""How warps reach memory: addresses of all lanes of some kernels in the emulator, put together by instruction."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FLAGS = ["-std=c++20", "-ffp-contract=off", "-fno-pie", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
FOLDERS = ["tests/emulator/include", "csrc"]


@dataclass(frozen=True)
class Place:
    """One place in the code of a kernel that loads from shared memory, or stores to global memory."""

    kernel: str
    cells: int  # in a row of 224 pixels
    kind: str  # load, store
    place: int  # address of a load in the program, line of a store
    instructions: int  # of warps
    least: int  # wavefronts or sectors, if lanes lay side by side
    taken: int

    @property
    def ratio(self) -> float:
        return self.taken / self.least


def compile_to(output: Path, *arguments: str | Path) -> None:
    folders = [f"-I{ROOT / folder}" for folder in FOLDERS]
    subprocess.run([os.environ.get("CXX", "c++"), *FLAGS, *folders, *arguments, "-o", output], check=True)


def measure(folder: Path) -> list[Place]:
    """Builds the program in this folder, and runs it."""
    program = folder / "accesses"
    compile_to(folder / "accesses.o", "-O2", "-c", HERE / "accesses.cpp")
    compile_to(folder / "kernels.o", "-O0", "-g", "-fsanitize=thread", "-c", HERE / "accesses_kernels.cpp")
    # Without the sanitizer's own library.
    compile_to(program, "-no-pie", "-pthread", folder / "accesses.o", folder / "kernels.o")
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    return [Place(kernel, int(cells), kind, *map(int, numbers)) for kernel, cells, kind, *numbers in rows]
