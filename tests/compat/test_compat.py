"""The drop-ins of sdfido.compat: held against plain PyTorch written here."""

import inspect

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sdfido
from sdfido import compat
from sdfido.compat import FIDO, FIDOConfig, MaskConfig
from sdfido.ops import reference
from tests.support import DEVICES

SIZE, CELLS = 24, 8


class Net:
    """A small random classifier of four classes, as existing FIDO code has them; it notes the batches it is given."""

    def __init__(self, dtype=torch.float32, device="cpu"):
        generator = torch.Generator().manual_seed(1)
        shapes = [(12, 3, 5, 5), (4, 12 * 25)]
        kernels, weights = (torch.randn(s, generator=generator).to(device, dtype) for s in shapes)
        self.kernels, self.weights = (kernels / 5).requires_grad_(), (0.4 * weights).requires_grad_()
        self.batches = []

    def predict(self, x):
        hidden = F.avg_pool2d(torch.tanh(F.conv2d(x, self.kernels)), 4)
        return hidden.flatten(1) @ self.weights.T, hidden

    def log_odds(self, x, c=None):
        self.batches.append(len(x))
        logits, _ = self.predict(x)
        others = torch.cat([logits[:, :c], logits[:, c + 1 :]], 1)
        return logits.softmax(1)[:, c], logits[:, c] - others.logsumexp(1)


class InPlaceNet(Net):
    """The same, but it writes into what it is given, and needs what it has written for its gradient."""

    def predict(self, x):
        return super().predict(x.mul_(2).tanh_())


class OutOfPlaceNet(Net):
    def predict(self, x):
        return super().predict((2 * x).tanh())


def image(seed=0, size=SIZE):
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))


def prepared(dtype=torch.float64, device="cpu", cells=CELLS, optimized=True):
    """Image, infill, classifier, and FIDO with masks that are not zero."""
    im = image().to(device, dtype)
    fido = FIDO.new(im, MaskConfig(mask_size=cells, optimized=optimized), device=device).to(dtype)
    with torch.no_grad():
        for seed, parameter in enumerate(fido.params):
            parameter.copy_(2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return im, fido.infill, Net(dtype, device), fido


# The same in plain PyTorch. Noise is log u - log(1 - u), [B, h, w] a mask.


def noise_of_next_seed(fido, batch_size):
    """What the operator draws for the seed that torch's generator gives next."""
    rng = sdfido.make_rng(torch.default_generator)
    h, w = fido.ssr_logit_p.shape
    words = reference.random_words(rng, torch.zeros(1, dtype=torch.int64), 1, batch_size, h * w, False)
    return -reference.odds(words, torch.float64).log().view(batch_size, h, w).to(fido.ssr_logit_p)


def eager_composites(logit_p, im, infill, noise):
    dropout = torch.sigmoid((logit_p - noise) / 0.1)
    keep = F.interpolate(1 - dropout[:, None], size=im.shape[-2:], mode="bilinear", align_corners=False)
    return keep * im + (1 - keep) * infill


def eager_penalties(ssr, sdr):
    ssr, sdr = torch.sigmoid(ssr), torch.sigmoid(sdr)
    l1 = ((1 - ssr).sum() + sdr.sum()) / 2
    tv = sum((r[1:] - r[:-1]).abs().sum() + (r[:, 1:] - r[:, :-1]).abs().sum() for r in (ssr, sdr))
    return l1, tv


def eager_objective(ssr, sdr, im, infill, noises, y, clf, l1, tv):
    _, sufficient = clf.log_odds(eager_composites(ssr, im, infill, noises[0]), y)
    _, destroying = clf.log_odds(eager_composites(sdr, im, infill, noises[1]), y)
    area, variation = eager_penalties(ssr, sdr)
    return destroying.mean() - sufficient.mean() + l1 * area + tv * variation


def eager_fit(ssr, sdr, im, infill, y, clf, config, draw):
    """``draw()`` gives the noise of one mask."""
    ssr, sdr = (logit_p.detach().clone().requires_grad_() for logit_p in (ssr, sdr))
    optimizer = torch.optim.AdamW([ssr, sdr], lr=config.learning_rate, eps=0.1, weight_decay=config.l2)
    for i in range(config.iterations):
        part = min(1, (i + 1) / config.reg_warmup)
        loss = eager_objective(ssr, sdr, im, infill, [draw(), draw()], y, clf, part * config.l1, part * config.tv)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ssr.detach(), sdr.detach()


# Concrete dropout on tensors


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


# One step


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


# Whole fits

BUSY = FIDOConfig(iterations=12, batch_size=6, learning_rate=3, l1=0.02, l2=0.05, tv=0.03, reg_warmup=7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (7, 10)])
@pytest.mark.parametrize("approx_steps", [None, 1, 4, 6])
def test_fit_is_the_eager_loop_for_the_same_noise(device, cells, approx_steps):
    im, infill, clf, fido = prepared(device=device, cells=cells)
    torch.manual_seed(7)
    expected = eager_fit(*fido.params, im, infill, 1, clf, BUSY, lambda: noise_of_next_seed(fido, 6))
    start = [p.detach().clone() for p in fido.params]
    torch.manual_seed(7)
    fido.fit(im, 1, clf, config=FIDOConfig(**{**vars(BUSY), "approx_steps": approx_steps}))
    for found, exact, before in zip(fido.params, expected, start, strict=True):
        torch.testing.assert_close(found.detach(), exact, rtol=1e-6, atol=1e-6)
        assert (exact - before).abs().mean() > 0.5


RUNS, SHORT = 16, FIDOConfig(iterations=20)


@pytest.fixture(scope="module")
def eager_runs():
    """Image, infill, classifier, target, and dropout logits [RUNS, 2, h, w] of eager loops with torch's noise."""
    im, clf = image(), Net()
    infill = sdfido.infills.Blur()(im[None])[0]
    target = int(clf.predict(im[None])[0].argmax())
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.logit(torch.rand(8, CELLS, CELLS, generator=generator).clamp(1e-7, 1 - 1e-7))

    zeros = torch.zeros(2, CELLS, CELLS)
    runs = [torch.stack(eager_fit(*zeros, im, infill, target, clf, SHORT, draw)) for _ in range(RUNS)]
    return im, infill, clf, target, torch.stack(runs)


@pytest.mark.parametrize("optimized", [True, False])
def test_fit_agrees_with_an_eager_loop_of_other_noise(eager_runs, optimized):
    """Many seeds of each: mean rates of all cells, their spread, and area and log-odds of the final composites."""
    im, infill, clf, target, eager = eager_runs
    found = []
    for seed in range(RUNS):
        fido = FIDO.new(im, MaskConfig(mask_size=CELLS, optimized=optimized), device="cpu")
        torch.manual_seed(seed)
        fido.fit(im, target, clf, config=SHORT)
        found.append(torch.stack(fido.params).detach())
    rates = torch.sigmoid(torch.cat([torch.stack(found), eager]))  # [2 * RUNS, 2, h, w]
    for mask, sign in ((0, 1), (1, -1)):
        found_mean, eager_mean = (part.mean(0).flatten() for part in rates[:, mask].split(RUNS))
        assert np.corrcoef(found_mean, eager_mean)[0, 1] > 0.96
        # A run is as near to one of the other kind as eager runs are to each other.
        between = np.corrcoef(rates[:, mask].flatten(1))
        own, other = between[RUNS:, RUNS:][~np.eye(RUNS, dtype=bool)].mean(), between[:RUNS, RUNS:].mean()
        assert abs(own - other) < 0.05
        keep = F.interpolate(1 - rates[:, mask, None], size=im.shape[-2:], mode="bilinear")
        log_odds = clf.log_odds(infill + keep * (im - infill), target)[1].detach()
        assert (sign * log_odds > 2).all()
        for value in (log_odds, rates[:, mask].mean((1, 2))):
            x, y = value.split(RUNS)
            assert (x.mean() - y.mean()).abs() < 4 * ((x.var() + y.var()) / RUNS).sqrt()


def test_torchs_seed_repeats_a_fit():
    results = []
    for seed in (1, 1, 2):
        im, _, clf, fido = prepared(torch.float32)
        torch.manual_seed(seed)
        fido.fit(im, 1, clf, config=FIDOConfig(iterations=3))
        results.append(torch.stack(fido.params).detach())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_fit_works_where_gradients_are_off_and_leaves_the_classifier_without():
    results = []
    for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with context():
            im, _, _, fido = prepared(torch.float32)
            with torch.inference_mode(False):
                clf = Net()
            torch.manual_seed(1)
            fido.fit(im, 1, clf, config=FIDOConfig(iterations=2))
            results.append(torch.stack(fido.params).detach())
        assert clf.kernels.grad is None
        assert clf.weights.grad is None
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("approx_steps", [None, 3])
def test_classifiers_may_write_into_their_input(approx_steps):
    results = []
    for kind in (InPlaceNet, OutOfPlaceNet):
        im, _, _, fido = prepared()
        before = im.clone()
        torch.manual_seed(1)
        fido.fit(im, 1, kind(torch.float64), config=FIDOConfig(iterations=2, batch_size=6, approx_steps=approx_steps))
        results.append(torch.stack(fido.params).detach())
        assert torch.equal(im, before)
    torch.testing.assert_close(*results)


# approx_steps, metrics, callback


@pytest.mark.parametrize(("approx_steps", "sizes"), [(None, [8]), (1, [8]), (3, [3, 3, 2]), (8, [1] * 8)])
def test_approx_steps_split_the_batch(approx_steps, sizes):
    im, _, clf, fido = prepared(torch.float32)
    fido.fit(im, 1, clf, config=FIDOConfig(iterations=2, approx_steps=approx_steps))
    assert clf.batches == 4 * sizes


@pytest.mark.parametrize("approx_steps", [None, 4])
def test_metrics_are_what_an_iteration_finds(approx_steps):
    """Repairs what left the probabilities as they were: each is the mean over the whole batch, anew each iteration."""
    im, infill, clf, fido = prepared()
    config = FIDOConfig(**{**vars(BUSY), "approx_steps": approx_steps, "thresh": 0.7})
    states = [[p.detach().clone() for p in fido.params]]
    metrics = {}
    torch.manual_seed(7)
    fido.fit(im, 1, clf, config, metrics, lambda fido, _: states.append([p.detach().clone() for p in fido.params]))
    torch.manual_seed(7)
    for i in range(config.iterations):
        ssr, sdr = states[i]
        noises = [noise_of_next_seed(fido, 6) for _ in range(2)]
        part = min(1, (i + 1) / 7)
        l1, tv = eager_penalties(ssr, sdr)
        probs = [clf.log_odds(eager_composites(p, im, infill, n), 1)[0] for p, n in zip(states[i], noises, strict=True)]
        expected = {
            "objective": eager_objective(ssr, sdr, im, infill, noises, 1, clf, part * 0.02, part * 0.03).detach(),
            "ssr_prob": probs[0].detach().mean(),
            "sdr_prob": probs[1].detach().mean(),
            "l1": l1,
            "tv": tv,
            "ssr_area": (torch.sigmoid(ssr) < 0.3).double().mean(),
            "sdr_area": (torch.sigmoid(sdr) > 0.7).double().mean(),
        }
        assert {name: values[i] for name, values in metrics.items()} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-5, abs=1e-7
        )
    assert all(len(values) == config.iterations for values in metrics.values())
    assert len(set(metrics["ssr_prob"])) == len(set(metrics["sdr_prob"])) == config.iterations


def test_metrics_go_on_where_they_were():
    im, _, clf, fido = prepared(torch.float32)
    metrics = {}
    for _ in range(2):
        fido.fit(im, 1, clf, config=FIDOConfig(iterations=2), metrics=metrics)
    assert len(metrics["objective"]) == 4


def test_callback_is_called_after_each_update_and_none_is_none():
    """Repairs the call of None."""
    im, _, clf, fido = prepared(torch.float32)
    calls, last = [], fido.ssr_logit_p.detach().clone()

    def callback(given, iteration):
        nonlocal last
        assert given is fido
        assert not torch.equal(fido.ssr_logit_p, last)
        last = fido.ssr_logit_p.detach().clone()
        calls.append(iteration)

    fido.fit(im, 1, clf, config=FIDOConfig(iterations=3), update_callback=callback)
    assert calls == [0, 1, 2]
    fido.fit(im, 1, clf, config=FIDOConfig(iterations=3), update_callback=None)
    assert not torch.equal(fido.ssr_logit_p, last)


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


# Names, defaults and attributes


def test_signatures_are_those_of_existing_code():
    def signature(function):
        return [
            (name, "required" if p.default is p.empty else p.default, "*" if p.kind is p.KEYWORD_ONLY else "")
            for name, p in inspect.signature(function).parameters.items()
            if name != "self"
        ]

    assert signature(MaskConfig) == [("optimized", True, ""), ("mask_size", None, ""), ("infill_strategy", "blur", "")]
    defaults = dict(
        learning_rate=10,
        batch_size=8,
        iterations=100,
        approx_steps=None,
        l1=1e-3,
        l2=0,
        tv=1e-2,
        reg_warmup=5,
        thresh=0.5,
    )
    assert signature(FIDOConfig) == [(name, value, "") for name, value in defaults.items()]
    assert signature(compat.concrete_dropout) == [
        ("dropout_rate", "required", ""),
        ("temp", 0.1, ""),
        ("eps", 2.2e-16, ""),
    ]
    assert signature(compat.sigmoid_concrete_dropout) == [("X", "required", ""), ("temp", 1.0, ""), ("u", None, "")]
    assert signature(FIDO.new) == [("im", "required", ""), ("mask_config", "required", ""), ("device", "required", "*")]
    assert signature(FIDO) == [
        ("size", "required", ""),
        ("infill", "required", "*"),
        ("optimized", True, "*"),
        ("device", None, "*"),
    ]
    sampled = [("X", "required", ""), ("batch_size", 1, ""), ("deterministic", False, "")]
    assert signature(FIDO.ssr) == signature(FIDO.sdr) == signature(FIDO.forward) == sampled
    given = [(name, "required", "") for name in ("X", "y", "clf")]
    assert signature(FIDO.objective) == [*given, ("batch_size", 1, "")]
    optional = [(name, None, "") for name in ("config", "metrics", "update_callback")]
    assert signature(FIDO.fit) == [("im", "required", ""), *given[1:], *optional]
    assert [name for name, *_ in signature(FIDO.plot)] == ["im", "y", "clf", "label"]


def test_a_new_fido_has_zeros_and_its_attributes():
    fido = FIDO.new(image(), MaskConfig(), device="cpu")
    assert isinstance(fido, torch.nn.Module)
    assert [name for name, _ in fido.named_parameters()] == ["ssr_logit_p", "sdr_logit_p"]
    assert fido.params[0] is fido.ssr_logit_p
    assert fido.params[1] is fido.sdr_logit_p
    for parameter in fido.params:
        assert torch.equal(parameter, torch.zeros(SIZE, SIZE))
    assert set(fido.state_dict()) == {"infill", "ssr_logit_p", "sdr_logit_p"}
    torch.testing.assert_close(fido.infill, sdfido.infills.Blur()(image()[None])[0])
    with torch.no_grad():
        fido.ssr_logit_p.fill_(-1.0)
        fido.sdr_logit_p.fill_(2.0)
    ssr, sdr = 1 / (1 + np.exp(1.0)), 1 / (1 + np.exp(-2.0))
    for name, value in (("ssr", ssr), ("sdr", sdr), ("joint", np.sqrt((1 - ssr) * sdr))):
        rate = getattr(fido, f"{name}_dropout_rate")
        torch.testing.assert_close(rate.detach(), torch.full((SIZE, SIZE), value, dtype=torch.float32))
    assert FIDOConfig(l1=1, l2=2, tv=3).reg_params == {"l1": 1, "l2": 2, "tv": 3}


@pytest.mark.parametrize(("mask_size", "cells"), [(None, (20, 24)), (7, (7, 7)), ((5, 9), (5, 9)), ([5, 9], (5, 9))])
def test_mask_size(mask_size, cells):
    assert FIDO.new(image()[:, :20], MaskConfig(mask_size=mask_size), device="cpu").ssr_logit_p.shape == cells


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("zeros", torch.full((3, SIZE, SIZE), -1.0)),  # black, normalised with mean 0.5 and std 0.5
        ("mean", image().mean((1, 2), keepdim=True).expand(3, SIZE, SIZE)),
        (torch.full((3, 1, 1), 0.25), torch.full((3, SIZE, SIZE), 0.25)),
        (lambda images: -images, -image()),
    ],
)
def test_infill_strategies(strategy, expected):
    torch.testing.assert_close(FIDO.new(image(), MaskConfig(infill_strategy=strategy), device="cpu").infill, expected)


def test_one_home_of_each_name():
    from sdfido.compat import fido_pytorch

    assert sorted(fido_pytorch.__all__) == sorted(compat.__all__)
    assert all(getattr(fido_pytorch, name) is getattr(compat, name) for name in compat.__all__)


def test_plot_shows_regions_and_probabilities():
    reports = pytest.importorskip("sdfido.reports")
    im, infill, clf, fido = prepared(torch.float32)
    figure = fido.plot(im, 2, clf, label="a cat")
    text = "\n".join(t.get_text() for part in (figure, *figure.axes) for t in part.texts)

    def upsampled(mask):
        return F.interpolate(mask.detach()[None, None], size=(SIZE, SIZE), mode="bilinear")[0, 0]

    ssr, sdr = upsampled(1 - fido.ssr_dropout_rate), upsampled(fido.sdr_dropout_rate)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    pixels = im * 0.5 + 0.5
    for importance in (ssr, sdr, (ssr * sdr).sqrt()):
        assert any(p.shape == (SIZE, SIZE, 3) and np.allclose(p, reports.heatmap(importance, pixels)) for p in shown)
    for composite in (im, infill, ssr * im + (1 - ssr) * infill, sdr * infill + (1 - sdr) * im):
        picture = (composite * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
        assert any(p.shape == picture.shape and np.allclose(p, picture, atol=1e-5) for p in shown)
        probability = clf.log_odds(composite[None], 2)[0].item()
        assert f"a cat  {probability:.1%}" in text or probability < 0.001
    cut = upsampled((fido.ssr_logit_p < 0).float())
    assert f"{clf.log_odds((cut * im + (1 - cut) * infill)[None], 2)[0].item():.1%}" in text


# Errors


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: FIDOConfig(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: FIDOConfig(iterations=2.5), TypeError, r"iterations must be an integer, got 2\.5"),
        (lambda: FIDOConfig(approx_steps=0), ValueError, "approx_steps must be at least 1, got 0"),
        (lambda: FIDOConfig(reg_warmup=-1), ValueError, "reg_warmup must be at least 0, got -1"),
        (lambda: FIDOConfig(learning_rate=0), ValueError, "learning_rate must be finite and positive, got 0"),
        (lambda: FIDOConfig(tv=float("nan")), ValueError, "tv must be finite and at least 0, got nan"),
        (lambda: FIDOConfig(l1="1"), TypeError, "l1 must be a number, got '1'"),
        (lambda: setattr(FIDOConfig(), "l2", -1), ValueError, "l2 must be finite and at least 0, got -1"),
        (
            lambda: FIDO.new(image()[None], MaskConfig(), device=None),
            ValueError,
            r"im must be \[C, H, W\], got \[",
        ),
        (
            lambda: FIDO.new(image().numpy(), MaskConfig(), device=None),
            TypeError,
            r"im must be a floating-point tensor \[C, H, W\], got ndarray",
        ),
        (
            lambda: FIDO.new(image().long(), MaskConfig(), device=None),
            TypeError,
            r"im must be a floating-point tensor .*got torch\.int64",
        ),
        (lambda: FIDO.new(image() / 0, MaskConfig(), device=None), ValueError, "im must be finite"),
        (lambda: FIDO.new(image(), {}, device=None), TypeError, "mask_config must be a MaskConfig, got dict"),
        (
            lambda: FIDO.new(image(), MaskConfig(mask_size=25), device=None),
            ValueError,
            "mask_size must not exceed .* 24x24",
        ),
        (
            lambda: FIDO.new(image(), MaskConfig(mask_size=(1, 2, 3)), device=None),
            ValueError,
            "mask_size must be an integer or a pair",
        ),
        (lambda: FIDO.new(image(), MaskConfig(infill_strategy="x"), device=None), ValueError, "infill must be one of"),
        (lambda: FIDO(0, infill=image()), ValueError, "size must be at least 1, got 0"),
        (lambda: FIDO("8", infill=image()), TypeError, "size must be an integer, got '8'"),
        (lambda: FIDO(8, infill=0.5), TypeError, "infill must be a floating-point tensor, got float"),
        (lambda: FIDO(8, infill=image(), optimized=1), TypeError, "optimized must be True or False, got 1"),
        (lambda: FIDO(8, infill=image()).ssr(image(), 0), ValueError, "batch_size must be at least 1, got 0"),
        (
            lambda: FIDO(8, infill=image()).ssr(image()[:, :20]),
            ValueError,
            r"X must have the shape of the infill, \[3, 24, 24\]",
        ),
        (
            lambda: FIDO(8, infill=torch.zeros(3, 1, 1)).ssr(image()[:, :7]),
            ValueError,
            "X must have a pixel for each .* 8x8 cells",
        ),
        (lambda: compat.sigmoid_concrete_dropout(1.0), TypeError, "X must be a floating-point tensor, got float"),
        (
            lambda: compat.sigmoid_concrete_dropout(torch.ones(2), 0),
            ValueError,
            "temp must be finite and positive, got 0",
        ),
        (
            lambda: compat.sigmoid_concrete_dropout(torch.ones(2), u=torch.ones(3)),
            ValueError,
            r"u must be like X, .*\[2\].* got .*\[3\]",
        ),
        (
            lambda: compat.concrete_dropout(torch.ones(2, dtype=torch.int64)),
            TypeError,
            "dropout_rate must be a floating-point",
        ),
        (lambda: compat.concrete_dropout(torch.ones(2), eps=0), ValueError, "eps must be finite and positive, got 0"),
    ],
)
def test_wrong_arguments_are_named(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


def returning(*values):
    """A classifier that returns something else."""
    clf = Net()
    clf.log_odds = lambda x, c: tuple(v(x) if callable(v) else v for v in values)
    return clf


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"config": {}}, TypeError, "config must be a FIDOConfig, got dict"),
        ({"config": FIDOConfig(approx_steps=9)}, ValueError, "approx_steps must be at most batch_size, 8, got 9"),
        ({"metrics": []}, TypeError, "metrics must be a dictionary to fill, got list"),
        ({"update_callback": 1}, TypeError, "update_callback must be callable, got 1"),
        ({"im": image()[:, :20]}, ValueError, "im must have the shape of the infill"),
        (
            {"clf": returning(lambda x: x[:, 0, 0, 0], lambda x: x)},
            ValueError,
            r"must return two tensors \[8\], .* got \[8, 3",
        ),
        ({"clf": returning(0.5, lambda x: x[:, 0, 0, 0])}, ValueError, r"must return two tensors \[8\], .* got float"),
        ({"clf": returning(*2 * [lambda x: x[:, 0, 0, 0].detach()])}, ValueError, "log_odds must be differentiable"),
        (
            {"clf": returning(*2 * [lambda x: x[:, 0, 0, 0] / 0])},
            RuntimeError,
            "objective became .* in iteration 0; the log-odds",
        ),
    ],
)
def test_fit_refuses_before_it_changes_anything(arguments, kind, says):
    im, _, clf, fido = prepared(torch.float32)
    before = torch.stack(fido.params).detach()
    calls = []
    with pytest.raises(kind, match=says):
        fido.fit(**{"im": im, "y": 1, "clf": clf, "update_callback": lambda *a: calls.append(a)} | arguments)
    assert torch.equal(torch.stack(fido.params), before)
    assert not calls
    assert not clf.batches
