"""The operators as citizens of PyTorch: gradcheck, opcheck, torch.compile, versions, extremes."""

import pytest
import torch

import sdfido
from tests.support import DEVICES, Case, assert_near


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (2, 3), (1, 1)])
@pytest.mark.parametrize("temperature", [0.5, 0.7])
@pytest.mark.parametrize("antithetic", [False, True])
def test_gradcheck_composites(device, cells, temperature, antithetic):
    case = Case(2, 2, 3, 2, (4, 5), cells, dtype=torch.float64)
    operands = [t.requires_grad_() for t in case.operands(device)]
    rng = sdfido.make_rng(0, device=device)

    def function(logits, image, infill):
        return tuple(
            sdfido.sample_composites(
                logits, image, infill, rng, num_samples=3, temperature=temperature, antithetic=antithetic
            )
        )

    assert torch.autograd.gradcheck(function, operands)


@pytest.mark.parametrize("device", DEVICES)
def test_gradcheck_masks(device):
    logits = Case(2, 2, size=(3, 4), dtype=torch.float64).operands(device)[0].requires_grad_()
    rng = sdfido.make_rng(0, device=device)
    for temperature in (0.5, 0.7):
        assert torch.autograd.gradcheck(
            lambda x, t=temperature: sdfido.sample_masks(x, rng, num_samples=3, temperature=t), [logits]
        )
        u = torch.rand_like(logits)
        assert torch.autograd.gradcheck(lambda x, t=temperature, u=u: sdfido.simplified_concrete(x, u, t), [logits])


def _operator_calls(device):
    logits, image, infill = Case(2, 2, 3, 2, (5, 6), (3, 4)).operands(device)
    rng, streams = sdfido.make_rng(0, device=device), torch.tensor([3, 1], device=device)
    sampling = (streams, 3, 0.5, True)
    composites = sdfido.sample_composites(logits, image, infill, rng, num_samples=3)
    grads = [torch.randn_like(t) for t in composites]
    masks = sdfido.sample_masks(logits, rng, num_samples=3)
    u = torch.rand_like(logits)

    def leaves(*tensors):
        return [t.clone().requires_grad_() for t in tensors]

    yield "sample_masks", (*leaves(logits), rng, *sampling)
    yield "sample_masks_backward", (masks, logits, rng, *sampling)
    for dtype, channels_last in ((torch.float32, False), (torch.bfloat16, True)):
        yield "sample_composites", (*leaves(logits, image, infill), rng, *sampling, dtype, channels_last)
    yield "sample_composites_backward", (*grads, logits, image, infill, rng, *sampling, True, True)
    yield (
        "sample_composites_backward",
        (grads[0], None, None, logits, image, infill, rng, None, 3, 0.5, False, False, True),
    )
    yield "simplified_concrete", (*leaves(logits), u, 0.5)
    yield "simplified_concrete_backward", (logits, torch.sigmoid(logits), 0.5)


@pytest.mark.parametrize("device", DEVICES)
def test_opcheck(device):
    for name, arguments in _operator_calls(device):
        results = torch.library.opcheck(getattr(torch.ops.sdfido, name).default, arguments)
        assert set(results.values()) == {"SUCCESS"}, (name, results)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_compile_fullgraph(device, dynamic, channels_last):
    rng = sdfido.make_rng(2, device=device)

    def loss(logits, image, infill):
        samples = sdfido.sample_composites(
            2 * logits, image, infill, rng, num_samples=3, antithetic=True, channels_last=channels_last
        )
        masks = sdfido.sample_masks(logits, rng, num_samples=2)
        concrete = sdfido.simplified_concrete(logits, torch.full_like(logits, 0.3), 0.5)
        return samples.composites.square().mean() + samples.smoothness.sum() + masks.mean() + concrete.sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic)
    for cells in (None, (4, 5)):
        operands = [t.requires_grad_() for t in Case(2, 2, 3, 3, (9, 8), cells).operands(device)]
        expected = torch.autograd.grad(loss(*operands), operands)
        for name, got, want in zip(
            ("logits", "image", "infill"), torch.autograd.grad(compiled(*operands), operands), expected, strict=True
        ):
            assert_near(got, want, f"gradient of {name}")


def test_rng_changed_before_backward_is_noticed():
    """The backward pass samples again from rng: a rng that has changed since must not go unnoticed."""
    logits, image, infill = Case().operands()
    rng = sdfido.make_rng(0)
    outputs = sdfido.sample_composites(logits.requires_grad_(), image, infill, rng, num_samples=2)
    rng[1] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.composites.sum().backward()


def test_only_inputs_are_saved_for_backward():
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    logits, image, infill = Case(1, 2, 8, 3, (32, 32)).operands()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sdfido.sample_composites(logits.requires_grad_(), image, infill, sdfido.make_rng(0), num_samples=8)
    inputs = logits.numel() + image.numel() + infill.numel() + 2
    assert sum(tensor.numel() for tensor in saved) == inputs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize("temperature", [0.1, 0.37, 1.0])
@pytest.mark.parametrize("cells", [None, (4, 4)])
def test_extreme_logits_stay_finite(device, name, temperature, cells):
    case = Case(1, 1, 4, 1, (8, 8), cells)
    logits, image, infill = case.operands(device)
    for value in (1e4, -1e4, 88.0, -88.0, 104.0, -104.0, float("inf"), -float("inf")):
        leaf = torch.full_like(logits, value).requires_grad_()
        with sdfido.backend(name):
            outputs = sdfido.sample_composites(
                leaf, image, infill, sdfido.make_rng(0, device=device), num_samples=4, temperature=temperature
            )
            (gradient,) = torch.autograd.grad(sum(o.sum() for o in outputs), leaf)
        assert (outputs.sparsity - float(value > 0)).abs() < 1e-30
        assert_near(outputs.composites[0, 0, 0], (image if value > 0 else infill)[0], "composites")
        assert gradient.abs().max() < 1e-30


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize("temperature", [0.1, 0.37])
def test_nan_logits_stay_visible(device, name, temperature):
    logits, image, infill = Case(1, 1, 4, 3, (6, 20)).operands(device)
    logits[0, 0, 2, 5] = float("nan")
    leaf = logits.requires_grad_()
    with sdfido.backend(name):
        outputs = sdfido.sample_composites(
            leaf, image, infill, sdfido.make_rng(0, device=device), num_samples=4, temperature=temperature
        )
        (gradient,) = torch.autograd.grad(outputs.composites.sum(), leaf)
    broken = outputs.composites.isnan()
    assert broken[..., 2, 5].all()
    assert broken.sum() == 4 * 3
    assert outputs.sparsity.isnan().all()
    assert outputs.smoothness.isnan().all()
    assert gradient.isnan().sum() == 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["native", "reference"])
def test_empty_batch(device, name):
    case = Case(0, 2, 3, 3, (8, 9), (4, 4))
    with sdfido.backend(name):
        results = case.run(name, device)
    assert results["composites"].shape == (0, 2, 3, 3, 8, 9)
    assert results["sparsity"].shape == (0, 2)
    assert results["grad_logits"].shape == (0, 2, 4, 4)


def _calls(logits, image, infill):
    rng = sdfido.make_rng(0)
    yield lambda: sdfido.sample_masks(logits, rng, num_samples=2)
    yield lambda: sdfido.sample_composites(logits, image, infill, rng, num_samples=2).composites
    yield lambda: sdfido.simplified_concrete(logits, torch.full_like(logits, 0.3), 0.5)


def test_second_derivatives_are_refused():
    logits, image, infill = Case(1, 1, size=(4, 4)).operands()
    for call in _calls(logits.requires_grad_(), image, infill):
        (gradient,) = torch.autograd.grad(call().square().sum(), logits, create_graph=True)
        with pytest.raises(RuntimeError, match="cannot be differentiated; use backend 'reference'"):
            gradient.sum().backward()


def test_forward_mode_is_refused():
    logits, image, infill = Case(1, 1, size=(4, 4)).operands()
    for index in range(3):

        def function(values, index=index):
            return list(_calls(values, image, infill))[index]()

        with pytest.raises(RuntimeError, match="no forward-mode derivative; use backend 'reference'"):
            torch.func.jvp(function, (logits,), (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.7])
def test_simplified_concrete_far_out(dtype, temperature):
    """Large logits against uniform numbers close to 0, where neither factor of the ratio fits into the format."""
    logits = torch.tensor([88.0, 90.0, 60.0, -15.0, 100.0], dtype=dtype)
    u = torch.tensor([1e-38, 1e-38, 1e-26, 1 - 1e-7, 1e-42], dtype=dtype)
    expected = torch.sigmoid((logits.double() + torch.logit(u.double())) / temperature)
    actual = sdfido.simplified_concrete(logits, u, temperature)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4 if dtype == torch.float32 else 1e-10, atol=1e-12)
