"""Builds sdfido._C, the compiled operators; everything else about the package stands in pyproject.toml."""

import os
from pathlib import Path

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

SOURCES = ["csrc/ops.cpp", *sorted(str(path) for path in Path("csrc/cpu").glob("*.cpp"))]
HEADERS = sorted(str(path) for pattern in ("*.h", "*.inl") for path in Path("csrc").rglob(pattern))
COMPILE_FLAGS = [
    "-std=c++17",
    "-O3",
    # Loops with selections stay scalar below AVX-512 unless comparisons may be done for every lane.
    "-fno-trapping-math",
    # a*b+c is two roundings everywhere, so that every instruction set and the GPU give the same bits.
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",  # LibTorch's stable ABI as of torch 2.10
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    *(["-Werror"] if os.environ.get("SDFIDO_WERROR") == "1" else []),
]

setup(
    ext_modules=[
        CppExtension(
            "sdfido._C",
            SOURCES,
            depends=HEADERS,
            extra_compile_args={"cxx": COMPILE_FLAGS},
            extra_link_args=["-Wl,-s"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
