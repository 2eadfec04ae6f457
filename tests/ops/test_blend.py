"""Blending by given masks: parity with the reference, derivatives, compilation, sampled masks, extremes, errors."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdfido
from sdfido.ops import functional
from tests.support import DEVICES, SIZES, Case, assert_near, compare_blend

BACKENDS = ["native", "reference"]
# Values and gradients


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("size", "cells"), SIZES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_shapes(device, size, cells, channels_last):
    for seed, (n, k, s, c) in enumerate([(1, 1, 1, 1), (2, 3, 9, 2), (3, 2, 4, 3), (1, 2, 3, 4), (0, 1, 2, 3)]):
        compare_blend(Case(n, k, s, c, size, cells, channels_last=channels_last, seed=seed), device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("cells", [None, (4, 6)])
def test_formats_and_layouts(device, dtype, channels_last, cells):
    for layout, infill, c in itertools.product(
        ("contiguous", "channels-last", "sliced", "expanded"), ("full", "pixel", "scalar"), (1, 3, 4)
    ):
        compare_blend(
            Case(
                c=c, size=(13, 18), cells=cells, channels_last=channels_last, dtype=dtype, layout=layout, infill=infill
            ),
            device,
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("out_dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("cells", [None, (3, 5)])
def test_composites_in_another_format(device, out_dtype, channels_last, cells):
    compare_blend(Case(out_dtype=out_dtype, channels_last=channels_last, cells=cells), device)


@given(
    n=st.integers(1, 3),
    k=st.integers(1, 3),
    s=st.integers(1, 9),
    c=st.integers(1, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.floats(0.01, 1),
    columns=st.floats(0.01, 1),
    channels_last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    layout=st.sampled_from(["contiguous", "channels-last", "sliced", "expanded"]),
    infill=st.sampled_from(["full", "pixel", "scalar"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_random_cases(height, width, rows, columns, **others):
    cells = (max(1, round(rows * height)), max(1, round(columns * width)))
    compare_blend(Case(size=(height, width), cells=cells, **others))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (4, 5)])
def test_every_choice_of_gradients(device, cells):
    """A gradient does not depend on which others are asked for."""
    case = Case(size=(11, 14), cells=cells)
    names = ("masks", "image", "infill")
    whole = case.blend("native", device)
    for count in (1, 2):
        for wanted in itertools.combinations(names, count):
            found = case.blend("native", device, wanted)
            for name in wanted:
                assert torch.equal(found[f"grad_{name}"], whole[f"grad_{name}"]), (wanted, name)


@pytest.mark.parametrize("cells", [None, (4, 5)])
def test_gradient_layouts(cells):
    """The composites' gradient may come in any layout: channels-last, transposed, sliced, expanded."""
    case = Case(size=(6, 8), cells=cells)
    _, image, infill = case.operands()
    leaves = [t.requires_grad_() for t in (case.masks(), image, infill)]
    composites = sdfido.blend(*leaves)
    plain = torch.randn(composites.shape)

    def gradients(weights):
        return torch.autograd.grad(composites, leaves, weights, retain_graph=True)

    for layout in (
        plain.movedim(3, -1).contiguous().movedim(-1, 3),
        plain.transpose(4, 5).contiguous().transpose(4, 5),
        torch.stack([plain, plain], -1)[..., 0],
    ):
        for found, expected in zip(gradients(layout), gradients(plain), strict=True):
            assert_near(found, expected, "gradient")
    for found, expected in zip(
        torch.autograd.grad(composites.sum(), leaves, retain_graph=True), gradients(torch.ones_like(plain)), strict=True
    ):
        assert_near(found, expected, "gradient")


def test_it_is_what_the_plain_formula_gives():
    case = Case(size=(8, 12), cells=(2, 3))
    _, image, infill = case.operands()
    masks = case.masks()
    upsampled = torch.nn.functional.interpolate(masks.flatten(0, 1), size=(8, 12), mode="bilinear").view(2, 2, 4, 8, 12)
    image, infill = image[:, None, None], infill[:, None, None]
    expected = infill + upsampled[:, :, :, None] * (image - infill)
    assert_near(sdfido.blend(masks, image[:, 0, 0], infill[:, 0, 0]), expected, "composites")
    assert_near(functional.blend(masks, image, infill), expected, "composites")
    for n, k, s in itertools.product(range(2), range(2), range(4)):  # any leading axes, or none
        one = functional.blend(masks[n, k, s], image[n, 0, 0], infill[n, 0, 0])
        assert_near(one, expected[n, k, s], "composite")


# The operator as a citizen of PyTorch


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (2, 3), (1, 1)])
@pytest.mark.parametrize("infill", ["full", "pixel", "scalar"])
def test_gradcheck(device, cells, infill):
    case = Case(2, 2, 3, 2, (4, 5), cells, dtype=torch.float64, infill=infill)
    _, image, filled = case.operands(device)
    operands = [t.requires_grad_() for t in (case.masks(device), image, filled)]
    assert torch.autograd.gradcheck(sdfido.blend, operands)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "channels_last"), [(torch.float32, False), (torch.bfloat16, True)])
def test_opcheck(device, dtype, channels_last):
    case = Case(2, 2, 3, 2, (5, 6), (3, 4))
    _, image, infill = case.operands(device)
    operands = [t.requires_grad_() for t in (case.masks(device), image, infill)]
    results = torch.library.opcheck(torch.ops.sdfido.blend.default, (*operands, dtype, channels_last))
    assert set(results.values()) == {"SUCCESS"}, results
    given = [t.detach() for t in operands]
    grad = torch.randn_like(sdfido.blend(*given, dtype=dtype, channels_last=channels_last))
    for wanted in itertools.product([False, True], repeat=3):
        results = torch.library.opcheck(torch.ops.sdfido.blend_backward.default, (grad, *given, *wanted))
        assert set(results.values()) == {"SUCCESS"}, (wanted, results)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_compile_fullgraph(device, dynamic, channels_last):
    def loss(masks, image, infill):
        return sdfido.blend(2 * masks, image, infill, channels_last=channels_last).square().mean()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic)
    for cells in (None, (4, 5)):
        case = Case(2, 2, 3, 3, (9, 8), cells)
        _, image, infill = case.operands(device)
        operands = [t.requires_grad_() for t in (case.masks(device), image, infill)]
        found, expected = (torch.autograd.grad(f(*operands), operands) for f in (compiled, loss))
        for name, got, want in zip(("masks", "image", "infill"), found, expected, strict=True):
            assert_near(got, want, f"gradient of {name}")


def test_other_derivatives_are_refused():
    case = Case(1, 1, 2, size=(4, 4))
    _, image, infill = case.operands()
    masks = case.masks().requires_grad_()
    (gradient,) = torch.autograd.grad(sdfido.blend(masks, image, infill).square().sum(), masks, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated; use backend 'reference'"):
        gradient.sum().backward()
    with pytest.raises(RuntimeError, match="no forward-mode derivative; use backend 'reference'"):
        torch.func.jvp(lambda m: sdfido.blend(m, image, infill), (masks.detach(),), (masks.detach(),))


def test_only_inputs_are_saved_for_backward():
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    case = Case(1, 2, 8, 3, (32, 32), (8, 8))
    _, image, infill = case.operands()
    masks = case.masks().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sdfido.blend(masks, image, infill)
    assert sum(tensor.numel() for tensor in saved) == masks.numel() + image.numel() + infill.numel()


# Which numbers


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
def test_sampled_masks_give_the_bits_of_sample_composites(device, cells, dtype, channels_last):
    case = Case(2, 2, 5, 3, (33, 40), cells, dtype=dtype)
    logits, image, infill = case.operands(device)
    rng = sdfido.make_rng(4, device=device)
    masks = sdfido.sample_masks(logits, rng, num_samples=5, temperature=0.2)
    sampled = sdfido.sample_composites(
        logits, image, infill, rng, num_samples=5, temperature=0.2, channels_last=channels_last
    )
    blended = sdfido.blend(masks, image, infill, channels_last=channels_last)
    assert torch.equal(blended, sampled.composites)
    assert blended.stride() == sampled.composites.stride()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("cells", [None, (3, 4)])
def test_zero_is_the_infill_and_one_the_image(device, name, cells):
    case = Case(cells=cells)
    _, image, infill = case.operands(device)
    masks = case.masks(device)
    with sdfido.backend(name):
        nothing, everything = (sdfido.blend(torch.full_like(masks, v), image, infill) for v in (0.0, 1.0))
    assert torch.equal(nothing, infill[:, None, None].expand_as(nothing))
    assert_near(everything, image[:, None, None].expand_as(everything).contiguous(), "composites")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("cells", [None, (3, 4)])
def test_roles_and_paths_are_scaled_masks(device, name, cells):
    """U(a + b m) = a + b U(m): 1 - m exchanges image and infill, and t m is a point of the path from the infill."""
    case = Case(cells=cells)
    _, image, infill = case.operands(device)
    masks = case.masks(device)
    with sdfido.backend(name):
        assert_near(sdfido.blend(1 - masks, image, infill), sdfido.blend(masks, infill, image), "composites")
        begin, end = infill[:, None, None], sdfido.blend(masks, image, infill)
        assert_near(sdfido.blend(0.25 * masks, image, infill), begin + 0.25 * (end - begin), "composites")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (4, 5)])
def test_nan_spreads_as_far_as_its_cell(device, cells):
    """To the same places as in the reference, in composites and in gradients; that of the masks needs no masks."""
    case = Case(1, 1, 2, 3, (8, 20), cells)
    _, image, infill = case.operands(device)
    results = {}
    for name in BACKENDS:
        masks = case.masks(device)
        masks[0, 0, 0, 2, 3] = float("nan")
        leaves = [t.clone().requires_grad_() for t in (masks, image, infill)]
        with sdfido.backend(name):
            composites = sdfido.blend(*leaves)
            results[name] = composites, *torch.autograd.grad(composites.sum(), leaves)
    for found, expected in zip(results["native"], results["reference"], strict=True):
        assert_near(found, expected, "with NaN")
    composites = results["native"][0]
    assert composites[0, 0, 0].isnan().any()
    assert not composites[0, 0, 1].isnan().any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_empty_batch(device, name, channels_last):
    results = Case(0, 2, 3, 3, (8, 9), (4, 4), channels_last=channels_last).blend(name, device)
    assert results["composites"].shape == (0, 2, 3, 3, 8, 9)
    assert results["grad_masks"].shape == (0, 2, 3, 4, 4)
    assert results["grad_image"].shape == (0, 3, 8, 9)


def test_channels_last_needs_no_copy():
    case = Case(size=(8, 9), channels_last=True)
    batch = case.blend("native")["composites"].flatten(0, 2)
    assert batch.is_contiguous(memory_format=torch.channels_last)


# Errors


def _valid():
    return {"masks": torch.zeros(2, 2, 3, 4, 4), "image": torch.zeros(2, 3, 8, 8), "infill": torch.zeros(2, 3, 8, 8)}


WRONG = [
    ({"masks": [[0.0]]}, TypeError, r"masks must be a tensor \[N, K, S, h, w\], got list"),
    ({"masks": torch.zeros(2, 2, 4, 4)}, ValueError, r"masks must be \[N, K, S, h, w\], got \[2, 2, 4, 4\]"),
    ({"masks": torch.zeros(2, 2, 3, 4, 4) > 0}, TypeError, "masks must be float32 or float64, got torch.bool"),
    ({"masks": torch.zeros(2, 2, 3, 4, 4).half()}, TypeError, "masks must be float32 or float64, got torch.float16"),
    ({"masks": torch.zeros(2, 2, 3, 0, 4)}, ValueError, r"masks must have no empty axis but the first, got \[2, 2, 3"),
    ({"masks": torch.zeros(2, 2, 0, 4, 4)}, ValueError, r"masks must have no empty axis but the first, got \[2, 2, 0"),
    ({"masks": torch.zeros(2, 2, 3, 9, 4)}, ValueError, "at most as many cells as image has pixels, got 9x4 .* 8x8"),
    ({"masks": torch.zeros(2, 2, 3, 4, 4).double()}, TypeError, "image must be float64 with torch.float64 masks"),
    ({"image": torch.zeros(3, 8, 8)}, ValueError, r"image must be \[N, C, H, W\], got \[3, 8, 8\]"),
    ({"image": torch.zeros(3, 3, 8, 8)}, ValueError, "image must have the batch size of masks, 2, got 3"),
    ({"image": torch.zeros(2, 0, 8, 8)}, ValueError, "image must have at least one channel"),
    ({"image": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, TypeError, "image must be float32 or bfloat16 or float16"),
    ({"image": torch.zeros(2, 3, 8, 8, device="meta")}, ValueError, "image must be on the device of masks, cpu"),
    ({"infill": 0.0}, TypeError, "infill must be a tensor that broadcasts against image, got float"),
    ({"infill": torch.zeros(2, 3, 8, 7)}, ValueError, "infill must broadcast against image"),
    ({"infill": torch.zeros(2, 3, 8, 8).half()}, TypeError, "infill must have the dtype of image, torch.float32"),
    ({"infill": torch.zeros(2, 3, 8, 8, device="meta")}, ValueError, "infill must be on the device of masks, cpu"),
    ({"dtype": torch.float64}, TypeError, "dtype must be float32 or bfloat16 or float16"),
]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_it_refuses(name, change, error, message):
    with sdfido.backend(name), pytest.raises(error, match=message):
        sdfido.blend(**(_valid() | change))


def test_the_operator_checks_what_python_did_not():
    """Called past the public function, it raises as well; it never reads out of bounds."""
    masks, image, infill = _valid().values()
    good = (masks, image, infill, torch.float32, False)
    assert torch.ops.sdfido.blend(*good).shape == (2, 2, 3, 3, 8, 8)
    for position, value, message in [
        (0, masks[0], "masks must be"),
        (0, masks.half(), "masks must be"),
        (0, torch.zeros(2, 2, 3, 9, 4), "masks"),
        (1, image[:1], "infill must have the sizes of image"),
        (1, image.double(), "image"),
        (2, infill[:, :, :3], "infill must have the sizes of image"),
        (3, torch.float64, "dtype must be float64"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            torch.ops.sdfido.blend(*good[:position], value, *good[position + 1 :])
    for wrong in (torch.zeros(1), torch.zeros(2, 2, 3, 3, 8, 7), torch.zeros(2, 2, 3, 3, 64)):
        with pytest.raises(RuntimeError, match="gradient must have"):
            torch.ops.sdfido.blend_backward(wrong, masks, image, infill, True, True, True)
