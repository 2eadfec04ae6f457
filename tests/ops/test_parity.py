"""Compiled operators against the reference: values and all gradients, over a grid and over random cases."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdfido
from tests.support import DEVICES, SIZES, Case, assert_near, compare


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("size", "cells"), SIZES)
@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.37, 1.0])
@pytest.mark.parametrize("antithetic", [False, True])
def test_shapes_and_temperatures(device, size, cells, temperature, antithetic):
    for seed, (n, k, s, c) in enumerate([(1, 1, 1, 1), (2, 3, 9, 2), (3, 2, 4, 3), (1, 2, 3, 4), (0, 1, 2, 3)]):
        compare(Case(n, k, s, c, size, cells, temperature, antithetic, seed=seed), device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("cells", [None, (4, 6)])
def test_formats_and_layouts(device, dtype, channels_last, cells):
    for layout, infill, c in itertools.product(
        ("contiguous", "channels-last", "sliced", "expanded"), ("full", "pixel", "scalar"), (1, 3, 4)
    ):
        compare(
            Case(
                c=c, size=(13, 18), cells=cells, channels_last=channels_last, dtype=dtype, layout=layout, infill=infill
            ),
            device,
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("out_dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_composites_in_another_format(device, out_dtype, channels_last):
    compare(Case(out_dtype=out_dtype, channels_last=channels_last), device)
    compare(Case(out_dtype=out_dtype, channels_last=channels_last, cells=(3, 5)), device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("temperature", [1 / n for n in range(2, 10)] + [0.05, 0.3, 0.07, 3.0])
def test_every_way_to_a_temperature(device, temperature):
    """Each built power, and the general way on either side of them."""
    compare(Case(temperature=temperature, size=(12, 20), s=3), device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (3, 5)])
@pytest.mark.parametrize("temperature", [0.1, 0.37])
def test_float64(device, cells, temperature):
    compare(Case(dtype=torch.float64, cells=cells, temperature=temperature), device)


@given(
    n=st.integers(1, 3),
    k=st.integers(1, 3),
    s=st.integers(1, 9),
    c=st.integers(1, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.floats(0.01, 1),
    columns=st.floats(0.01, 1),
    temperature=st.floats(0.02, 5),
    antithetic=st.booleans(),
    channels_last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    layout=st.sampled_from(["contiguous", "channels-last", "sliced", "expanded"]),
    infill=st.sampled_from(["full", "pixel", "scalar"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_cases(height, width, rows, columns, temperature, dtype, **others):
    cells = (max(1, round(rows * height)), max(1, round(columns * width)))
    compare(Case(size=(height, width), cells=cells, temperature=max(temperature, 0.1), dtype=dtype, **others))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 0.37])
def test_masks_alone(device, antithetic, temperature):
    results = {}
    for name in ("native", "reference"):
        logits = torch.randn(2, 3, 25, 50, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        with sdfido.backend(name):
            masks = sdfido.sample_masks(
                logits,
                sdfido.make_rng(5, device=device),
                num_samples=5,
                temperature=temperature,
                antithetic=antithetic,
                streams=torch.tensor([4, 1], device=device),
            )
            weights = torch.randn(masks.shape, generator=torch.Generator().manual_seed(1)).to(device)
            results[name] = masks, *torch.autograd.grad(masks, logits, weights)
    for native, expected, what in zip(results["native"], results["reference"], ("masks", "gradient"), strict=True):
        assert_near(native, expected, what)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.1, 0.37, 1.0])
def test_simplified_concrete(device, dtype, temperature):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(7, 300, generator=generator)).to(device, dtype)
    u = torch.rand(7, 300, generator=generator).to(device, dtype).clamp(1e-6, 1 - 1e-6)
    results = {}
    for name in ("native", "reference"):
        leaf = logits.clone().requires_grad_()
        with sdfido.backend(name):
            masks = sdfido.simplified_concrete(leaf, u, temperature)
            results[name] = masks, *torch.autograd.grad(masks.square().sum(), leaf)
    for native, expected, what in zip(results["native"], results["reference"], ("masks", "gradient"), strict=True):
        assert_near(native, expected, what)


@pytest.mark.parametrize("name", ["native", "reference"])
def test_simplified_concrete_at_the_ends(name):
    u = torch.tensor([0.0, 1.0, -0.1, 1.1, float("nan"), 0.5])
    with sdfido.backend(name):
        for temperature in (1.0, 0.1, 0.37):
            masks = sdfido.simplified_concrete(torch.zeros(6), u, temperature)
            assert masks[:2].tolist() == [0.0, 1.0]
            assert masks[2:5].isnan().all()
            assert abs(masks[5] - 0.5) < 1e-6


@pytest.mark.parametrize("cells", [None, (4, 5)])
def test_only_some_outputs_in_the_loss(cells):
    """Gradients that nobody gave count as zero."""
    case = Case(size=(9, 11), cells=cells)
    for pick in (lambda o: o.composites.square().sum(), lambda o: o.sparsity.sum(), lambda o: o.smoothness.sum()):
        gradients = []
        for name in ("native", "reference"):
            logits, image, infill = case.operands()
            with sdfido.backend(name):
                outputs = sdfido.sample_composites(
                    logits.requires_grad_(), image, infill, sdfido.make_rng(0), num_samples=3
                )
                gradients += torch.autograd.grad(pick(outputs), logits)
        assert_near(*gradients, "gradient of logits")


@pytest.mark.parametrize("cells", [None, (28, 28), (5, 7), (40, 44)])
@pytest.mark.parametrize("pixel", [(0, 0), (5, 20), (47, 55), (30, 0)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_gradients_that_are_not_finite_spread_as_in_the_reference(cells, pixel, value):
    """A pixel's NaN goes to each cell that it reads, also with a weight of 0, and to no other."""
    logits = torch.zeros(1, 1, *(cells or (48, 56)), requires_grad=True)
    image, grad = torch.ones(1, 1, 48, 56), torch.zeros(1, 1, 2, 1, 48, 56)
    grad[0, 0, 0, 0][pixel] = value
    gradients = []
    for name in ("native", "reference"):
        with sdfido.backend(name):
            composites = sdfido.sample_composites(
                logits, image, 0 * image[0, 0, 0, 0], sdfido.make_rng(0), num_samples=2
            )[0]
            gradients += torch.autograd.grad(composites, logits, grad)
    native, reference = gradients
    assert torch.equal(native.isnan(), reference.isnan())
    finite = ~reference.isnan()
    assert torch.equal(native[finite], reference[finite])


def test_axes_that_float32_cannot_upsample_are_refused():
    image = torch.zeros(()).expand(1, 1, 1, 2**23 + 1)
    with pytest.raises((ValueError, RuntimeError), match="at most 2\\^23 pixels along an axis"):
        sdfido.blend(torch.zeros(1, 1, 1, 1, 4), image, torch.zeros(()))


def test_gradient_layouts():
    """The composites' gradient may come in any layout: expanded, channels-last, transposed."""
    case = Case(size=(6, 8))
    logits, image, infill = case.operands()
    outputs = sdfido.sample_composites(logits.requires_grad_(), image, infill, sdfido.make_rng(0), num_samples=3)
    plain = torch.randn(outputs.composites.shape)
    layouts = [
        plain.movedim(3, -1).contiguous().movedim(-1, 3),
        plain.transpose(4, 5).contiguous().transpose(4, 5),
        torch.stack([plain, plain], -1)[..., 0],
    ]
    (expected,) = torch.autograd.grad(outputs.composites, logits, plain, retain_graph=True)
    for layout in layouts:
        (gradient,) = torch.autograd.grad(outputs.composites, logits, layout, retain_graph=True)
        assert_near(gradient, expected, "gradient of logits")
    (expected,) = torch.autograd.grad(outputs.composites, logits, torch.ones_like(plain), retain_graph=True)
    (gradient,) = torch.autograd.grad(outputs.composites.sum(), logits)
    assert_near(gradient, expected, "gradient of logits")
