"""Infills: known answers, borders, randomness per image, and what a wrong one says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sdfido import infills
from sdfido.normalization import Normalization

NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SPECS = ["blur", "blur:3", "mean", "local-mean", "local-mean:5", "zeros", "uniform", "normal", "shuffle", "shuffle:4"]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def images(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def kernel(length: int, weight) -> torch.Tensor:
    """The dense [length, length] matrix of weight(|i - j|), its rows divided by their sums."""
    distance = (torch.arange(length)[:, None] - torch.arange(length)).abs().double()
    matrix = weight(distance)
    return matrix / matrix.sum(1, keepdim=True)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 10.0, 200.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 23), (40, 31)])
def test_blur_is_the_dense_gaussian(sigma: float, size: tuple[int, int]) -> None:
    x = images(2, 3, *size, dtype=torch.float64)
    rows, columns = (kernel(n, lambda d: torch.exp(-0.5 * (d / sigma) ** 2)) for n in size)
    torch.testing.assert_close(infills.Blur(sigma)(x), rows @ x @ columns.T, rtol=0, atol=1e-6)  # 2^-24 per cut tap


@pytest.mark.parametrize("box", [1, 3, 15, 101])
def test_local_mean_is_the_dense_box(box: int) -> None:
    x = images(2, 1, 17, 23, dtype=torch.float64)
    rows, columns = (kernel(n, lambda d: (d <= box // 2).double()) for n in (17, 23))
    torch.testing.assert_close(infills.LocalMean(box)(x), rows @ x @ columns.T)


@pytest.mark.parametrize("spec", ["blur", "blur:0.5", "blur:1000", "mean", "local-mean", "shuffle:7"])
def test_constants_stay_constant(spec: str) -> None:
    x = torch.full((1, 3, 30, 20), -1.7)
    torch.testing.assert_close(infills.apply(infills.from_spec(spec), x), x, rtol=2e-6, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33)])
def test_mean(size: tuple[int, int]) -> None:
    x = images(3, 2, *size)
    result = infills.Mean()(x)
    assert result.shape == (3, 2, 1, 1)
    torch.testing.assert_close(result, x.double().mean((-2, -1), keepdim=True).float())


def test_zeros_is_black_in_pixel_space() -> None:
    x = images(2, 3, 4, 5)
    black = infills.apply(infills.Zeros(NORMALIZATION), x)
    torch.testing.assert_close(black[0, :, 0, 0], torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]))
    torch.testing.assert_close(NORMALIZATION.pixels(black), torch.zeros_like(x))


def test_uniform_noise_fills_the_pixel_range() -> None:
    pixels = NORMALIZATION.pixels(infills.UniformNoise(NORMALIZATION)(images(2, 3, 100, 100)))
    assert -1e-6 <= pixels.min() < 1e-3
    assert 1 - 1e-3 < pixels.max() <= 1 + 1e-6
    assert pixels.mean().item() == pytest.approx(0.5, abs=5 / math.sqrt(12 * pixels.numel()))
    assert pixels.var().item() == pytest.approx(1 / 12, abs=2e-3)


def test_normal_noise_has_its_moments_and_is_clamped() -> None:
    x = images(2, 3, 100, 100)
    pixels = NORMALIZATION.pixels(infills.NormalNoise(NORMALIZATION, mean=0.4, std=0.05)(x))
    assert pixels.mean().item() == pytest.approx(0.4, abs=1e-3)
    assert pixels.std().item() == pytest.approx(0.05, abs=1e-3)
    wide = NORMALIZATION.pixels(infills.NormalNoise(NORMALIZATION, std=3.0)(x))
    assert wide.min().item() == pytest.approx(0, abs=1e-6)
    assert wide.max().item() == pytest.approx(1, abs=1e-6)
    assert (wide.abs() < 1e-6).float().mean().item() == pytest.approx(0.434, abs=0.02)  # the normal's mass below 0


@pytest.mark.parametrize(("size", "patch"), [((12, 12), 4), ((13, 10), 4), ((5, 3), 1), ((9, 40), 16), ((5, 4), 2)])
def test_shuffle_permutes_the_pixels(size: tuple[int, int], patch: int) -> None:
    x = images(3, 2, *size)
    shuffled = infills.PatchShuffle(patch)(x)
    assert not torch.equal(shuffled, x)
    joined = torch.complex(x[:, 0], x[:, 1])  # channels move together
    moved = torch.complex(shuffled[:, 0], shuffled[:, 1])
    for before, after in zip(joined, moved, strict=True):
        assert sorted(before.flatten().tolist(), key=abs) == sorted(after.flatten().tolist(), key=abs)


@pytest.mark.parametrize(
    ("size", "patch"),
    [((16, 32), 16), ((224, 224), 100), ((225, 225), 16), ((9, 40), 16), ((7, 5), 3), ((5, 3), 1), ((1, 2), 1)],
)
def test_shuffle_leaves_no_pixel_in_place(size: tuple[int, int], patch: int) -> None:
    place = torch.arange(float(size[0] * size[1]), dtype=torch.float64).view(1, 1, *size)
    for seed in range(40):
        shuffled = infills.PatchShuffle(patch, seed=seed)(place)
        assert not (shuffled == place).any()
        assert torch.equal(shuffled.flatten().sort().values, place.flatten())


def test_shuffles_differ() -> None:
    x = torch.arange(36.0).view(1, 1, 6, 6)
    orders = {tuple(infills.PatchShuffle(2, seed=seed)(x).flatten().tolist()) for seed in range(200)}
    assert len(orders) > 190  # of 8! cycles


def test_shuffle_moves_whole_patches() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8)
    shuffled = infills.PatchShuffle(4)(x)
    patches = {tuple(x[0, 0, i : i + 4, j : j + 4].flatten().tolist()) for i in (0, 4) for j in (0, 4)}
    assert {tuple(shuffled[0, 0, i : i + 4, j : j + 4].flatten().tolist()) for i in (0, 4) for j in (0, 4)} == patches


@pytest.mark.parametrize("spec", SPECS)
def test_an_image_gets_in_a_batch_what_it_gets_alone(spec: str) -> None:
    x = images(3, 3, 33, 34)
    function = infills.from_spec(spec, NORMALIZATION)
    together = infills.apply(function, x, streams=[7, 0, 2**40])
    channels_last = infills.apply(
        function, x.contiguous(memory_format=torch.channels_last), torch.tensor([7, 0, 2**40])
    )
    assert torch.equal(together, channels_last)
    for n, stream in enumerate([7, 0, 2**40]):
        assert torch.equal(infills.apply(function, x[n : n + 1], streams=[stream])[0], together[n])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_shape_and_empty_batches(spec: str, dtype: torch.dtype) -> None:
    function = infills.from_spec(spec, NORMALIZATION)
    result = infills.apply(function, images(2, 3, 32, 33, dtype=dtype))
    assert (result.dtype, result.shape) == (dtype, (2, 3, 32, 33))
    assert infills.apply(function, images(0, 3, 32, 33, dtype=dtype)).shape == (0, 3, 32, 33)


@pytest.mark.parametrize("spec", ["uniform", "normal", "shuffle:4"])
def test_randomness_comes_from_seed_and_stream_only(spec: str) -> None:
    x = images(1, 3, 16, 16).expand(2, -1, -1, -1)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    result = infills.apply(infills.from_spec(spec, NORMALIZATION, seed=5), x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(infills.apply(infills.from_spec(spec, NORMALIZATION, seed=5), x), result)
    assert torch.equal(infills.apply(infills.from_spec(spec, NORMALIZATION, seed=5), x, streams=range(2)), result)
    assert not torch.equal(result[0], result[1])
    assert not torch.equal(infills.apply(infills.from_spec(spec, NORMALIZATION, seed=6), x), result)
    assert not torch.equal(infills.apply(infills.from_spec(spec, NORMALIZATION, seed=5 + 2**32), x), result)


def test_apply_expands_without_copying() -> None:
    x = images(4, 3, 8, 8)
    assert infills.apply(infills.Mean(), x).stride()[2:] == (0, 0)
    given = torch.rand(3, 8, 8)
    result = infills.apply(infills.from_spec(given), x)
    assert result.stride()[0] == 0
    assert result.data_ptr() == given.data_ptr()


def test_a_callable_is_called_with_images_only() -> None:
    x = images(2, 3, 8, 8)
    seen: list[tuple[object, ...]] = []

    def half(*arguments: torch.Tensor) -> torch.Tensor:
        seen.append(arguments)
        return arguments[0].double() / 2

    assert infills.from_spec(half) is half
    result = infills.apply(half, x, streams=[4, 5])
    assert torch.equal(result, x / 2)
    assert len(seen) == 1
    assert len(seen[0]) == 1


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("blurr", ValueError, "'blurr'.*|'local-mean'"),
        ("", ValueError, "''"),
        ("blur:", ValueError, "'blur:'.*a number, in pixels"),
        ("blur:wide", ValueError, "'blur:wide'.*a number"),
        ("blur:0", ValueError, "sigma must be .*got 0.0"),
        ("blur:nan", ValueError, "sigma .*nan"),
        ("local-mean:3.5", ValueError, "'local-mean:3.5'.*an integer"),
        ("local-mean:4", ValueError, "size .*odd.*4"),
        ("shuffle:-1", ValueError, "patch .*-1"),
        ("mean:3", ValueError, "'mean' takes no value"),
        ("zeros", ValueError, "'zeros'.*normalization="),
        ("uniform", ValueError, "'uniform'.*normalization="),
        (3, TypeError, "infill .*got 3"),
        (torch.zeros(3, dtype=torch.int64), TypeError, "infill .*int64"),
    ],
)
def test_bad_specifications(spec, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        infills.from_spec(spec)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nope'") as caught:
        infills.from_spec("nope")
    for name in ("blur", "mean", "local-mean", "zeros", "uniform", "normal", "shuffle"):
        assert f"'{name}'" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        (lambda x: None, TypeError, "infill must return a floating-point tensor, got None from"),
        (lambda x: x.int(), TypeError, "infill must return.*int32"),
        (lambda x: x[..., :-1], ValueError, r"infill must be broadcastable.*\[2, 3, 8, 8\].*\[2, 3, 8, 7\]"),
        (lambda x: x[None], ValueError, "infill must be broadcastable"),
        (lambda x: x * math.nan, ValueError, "infill must be finite"),
        (lambda x: x.to("meta"), ValueError, "infill must be on the images' device cpu, got meta"),
    ],
)
def test_apply_checks_the_result(function, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        infills.apply(function, images(2, 3, 8, 8))


def test_apply_checks_the_images_and_streams() -> None:
    with pytest.raises(TypeError, match=r"images must be a floating-point tensor .*got torch\.int64"):
        infills.apply(infills.Mean(), torch.zeros(1, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"images must be \[N, C, H, W\], got \[3, 8, 8\]"):
        infills.apply(infills.Mean(), torch.zeros(3, 8, 8))
    for streams, error in (([1], ValueError), (torch.tensor([1, 2, 3]), ValueError), ([0.5, 1.5], TypeError)):
        with pytest.raises(error, match="streams must be"):
            infills.apply(infills.PatchShuffle(4), images(2, 3, 8, 8), streams)
    with pytest.raises(ValueError, match="patch must be small enough for two in a 8x8 image, got 8"):
        infills.apply(infills.PatchShuffle(8), images(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (
            lambda: infills.LocalMean(3.0),
            TypeError,
            r"size must be an odd number .*got 3\.0",
        ),
        (lambda: infills.PatchShuffle(4.0), TypeError, r"patch must be an integer, got 4\.0"),
        (
            lambda: infills.Blur(1e-200),
            ValueError,
            "sigma must be a finite number of pixels, at least 0.1, got 1e-200",
        ),
        (lambda: infills.Blur(10**400), ValueError, "sigma must be"),
        (lambda: infills.Blur(True), TypeError, "sigma must be .*got True$"),
        (
            lambda: infills.UniformNoise("x"),
            TypeError,
            "normalization must be a sdfido Normalization, got 'x'; where",
        ),
        (lambda: infills.NormalNoise("x"), TypeError, "normalization must be"),
        (lambda: infills.Zeros(None), TypeError, "normalization must be a sdfido Normalization, got None"),
        (lambda: infills.UniformNoise(NORMALIZATION, seed=1.5), TypeError, r"seed must be an integer .*got 1\.5"),
        (lambda: infills.NormalNoise(NORMALIZATION, seed="1"), TypeError, "seed must be an integer .*got '1'$"),
        (lambda: infills.PatchShuffle(4, seed=2**64), ValueError, "seed must be an integer of 64 bits, got 1844"),
        (lambda: infills.from_spec("shuffle", seed=None), TypeError, "seed must be"),
    ],
)
def test_what_could_not_work_is_refused_when_made(make, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_any_kind_of_number_will_do() -> None:
    assert infills.Blur(np.float32(2.5)) == infills.Blur(2.5)
    assert infills.Blur(np.int64(3)) == infills.Blur(3) == infills.Blur(3.0)
    assert infills.LocalMean(np.int64(5)) == infills.LocalMean(5)
    assert repr(infills.PatchShuffle(np.uint8(4), seed=np.int32(2))) == "PatchShuffle(patch=4, seed=2)"
    noise = infills.NormalNoise(NORMALIZATION, np.uint64(2**64 - 1), np.float16(0.5), np.float64(0.25))
    assert noise == infills.NormalNoise(NORMALIZATION, 2**64 - 1, 0.5, 0.25)


def test_filters_may_be_wider_than_any_image() -> None:
    x = images(1, 1, 5, 6, dtype=torch.float64)
    mean = x.mean().expand_as(x)
    torch.testing.assert_close(infills.LocalMean(10**30 + 1)(x), mean)
    torch.testing.assert_close(infills.Blur(1e308)(x), mean)


@pytest.mark.parametrize("spec", SPECS)
def test_torchs_defaults_do_not_count(spec: str) -> None:
    x = images(2, 3, 32, 33)
    function = infills.from_spec(spec, NORMALIZATION)
    expected = infills.apply(function, x)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        result = infills.apply(function, x)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.equal(result, expected)


def test_a_use_under_inference_mode_leaves_gradients_possible() -> None:
    given = images(1, 3, 11, 13).requires_grad_()
    with torch.inference_mode():
        infills.Blur(1.7)(given)
    (gradient,) = torch.autograd.grad(infills.Blur(1.7)(given).sum(), [given])
    assert gradient.isfinite().all()


def test_bad_settings() -> None:
    with pytest.raises(TypeError, match=r"sigma must be a finite number of pixels, at least 0\.1, got '5'"):
        infills.Blur("5")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match="std must be finite and at least 0, got -1"):
        infills.NormalNoise(NORMALIZATION, std=-1)
    with pytest.raises(ValueError, match="mean must be"):
        infills.NormalNoise(NORMALIZATION, mean=math.inf)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalization_inverts(dtype: torch.dtype) -> None:
    pixels = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    normalized = NORMALIZATION.normalize(pixels)
    assert normalized.dtype == dtype
    tolerance = {torch.bfloat16: 2e-2, torch.float16: 2e-3}.get(dtype, 1e-6)
    torch.testing.assert_close(NORMALIZATION.pixels(normalized), pixels, rtol=0, atol=tolerance)
    assert torch.equal(Normalization((0.0,), (1.0,)).normalize(pixels), pixels)


def test_bad_normalizations() -> None:
    with pytest.raises(ValueError, match="std must be positive"):
        Normalization((0.5,), (0.0,))
    with pytest.raises(ValueError, match="mean and std must have one value per channel"):
        Normalization((0.5, 0.5), (1.0,))
    with pytest.raises(ValueError, match="mean must hold at least one number"):
        Normalization((), ())
    with pytest.raises(TypeError, match="mean must be a tuple"):
        Normalization(0.5, 0.5)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match=r"C = 3.*\(1, 4, 2, 2\)"):
        NORMALIZATION.normalize(torch.zeros(1, 4, 2, 2))
    with pytest.raises(TypeError, match=r"pixels must be.*uint8.*\.float\(\)"):
        NORMALIZATION.normalize(torch.zeros(3, 2, 2, dtype=torch.uint8))
