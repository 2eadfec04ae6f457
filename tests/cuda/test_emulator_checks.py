"""The emulator's checks of each access: no word about right kernels, and every fault named in every order of turns."""

import re
import subprocess
import sys

import numpy as np
import pytest

from tests.cuda.emulated import ROOT, build_module, nested

pytestmark = [pytest.mark.slow, nested]

KERNELS = ROOT / "tests/emulator/checks_kernels.cuh"


@pytest.fixture(scope="session")
def emulated():
    module = build_module("emulator_selftest")
    assert module.instrumented()
    return module


@pytest.fixture(params=[0, 1, 2, 3])
def kernels(emulated, request):
    emulated.set_order(request.param)
    emulated.set_checks(True)
    yield emulated
    emulated.set_checks(False)
    emulated.set_order(None)


def run(kernels, name, blocks, threads, written=False, is_input=False):
    memory, tickets = np.zeros(1024, np.float32), np.zeros(3, np.uint32)
    try:
        kernels.run_checked(name, blocks, threads, memory, tickets, written, is_input)
    finally:
        kernels.unwatch_all()
    return memory


def place(kernel, mark="fault"):
    lines = KERNELS.read_text().splitlines()
    (line,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"// {mark}: {kernel}")]
    return re.escape(f"{KERNELS.name}:{line}")


def test_last_block_knows_of_the_others(kernels):
    assert run(kernels, "last_block", 5, 64)[:11].tolist() == [*range(10), 45]


def test_order_is_handed_on_from_block_to_block(kernels):
    assert run(kernels, "chain", 3, 32)[1] == 1


@pytest.mark.parametrize("name", ["exchange", "written_in_turn", "neighbours"])
def test_right_use_of_shared_memory(kernels, name):
    run(kernels, name, 1, 32 if name == "exchange" else 64, written=True)


BETWEEN_BLOCKS = "it takes a fence, then an atomic after that, and an atomic, then a fence before this"


@pytest.mark.parametrize(
    "name", ["no_release", "late_release", "block_release", "no_acquire", "early_acquire", "no_barrier"]
)
def test_every_misplaced_fence_is_a_race(kernels, name):
    with pytest.raises(kernels.Error) as error:
        run(kernels, name, 5, 64)
    message = (
        rf"{place('last_block')}: __ldcg of 4 bytes by thread \(1,0,0\) at byte \d+ of memory: a race with thread "
        rf"\([01],0,0\) of block \(\d,0,0\) at {place('last_block', 'other')}: {BETWEEN_BLOCKS} "
        r"\[block \(\d,0,0\) of .*last_block<.*>\]"
    )
    assert re.fullmatch(message, str(error.value))


# kernel, blocks, threads, whether memory is written, message
FAULTS = [
    ("block_ticket", 5, 64, False, f"atomicInc_block of .* of the ticket: a race with .*: {BETWEEN_BLOCKS}"),
    ("read_only", 5, 64, False, "__ldg of .* of memory: __ldg must not read what the launch writes"),
    (
        "across_blocks",
        4,
        32,
        True,
        f"({{fault}}: __ldcg of|{{other}}: __stcg of) .* of memory: a race with .* at .*: {BETWEEN_BLOCKS}",
    ),
    (
        "exchange_by_shuffle",
        1,
        32,
        True,
        r"{fault:exchange}: a load of 4 bytes by thread \(\d+,0,0\) at byte \d+ of shared memory: a race with thread "
        r"\(\d+,0,0\) at {other:exchange} in interval 0 between barriers",
    ),
    ("half_of_a_warp", 1, 32, True, r"{fault}: a load .* by thread \(20,0,0\) .*: (a race with|nobody has written it)"),
    (
        "overwritten",
        1,
        64,
        True,
        "({fault}: a store .* a race with .* at {other}|{other}: a load .* a race with .* at {fault}) "
        "in interval [12] between barriers, since {since}",
    ),
    ("same_place", 1, 64, True, "{fault}: a store of 4 bytes .* at byte 12 of memory: a race with .* at {fault}"),
    ("half_written", 1, 64, True, r"{fault}: a load of .* at byte \d+ of shared memory: nobody has written it"),
    ("left_over", 8, 1, True, "{fault}: a load of .* of shared memory: nobody has written it"),
    ("unwritten_global", 1, 64, False, r"{fault}: __ldcg of .* at byte [2345]\d\d of memory: nobody has written it"),
    ("writes_input", 1, 1, True, "{fault}: __stcg of 4 bytes by .* at byte 0 of the ticket: it is an input"),
]


@pytest.mark.parametrize(("name", "blocks", "threads", "written", "message"), FAULTS, ids=[f[0] for f in FAULTS])
def test_fault_is_found_in_every_order(kernels, name, blocks, threads, written, message):
    with pytest.raises(kernels.Error) as error:
        run(kernels, name, blocks, threads, written, name == "writes_input")
    expected = re.sub(r"\{(fault|other|since):?(\w*)\}", lambda match: place(match[2] or name, match[1]), message)
    assert re.search(rf"{expected}.* \[block \(\d,0,0\) of ", str(error.value)), str(error.value)


def test_checks_are_off_unless_asked_for(emulated):
    assert run(emulated, "no_acquire", 5, 64)[10] == 45


def test_kernels_need_their_barriers_and_fences_and_no_more():
    """The checks have nothing to say about the kernels, until one means of order is weakened, whichever it is."""
    command = [sys.executable, "-m", "tests.emulator.order_mutants"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)
