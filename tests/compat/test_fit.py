"""Fits of the drop-in: against eager loops, and what steers and follows them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sdfido
from sdfido.compat import FIDO, FIDOConfig, MaskConfig
from tests.compat.support import (
    BUSY,
    CELLS,
    InPlaceNet,
    Net,
    OutOfPlaceNet,
    eager_composites,
    eager_fit,
    eager_objective,
    eager_penalties,
    image,
    noise_of_next_seed,
    prepared,
)
from tests.support import DEVICES


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
