"""Builds sdfido._C, the compiled operators; everything else about the package stands in pyproject.toml.

CUDA goes into the same library where a toolkit is found. Environment variables:
    SDFIDO_NO_NATIVE   1: no compiled operators, PyTorch computes them; needs no compiler
    SDFIDO_CUDA        1: CUDA or fail; 0: without; unset: as found
    SDFIDO_CUDA_ARCHS  GPU architectures, by default all of the list below that the toolkit knows; all later ones
                       are served by PTX
    SDFIDO_WERROR      1: compiler warnings are errors
    CC, CXX            compilers, also of the code around CUDA kernels
"""

import hashlib
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from bisect import bisect
from pathlib import Path
from typing import Any

from setuptools import setup

CUDA_ARCHS = "75 80 86 89 90 100 120"
SOURCES = sorted(str(path) for folder in ("csrc", "csrc/cpu") for path in Path(folder).glob("*.cpp"))
CUDA_SOURCES = sorted(str(path) for path in Path("csrc/cuda").glob("*.cu"))
HEADERS = sorted(str(path) for pattern in ("*.h", "*.inl", "*.cuh", "*.map") for path in Path("csrc").rglob(pattern))
WERROR = os.environ.get("SDFIDO_WERROR") == "1"
STABLE_ABI = "-DTORCH_TARGET_VERSION=0x020a000000000000"  # LibTorch's stable ABI as of torch 2.10
COMPILE_FLAGS = [
    "-std=c++17",
    "-O3",
    # Loops with selections stay scalar below AVX-512 unless comparisons may be done for every lane.
    "-fno-trapping-math",
    # a*b+c is two roundings everywhere, so that every instruction set and the GPU give the same bits.
    "-ffp-contract=off",
    "-fvisibility=hidden",
    STABLE_ABI,
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    *(["-Werror"] if WERROR else []),
]
NVCC_FLAGS = [
    "-std=c++17",
    "-O3",
    "--fmad=false",  # as -ffp-contract=off
    "-Xcompiler=-fvisibility=hidden",
    STABLE_ABI,
    "-DUSE_CUDA",
    "--threads=0",  # architectures in parallel
    "-Xcompiler=-Wall,-Wno-unknown-pragmas,-Wno-unused-function",  # the toolkit's headers have such, for clang
    *(["-Werror=all-warnings", "-Xcompiler=-Werror"] if WERROR else []),
]
NEEDS_TORCH = "building the compiled operators needs torch >= 2.10"
GET_TORCH = "install it, or leave out --no-build-isolation"
WAY_OUT = "SDFIDO_NO_NATIVE=1 installs without compiled operators: PyTorch then computes them, several times slower"


def say(what: str) -> None:
    """pip shows it with -v, and when a build fails."""
    print(f"sdfido: {what}", file=sys.stderr)


def choice(name: str) -> str:
    """The environment variable `name`: "0", "1" or "" (unset)."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        raise SystemExit(f"{name} must be 0, 1 or unset, got {value!r}")
    return value


def find_toolkit() -> Path | None:
    """Where nvcc and the static runtime are; torch looks for them only where it was itself built with CUDA."""
    nvcc = shutil.which("nvcc")
    places = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    if nvcc:
        places.append(str(Path(nvcc).resolve().parents[1]))
        # The one on the PATH may be a wrapper; it says itself where it belongs.
        dryrun = subprocess.run([nvcc, "--dryrun", "x.cu"], capture_output=True, text=True).stderr
        places += re.findall(r"^#\$ TOP=(.+)$", dryrun, re.MULTILINE)
    for place in places:
        home = Path(place or "/nowhere")
        if (home / "bin/nvcc").exists() and (home / "lib64/libcudart_static.a").exists():
            return home.resolve()
    return None


def choose_toolkit() -> Path | None:
    """The toolkit to build with; says why, if there is none."""
    wanted = choice("SDFIDO_CUDA")
    if wanted == "0":
        say("building without CUDA: SDFIDO_CUDA=0")
        return None
    home = find_toolkit()
    missing = "no CUDA toolkit (bin/nvcc and lib64/libcudart_static.a) under CUDA_HOME, CUDA_PATH, /usr/local/cuda "
    missing += "or around nvcc on the PATH"
    if wanted == "1" and home is None:
        raise SystemExit(f"SDFIDO_CUDA=1, but there is {missing}; set CUDA_HOME, or SDFIDO_CUDA=0 to build without")
    if home is None:
        say(f"building without CUDA: {missing}")
    return home


def choose_archs(home: Path) -> list[str]:
    """Architectures as in SDFIDO_CUDA_ARCHS, all of them known to the toolkit."""
    listed = subprocess.run([home / "bin/nvcc", "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    known = re.findall(r"compute_(\w+)", listed)
    wanted = os.environ.get("SDFIDO_CUDA_ARCHS", "").replace(",", " ").split()
    if unknown := [arch for arch in wanted if arch not in known]:
        raise SystemExit(
            f"SDFIDO_CUDA_ARCHS must name architectures that {home}/bin/nvcc knows, {' '.join(known)}; "
            f"got {' '.join(unknown)}"
        )
    return sorted(wanted or [arch for arch in CUDA_ARCHS.split() if arch in known], key=int)


def toolkit_version(home: Path) -> str:
    """As "13.0"."""
    said = subprocess.run([home / "bin/nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"release (\d+\.\d+)", said)[0]


def compare_with_driver(version: str) -> None:
    """Says so where this machine's driver is too old for the toolkit; the build may be for another machine."""
    gpus: dict[str, Any] = runpy.run_path("sdfido/ops/gpus.py")
    if why := gpus["why_not_driver"](version, gpus["driver_version"]()):
        say(f"on this machine CUDA tensors will be computed by PyTorch: {why}")


def compression(home: Path) -> list[str]:
    """Kernels take a seventh of the space packed; the driver unpacks those of its GPU when they are first used."""
    known = subprocess.run([home / "bin/nvcc", "--help"], capture_output=True, text=True, check=True).stdout
    return ["--compress-mode=size"] if "--compress-mode" in known else ["-Xfatbin=-compress-all"]


def check_compiler() -> None:
    """Those that compile and link are there."""
    wanted = {os.environ.get("CXX") or "c++", os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++"}
    for command in sorted(wanted):
        if not shutil.which(shlex.split(command)[0]):
            raise SystemExit(
                f"sdfido: no C++ compiler: {command!r} is not on the PATH; install one (Debian: g++), or name one by "
                f"CC and CXX (CC=clang CXX=clang++). {WAY_OUT}"
            )


def place_headers() -> None:
    """Copies the mathematics to where get_include() says, in this folder and in the wheel."""
    place = Path("sdfido/include/sdfido")
    headers = {
        place / path.relative_to("csrc"): path for path in (Path("csrc/problem.h"), *Path("csrc/math").glob("*.h"))
    }
    for old in set(place.rglob("*.h")) - headers.keys():
        old.unlink()
    for copy, header in headers.items():
        if not copy.exists() or copy.read_bytes() != header.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(header, copy)


def native() -> dict[str, Any]:
    """Arguments of setup() that build the compiled operators."""
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError as error:
        raise SystemExit(f"sdfido: {NEEDS_TORCH}, got none ({error}); {GET_TORCH}. {WAY_OUT}") from error
    if torch.__version__ < (2, 10):
        raise SystemExit(f"sdfido: {NEEDS_TORCH}, got {torch.__version__}; {GET_TORCH}. {WAY_OUT}")

    sources, cxx_flags, nvcc_flags, libraries, library_dirs = SOURCES, COMPILE_FLAGS, [], [], []
    link_flags = ["-Wl,-s", "-Wl,--version-script=csrc/exports.map"]
    built_for = "CPUs"
    if toolkit := choose_toolkit():
        archs = choose_archs(toolkit)
        # Code from the PTX of a generation's oldest is the same as from each one's own, and compiles twice as fast: a
        # generation rounds to bfloat16 by an instruction (80), or has other limits of registers (100).
        generations = [
            list(group) for _, group in itertools.groupby(archs, key=lambda arch: bisect([80, 100], int(arch)))
        ]
        ptx = f"compute_{generations[-1][0]}"
        codes = [*(f"sm_{arch}" for arch in archs), ptx]
        built_for += f" and CUDA ({' '.join(codes)})"
        say(f"building with CUDA, toolkit in {toolkit}, for {' '.join(codes)}")
        cpp_extension.CUDA_HOME = str(toolkit)  # None where torch was built without CUDA, whose headers do as well
        sources = SOURCES + CUDA_SOURCES
        version = toolkit_version(toolkit)
        cxx_flags = [*COMPILE_FLAGS, f'-DSDFIDO_CUDA_ARCHS="{" ".join(codes)}"', f'-DSDFIDO_CUDA_TOOLKIT="{version}"']
        compare_with_driver(version)
        # ninja follows nvcc's includes only where torch was built with CUDA; a changed command makes it compile anew.
        headers = hashlib.sha256(b"".join(Path(header).read_bytes() for header in HEADERS)).hexdigest()[:16]
        nvcc_flags = [*NVCC_FLAGS, *compression(toolkit), f"-DSDFIDO_HEADERS={headers}"]
        nvcc_flags.append(f"-gencode=arch={ptx},code={ptx}")
        for group in generations:
            nvcc_flags.append(f"-gencode=arch=compute_{group[0]},code=[{','.join(f'sm_{arch}' for arch in group)}]")
        libraries, library_dirs = ["cudart_static", "rt", "pthread", "dl"], [str(toolkit / "lib64")]
        # libtorch must stay among the needed libraries: it brings libtorch_cuda, where there is one.
        link_flags += ["-Wl,--push-state,--no-as-needed", "-ltorch", "-Wl,--pop-state"]

    # Of torch only a C interface is used: its compiler and its CUDA need not be those of this build.
    os.environ.setdefault("TORCH_DONT_CHECK_COMPILER_ABI", "1")
    torch.version.cuda = None

    class BuildExtension(cpp_extension.BuildExtension):
        def build_extensions(self) -> None:
            check_compiler()
            try:
                super().build_extensions()
            except Exception as error:
                raise SystemExit(
                    f"sdfido: the compiled operators could not be built: {error}. The compiler's messages are above; "
                    f"Python's headers must be there (Debian: python3-dev). {WAY_OUT}"
                ) from error
            library = Path(self.get_ext_fullpath("sdfido._C"))
            say(f"built {library.name} for {built_for}: {library.stat().st_size / 1e6:.1f} MB")

    return {
        "ext_modules": [
            cpp_extension.CppExtension(
                "sdfido._C",
                sources,
                depends=HEADERS,
                extra_compile_args={"cxx": cxx_flags, "nvcc": nvcc_flags},
                extra_link_args=link_flags,
                libraries=libraries,
                library_dirs=library_dirs,
                py_limited_api=True,
            )
        ],
        "cmdclass": {"build_ext": BuildExtension},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


place_headers()
if choice("SDFIDO_NO_NATIVE") != "1":
    setup(**native())
elif choice("SDFIDO_CUDA") == "1":
    raise SystemExit("SDFIDO_NO_NATIVE=1 and SDFIDO_CUDA=1 exclude each other; unset one")
else:
    say("building without compiled operators: SDFIDO_NO_NATIVE=1")
    setup()
