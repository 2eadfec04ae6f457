"""Concrete dropout on tensors, held against its formulas."""

import pytest
import torch

from sdfido import compat
from tests.support import DEVICES


def formula(X, temp, u):
    return torch.sigmoid((X + torch.log((u + 1e-7) / (1 - u + 1e-7))) / temp)


def uniforms(shape, dtype=torch.float32):
    """With both ends of the unit interval among them, where there is room."""
    u = torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
    if u.numel() > 3:
        u.view(-1)[:4] = torch.tensor([0, 1, 2**-24, 1 - 2**-24])
    return u


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 2), (50, 60), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("temp", [1.0, 0.37, 0.1])
def test_sigmoid_concrete_dropout_has_the_formulas_values_and_gradients(device, shape, temp):
    X = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(device).requires_grad_()
    u = uniforms(shape).to(device).requires_grad_()
    masks = compat.sigmoid_concrete_dropout(X, temp, u)
    exact = formula(X.detach().double(), temp, u.detach().double())
    assert masks.shape == X.shape
    assert masks.dtype == X.dtype
    smallest = torch.finfo(torch.float32).tiny  # masks below it are no normal numbers
    torch.testing.assert_close(masks.double(), exact, rtol=1e-5, atol=smallest)
    weights = torch.linspace(-1, 1, masks.numel(), device=device).view(shape)
    found, of_u = torch.autograd.grad(masks, [X, u], weights, allow_unused=True)
    assert of_u is None
    (expected,) = torch.autograd.grad(formula(X, temp, u.detach()), [X], weights)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=smallest)


def test_sigmoid_concrete_dropout_has_a_gradient_and_its_gradient():
    X = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    u = uniforms((5, 4), torch.float64)
    assert torch.autograd.gradcheck(lambda X: compat.SigmoidConcreteDropout.apply(X, 0.5, u), X)
    assert torch.autograd.gradgradcheck(lambda X: compat.SigmoidConcreteDropout.apply(X, 0.5, u), X)


@pytest.mark.parametrize("function", [compat.sigmoid_concrete_dropout, compat.concrete_dropout])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_torchs_seed_repeats_the_noise(function, dtype):
    rates = torch.full((100,), 0.3, dtype=dtype)
    torch.manual_seed(5)
    first, other = function(rates), function(rates)
    torch.manual_seed(5)
    assert torch.equal(first, function(rates))
    assert not torch.equal(first, other)
    assert first.dtype == dtype


def test_noise_that_is_not_given_is_torchs():
    X = torch.randn(6, 7)
    torch.manual_seed(5)
    masks = compat.sigmoid_concrete_dropout(X)
    torch.manual_seed(5)
    torch.testing.assert_close(masks, formula(X, 1.0, torch.rand(6, 7)), rtol=1e-5, atol=0)


def test_concrete_dropout_has_the_formulas_values_and_gradients():
    rates = torch.rand(40, 50, generator=torch.Generator().manual_seed(2)).requires_grad_()
    torch.manual_seed(5)
    keep = compat.concrete_dropout(rates, temp=0.5, eps=1e-3)
    torch.manual_seed(5)
    p, u = rates.detach().double().requires_grad_(), torch.rand(40, 50).double()
    ratio = (p + 1e-3) / (1 - p + 1e-3) * (u + 1e-3) / (1 - u + 1e-3)
    exact = 1 / (1 + ratio**2)
    torch.testing.assert_close(keep.double(), exact, rtol=1e-5, atol=1e-6)
    weights = torch.linspace(-1, 1, 2000).view(40, 50)
    (found,) = torch.autograd.grad(keep, rates, weights)
    (expected,) = torch.autograd.grad(exact, p, weights.double())
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_concrete_dropout_keeps_at_one_minus_the_rate():
    rates = torch.tensor([0.0, 0.1, 0.5, 0.8, 1.0]).requires_grad_()
    torch.manual_seed(0)
    keep = compat.concrete_dropout(rates.expand(20000, 5))
    kept = (keep > 0.5).float().mean(0)
    error = 4 * (rates * (1 - rates) / 20000).sqrt()
    assert ((kept - (1 - rates)).abs() <= error).all()
    (gradient,) = torch.autograd.grad(keep.sum(), rates)
    assert gradient.isfinite().all()
