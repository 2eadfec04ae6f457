"""The CUDA emulator itself: right kernels give known results in every order, each fault is found and its line named."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.cuda.emulated import ORDERS, ROOT, build_module, nested, run_sanitized

pytestmark = pytest.mark.slow

KERNELS = ROOT / "tests/emulator/selftest_kernels.cuh"


@pytest.fixture(scope="session")
def emulated():
    return build_module("emulator_selftest")


@pytest.fixture(params=ORDERS)
def kernels(emulated, request):
    emulated.set_order(request.param)
    yield emulated
    emulated.set_order(None)
    emulated.unwatch_all()


def filled(*shape, dtype=np.float32):
    """An output array, full of what no kernel writes."""
    return np.full(shape, -99, dtype)


def line_of(kernel, mark="fault"):
    lines = KERNELS.read_text().splitlines()
    (line,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"// {mark}: {kernel}")]
    return f"{KERNELS.name}:{line}"


# --- Right kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_block_sums(kernels, dtype):
    values, sums = np.arange(5 * 256, dtype=dtype), filled(5, dtype=dtype)
    kernels.block_sums(values, sums)
    np.testing.assert_array_equal(sums, values.reshape(5, 256).sum(1))


@pytest.mark.parametrize("blocks", [1, 7, 100])
def test_last_block_sums_in_a_fixed_order(kernels, blocks):
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    partials, finished, total = filled(blocks), np.zeros(1, np.uint32), filled(1)
    for _ in range(2):  # the counter of finished blocks is ready for the next launch
        kernels.last_block_sum(values, partials, finished, total)
        assert finished == 0
        assert total[0] == pytest.approx(values.sum(dtype=np.float64), abs=1e-3)
    again = filled(1)
    kernels.set_order(0)
    kernels.last_block_sum(values, partials, finished, again)
    assert total == again


@pytest.mark.parametrize("width", [1, 4, 8, 32])
def test_scan_of_segments(kernels, width):
    values, scan = np.arange(32, dtype=np.int32) ** 2, filled(32, dtype=np.int32)
    kernels.segmented_scan(values, scan, width)
    np.testing.assert_array_equal(scan, values.reshape(-1, width).cumsum(1).ravel())


@pytest.mark.parametrize("width", [1, 2, 8, 32])
@pytest.mark.parametrize("amount", [0, 1, 3, 8, 31])
def test_shuffles_read_the_lane_that_cuda_says(kernels, amount, width):
    lanes, out = np.arange(32), filled(4, 32, dtype=np.int32)
    kernels.shuffles(amount, width, out)
    begin = lanes // width * width
    indexed, up, down, xor = begin + amount % width, lanes - amount, lanes + amount, lanes ^ amount
    np.testing.assert_array_equal(out[0], indexed)
    np.testing.assert_array_equal(out[1], np.where(up >= begin, up, lanes))
    np.testing.assert_array_equal(out[2], np.where(down < begin + width, down, lanes))
    np.testing.assert_array_equal(out[3], np.where(xor < begin + width, xor, lanes))


@pytest.mark.parametrize("period", [1, 2, 3, 40])
@pytest.mark.parametrize("remainder", [0, 1])
def test_votes(kernels, period, remainder):
    values = (np.arange(64) % period == remainder).astype(np.int32)
    out = filled(6, values.size, dtype=np.int64).astype(np.uint32)
    kernels.votes(values, out)
    for i in range(values.size):
        warp, parity = values[i // 32 * 32 :][:32], np.arange(32) % 2 == i % 2
        ballot = sum(1 << j for j in range(32) if parity[j] and warp[j])
        expected = [ballot, warp[parity].any(), warp[parity].all(), values.sum(), values.any(), values.all()]
        assert out[:, i].tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(32, 32), (70, 45), (1, 100)])
def test_transpose_through_shared_memory(kernels, shape, dtype):
    matrix = np.arange(shape[0] * shape[1], dtype=dtype).reshape(shape)
    out = filled(*reversed(shape), dtype=dtype)
    kernels.transpose(matrix, out)
    np.testing.assert_array_equal(out, matrix.T)


def test_atomics_on_global_and_shared_memory(kernels):
    values = np.random.default_rng(0).integers(-50, 50, 200).astype(np.int32)
    totals, half = np.zeros(3, np.int32), np.zeros(1, np.float32)
    kernels.watch(values)
    kernels.watch(totals)
    kernels.watch(half)
    kernels.tally(values, 10, totals, half)
    assert totals.tolist() == [values.sum(), values.max(), (values < 10).sum()]
    assert half == 100


def test_indices(kernels):
    grid, block = (3, 2, 2), (5, 4, 3)
    out = filled(2, 2, 3, 3, 4, 5, 6, dtype=np.int64).astype(np.uint32)
    kernels.indices(grid, block, out)
    bz, by, bx, tz, ty, tx = np.indices(out.shape[:-1])
    np.testing.assert_array_equal(out, np.stack([tx, ty, tz, bx, by, bz], -1))


@pytest.mark.parametrize("size", [4, 1024, 1027])
def test_counters_are_exact(kernels, size):
    values, out = np.arange(size, dtype=np.float32), filled(size)
    kernels.watch(values)
    kernels.watch(out)
    kernels.copy(values, out)
    np.testing.assert_array_equal(out, values)
    accesses = {16: size // 4} | ({4: size % 4} if size % 4 else {})
    expected = {"bytes": 4 * size, "accesses": accesses}
    assert kernels.counters() == {"loads": expected, "stores": expected}


# --- Faulty kernels


def test_access_across_the_end_of_a_watched_array(kernels):
    values, out = np.zeros(1024, np.float32), np.zeros(1024, np.float32)
    kernels.watch(values)
    kernels.watch(out[:1022])
    with pytest.raises(
        kernels.Error, match=r"__stcs of 16 bytes by thread \(63,0,0\): outside all watched .*block \(3,0,0\)"
    ):
        kernels.copy(values, out)


WAITS = "thread .* waits for thread .*, which waits in"

# kernel, number of threads, expected message; {line} and {other} are lines marked in the kernel
FAULTS = [
    ("different_barriers", 64, f"{{line}}: __syncthreads: {WAITS} __syncthreads at {{other}}"),
    ("barrier_after_exit", 64, r"{line}: __syncthreads: thread .* waits for thread \(33,0,0\), which has exited"),
    ("barrier_against_shuffle", 32, f"{{line}}: __shfl_xor_sync: {WAITS} __syncthreads at {{other}}"),
    ("shuffle_after_exit", 32, r"{line}: __shfl_xor_sync: thread .* waits for thread \(2\d,0,0\), which has exited"),
    ("absent_lanes", 40, "{line}: __shfl_down_sync by thread .*: the mask names absent lanes: the warp has 8"),
    ("outside_own_mask", 32, "{line}: __shfl_sync by thread .*: the mask leaves out the calling lane"),
    ("reads_outside_mask", 32, r"{line}: __shfl_down_sync by thread .*: the mask leaves out lane \d+, which is read"),
    ("different_shuffles", 32, f"{{line}}: __shfl_xor_sync: {WAITS} __shfl_xor_sync at {{other}}"),
    ("width_of_three", 32, "{line}: __shfl_down_sync: width 3; must be 1, 2, 4, 8, 16 or 32"),
    ("circle_of_warps", 3, r"{line}: deadlock of thread \(0,0,0\), which waits in __syncwarp"),
    ("reads_too_far", 64, r"{line}: __ldg of 4 bytes by thread \(63,0,0\): outside all watched buffers"),
    ("writes_too_far", 64, r"{line}: __stcs of 4 bytes by thread \(63,0,0\): outside all watched buffers"),
    ("adds_too_far", 64, r"{line}: atomicAdd of 4 bytes by thread \(63,0,0\): outside all watched buffers"),
    ("misaligned", 1, r"{line}: __stcg of 16 bytes by thread \(0,0,0\): misaligned address"),
]


@pytest.mark.parametrize(("kernel", "threads", "message"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_fault_is_found_and_its_line_named(kernels, kernel, threads, message):
    out = np.zeros(64, np.float32)
    kernels.watch(out)
    with pytest.raises(kernels.Error) as error:
        getattr(kernels, kernel)(threads, out)
    line = re.escape(line_of(kernel))
    other = re.escape(line_of(kernel, "other")) if "{other}" in message else ""
    places = [(line, other), (other, line)] if kernel.startswith("different") else [(line, other)]
    expected = [message.replace("{line}", a).replace("{other}", b) for a, b in places]
    assert re.match(f"({'|'.join(expected)}).*\\[block \\(0,0,0\\)\\]$", str(error.value))

    # The next launch is not disturbed by threads that never finished.
    kernels.unwatch_all()
    test_block_sums(kernels, np.float32)


def results_in_all_orders(emulated, kernel, threads, size):
    results = []
    for order in ORDERS:
        emulated.set_order(order)
        results.append(filled(size))
        getattr(emulated, kernel)(threads, results[-1])
    return results


@pytest.mark.parametrize(
    ("kernel", "threads", "expected"),
    [
        ("missing_barrier", 64, np.arange(64)[::-1]),
        ("missing_second_barrier", 64, np.arange(3).repeat(64)),
        ("missing_syncwarp", 32, np.arange(32)[::-1]),
    ],
)
def test_missing_barrier_shows_in_some_order(emulated, kernel, threads, expected):
    results = results_in_all_orders(emulated, kernel, threads, expected.size)
    wrong = [not np.array_equal(result, expected) for result in results]
    assert any(wrong[:2])  # ascending or descending: whatever the seeds
    assert sum(wrong) >= 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unwritten_shared_memory_is_nan(kernels, dtype):
    out = filled(64, dtype=dtype)
    kernels.uninitialised_shared(out)
    np.testing.assert_array_equal(out, np.tile([1, np.nan], 32))


def test_shared_memory_does_not_survive_a_block(kernels):
    first, out = np.zeros(1, np.int32), filled(8)
    kernels.left_by_other_block(first, out)
    assert np.isnan(out).sum() == 7
    assert np.nansum(out) == 7


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((1, 1, 1), (1025, 1, 1), "blockDim.x = 1025; must be 1 to 1024"),
        ((1, 1, 1), (32, 33, 1), "blockDim.x*y*z = 1056; must be 1 to 1024"),
        ((1, 1, 1), (1, 1, 65), "blockDim.z = 65; must be 1 to 64"),
        ((1, 1, 1), (32, 0, 1), "blockDim.y = 0; must be 1 to 1024"),
        ((0, 1, 1), (32, 1, 1), "gridDim.x = 0; must be 1 to 2147483647"),
        ((1, 65536, 1), (32, 1, 1), "gridDim.y = 65536; must be 1 to 65535"),
        ((1, 1, 65536), (32, 1, 1), "gridDim.z = 65536; must be 1 to 65535"),
    ],
)
def test_launch_beyond_the_limits(emulated, grid, block, message):
    with pytest.raises(emulated.Error, match=rf"selftest.cpp:\d+: launch with {re.escape(message)}"):
        emulated.indices(grid, block, np.zeros(0, np.uint32))


def test_arrays_of_another_type_are_refused_rather_than_copied(emulated):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        emulated.copy(np.zeros(4, np.float64), np.zeros(4, np.float32))
    with pytest.raises(TypeError, match="incompatible function arguments"):
        emulated.copy(np.zeros(4, np.float32), np.zeros(8, np.float32)[::2])


def test_order_from_the_environment(emulated, monkeypatch):
    out = filled(64)
    emulated.set_order(None)
    for order, is_late in (("0", np.arange(64) < 32), ("1", np.arange(64) >= 32)):
        monkeypatch.setenv("SIMT_ORDER", order)
        emulated.missing_barrier(64, out)
        np.testing.assert_array_equal(np.isnan(out), is_late)
    monkeypatch.setenv("SIMT_ORDER", "x")
    with pytest.raises(emulated.Error, match="SIMT_ORDER is 'x'; it must be a number"):
        emulated.missing_barrier(64, out)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("out[0] = __activemask();", "__activemask() depends on how the hardware happens to diverge"),
        ("struct Bits { short bits; }; __ldg(reinterpret_cast<Bits*>(out));", "constraints not satisfied"),
        ("out[0] = __shfl_sync(~0u, make_float2(1, 2), 0).x;", "shuffles take numbers of up to 8 bytes"),
    ],
)
def test_what_does_not_compile(tmp_path, body, message):
    source = tmp_path / "kernel.cpp"
    source.write_text(f"#include <cuda_runtime.h>\n__global__ void kernel(float* out) {{ {body} }}\n")
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-std=c++20", "-fsyntax-only", "-I", ROOT / "tests/emulator/include", source]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert message in result.stderr


# --- Other builds


def call(kernel):
    """Arguments for a Python of its own that runs a faulty kernel."""
    program = [
        "import numpy",
        "from tests.cuda import emulated",
        f"emulated.build_module('emulator_selftest').{kernel}(64, numpy.zeros(1000, numpy.float32))",
    ]
    return ["-c", "; ".join(program)]


@nested
def test_all_this_under_sanitizers():
    result = run_sanitized(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", __file__])
    assert result.returncode == 0, result.stdout + result.stderr


@nested
@pytest.mark.parametrize(
    ("kernel", "finding"),
    [
        ("overflows_heap", "AddressSanitizer: heap-buffer-overflow"),
        ("overflows_shared", "runtime error: index 64 out of bounds"),
    ],
)
def test_sanitizers_see_plain_accesses(kernel, finding):
    result = run_sanitized(call(kernel))
    assert result.returncode != 0
    assert finding in result.stderr
    assert line_of(kernel) in result.stderr


@nested
def test_full_stack_ends_in_a_fault():
    result = subprocess.run([sys.executable, *call("overflows_stack")], cwd=ROOT)
    assert result.returncode == -signal.SIGSEGV


@nested
def test_all_this_with_the_portable_context_switch():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", __file__]
    environment = os.environ | {"SDFIDO_EMULATOR": "ucontext"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
