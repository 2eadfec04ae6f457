"""Random words: the published known answers, the counter's layout, and the distribution that masks follow."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import sdfido
from sdfido.ops import reference
from sdfido.ops.rng import philox4x32_10
from tests.support import DEVICES

# Known-answer vectors of Random123 for philox4x32-10: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _hex(text):
    return [int(word, 16) for word in text.split()]


def _signed(number):
    return number - 2**64 if number >= 2**63 else number


def _mask_of_word(word):
    """float32 mask at logit 0 and temperature 1, where no exponential is involved: the operator must match each bit."""
    number = np.uint32(word) >> np.uint32(8)
    a = np.float32(number) + np.float32(0.5)
    b = np.float32(0xFFFFFF - number) + np.float32(0.5)
    return np.float32(1) / (np.float32(1) + b / a)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_reference_gives_the_known_answers(counter, key, words):
    out = philox4x32_10(tuple(torch.tensor(c) for c in _hex(counter)), tuple(torch.tensor(k) for k in _hex(key)))
    assert [int(word) for word in out] == _hex(words)


@pytest.mark.parametrize("device", DEVICES)
def test_operator_gives_the_known_answer(device):
    """Cell 0, stream 0, block 0, step 0, seed 0 is the first vector's counter."""
    masks = sdfido.sample_masks(
        torch.zeros(1, 1, 1, 1, device=device), sdfido.make_rng(0, device=device), num_samples=4, temperature=1.0
    )
    assert masks.flatten().tolist() == [float(_mask_of_word(word)) for word in _hex(KNOWN_ANSWERS[0][2])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("antithetic", [False, True])
def test_counter_layout(device, antithetic):
    """Each value comes from the counter (cell, stream*K + k, block, step) and the key (low, high half of the seed)."""
    n, k, s, h, w = 2, 3, 11, 3, 23
    seed, step, streams = 0xFEDCBA9876543210, (5 << 32) + 77, [9, 2**31]
    masks = sdfido.sample_masks(
        torch.zeros(n, k, h, w, device=device),
        sdfido.make_rng(seed, step=step, device=device),
        num_samples=s,
        temperature=1.0,
        antithetic=antithetic,
        streams=torch.tensor(streams, device=device),
    ).cpu()
    key = (torch.tensor(seed & 0xFFFFFFFF), torch.tensor(seed >> 32))
    for image, mask, sample, cell in [(0, 0, 0, 0), (0, 2, 4, 68), (1, 1, 3, 22), (1, 0, 10, 23), (0, 1, 9, 40)]:
        draw = sample // 2 if antithetic else sample
        counter = (cell, (streams[image] * k + mask) & 0xFFFFFFFF, draw // 4, 77)
        word = int(philox4x32_10(tuple(torch.tensor(c) for c in counter), key)[draw % 4])
        if antithetic and sample % 2:
            word ^= 0xFFFFFFFF
        assert masks[image, mask, sample].flatten()[cell] == _mask_of_word(word)


def test_antithetic_noise_is_exactly_opposite():
    words = torch.randint(0, 2**32, (10_000,))
    odds = reference.odds(words, torch.float64)
    torch.testing.assert_close(odds * reference.odds(words ^ 0xFFFFFFFF, torch.float64), torch.ones_like(odds))
    masks = sdfido.sample_masks(
        torch.zeros(1, 1, 64, 64), sdfido.make_rng(0), num_samples=2, temperature=0.5, antithetic=True
    )
    torch.testing.assert_close(masks[:, :, 0] + masks[:, :, 1], torch.ones(1, 1, 64, 64))


@pytest.mark.parametrize("device", DEVICES)
def test_noise_is_logistic(device):
    """Kolmogorov-Smirnov test of the noise, and no correlation between samples, masks, streams or steps."""
    noise = []
    for step in (0, 1):
        masks = sdfido.sample_masks(
            torch.zeros(2, 2, 100, 100, dtype=torch.float64, device=device),
            sdfido.make_rng(3, step=step, device=device),
            num_samples=5,
            temperature=1.0,
        )
        noise.append(torch.logit(masks).cpu().flatten(0, 2).flatten(1))
    values = torch.cat(noise).numpy()  # 40 draws of 10,000
    assert stats.kstest(values.ravel(), "logistic").pvalue > 1e-3
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 5 / np.sqrt(values.shape[1])


@pytest.mark.parametrize("temperature", [0.1, 0.37, 1.0])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.0])
def test_mean_and_variance_of_masks(temperature, logit):
    """Moments of a mask against numerical integration over the noise, within five standard errors."""
    count = 200_000
    masks = sdfido.sample_masks(
        torch.full((1, 1, 1, count // 4), logit), sdfido.make_rng(11), num_samples=4, temperature=temperature
    )
    values = masks.double().flatten().numpy()

    def moment(power):
        def integrand(u):
            return 1 / (1 + np.exp(-(logit + np.log(u) - np.log1p(-u)) / temperature)) ** power

        with np.errstate(over="ignore", divide="ignore"):
            return integrate.quad(integrand, 0, 1, points=[1 / (1 + np.exp(logit))], limit=200)[0]

    mean, variance = moment(1), moment(2) - moment(1) ** 2
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / count)
    spread = np.sqrt((((values - mean) ** 2).var()) / count)
    assert abs(values.var() - variance) < 5 * spread


def test_make_rng():
    assert sdfido.make_rng(7).tolist() == [7, 0]
    assert sdfido.make_rng(2**64 - 1, step=3).tolist() == [-1, 3]
    assert sdfido.advance(sdfido.make_rng(7), 5).tolist() == [7, 5]
    first, second = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    assert torch.equal(sdfido.make_rng(first), sdfido.make_rng(second))
    assert not torch.equal(sdfido.make_rng(first), sdfido.make_rng(torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": 1.5}, TypeError, "seed must be an integer of 64 bits, got 1.5"),
        ({"seed": True}, TypeError, "seed must be an integer"),
        ({"seed": 2**64}, ValueError, "seed must be an integer of 64 bits, got 1844"),
        ({"seed": 0, "step": "1"}, TypeError, "step must be an integer"),
    ],
)
def test_make_rng_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        sdfido.make_rng(**arguments)
