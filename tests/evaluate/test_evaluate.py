"""Evaluation: every measure on cases with known answers, in any batch, and refused where an argument does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import nn

import sdfido
from sdfido import evaluate
from sdfido.evaluate import coherence
from sdfido.infills import apply, from_spec
from tests.support import DEVICES

IDENTITY = sdfido.Normalization((0.0,), (1.0,))


class Weighted(nn.Module):
    """Two classes; the first one's probability is the weighted mean of the pixels, with given weights [H, W]."""

    def __init__(self, weights, scale=1.0):
        super().__init__()
        self.register_buffer("weights", scale * weights / weights.sum())

    def forward(self, x):
        p = (x.mean(1).double() * self.weights.double()).sum((1, 2)).clamp(0, 1).float()
        return torch.stack([p.log(), (1 - p).log()], 1)


def _shuffled(height, width, seed=0):
    """0, ..., H*W - 1 at random places."""
    places = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    return places.view(1, height, width).float()


def _random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------------------- curves


@pytest.mark.parametrize("device", DEVICES)
def test_curves_of_a_linear_classifier(device):
    """Weights 1, 3, 5, ...: the k most important of P pixels have the weight 1 - (1 - k/P)^2."""
    order = _shuffled(8, 16).to(device)
    model, images, zeros = Weighted(2 * order[0] + 1), torch.ones(1, 3, 8, 16, device=device), torch.zeros(())
    arguments = {"infill": zeros, "num_fractions": 17}
    removed = evaluate.deletion(model, images, order, 0, **arguments)
    kept = evaluate.insertion(model, images, order, 0, **arguments)
    f = torch.linspace(0, 1, 17, device=device)
    assert torch.equal(removed.fractions, f)
    torch.testing.assert_close(removed.values[0], (1 - f) ** 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(kept.values[0], 1 - (1 - f) ** 2, rtol=0, atol=1e-6)
    trapezoids = 1 / 3 + 1 / (6 * 16**2)
    assert float(removed.area) == pytest.approx(trapezoids, abs=1e-6)
    assert float(kept.area) == pytest.approx(1 - trapezoids, abs=1e-6)
    assert (removed.measure, removed.direction) == ("deletion", "lower")
    assert (kept.measure, kept.direction) == ("insertion", "higher")
    assert removed.values.device.type == device
    # The opposite order is the worst: deletion then is what insertion was, backwards.
    worst = evaluate.deletion(model, images, -order, 0, **arguments)
    torch.testing.assert_close(worst.values, kept.values.flip(1), rtol=0, atol=1e-6)


def test_the_same_curve_for_every_map_where_all_pixels_count_alike():
    model, images = Weighted(torch.ones(6, 10)), torch.ones(2, 1, 6, 10)
    for maps in (_random(2, 6, 10), torch.zeros(2, 6, 10), torch.full((2, 6, 10), 1e30)):
        curve = evaluate.deletion(model, images, maps, 0, infill=torch.zeros(()), num_fractions=61)
        torch.testing.assert_close(curve.values, (1 - torch.arange(61) / 60).expand(2, -1), rtol=0, atol=1e-6)
        torch.testing.assert_close(curve.area, torch.full((2,), 0.5))


@pytest.mark.parametrize("device", DEVICES)
def test_sufficiency_and_necessity_of_a_planted_region(device):
    """A fifth of the image holds all of the evidence, and half of the probability is not to be had at all."""
    region = torch.zeros(1, 10, 10, device=device)
    region[:, 2:6, 3:8] = 1
    model, images = Weighted(region[0], scale=0.5), torch.ones(1, 3, 10, 10, device=device)
    areas = [0.1, 0.2, 0.3]
    kept = evaluate.sufficiency(model, images, region, 0, areas=areas, infill=torch.zeros(()))
    torch.testing.assert_close(kept.fractions, torch.tensor(areas, device=device))
    torch.testing.assert_close(kept.values, torch.tensor([[0.25, 0.5, 0.5]], device=device))
    torch.testing.assert_close(kept.relative, torch.tensor([[0.5, 1.0, 1.0]], device=device))
    torch.testing.assert_close(kept.prob_image, torch.tensor([0.5], device=device))
    assert float(kept.area) == pytest.approx((0.375 + 0.5) / 2)
    gone = evaluate.necessity(model, images, region, 0, areas=areas, infill=torch.zeros(()))
    torch.testing.assert_close(gone.values, torch.tensor([[0.25, 0.0, 0.0]], device=device))
    assert (kept.direction, gone.direction) == ("higher", "lower")
    single = evaluate.necessity(model, images, region, 0, areas=[0.1], infill=torch.zeros(()))
    assert torch.equal(single.area, single.values[:, 0])


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("device", DEVICES)
def test_composites_are_cut_exactly(backend, device):
    """Every pixel is either the image's or the infill's, and their number is the curve's."""
    seen = []

    def model(x):
        seen.append(x.clone())
        return x.mean((2, 3))

    images, maps = torch.ones(2, 3, 7, 9, device=device), _random(2, 7, 9).to(device)
    with sdfido.backend(backend):
        evaluate.insertion(model, images, maps, 0, infill=torch.zeros(()), num_fractions=8)
    composites = torch.cat(seen)[-16:].view(2, 8, 3, 7, 9)  # after the images themselves
    for i in range(8):
        expected = evaluate.top(maps, i / 7)[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(composites[:, i], expected.float())
        assert expected[:, 0].sum((1, 2)).tolist() == [9 * i, 9 * i]


class TinyNet(nn.Module):
    """A small random classifier with batch norm and dropout, image by image, so that no batch changes its rounding."""

    def __init__(self, classes=5):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(72, classes)
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        pooled = [nn.functional.adaptive_avg_pool2d(self.layers(image), 3).flatten(1) for image in x.split(1)]
        return torch.cat([4 * self.head(features) for features in pooled])


def _images(n=3, size=12, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


MEASURES = (evaluate.deletion, evaluate.insertion, evaluate.sufficiency, evaluate.necessity)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("infill", ["blur:2", "uniform"])
def test_an_image_alone_gets_the_curve_it_gets_in_a_batch(measure, infill):
    images, maps, model = _images(), (4 * _random(3, 12, 12)).round(), TinyNet()
    batch = measure(model, images, maps, infill=infill, normalization=IDENTITY)
    for i in range(3):
        alone = measure(model, images[i], maps[i : i + 1], infill=infill, normalization=IDENTITY, streams=[i])
        for name in ("values", "area", "relative", "prob_image", "targets"):
            assert torch.equal(getattr(alone, name)[0], getattr(batch, name)[i]), name


@pytest.mark.parametrize(("max_batch", "most"), [(1, 1), (5, 5), (20, 18), (1000, 27)])
def test_no_more_composites_at_once_than_allowed(max_batch, most):
    images, maps, model = _images(), _random(3, 12, 12), TinyNet()
    expected = evaluate.deletion(model, images, maps, [4, 0, 1], num_fractions=9)
    assert model.sizes[-3:] == [9, 9, 9]  # on CPUs, by default, no image shares a batch with another
    model.sizes.clear()
    curve = evaluate.deletion(model, images, maps, [4, 0, 1], num_fractions=9, max_batch=max_batch)
    assert torch.equal(curve.values, expected.values)
    assert max(model.sizes) == most
    assert sum(model.sizes) >= 3 + 27


INFILLS = ["blur", "mean", "local-mean:3", "zeros", "uniform", "normal", "shuffle:4", torch.zeros(3, 1, 1), torch.tanh]


@pytest.mark.parametrize("infill", INFILLS, ids=lambda infill: getattr(infill, "__name__", str(infill)))
def test_curves_run_from_image_to_infill(infill):
    images, maps, model = _images(), _random(3, 12, 12), TinyNet().eval()
    curve = evaluate.deletion(model, images, maps, 1, infill=infill, normalization=IDENTITY, num_fractions=2)
    with torch.no_grad():
        ends = [images, apply(from_spec(infill, IDENTITY), images)]
        expected = torch.stack([model(end).softmax(1)[:, 1] for end in ends], 1)
    torch.testing.assert_close(curve.values, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(curve.prob_image, expected[:, 0])


def test_targets_are_the_predictions_or_what_is_asked_for():
    images, maps, model = _images(), _random(3, 12, 12), TinyNet().eval()
    curve = evaluate.insertion(model, images, maps)
    assert torch.equal(curve.targets, model(images).argmax(1))
    assert evaluate.insertion(model, images, maps, [4, 0, 1]).targets.tolist() == [4, 0, 1]


def test_the_classifier_is_left_as_it_was_and_needs_no_gradient():
    model, images, maps = TinyNet().train(), _images(), _random(3, 12, 12)
    model.layers[3].eval()
    flags = [module.training for module in model.modules()]
    buffers = {name: value.clone() for name, value in model.state_dict().items()}
    images.requires_grad_()
    curve = evaluate.deletion(model, images, maps, num_fractions=3)
    assert not curve.values.requires_grad
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, buffers[name]) for name, value in model.state_dict().items())
    with torch.inference_mode():
        inside = evaluate.deletion(lambda x: model.eval()(x), images, maps, num_fractions=3)
    torch.testing.assert_close(inside.values, curve.values)


# ------------------------------------------------------------------------------------------------- order of pixels


@pytest.mark.parametrize("device", DEVICES)
def test_ranks_follow_importance(device):
    order = _shuffled(9, 11).to(device)
    assert torch.equal(evaluate.ranks(order)[0], 98 - order[0].long())
    assert torch.equal(evaluate.ranks(order.double() * 1e-9 - 7), evaluate.ranks(order))
    assert torch.equal(evaluate.ranks((order - 49).bfloat16()), evaluate.ranks(order))  # integers up to 256 are exact


@pytest.mark.parametrize("device", DEVICES)
def test_ties_are_broken_alike_everywhere_and_without_favour(device):
    places = evaluate.ranks(torch.zeros(2, 64, 64, device=device))
    assert torch.equal(places[0].flatten().sort().values, torch.arange(64 * 64, device=device))
    assert torch.equal(places[0], places[1])
    assert torch.equal(places.cpu(), evaluate.ranks(torch.full((2, 64, 64), 3.0)))
    # Known places of a permutation that must never change: measured curves depend on it.
    assert places[0, 0, :6].tolist() == [2241, 175, 3299, 899, 2182, 379]
    quarter = evaluate.top(torch.zeros(1, 64, 64, device=device), 0.25)[0]
    for part in (
        quarter[:32, :32],
        quarter[:32, 32:],
        quarter[32:, :32],
        quarter[32:, 32:],
        quarter[:8],
        quarter[:, :8],
    ):
        share, deviation = float(part.float().mean()), math.sqrt(0.25 * 0.75 / part.numel())
        assert abs(share - 0.25) < 4 * deviation
    # Among equals, neighbours are unrelated.
    correlation = np.corrcoef(places[0, :, 1:].flatten().cpu(), places[0, :, :-1].flatten().cpu())[0, 1]
    assert abs(correlation) < 0.06


def test_ties_do_not_cross_levels():
    maps = (3 * _random(4, 10, 10)).floor()
    maps[0, :5] = -0.0  # as important as 0
    places = evaluate.ranks(maps)
    for importance, place in zip(maps, places, strict=True):
        by_place = importance.flatten()[place.flatten().argsort()]
        assert (by_place.diff() <= 0).all()
    positive = maps.clone()
    positive[maps == 0] = 0.0
    assert torch.equal(evaluate.ranks(positive), places)


@pytest.mark.parametrize(
    ("area", "pixels"), [(0, 0), (0.124, 6), (0.125, 6), (0.13, 6), (0.135, 6), (0.5, 24), (1, 48)]
)
def test_top(area, pixels):
    maps = _random(3, 6, 8)
    chosen = evaluate.top(maps, area)
    assert chosen.sum((1, 2)).tolist() == [pixels] * 3
    if 0 < pixels < 48:
        assert all(m[c].min() > m[~c].max() for m, c in zip(maps, chosen, strict=True))


def test_top_rounds_halves_up():
    assert int(evaluate.top(torch.zeros(1, 1, 10), 0.25).sum()) == 3


# ----------------------------------------------------------------------------------------------------------- truth

BOX = (1, 2, 3, 6)  # 2 x 4 pixels


def _mask(box, height=6, width=8):
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, box[0] : box[2], box[1] : box[3]] = True
    return mask


@pytest.mark.parametrize("device", DEVICES)
def test_overlap_with_the_truth(device):
    """A map whose 8 highest pixels are a box of 8, moved by one column: 6 in common, 10 in all."""
    maps = _mask((1, 1, 3, 5)).float().to(device) + 0.1 * _random(1, 6, 8).to(device)
    for threshold in ("truth", 0.5, 0.5 + 1e-6):
        arguments = (maps, BOX)
        assert evaluate.intersection_over_union(*arguments, threshold=threshold).tolist() == pytest.approx([6 / 10])
        assert evaluate.outside(*arguments, threshold=threshold).tolist() == pytest.approx([2 / 8])
        assert evaluate.false_positive_rate(*arguments, threshold=threshold).tolist() == pytest.approx([2 / 40])
    assert evaluate.intersection_over_union(maps, (1, 1, 3, 5)).tolist() == [1]
    assert evaluate.intersection_over_union(maps, (3, 5, 6, 8)).tolist() == [0]
    assert evaluate.outside(maps, (3, 5, 6, 8)).tolist() == [1]
    # A number selects what is above it, not what equals it.
    assert evaluate.intersection_over_union(_mask(BOX).float().to(device), BOX, threshold=0.0).tolist() == [1]
    assert evaluate.intersection_over_union(_mask(BOX).float().to(device), BOX, threshold=1.0).tolist() == [0]


MEASURES_OF_TRUTH = (
    evaluate.intersection_over_union,
    evaluate.pointing_game,
    evaluate.outside,
    evaluate.false_positive_rate,
    evaluate.energy_outside,
)


@pytest.mark.parametrize("measure", MEASURES_OF_TRUTH)
def test_boxes_and_masks_say_the_same(measure):
    maps = _random(3, 6, 8)
    boxes = [BOX, (0, 0, 6, 1), (5, 7, 6, 8)]
    masks = torch.cat([_mask(box) for box in boxes])
    expected = measure(maps, masks)
    assert expected.shape == (3,)
    assert expected.dtype == torch.float32
    for form in (boxes, torch.tensor(boxes), torch.tensor(boxes, dtype=torch.int16), np.array(boxes)):
        assert torch.equal(measure(maps, form), expected)
    assert torch.equal(measure(maps, BOX), measure(maps, [BOX] * 3))
    for i in range(3):
        assert torch.equal(measure(maps[i : i + 1], masks[i : i + 1]), expected[i : i + 1])


def test_the_truth_s_area_is_fair_to_every_scale():
    maps, masks = _random(3, 6, 8), torch.cat([_mask(BOX), _mask((0, 0, 6, 1)), _mask((0, 0, 5, 8))])
    expected = evaluate.intersection_over_union(maps, masks)
    assert torch.equal(evaluate.intersection_over_union(1000 * maps - 5, masks), expected)
    assert torch.equal(evaluate.intersection_over_union(maps.double() ** 3, masks), expected)
    precision = 1 - evaluate.outside(maps, masks)
    torch.testing.assert_close(expected, precision / (2 - precision))


def test_nothing_selected_and_nothing_outside():
    maps = _random(1, 6, 8)
    assert evaluate.intersection_over_union(maps, BOX, threshold=2.0).tolist() == [0]
    assert evaluate.outside(maps, BOX, threshold=2.0).isnan().all()
    assert evaluate.false_positive_rate(maps, BOX, threshold=2.0).tolist() == [0]
    assert evaluate.false_positive_rate(maps, (0, 0, 6, 8)).isnan().all()
    assert evaluate.energy_outside(0 * maps, BOX).isnan().all()


def test_energy_outside():
    maps = torch.zeros(2, 6, 8)
    maps[0, 1, 2], maps[0, 0, 0] = 3, 1
    maps[1] = 1
    torch.testing.assert_close(evaluate.energy_outside(maps, BOX), torch.tensor([0.25, 40 / 48]))
    torch.testing.assert_close(evaluate.energy_outside(7 * maps, BOX), torch.tensor([0.25, 40 / 48]))


@pytest.mark.parametrize("device", DEVICES)
def test_pointing_game(device):
    maps = torch.zeros(4, 6, 8, device=device)
    maps[0, 1, 2] = maps[1, 0, 2] = maps[2, 3, 6] = 1  # in the box; above it; off its corner, by sqrt(2)
    assert evaluate.pointing_game(maps, BOX).tolist() == pytest.approx([1, 0, 0, 8 / 48])  # the last one is constant
    assert evaluate.pointing_game(maps, BOX, tolerance=1).tolist() == pytest.approx([1, 1, 0, 20 / 48])
    assert evaluate.pointing_game(maps, BOX, tolerance=2).tolist()[:3] == [1, 1, 1]
    assert evaluate.pointing_game(maps, BOX, tolerance=100).tolist() == [1, 1, 1, 1]
    maps[0, 5, 7] = 1  # a second maximum, outside
    assert evaluate.pointing_game(maps, BOX).tolist()[0] == 0.5


@pytest.mark.parametrize("tolerance", [0, 1, 2, 3, 5, 8, 15])
def test_tolerance_is_a_euclidean_distance(tolerance):
    truth = _random(1, 20, 30) > 0.99
    distance = scipy.ndimage.distance_transform_edt(~truth[0].numpy())
    points = torch.zeros(600, 20, 30)
    points.view(600, 600).fill_diagonal_(1)
    hits = evaluate.pointing_game(points, truth.expand(600, -1, -1), tolerance=tolerance)
    np.testing.assert_array_equal(hits.view(20, 30).numpy(), distance <= tolerance)


# ------------------------------------------------------------------------------------------------------- coherence


@pytest.mark.parametrize("device", DEVICES)
def test_total_variation(device):
    maps = torch.zeros(4, 5, 6, device=device)
    maps[1] = 0.7
    maps[2, 1:3, 2:5] = 1  # a border of 2 * (2 + 3)
    maps[3, ::2, ::2] = maps[3, 1::2, 1::2] = 1  # a chessboard: every edge between pixels
    expected = [0, 0, 10 / 30, (5 * 5 + 4 * 6) / 30]
    assert evaluate.total_variation(maps).tolist() == pytest.approx(expected)
    assert evaluate.total_variation(3 * maps).tolist() == pytest.approx([3 * value for value in expected])


def test_total_variation_is_the_penalty_s():
    logits = torch.randn(3, 2, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, smoothness = sdfido.ops.functional.penalties(logits)
    for k in range(2):
        variation = evaluate.total_variation(torch.sigmoid(logits[:, k]))
        torch.testing.assert_close(variation, smoothness[:, k].float())


SHAPES = """
........  ##....##  #.#.#.#.  ########  #.......
........  ##....##  .#.#.#.#  #......#  .#......
........  ...##...  #.#.#.#.  #.####.#  ..#.....
........  ...##...  .#.#.#.#  #.#..#.#  ....####
........  ##....##  #.#.#.#.  #.##.#.#  ....#..#
........  ##....##  .#.#.#.#  #....#.#  ....####
........  ........  #.#.#.#.  ######.#  ........
........  #.......  .#.#.#.#  .......#  ........
"""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 6, 1, 1, 2]),
        ({"connectivity": 8}, [0, 6, 1, 1, 2]),
        ({"connectivity": 4}, [0, 6, 32, 1, 4]),
        ({"connectivity": 4, "min_pixels": 2}, [0, 5, 0, 1, 1]),
        ({"min_pixels": 4}, [0, 5, 1, 1, 1]),
        ({"min_pixels": 5}, [0, 0, 1, 1, 1]),
        ({"min_pixels": 11}, [0, 0, 1, 1, 0]),
    ],
)
def test_components_of_drawn_shapes(device, options, expected):
    rows = [line.split() for line in SHAPES.strip().splitlines()]
    regions = torch.tensor([[[c == "#" for c in row[i]] for row in rows] for i in range(5)], device=device)
    counted = evaluate.components(regions, **options)
    assert counted.tolist() == expected
    assert counted.dtype == torch.int64
    for i in range(5):
        assert evaluate.components(regions[i : i + 1], **options).tolist() == expected[i : i + 1]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_components_of_random_regions(connectivity):
    structure = np.ones((3, 3)) if connectivity == 8 else None
    for size, count in (((31, 40), 19), ((1, 50), 9), ((50, 1), 9), ((224, 224), 4)):
        regions = _random(count, *size) > torch.linspace(0.05, 0.95, count)[:, None, None]
        labelled = [scipy.ndimage.label(region, structure) for region in regions.numpy()]
        assert evaluate.components(regions, connectivity=connectivity).tolist() == [number for _, number in labelled]
        large = [int((np.bincount(labels.ravel())[1:] >= 6).sum()) for labels, _ in labelled]
        assert evaluate.components(regions, connectivity=connectivity, min_pixels=6).tolist() == large


def _snake(size):
    """One component, as long and thin as fits: every second row, joined at alternating ends."""
    region = torch.zeros(1, size, size, dtype=torch.bool)
    region[:, ::2] = True
    region[:, 1::4, -1] = region[:, 3::4, 0] = True
    return region


def test_components_of_a_snake(monkeypatch):
    rounds = []
    highest_around = coherence._highest_around
    monkeypatch.setattr(coherence, "_highest_around", lambda *a: (rounds.append(1), highest_around(*a))[1])
    region = _snake(224)
    assert evaluate.components(region, connectivity=4).tolist() == [1]
    assert len(rounds) < 10  # not one for each of its 25,000 pixels, or 112 rows
    region[0, 100, 57] = False
    assert evaluate.components(region, connectivity=4).tolist() == [2]
    assert evaluate.components(region.transpose(1, 2), connectivity=8).tolist() == [2]


# ------------------------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("device", DEVICES)
def test_rank_correlation_is_spearman_s(device):
    a = _random(6, 12, 15)
    b = a + _random(6, 12, 15, seed=1) * torch.tensor([0.01, 0.5, 1, 2, 10, 1])[:, None, None]
    a[1:3], b[2:4] = (5 * a[1:3]).floor(), (3 * b[2:4]).round()  # ties in one, in both, in the other
    b[5] = -b[5]
    expected = [
        scipy.stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    found = evaluate.rank_correlation(a.to(device), b.to(device))
    np.testing.assert_allclose(found.cpu(), expected, rtol=0, atol=1e-6)
    for i in range(6):
        assert torch.equal(
            evaluate.rank_correlation(a[i : i + 1].to(device), b[i : i + 1].to(device)), found[i : i + 1]
        )


def test_rank_correlation_of_known_orders():
    maps = (9 * _random(2, 20, 20)).floor()
    assert evaluate.rank_correlation(maps, maps).tolist() == [1, 1]
    assert evaluate.rank_correlation(maps, maps**3 + 7).tolist() == [1, 1]
    assert evaluate.rank_correlation(maps, -maps).tolist() == [-1, -1]
    assert evaluate.rank_correlation(maps, torch.ones(2, 20, 20)).isnan().all()
    unrelated = evaluate.rank_correlation(_random(2, 60, 60), _random(2, 60, 60, seed=1))
    assert unrelated.abs().max() < 4 / 60


def test_stability_is_the_mean_over_pairs():
    maps = _random(3, 2, 10, 10) + _random(2, 10, 10, seed=1)
    pairs = [evaluate.rank_correlation(maps[r], maps[s]) for r, s in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(evaluate.stability(maps), torch.stack(pairs).mean(0))
    assert evaluate.stability(maps[:1].expand(4, -1, -1, -1)).tolist() == [1, 1]


# -------------------------------------------------------------------------------------------------- empty batches


@pytest.mark.parametrize("device", DEVICES)
def test_empty_batches(device):
    maps = torch.zeros(0, 12, 12, device=device)
    for measure in MEASURES:
        curve = measure(TinyNet().to(device), torch.zeros(0, 3, 12, 12, device=device), maps)
        assert curve.values.shape == curve.relative.shape == (0, len(curve.fractions))
        assert curve.area.shape == curve.prob_image.shape == curve.targets.shape == (0,)
    for measure in MEASURES_OF_TRUTH:
        for truth in (maps > 0, [], BOX, torch.zeros(0, 4, dtype=torch.int64)):
            assert measure(maps, truth).shape == (0,)
    assert evaluate.ranks(maps).shape == evaluate.top(maps, 0.5).shape == (0, 12, 12)
    assert evaluate.total_variation(maps).shape == evaluate.components(maps > 0).shape == (0,)
    assert evaluate.rank_correlation(maps, maps).shape == evaluate.stability(torch.stack([maps, maps])).shape == (0,)


# ------------------------------------------------------------------------------------------------ wrong arguments

NAN = torch.full((3, 12, 12), float("nan"))
WRONG_CURVES = [
    ({"model": 3}, TypeError, "model must be"),
    ({"model": lambda x: x}, ValueError, r"model must return logits \[B, classes\]"),
    ({"model": lambda x: (x.mean((2, 3)), x)}, TypeError, "model must return a tensor of logits"),
    ({"images": torch.zeros(3, 12)}, ValueError, "images must be"),
    ({"images": torch.zeros(3, 3, 12, 12, dtype=torch.uint8)}, TypeError, "images must be"),
    ({"importance": torch.zeros(3, 12, 11)}, ValueError, r"importance must be .*like the images, \[3, 12, 12\], got"),
    ({"importance": torch.zeros(2, 12, 12)}, ValueError, r"importance must be .*like the images, \[3, 12, 12\], got"),
    ({"importance": torch.zeros(12, 12)}, ValueError, r"importance must be \[N, H, W\], got \[12, 12\]"),
    ({"importance": torch.zeros(3, 12, 12) > 0}, TypeError, "importance must be a floating-point tensor"),
    ({"importance": "ssr"}, TypeError, "importance must be a floating-point tensor.*got str"),
    ({"importance": NAN}, ValueError, "importance must be finite"),
    ({"targets": 5}, ValueError, r"targets must be class indices in 0\.\.4, got 5"),
    ({"targets": [0, 1]}, ValueError, "targets must be one class index, or one for each of 3 images"),
    ({"infill": "blurr"}, ValueError, "infill must be one of"),
    ({"infill": torch.zeros(5, 1, 1)}, ValueError, "infill must be broadcastable"),
    ({"infill": "zeros"}, ValueError, "needs normalization"),
    ({"streams": [0, 1]}, ValueError, "streams must be one integer for each of 3 images"),
    ({"max_batch": 0}, ValueError, "max_batch must be"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG_CURVES, ids=[str(list(c)) for c, *_ in WRONG_CURVES])
@pytest.mark.parametrize("measure", MEASURES)
def test_wrong_arguments_of_curves(measure, change, error, message):
    arguments = {"model": TinyNet(), "images": _images(), "importance": torch.zeros(3, 12, 12)} | change
    with pytest.raises(error, match=message):
        measure(**arguments)


@pytest.mark.parametrize(
    ("measure", "change", "error", "message"),
    [
        (evaluate.deletion, {"num_fractions": 1}, ValueError, "num_fractions must be .*, got 1"),
        (evaluate.insertion, {"num_fractions": 2.5}, TypeError, "num_fractions must be an integer"),
        (evaluate.sufficiency, {"areas": 0.3}, TypeError, "areas must be a sequence of parts of the image"),
        (evaluate.sufficiency, {"areas": "30%"}, TypeError, "areas must be a sequence of parts of the image"),
        (evaluate.sufficiency, {"areas": []}, ValueError, "areas must be at least one part"),
        (evaluate.necessity, {"areas": [0.1, 30]}, ValueError, r"areas must be a part of the image, 0\.\.1, got 30"),
        (evaluate.necessity, {"areas": [0.1, True]}, TypeError, "areas must be a part of the image"),
        (evaluate.necessity, {"areas": [float("nan")]}, ValueError, "areas must be a part of the image"),
        (evaluate.necessity, {"areas": [0.3, 0.2]}, ValueError, "areas must be at least one part .* increasing"),
        (evaluate.necessity, {"areas": [0.3, 0.301]}, ValueError, "must differ by at least a pixel of 12x12"),
    ],
)
def test_wrong_fractions(measure, change, error, message):
    with pytest.raises(error, match=message):
        measure(TinyNet(), _images(), torch.zeros(3, 12, 12), **change)


def test_a_model_that_gives_no_finite_answer_is_refused():
    def model(x):
        return x.mean((2, 3)) / (x - 1).abs().amax((1, 2, 3))[:, None]  # 0/0 for the infill of ones

    with pytest.raises(RuntimeError, match="model must give finite logits"):
        evaluate.deletion(model, _images(), torch.zeros(3, 12, 12), 0, infill=torch.ones(()))


MAPS = torch.zeros(2, 6, 8)
WRONG_TRUTHS = [
    (torch.zeros(2, 6, 8), TypeError, "truth must be a bool mask .*got torch.float32"),
    (torch.ones(2, 6, 7, dtype=torch.bool), ValueError, r"truth must be a mask like the maps, \[2, 6, 8\], got"),
    (torch.tensor([[[True]], [[False]]]).expand(2, 6, 8), ValueError, "truth must hold a pixel of each image.*image 1"),
    ((0, 0, 2), ValueError, "truth must be a bool mask .*got shape"),
    ([BOX] * 3, ValueError, r"truth must be .*here 2; got shape \[3, 4\]"),
    ("box", TypeError, "truth must be a bool mask"),
    ([(0, 0, 1, 1), (0, 0)], TypeError, "truth must be a bool mask"),
    ((0.0, 0.0, 2.0, 2.0), TypeError, "truth must be .*got torch.float32"),
    ((0, 0, 7, 2), ValueError, r"0 <= y0 < y1 <= 6 .*got \(y0, x0, y1, x1\) = \(0, 0, 7, 2\)"),
    ((0, 0, 2, 9), ValueError, "x1 <= 8"),
    ((-1, 0, 2, 2), ValueError, "0 <= y0"),
    ((0, -1, 2, 2), ValueError, "0 <= x0"),
    ([BOX, (3, 3, 3, 5)], ValueError, r"got \(y0, x0, y1, x1\) = \(3, 3, 3, 5\)"),
    ((3, 5, 4, 5), ValueError, "x0 < x1"),
]


@pytest.mark.parametrize(("truth", "error", "message"), WRONG_TRUTHS, ids=[m for *_, m in WRONG_TRUTHS])
@pytest.mark.parametrize("measure", MEASURES_OF_TRUTH)
def test_wrong_truths(measure, truth, error, message):
    with pytest.raises(error, match=message):
        measure(MAPS, truth)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: evaluate.intersection_over_union(MAPS, BOX, threshold="area"),
            TypeError,
            "threshold must be a number",
        ),
        (
            lambda: evaluate.outside(MAPS, BOX, threshold=True),
            TypeError,
            'threshold must be a number or "truth", got T',
        ),
        (lambda: evaluate.false_positive_rate(MAPS, BOX, threshold=math.nan), ValueError, "threshold must be a finite"),
        (lambda: evaluate.intersection_over_union(NAN, BOX), ValueError, "importance must be finite"),
        (lambda: evaluate.pointing_game(MAPS, BOX, tolerance=-1), ValueError, "tolerance must be"),
        (lambda: evaluate.pointing_game(MAPS, BOX, tolerance=1.5), TypeError, "tolerance must be an integer"),
        (lambda: evaluate.energy_outside(MAPS - 1, BOX), ValueError, "importance must not be negative, got -1"),
        (lambda: evaluate.ranks(MAPS.long()), TypeError, "importance must be a floating-point tensor.*int64"),
        (lambda: evaluate.ranks(torch.zeros(2, 0, 8)), ValueError, r"importance must be \[N, H, W\], got \[2, 0, 8\]"),
        (lambda: evaluate.top(MAPS, 1.01), ValueError, r"area must be a part of the image, 0\.\.1, got 1.01"),
        (lambda: evaluate.top(MAPS, "half"), TypeError, "area must be a part of the image"),
        (lambda: evaluate.total_variation(MAPS[0]), ValueError, r"maps must be \[N, H, W\]"),
        (lambda: evaluate.total_variation(MAPS / 0), ValueError, "maps must be finite"),
        (lambda: evaluate.components(MAPS), TypeError, "regions must be a bool tensor .*threshold the maps first"),
        (lambda: evaluate.components(MAPS[0] > 0), ValueError, r"regions must be \[N, H, W\], got \[6, 8\]"),
        (lambda: evaluate.components(MAPS > 0, connectivity=6), ValueError, "connectivity must be 4 or 8, got 6"),
        (lambda: evaluate.components(MAPS > 0, min_pixels=0), ValueError, "min_pixels must be"),
        (lambda: evaluate.rank_correlation(MAPS, MAPS[:1]), ValueError, "a and b must have equal shapes"),
        (lambda: evaluate.rank_correlation(MAPS, MAPS / 0), ValueError, "b must be finite"),
        (lambda: evaluate.rank_correlation([MAPS], MAPS), TypeError, "a must be a floating-point tensor.*list"),
        (lambda: evaluate.stability(MAPS), ValueError, r"maps must be \[R, N, H, W\] with R at least 2"),
        (lambda: evaluate.stability(MAPS[None]), ValueError, r"R at least 2, got \[1, 2, 6, 8\]"),
        (lambda: evaluate.stability([MAPS, [MAPS]]), TypeError, "maps must be a floating-point tensor.*list"),
        (lambda: evaluate.stability(torch.stack([MAPS, MAPS]) > 0), TypeError, "maps must be a floating-point tensor"),
    ],
)
def test_wrong_arguments_of_maps(call, error, message):
    with pytest.raises(error, match=message):
        call()
