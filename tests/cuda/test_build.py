"""The CUDA build: which toolkit it takes, and what the compiler makes of the kernels. No GPU is needed."""

import os
import re
import subprocess
import sys

import pytest

from tests.cuda import thresholds
from tests.cuda.build import ARCHS, ROOT, kernels, occupancy, toolkit_version
from tests.cuda.machine_code import (
    Instruction,
    cheapest_pass,
    disassemble,
    innermost_loop,
    instructions_per_sample,
    tool,
)

STORED = {"float": ("float", "BFloat16", "Float16"), "double": ("double",)}
KINDS = [f"{t}, {stored}" for t in STORED for stored in STORED[t]]
KERNELS = (
    {f"{given}forward_{r}_kernel<{kind}>" for given in ("", "blend_") for r in ("full", "low") for kind in KINDS}
    | {
        f"{given}backward_{r}_kernel<{kind}, {image}>"
        for given in ("", "blend_")
        for r in ("full", "low")
        for kind in KINDS
        for image in ("true", "false")
    }
    | {f"{given}combine_kernel<{t}>" for given in ("", "blend_") for t in STORED}
    | {f"{name}_{way}_kernel<{t}>" for name in ("masks", "concrete") for way in ("forward", "backward") for t in STORED}
)


def of_this_toolkit(test):
    """For tests whose thresholds hold for one version of the toolkit."""
    version = toolkit_version()
    other = bool(version) and version != thresholds.TOOLKIT
    reason = f"the thresholds are those of CUDA {thresholds.TOOLKIT}, this is {version}"
    return pytest.mark.toolkit(pytest.mark.skipif(other, reason=reason)(test))


@pytest.fixture(scope="module")
def compiled(built):
    return kernels(built.log)


def setup_says(*, toolkit=True, **environment):
    """Exit code and messages of setup.py, with what it looks for hidden unless ``toolkit``."""
    hide = "" if toolkit else "pathlib.Path.exists = lambda p: p.name != 'libcudart_static.a' and exists(p)"
    code = f"import pathlib, runpy, sys; exists = pathlib.Path.exists; {hide}\n"
    code += "sys.argv = ['setup.py', '--quiet', '--name']; runpy.run_path('setup.py')"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SDFIDO_")}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept | environment, capture_output=True, text=True
    )
    return result.returncode, result.stderr


# --- Which toolkit


@pytest.mark.packaging
def test_without_a_toolkit_the_build_goes_on_and_says_why():
    code, said = setup_says(toolkit=False)
    assert code == 0
    assert "sdfido: building without CUDA: no CUDA toolkit (bin/nvcc and lib64/libcudart_static.a) under" in said


@pytest.mark.packaging
def test_cuda_wanted_without_a_toolkit_is_an_error():
    code, said = setup_says(toolkit=False, SDFIDO_CUDA="1")
    assert code != 0
    assert said.splitlines()[-1].startswith("SDFIDO_CUDA=1, but there is no CUDA toolkit")
    assert said.splitlines()[-1].endswith("set CUDA_HOME, or SDFIDO_CUDA=0 to build without")


@pytest.mark.packaging
def test_cuda_not_wanted():
    code, said = setup_says(SDFIDO_CUDA="0")
    assert code == 0
    assert "sdfido: building without CUDA: SDFIDO_CUDA=0" in said


@pytest.mark.packaging
def test_a_wrong_choice_is_an_error():
    code, said = setup_says(SDFIDO_CUDA="yes")
    assert code != 0
    assert "SDFIDO_CUDA must be 0, 1 or unset, got 'yes'" in said


@pytest.mark.toolkit
def test_architectures_are_chosen_and_checked(built):
    code, said = setup_says(SDFIDO_CUDA_ARCHS="80,90")
    assert code == 0
    assert re.search("sdfido: building with CUDA, toolkit in .+, for sm_80 sm_90 compute_80$", said, re.MULTILINE)
    code, said = setup_says(SDFIDO_CUDA_ARCHS="80 12")
    assert code != 0
    assert re.search("SDFIDO_CUDA_ARCHS must name architectures .* got 12$", said.strip())


# --- What is built


@pytest.mark.toolkit
def test_all_kernels_are_there_for_all_architectures(compiled):
    for arch in ARCHS:
        assert {kernel.name for kernel in compiled if kernel.arch == arch} == KERNELS, f"sm_{arch}"


@pytest.mark.toolkit
def test_ptx_is_there_for_later_architectures(built):
    listed = subprocess.run(
        [tool("cuobjdump"), "--list-ptx", built.library], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"\.sm_(\d+)\.ptx$", listed, re.MULTILINE) == ["100"] * 3  # one a source file


@pytest.mark.toolkit
def test_the_compilers_warn_of_nothing(built):
    """Warnings are errors in this build; this finds those that the assembler only prints."""
    lines = [line for line in built.log.splitlines() if re.search(r"\bwarning\b", line)]
    ours = [line for line in lines if "all-warnings" not in line and "byte-compiling" not in line]
    assert not ours, "\n".join(ours)


# float64 is for gradient checks on small tensors: its kernels may spill, rather than be split for speed.
@of_this_toolkit
def test_nothing_is_in_local_memory(compiled):
    offenders = [
        f"{k.name} on sm_{k.arch}: {k.stack} bytes, spills of {k.spills}"
        for k in compiled
        if "double" not in k.name and (k.stack or k.spills)
    ]
    assert not offenders, "\n".join(offenders)


# float64 needs twice the registers, see above.
@of_this_toolkit
@pytest.mark.parametrize("arch", ["80", "90"])
def test_at_least_half_of_the_warps_fit(compiled, arch):
    offenders = [
        f"{k.name}: {k.occupancy:.0%} with {k.registers} registers and {k.shared} bytes of shared memory"
        for k in compiled
        if k.arch == arch
        and "double" not in k.name
        and k.occupancy < thresholds.OCCUPANCY.get(k.name, thresholds.MIN_OCCUPANCY)
    ]
    assert not offenders, "\n".join(offenders)


@of_this_toolkit
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(("name", "loads", "stores"), thresholds.WIDE_ACCESSES)
def test_aligned_accesses_are_128_bits_wide(built, compiled, arch, name, loads, stores):
    (symbol,) = {kernel.symbol for kernel in compiled if kernel.name == name}
    opcodes = [instruction.opcode for instruction in disassemble(built.library, arch, symbol)]
    assert sum(opcode.startswith("LDG.E.128") for opcode in opcodes) >= loads
    assert sum(opcode.startswith("STG.E.128") for opcode in opcodes) >= stores


@of_this_toolkit
@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_is_what_limits_the_forward_pass(built, compiled, channels_last):
    (symbol,) = {kernel.symbol for kernel in compiled if kernel.name == "forward_full_kernel<float, float>"}
    instructions = instructions_per_sample(disassemble(built.library, "90", symbol), channels_last)
    assert instructions < thresholds.SAMPLE_INSTRUCTIONS < thresholds.AFFORDABLE_INSTRUCTIONS


# --- The rulers themselves


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "expected"),
    [
        # CUDA C++ Best Practices Guide, "Calculating Occupancy": 75 % and 63 %.
        (128, 37, 0, 12 * 4 / 64),
        (320, 37, 0, 4 * 10 / 64),
        (128, 64, 0, 0.5),
        (128, 65, 0, 7 * 4 / 64),
        (1024, 32, 0, 1.0),
        (128, 32, 48 * 1024, 3 * 4 / 64),  # three blocks of 49 KiB in 164
        (32, 16, 0, 0.5),  # 32 blocks
    ],
)
def test_occupancy(threads, registers, shared, expected):
    assert occupancy("80", threads, registers, shared) == expected


def code_of(*texts):
    guarded = [re.match(r"(@!?P\d)? ?(.*)", text).groups(default="") for text in texts]
    return [Instruction(16 * i, guard, text) for i, (guard, text) in enumerate(guarded)]


def test_the_cheapest_pass_through_a_loop():
    code = code_of(
        "MOV R0, RZ",
        "@P0 BRA 0x40",  # the loop
        "FADD R1, R1, R1",
        "BRA 0x80",
        "@P1 BRA 0x60",  # 0x40: the dear way
        "CALL.REL.NOINC 0x500",
        "FMUL R1, R1, R1",  # 0x60
        "FMUL R1, R1, R1",
        "STG.E.128 desc[UR4][R2.64], R4",  # 0x80
        "@P2 BRA 0x10",
        "EXIT",
    )
    loop = innermost_loop(code, r"STG\.E\.128")
    assert loop == (1, 9, {1, 2, 3, 4, 6, 7, 8, 9})
    assert cheapest_pass(code, loop, {"^STG": 1}).total() == 5
    assert cheapest_pass(code, loop, {"^STG": 1, "^FMUL": 2}).total() == 6
    with pytest.raises(AssertionError, match="no way through the loop"):
        cheapest_pass(code, loop, {"^FMUL": 3})
