"""The drop-in's samples, penalties and objective, held against plain PyTorch."""

import pytest
import torch

from sdfido.compat import FIDO, FIDOConfig
from tests.compat.support import (
    CELLS,
    eager_composites,
    eager_objective,
    eager_penalties,
    noise_of_next_seed,
    prepared,
)
from tests.support import DEVICES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cells", [None, CELLS, (5, 24), (1, 1)])
def test_samples_are_the_eager_ones(device, dtype, cells):
    im, infill, _, fido = prepared(dtype, device, cells)
    torch.manual_seed(7)
    expected = [eager_composites(p, im, infill, noise_of_next_seed(fido, 5)) for p in fido.params]
    torch.manual_seed(7)
    apart = fido.ssr(im, batch_size=5), fido.sdr(im, batch_size=5)
    torch.manual_seed(7)
    together = fido(im, batch_size=5)
    # float32: 1/temperature multiplies the rounding of logit and noise, some 1e-6, by up to 10/4.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5 * float(im.abs().max())
    for found, again, exact in zip(apart, together, expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=0, atol=tolerance)
        assert torch.equal(found, again)


@pytest.mark.parametrize("optimized", [True, False])
def test_deterministic_composites_blend_by_keep_rates(optimized):
    im, infill, _, fido = prepared(cells=None, optimized=optimized)
    for composites, logit_p in zip(fido(im, batch_size=2, deterministic=True), fido.params, strict=True):
        keep = 1 - torch.sigmoid(logit_p)
        torch.testing.assert_close(composites, (keep * im + (1 - keep) * infill).expand(2, -1, -1, -1))
    state = torch.get_rng_state()
    fido.ssr(im, deterministic=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_penalties_are_the_eager_sums():
    *_, fido = prepared(cells=(5, 7))
    expected = eager_penalties(*fido.params)
    found = fido.l1_norm(), fido.tv_loss()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
        gradients = (torch.autograd.grad(value, fido.params, retain_graph=True) for value in (one, other))
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, CELLS])
def test_objective_and_its_gradients_are_the_eager_ones(device, cells):
    im, infill, clf, fido = prepared(device=device, cells=cells)
    torch.manual_seed(7)
    noises = [noise_of_next_seed(fido, 4) for _ in fido.params]
    expected = eager_objective(*fido.params, im, infill, noises, 2, clf, 0.02, 0.03)
    torch.manual_seed(7)
    found = fido.objective(im, 2, clf, batch_size=4) + 0.02 * fido.l1_norm() + 0.03 * fido.tv_loss()
    torch.testing.assert_close(found, expected)
    for a, b in zip(torch.autograd.grad(found, fido.params), torch.autograd.grad(expected, fido.params), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("optimized", [True, False])
def test_samples_of_both_kinds_have_the_same_distribution(optimized):
    """Against uniform numbers of its own: mean and spread of each pixel over many samples."""
    im, infill, _, fido = prepared(torch.float32, cells=6, optimized=optimized)
    n = 4000
    torch.manual_seed(3)
    for found, logit_p in zip(fido(im, batch_size=n), fido.params, strict=True):
        noise = torch.logit(torch.rand(n, 6, 6, generator=torch.Generator().manual_seed(4)).clamp(1e-7, 1 - 1e-7))
        expected = eager_composites(logit_p, im, infill, noise)
        for moment in (found, expected), (found.square(), expected.square()):
            a, b = moment
            error = ((a.var(0) + b.var(0)) / n).sqrt()
            # 3,456 comparisons: 5 standard errors are passed by chance once in 500 runs of other seeds.
            assert ((a.mean(0) - b.mean(0)).abs() <= 5 * error + 1e-6).all()


# The repair of the samples


@pytest.mark.parametrize("optimized", [True, False])
def test_samples_keep_at_the_deterministic_rate(optimized):
    """Repairs samples that kept cells at the dropout rate."""
    n = 4000
    rates = torch.linspace(0.05, 0.95, 16).view(4, 4)
    fido = FIDO(4, infill=torch.zeros(1, 4, 4), optimized=optimized)
    with torch.no_grad():
        fido.ssr_logit_p.copy_(torch.logit(rates))
        fido.sdr_logit_p.copy_(torch.logit(rates.T))
    white = torch.ones(1, 4, 4)
    torch.manual_seed(0)
    sampled, deterministic = fido(white, batch_size=n), fido(white, deterministic=True)
    for sample, mask, dropped in zip(sampled, deterministic, (rates, rates.T), strict=True):
        torch.testing.assert_close(mask[0, 0], 1 - dropped)
        kept = (sample[:, 0] > 0.5).float().mean(0)
        assert ((kept - mask[0, 0]).abs() <= 4 * (dropped * (1 - dropped) / n).sqrt()).all()


@pytest.mark.parametrize("optimized", [True, False])
def test_learned_regions_do_the_same_sampled_and_deterministic(optimized):
    im, _, clf, fido = prepared(torch.float32, optimized=optimized)
    target = int(clf.predict(im[None])[0].argmax())
    fido.fit(im, target, clf, config=FIDOConfig(iterations=30))
    for deterministic in (False, True):
        ssr, sdr = (clf.log_odds(x, target)[0].mean() for x in fido(im, 8, deterministic))
        assert ssr > 0.9
        assert sdr < 0.1
