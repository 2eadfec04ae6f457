"""The wheel with CUDA inside, built once for all tests, and what the compiler reports about its kernels."""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "cuda"
ARCHS = ("75", "80", "86", "89", "90", "100", "120")


@dataclass(frozen=True)
class Build:
    wheel: Path
    library: Path  # the compiled operators, taken out of the wheel
    log: str  # of the compilers, with ptxas' reports


@dataclass(frozen=True)
class Kernel:
    """One kernel for one architecture, as ptxas reports it; memory in bytes."""

    symbol: str
    name: str  # readable: forward_full_kernel<float, float>; for masks that are given, blend_forward_full_kernel<...>
    arch: str
    registers: int  # of a thread
    shared: int  # of a block
    stack: int  # of a thread, in local memory; spills are in it
    spills: int

    @property
    def threads(self) -> int:
        """Of a block: kThreads of plan.h, kMaskThreads of masks_kernel.cuh."""
        return 256 if self.name.startswith(("masks_", "concrete_")) else 128

    @property
    def occupancy(self) -> float:
        return occupancy(self.arch, self.threads, self.registers, self.shared)


def run(*command: object, **environment: str) -> str:
    """Output of a command that must succeed; compilers' and Python's settings are this run's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SDFIDO_", "LD_PRELOAD", "NVCC_", "PYTHONPATH"))}
    result = subprocess.run(
        [str(part) for part in command],
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=FOLDER if FOLDER.exists() else ROOT,
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))}:\n{result.stdout[-20000:]}"
    return result.stdout


def digest(*patterns: str, extra: str = "") -> str:
    paths = sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    parts = [part for path in paths for part in (str(path.relative_to(ROOT)).encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join([extra.encode(), *parts])).hexdigest()[:16]


@functools.cache
def why_no_toolkit() -> str:
    """Why setup.py finds no CUDA toolkit here; empty if it does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SDFIDO_")} | {"SDFIDO_CUDA": "1"}
    command = [sys.executable, "setup.py", "--quiet", "--name"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stderr.strip().splitlines()[-1]


@functools.cache
def toolkit_version() -> str:
    """Of the nvcc that setup.py would take, as "13.0"; empty if there is none on the PATH or under CUDA_HOME."""
    home = os.environ.get("CUDA_HOME")
    nvcc = f"{home}/bin/nvcc" if home else shutil.which("nvcc")
    if not nvcc or not shutil.which(nvcc):
        return ""
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+\.\d+)", said)
    return found[1] if found else ""


@functools.cache
def build() -> Build:
    """Builds for all architectures, or takes up what an earlier run built from the same sources."""
    compiled = ["csrc/**/*", "setup.py", "pyproject.toml"]
    key = digest(*compiled, extra=f"{torch.__version__} {shutil.which('nvcc')} {os.environ.get('CUDA_HOME')}")
    folder, source = FOLDER / key, FOLDER / key / "source"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log, done = folder / "build.log", folder / "done"
        if not log.exists():
            for old in FOLDER.glob("*/source"):
                shutil.rmtree(old.parent)
        # The wheel again where only Python changed: its library is there.
        whole = digest(*compiled, "sdfido/*.py")
        if not done.exists() or done.read_text() != whole:
            for name in ("csrc", "sdfido"):
                ignore = shutil.ignore_patterns("*.so", "__pycache__")
                shutil.copytree(ROOT / name, source / name, ignore=ignore, dirs_exist_ok=True)
            for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
                shutil.copy2(ROOT / name, source)
            shutil.rmtree(folder / "wheel", ignore_errors=True)
            output = run(
                *(sys.executable, "-m", "pip", "wheel", "--verbose", "--no-build-isolation", "--no-deps"),
                *("--wheel-dir", folder / "wheel", source),
                SDFIDO_CUDA="1",
                SDFIDO_WERROR="1",
                NVCC_APPEND_FLAGS="-Xptxas=-v",
            )
            (wheel,) = (folder / "wheel").glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extract("sdfido/_C.abi3.so", folder / "wheel")
            if not log.exists():
                log.write_text(output)
            done.write_text(whole)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return Build(wheel, folder / "wheel/sdfido/_C.abi3.so", log.read_text())


def kernels(log: str) -> list[Kernel]:
    """Every kernel that ptxas reports about, for every architecture."""
    found = []
    for report in re.split(r"Compiling entry function ", log)[1:]:
        symbol, arch = re.match(r"'(\w+)' for 'sm_(\w+)'", report).groups()
        numbers = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
        stack, stores, loads = map(int, numbers.groups())
        registers = int(re.search(r"Used (\d+) registers", report)[1])
        shared = re.search(r"(\d+) bytes smem", report)
        found.append(Kernel(symbol, "", arch, registers, int(shared[1]) if shared else 0, stack, stores + loads))
    names = subprocess.run(
        ["c++filt"], input="\n".join(k.symbol for k in found), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    readable = [re.sub(r"^void |\(.*|sdfido::(cuda::)?", "", name) for name in names]
    readable = [re.sub(r"^(\w+<)Composites(?:Forward|Backward), ", r"\1", name) for name in readable]
    readable = [re.sub(r"^(\w+<)Blend(?:Forward|Backward), ", r"blend_\1", name) for name in readable]
    return [Kernel(**{**vars(k), "name": name}) for k, name in zip(found, readable, strict=True)]


# By architecture: warps and blocks that a multiprocessor holds at most, KiB of shared memory that they have
# together, and KiB of it that each block takes besides its own (CUDA C++ Programming Guide, compute capabilities).
LIMITS = {
    "75": (32, 16, 64, 0),
    "80": (64, 32, 164, 1),
    "86": (48, 16, 100, 1),
    "89": (48, 24, 100, 1),
    "90": (64, 32, 228, 1),
    "100": (64, 32, 228, 1),
    "120": (48, 24, 100, 1),
}


def occupancy(arch: str, threads: int, registers: int, shared: int) -> float:
    """The share of a multiprocessor's warps that can be there at once, given what a block takes."""
    warps, blocks, shared_kib, reserved_kib = LIMITS[arch]
    block_warps = -(-threads // 32)
    # 65,536 registers, given out to warps in units of 256, to four warps at a time.
    by_registers = 65536 // (-(-registers * 32 // 256) * 256) // 4 * 4 // block_warps
    # Shared memory is given out in units of 128 bytes (256 on sm_75).
    unit = 256 if arch == "75" else 128
    block_shared = -(-(shared + reserved_kib * 1024) // unit) * unit
    by_shared = shared_kib * 1024 // block_shared if block_shared else blocks
    return min(warps // block_warps, blocks, by_registers, by_shared) * block_warps / warps
