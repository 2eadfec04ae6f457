"""The CUDA kernels in the emulator against the CPU backend: bits of masks and composites, sums, bytes, mutants."""

import itertools
import mmap
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import sdfido
from tests.cuda.emulated import ORDERS, ROOT, build_module, nested, run_sanitized
from tests.cuda.emulated_cases import (
    BlendCase,
    EmulatedCase,
    as_array,
    assert_same,
    check,
    check_masks,
    moved,
    random,
    unwritten,
)

pytestmark = pytest.mark.slow  # the kernels alone compile for half a minute

f32, bf16, f16, f64 = torch.float32, torch.bfloat16, torch.float16, torch.float64


@pytest.fixture(scope="session")
def emulated():
    return build_module("emulated_kernels")


@pytest.fixture
def kernels(emulated):
    """Launches are divided as those of many images are, however few there are."""
    emulated.set_enough_blocks(0)
    yield emulated
    emulated.set_enough_blocks(emulated.ENOUGH_BLOCKS)
    emulated.set_order(None)


def grid(*axes):
    """All combinations, or few of them, with all values of each axis, where they take long."""
    return list(itertools.product(*axes))[:: 11 if "SDFIDO_EMULATOR" in os.environ else 1]


def in_turn(cases):
    """Each case with one order of threads and blocks."""
    return [(case, ORDERS[i % len(ORDERS)]) for i, case in enumerate(cases)]


def check_in(order, kernels, case):
    """Every other order with launches that are divided as those of few images."""
    kernels.set_order(order)
    kernels.set_enough_blocks(kernels.ENOUGH_BLOCKS if order % 2 else 0)
    check(kernels, case)


# --- Against the CPU backend

SIZES = [  # pixels, cells (None: full resolution); a tile is 16 x 32 pixels
    ((16, 32), None),
    ((20, 132), None),  # aligned, with tails
    ((9, 61), None),
    ((17, 65), None),  # one pixel in the last tile
    ((3, 1), None),
    ((64, 64), (8, 8)),
    ((33, 33), (5, 5)),
    ((20, 66), (18, 60)),
    ((9, 9), (1, 1)),
    ((9, 132), (9, 33)),  # columns alone
    ((24, 68), (5, 68)),  # rows alone
    ((33, 98), (32, 97)),  # as many cells under a tile as can be
]
OPTIONS = [  # n, k, s, c, temperature, antithetic
    (1, 1, 1, 1, 0.37, False),
    (2, 1, 3, 3, 0.1, True),
    (1, 2, 8, 4, 1.0, False),
    (2, 2, 9, 5, 0.37, True),
    (1, 2, 9, 3, 0.1, False),
    (1, 1, 8, 9, 1.0, True),
]


@pytest.mark.parametrize(("case", "order"), in_turn(grid(SIZES, OPTIONS)))
def test_shapes_and_temperatures(kernels, case, order):
    (size, cells), (n, k, s, c, temperature, antithetic) = case
    check_in(order, kernels, EmulatedCase(n, k, s, c, size, cells, temperature, antithetic))


FORMATS = [(f32, f32), (f32, bf16), (f32, f16), (bf16, bf16), (bf16, f32), (f16, f16), (f16, bf16), (f64, f64)]
SMALL = [((10, 68), None), ((10, 68), (3, 20)), ((7, 61), None), ((7, 61), (5, 61))]


@pytest.mark.parametrize(("case", "order"), in_turn(grid(FORMATS, SMALL, [False, True], [3, 4, 5])))
def test_formats(kernels, case, order):
    (dtype, out_dtype), (size, cells), channels_last, c = case
    check_in(
        order,
        kernels,
        EmulatedCase(2, 1, 3, c, size, cells, dtype=dtype, out_dtype=out_dtype, channels_last=channels_last),
    )


LAYOUTS = ["contiguous", "channels-last", "sliced", "expanded"]


@pytest.mark.parametrize(("case", "order"), in_turn(grid(LAYOUTS, ["full", "pixel", "scalar"], SMALL[:2], [f32, bf16])))
def test_layouts(kernels, case, order):
    layout, infill, (size, cells), dtype = case
    check_in(order, kernels, EmulatedCase(2, 1, 2, 3, size, cells, dtype=dtype, layout=layout, infill=infill))


@pytest.mark.parametrize(("case", "order"), in_turn(grid([1, 2, 3, 4, 8], [f32, bf16, f64], SMALL[:2], [False, True])))
def test_base_addresses(kernels, case, order):
    """Arrays that begin between, or at, the addresses that one access of four elements may have."""
    offset, dtype, (size, cells), channels_last = case
    check_in(
        order, kernels, EmulatedCase(2, 1, 2, 3, size, cells, dtype=dtype, offset=offset, channels_last=channels_last)
    )


def subsets(*names):
    return [s for n in range(len(names) + 1) for s in itertools.combinations(names, n)]


@pytest.mark.parametrize(
    ("case", "order"),
    in_turn(grid(subsets("composites", "sparsity", "smoothness"), subsets("image", "infill"), SMALL[:2], [3, 5])),
)
def test_gradients_that_are_missing_or_not_wanted(kernels, case, order):
    given, wanted, (size, cells), c = case
    check_in(order, kernels, EmulatedCase(2, 2, 2, c, size, cells, given=given, wanted=wanted))


@pytest.mark.parametrize(("case", "order"), in_turn(grid([0.1, 0.37, 1.0], [f32, bf16, f64], SMALL)))
def test_extreme_logits(kernels, case, order):
    temperature, dtype, (size, cells) = case
    check_in(order, kernels, EmulatedCase(2, 2, 5, 3, size, cells, temperature, dtype=dtype, extremes=True))


@pytest.mark.parametrize("kind", [EmulatedCase, BlendCase])
@pytest.mark.parametrize(("size", "cells"), [((33, 40), (5, 5)), ((20, 66), (18, 60)), ((20, 66), None)])
@pytest.mark.parametrize("pixel", [(0, 0), (5, 20), (19, 39)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite_spread_alike(kernels, kind, size, cells, pixel, value):
    """To the same cells as from the CPU backend, which is compared with the reference elsewhere."""
    case = kind(1, 2, 3, 3, size, cells)
    case.weights["composites"][0, 1, 2, 0][pixel] = value
    check(kernels, case)


@pytest.mark.parametrize("cells", [None, (3, 20)])
def test_streams_and_batch_splits(kernels, cells):
    """An image's numbers depend on its stream, not on the images beside it."""
    case = EmulatedCase(3, 2, 4, 3, (10, 68), cells, streams=(7, 2**33 + 1, 0))
    check(kernels, case)
    whole = case.forward(kernels) | case.backward(kernels)
    for i, stream in enumerate(case.streams):
        part = replace(case, n=1, streams=(stream,))
        part.tensors = {name: tensor[i : i + 1] for name, tensor in case.tensors.items()}
        part.weights = {name: weight[i : i + 1] for name, weight in case.weights.items()}
        for name, value in (part.forward(kernels) | part.backward(kernels)).items():
            assert_same(name, value, whole[name][i : i + 1])


def test_distances_of_more_than_32_bits(kernels):
    """Two images more than 2^31 elements apart, in memory of which only a few pages are ever touched."""
    no_reserve = 0x4000
    memory = mmap.mmap(-1, 2**33 + 2**16, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve)
    far = torch.frombuffer(memory, dtype=bf16).as_strided((2, 3, 10, 68), (2**32, 680, 68, 1))
    for cells in (None, (3, 20)):
        case = EmulatedCase(2, 1, 2, 3, (10, 68), cells, dtype=bf16)
        far.copy_(case.tensors["image"])
        case.tensors["image"] = far
        check(kernels, case)


ALL_PATHS = [
    EmulatedCase(2, 2, 9, 3, (20, 132)),
    EmulatedCase(2, 2, 5, 5, (20, 132), antithetic=True, channels_last=True),
    EmulatedCase(2, 2, 9, 3, (33, 70), (5, 33), antithetic=True),
    EmulatedCase(1, 2, 5, 5, (20, 130), (18, 129), out_dtype=bf16),
    BlendCase(2, 2, 5, 5, (20, 132)),
    BlendCase(2, 2, 5, 5, (33, 70), (5, 33)),
]


@pytest.mark.parametrize("case", ALL_PATHS, ids=["full", "full-groups", "low", "low-groups", "given", "given-low"])
def test_same_bits_in_every_order(kernels, case):
    """Sums too, as they run in a fixed order."""
    results = []
    for order in ORDERS:
        kernels.set_order(order)
        results.append(case.forward(kernels) | case.backward(kernels))
    for other in results[1:]:
        for name, value in other.items():
            assert_same(name, value, results[0][name])


@pytest.mark.parametrize("kind", [EmulatedCase, BlendCase])
@pytest.mark.parametrize("cells", [None, (14, 9)])
@pytest.mark.parametrize(("s", "antithetic"), [(3, False), (9, False), (17, True)])
@pytest.mark.parametrize("enough", [30, 1000])  # by masks; by masks and samples
def test_how_work_is_divided_changes_no_bit(kernels, kind, cells, s, antithetic, enough):
    wanted = () if kind is EmulatedCase else ("masks",)
    case = kind(2, 2, s, 3, (40, 70), cells, antithetic=antithetic, wanted=wanted)
    whole = case.forward(kernels) | case.backward(kernels)
    blocks = kernels.blocks()
    kernels.set_enough_blocks(enough)
    for name, value in (case.forward(kernels) | case.backward(kernels)).items():
        assert_same(name, value, whole[name])
    assert kernels.blocks() > blocks


@pytest.mark.parametrize("cells", [None, (28, 28)])
def test_one_image_fills_a_gpu(kernels, cells):
    """Each of the 98 tiles of 224 x 224 pixels: two masks, two parts of four samples, and a block for penalties.

    Backward, with few cells, four parts of two samples, and the second launch has the penalties.
    """
    kernels.set_enough_blocks(kernels.ENOUGH_BLOCKS)
    case = EmulatedCase(1, 2, 8, 3, (224, 224), cells, wanted=())
    case.forward(kernels)
    assert kernels.blocks() == 98 * 2 * (2 + 1)
    case.backward(kernels, blocks=7)
    assert kernels.blocks() == 98 * 2 * (4 if cells else 2 + 1) + 7


@pytest.mark.parametrize(
    ("c", "s", "antithetic", "channels_last"), grid([1, 3], [1, 3, 9], [False, True], [False, True])
)
def test_full_resolution_gradients_have_the_same_bits(kernels, c, s, antithetic, channels_last):
    """With all channels in one group, of three, a thread adds up in the order of the CPU backend."""
    case = EmulatedCase(2, 2, s, c, (10, 68), antithetic=antithetic, channels_last=channels_last)
    expected = case.native()
    for name, value in case.backward(kernels).items():
        assert_same(name, value, expected[name])


@pytest.mark.parametrize("cells", [None, (3, 20)])
def test_no_images_launch_nothing(kernels, cells):
    check(kernels, EmulatedCase(0, 2, 2, 3, (10, 68), cells))


# --- Masks that are given


@pytest.mark.parametrize(("case", "order"), in_turn(grid(SIZES, [(1, 1, 1, 1), (2, 2, 5, 3), (1, 2, 3, 5)])))
def test_given_masks(kernels, case, order):
    (size, cells), (n, k, s, c) = case
    check_in(order, kernels, BlendCase(n, k, s, c, size, cells))


@pytest.mark.parametrize(("case", "order"), in_turn(grid(FORMATS, SMALL, [False, True], [3, 4])))
def test_given_masks_formats(kernels, case, order):
    (dtype, out_dtype), (size, cells), channels_last, c = case
    check_in(
        order,
        kernels,
        BlendCase(2, 1, 3, c, size, cells, dtype=dtype, out_dtype=out_dtype, channels_last=channels_last),
    )


@pytest.mark.parametrize(
    ("case", "order"), in_turn(grid(LAYOUTS, ["contiguous", "sliced", "expanded"], SMALL, [f32, bf16], [0, 1]))
)
def test_given_masks_layouts(kernels, case, order):
    layout, masks_layout, (size, cells), dtype, offset = case
    case = BlendCase(2, 2, 3, 3, size, cells, dtype=dtype, layout=layout, masks_layout=masks_layout, offset=offset)
    check_in(order, kernels, case)


@pytest.mark.parametrize(
    ("case", "order"), in_turn(grid([w for w in subsets("masks", "image", "infill") if w], SMALL, [3, 5]))
)
def test_given_masks_gradients_that_are_not_wanted(kernels, case, order):
    wanted, (size, cells), c = case
    check_in(order, kernels, BlendCase(2, 2, 5, c, size, cells, wanted=wanted))


@pytest.mark.parametrize(("case", "order"), in_turn(grid([f32, bf16, f64], SMALL, ["full", "scalar"])))
def test_given_masks_of_any_value(kernels, case, order):
    """Outside 0..1, of either sign and size; -0 beside an infill of -0, whose sum shows the sign of zero."""
    dtype, (size, cells), infill = case
    case = BlendCase(2, 2, 5, 3, size, cells, dtype=dtype, infill=infill, extremes=True, wanted=())
    if infill == "scalar":
        case.tensors["infill"] = torch.full_like(case.tensors["image"], -0.0)
        case.tensors["masks"] = torch.where(case.tensors["masks"] > 0, -0.0, case.tensors["masks"])
    kernels.set_order(order)
    assert_same("composites", case.forward(kernels)["composites"], case.native()["composites"])


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_given_masks_gradients_have_the_same_bits_at_full_resolution(kernels, c, channels_last):
    """With all channels in one group, of three, a thread adds up in the order of the CPU backend."""
    case = BlendCase(2, 2, 3, c, (10, 68), channels_last=channels_last, wanted=("masks",))
    assert_same("grad_masks", case.backward(kernels)["grad_masks"], case.native()["grad_masks"])


@pytest.mark.parametrize("blocks", [1, 4, 100])
@pytest.mark.parametrize(("kind", "name"), [(EmulatedCase, "grad_logits"), (BlendCase, "grad_masks")])
def test_gradients_do_not_depend_on_the_second_launch(kernels, kind, name, blocks):
    case = kind(2, 2, 3, 4, (33, 70), (5, 33))
    assert_same(name, case.backward(kernels, blocks)[name], case.backward(kernels)[name])


# --- Masks alone, and the elementwise operator


@pytest.mark.parametrize(
    ("case", "order"), in_turn(grid([f32, f64], [0.1, 0.37, 1.0], [False, True], [1, 3, 8, 9], [None, [9, 2**40]]))
)
def test_masks(kernels, case, order):
    dtype, temperature, antithetic, s, streams = case
    kernels.set_order(order)
    check_masks(kernels, dtype, s, streams, temperature=temperature, antithetic=antithetic)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("temperature", [0.1, 0.37, 1.0])
@pytest.mark.parametrize("blocks", [1, 2, 9])
def test_simplified_concrete(kernels, dtype, temperature, blocks):
    logits, count = 3 * random(1000, dtype=dtype), 1000
    u = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=f64).to(dtype)
    u[:5] = torch.tensor([0, 1, -0.5, 1.5, float("nan")])
    logits[3:8] = torch.tensor([float("nan"), 1e4, -1e4, float("inf"), -float("inf")])
    grad = random(count, seed=2, dtype=dtype)
    with sdfido.backend("native"):
        expected = sdfido.simplified_concrete(logits.requires_grad_(), u, temperature)
        (expected_grad,) = torch.autograd.grad(expected, logits, grad)
    masks, gradient = unwritten((count,), dtype), unwritten((count,), dtype)
    kernels.concrete_forward(as_array(logits.detach()), as_array(u), temperature, as_array(masks), blocks)
    assert_same("masks", masks, expected.detach())
    kernels.concrete_backward(as_array(grad), as_array(masks), temperature, as_array(gradient), blocks)
    assert_same("gradient", gradient, expected_grad)


# --- Bytes, as the kernels' threads load and store them


def bytes_of(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def tiles(case):
    """Height and width of each tile of pixels, and what lies around it: rows above and below, columns beside."""
    (height, width), (tile_height, tile_width) = case.size, (16, 32)
    for y, x in itertools.product(range(0, height, tile_height), range(0, width, tile_width)):
        h, w = min(tile_height, height - y), min(tile_width, width - x)
        yield h, w, (y > 0, y + h < height), (x > 0, x + w < width)


def planes(case):
    return case.n * case.k


def groups(case):
    """The kernels take three channels at a time, and read what concerns cells once for each group."""
    return -(-case.c // 3)


def state_bytes(case):
    """The random state and the image's stream, which one thread of a block reads."""
    return len(list(tiles(case))) * case.n * (24 if case.streams else 16)


ALIGNED = [
    EmulatedCase(2, 2, 8, 3, (20, 128)),
    EmulatedCase(1, 3, 5, 4, (16, 132), antithetic=True, streams=(5,)),
    EmulatedCase(1, 1, 4, 3, (16, 132), channels_last=True),
    EmulatedCase(1, 1, 4, 4, (16, 68), out_dtype=bf16),
    EmulatedCase(1, 1, 4, 3, (16, 68), dtype=f16),
    EmulatedCase(1, 2, 2, 3, (16, 68), dtype=f64),
]


@pytest.mark.parametrize("case", ALIGNED)
def test_forward_moves_each_byte_once(kernels, case):
    outputs = case.forward(kernels)
    counted = kernels.counters()
    size = case.tensors["logits"].element_size()
    # Differences to the right and below cross the tile's border.
    border = sum(w * below + h * right for h, w, (_, below), (_, right) in tiles(case)) * planes(case) * size
    sums = len(list(tiles(case))) * planes(case) * 2 * 8
    logits, image, infill = case.tensors.values()
    once = bytes_of(image, infill) + groups(case) * (bytes_of(logits) + border)
    assert counted["loads"]["bytes"] == once + sums + state_bytes(case)
    assert counted["stores"]["bytes"] == bytes_of(*outputs.values()) + sums


@pytest.mark.parametrize("case", ALIGNED)
@pytest.mark.parametrize("wanted", [(), ("image", "infill")])
def test_backward_moves_each_byte_once(kernels, case, wanted):
    case = replace(case, wanted=wanted)
    outputs = case.backward(kernels)
    counted = kernels.counters()
    size = case.tensors["logits"].element_size()
    # The penalties' gradients need the cells around the tile.
    border = sum(w * sum(rows) + h * sum(columns) for h, w, rows, columns in tiles(case)) * planes(case) * size
    logits, image, infill = case.tensors.values()
    once = bytes_of(image, infill, case.weights["composites"]) + groups(case) * (bytes_of(logits) + border)
    weights = len(list(tiles(case))) * planes(case) * groups(case) * 2 * size
    # A group of channels adds to what the one before has written.
    again = (groups(case) - 1) * bytes_of(logits)
    assert counted["loads"]["bytes"] == once + again + weights + state_bytes(case)
    assert counted["stores"]["bytes"] == bytes_of(*outputs.values()) + again


BLEND_ALIGNED = [
    BlendCase(2, 2, 8, 3, (20, 128)),
    BlendCase(1, 3, 5, 4, (16, 132)),
    BlendCase(1, 1, 4, 3, (16, 132), channels_last=True),
    BlendCase(1, 1, 4, 4, (16, 68), dtype=bf16),
    BlendCase(1, 2, 2, 3, (16, 68), dtype=f64),
]


@pytest.mark.parametrize("case", BLEND_ALIGNED)
def test_given_masks_move_each_byte_once(kernels, case):
    masks, image, infill = case.tensors.values()
    outputs = case.forward(kernels)
    counted = kernels.counters()
    assert counted["loads"]["bytes"] == bytes_of(image, infill) + groups(case) * bytes_of(masks)
    assert counted["stores"]["bytes"] == bytes_of(*outputs.values())
    for wanted in (("masks",), ("image", "infill"), ("masks", "image", "infill")):
        part = replace(case, wanted=wanted)
        outputs = part.backward(kernels)
        counted = kernels.counters()
        read = groups(case) * bytes_of(masks) if "image" in wanted else 0  # for their gradients
        again = (groups(case) - 1) * bytes_of(masks) if "masks" in wanted else 0  # groups of channels add
        assert counted["loads"]["bytes"] == bytes_of(case.weights["composites"], image, infill) + read + again
        assert counted["stores"]["bytes"] == bytes_of(*outputs.values()) + again


LOW = [
    EmulatedCase(1, 2, 8, 3, (128, 128), (32, 32)),  # as 56 cells for 224 pixels
    EmulatedCase(1, 2, 8, 3, (128, 128), (32, 32), wanted=()),
    EmulatedCase(1, 2, 8, 3, (128, 128), (16, 16)),
    EmulatedCase(1, 2, 8, 3, (64, 128), (16, 32), channels_last=True),
]


def test_given_masks_at_low_resolution_move_few_bytes_more(kernels):
    case = BlendCase(1, 2, 8, 3, (128, 128), (32, 32))
    outputs = case.forward(kernels)
    counted = kernels.counters()
    least = bytes_of(*case.tensors.values(), *outputs.values())
    assert least < counted["loads"]["bytes"] + counted["stores"]["bytes"] <= 1.05 * least


@pytest.mark.parametrize("case", LOW)
def test_low_resolution_moves_few_bytes_more(kernels, case):
    for launch, gradients in ((case.forward, {}), (case.backward, case.weights)):
        outputs = launch(kernels)
        counted = kernels.counters()
        all_bytes = counted["loads"]["bytes"] + counted["stores"]["bytes"]
        least = bytes_of(*case.tensors.values(), *gradients.values(), *outputs.values())
        assert least < all_bytes <= 1.05 * least


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("cells", [None, (8, 16)])
def test_aligned_accesses_are_16_bytes_wide(kernels, cells, channels_last):
    case = EmulatedCase(2, 2, 8, 3, (20, 128), cells, channels_last=channels_last)
    composites = case.forward(kernels)["composites"]
    stores = kernels.counters()["stores"]["accesses"]
    assert stores[16] == bytes_of(composites) // 16
    assert stores[4] == 2 * planes(case)  # the penalties
    gradients = case.backward(kernels)
    stores = kernels.counters()["stores"]["accesses"]
    full = [] if cells else [gradients["grad_logits"]]
    assert stores[16] == bytes_of(gradients["grad_image"], gradients["grad_infill"], *full) // 16
    loads = kernels.counters()["loads"]["accesses"]
    logits, image, infill = case.tensors.values()
    inputs = [case.weights["composites"], image, infill] + ([] if cells else [logits])
    assert loads[16] == bytes_of(*inputs) // 16


@pytest.mark.parametrize(("dtype", "widest"), [(bf16, 8), (f16, 8), (f64, 16)])
def test_aligned_accesses_of_other_formats(kernels, dtype, widest):
    case = EmulatedCase(2, 2, 8, 3, (20, 128), dtype=dtype)
    composites = case.forward(kernels)["composites"]
    stores = kernels.counters()["stores"]["accesses"]
    partial_sums = 0 if widest == 16 else len(list(tiles(case))) * planes(case) * 2
    assert stores[widest] == bytes_of(composites) // widest + partial_sums
    case.backward(kernels)
    loads = kernels.counters()["loads"]["accesses"]
    assert loads[widest] >= bytes_of(case.weights["composites"], *list(case.tensors.values())[1:]) // widest


@pytest.mark.parametrize("streams", [None, [3, 1]])
def test_masks_move_each_byte_once(kernels, streams):
    logits, rng = random(2, 3, 8, 40), sdfido.make_rng(0)
    masks, gradient = unwritten((2, 3, 5, 8, 40), f32), unwritten((2, 3, 8, 40), f32)
    sampling = (as_array(rng), as_array(torch.tensor(streams)) if streams else None, 0.1, False)
    state = logits.numel() * (24 if streams else 16)
    kernels.masks_forward(as_array(logits), *sampling, as_array(masks), 2)
    counted = kernels.counters()
    assert counted["loads"]["bytes"] == bytes_of(logits) + state
    assert counted["stores"]["bytes"] == bytes_of(masks)
    kernels.masks_backward(as_array(masks), as_array(logits), *sampling, as_array(gradient), 2)
    counted = kernels.counters()
    assert counted["loads"]["bytes"] == bytes_of(logits, masks) + state
    assert counted["stores"]["bytes"] == bytes_of(gradient)


def test_simplified_concrete_moves_each_byte_once(kernels):
    logits, u, out = random(1000), torch.rand(1000), unwritten((1000,), f32)
    kernels.concrete_forward(as_array(logits), as_array(u), 0.1, as_array(out), 2)
    counted = kernels.counters()
    assert counted["loads"]["bytes"] == bytes_of(logits, u)
    assert counted["stores"]["bytes"] == bytes_of(out)
    kernels.concrete_backward(as_array(logits), as_array(u), 0.1, as_array(out), 2)
    assert kernels.counters() == counted


# --- The harness, other builds, mutants


def test_harness_sees_accesses_outside_its_arrays(kernels):
    case = EmulatedCase(1, 1, 2, 3, (8, 64))
    short = unwritten((1, 1, 2, 3, 8, 63), f32)
    penalties = unwritten((1, 1), f32)
    operands = map(as_array, (*case.tensors.values(), case.rng, None))
    with pytest.raises(kernels.Error, match=r"__stcg of 16 bytes .* outside all watched buffers"):
        kernels.composite_forward(
            *operands, 0.1, False, False, as_array(short), as_array(penalties), as_array(moved(penalties, 1))
        )


@nested
def test_some_of_this_under_sanitizers():
    result = run_sanitized(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", __file__])
    assert result.returncode == 0, result.stdout + result.stderr


@nested
def test_every_mutant_is_found():
    command = [sys.executable, "-m", "tests.emulator.mutants"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)
