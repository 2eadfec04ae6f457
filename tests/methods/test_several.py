"""Sufficient regions: as many as there is evidence for, apart from each other, and the same in every batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import sdfido
from sdfido import methods
from sdfido.methods.several import RegionsSettings
from tests.methods.test_fido import OneByOne, TinyNet

REGIONS = ("region_1", "region_2", "region_3")
QUICK = {"steps": 4, "mask_size": 6}
BOXES = ((8, 8, 32, 32), (64, 60, 92, 88))
THIRD = (8, 64, 36, 92)


class Boxes(nn.Module):
    """Two classes; the first one's logit is the best match of any of a few regions with its own texture.

    A match is 1 for the image itself and about 0 where its region is infilled.
    """

    def __init__(self, image, boxes):
        super().__init__()
        self.masks = torch.zeros(len(boxes), *image.shape[-2:])
        for mask, (top, left, bottom, right) in zip(self.masks, boxes, strict=True):
            mask[top:bottom, left:right] = 1
        texture = (image - image.mean((-2, -1), keepdim=True)) * self.masks[:, None]
        self.register_buffer("templates", texture / texture.square().sum((1, 2, 3), keepdim=True))

    def forward(self, x):
        match = (x[:, None] * self.templates).sum((2, 3, 4)).amax(1)
        return torch.stack([10.0 * (match - 0.5), torch.zeros_like(match)], 1)


class Contrast:
    """A score in whatever dtype the images have."""

    def __call__(self, images, targets):
        return 9 * images.square().mean((1, 2, 3))

    def resolve(self, images, targets=None):
        return torch.zeros(len(images))

    def confidence(self, images, targets):
        return self(images, targets)


def images(count=3, size=24, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def explained(boxes, seed=0, **settings):
    image = images(1, 112, seed)
    model = Boxes(image, boxes)
    return sdfido.SufficientRegions(model, seed=seed, **settings).explain(image, 0), model.masks.bool()


def overlaps(explanation, truth):
    """Intersection over union of the mask of each region with each box: [found, boxes]."""
    found = explanation.masks[0, : int(explanation.count)][:, None] > 0.5
    return (found & truth).sum((2, 3)) / (found | truth).sum((2, 3))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("boxes", [BOXES, (*BOXES, THIRD)], ids=["two", "three"])
def test_every_box_that_suffices_has_a_region_of_its_own(boxes, seed):
    explanation, truth = explained(boxes, seed)
    assert explanation.count.tolist() == [len(boxes)]
    values, places = overlaps(explanation, truth).max(1)
    assert sorted(places.tolist()) == list(range(len(boxes)))
    assert values.min() >= 0.7, f"IoU {values.tolist()}"
    for name in REGIONS[: len(boxes)]:
        assert explanation.scores[f"prob_{name}_binary"] >= 0.9 * explanation.prob_image


@pytest.mark.parametrize("seed", [0, 1])
def test_one_box_is_one_region(seed):
    explanation, truth = explained(BOXES[:1], seed)
    assert explanation.count.tolist() == [1]
    assert sdfido.SufficientRegions.found(explanation) == [("region_1",)]
    assert overlaps(explanation, truth).min() >= 0.7
    for name in REGIONS[1:]:
        assert not explanation[name].any()
        assert explanation.area(name).tolist() == [0.0]
        assert explanation.scores[f"prob_{name}_binary"] < 0.1
    assert explanation.notes == [["Region 2, Region 3: not found; no further small region suffices."]]


def test_regions_share_nothing_and_grow():
    explanation, _ = explained((*BOXES, THIRD))
    assert (explanation.kept_cells.sum(1) <= 1).all()
    areas = [float(explanation.area(name)) for name in REGIONS]
    assert areas == sorted(areas)
    assert areas[0] > 0
    cells = torch.stack([explanation[name] for name in REGIONS], 1)[..., 2::4, 2::4] > 0.5  # in the middle of cells
    assert (cells.sum(1) <= 1).all()


def test_what_suffices_only_with_much_of_the_image_is_no_region():
    explanation, _ = explained(BOXES, largest=0.01)
    assert explanation.count.tolist() == [0]
    assert sdfido.SufficientRegions.found(explanation) == [()]
    assert not explanation.masks.any()
    assert explanation.notes == [["Region 1, Region 2, Region 3: not found; no small region suffices."]]


def test_where_the_infill_suffices_no_region_is_needed():
    explanation = sdfido.SufficientRegions(TinyNet(), infill=images(1), **QUICK).explain(images(1))
    assert explanation.count.tolist() == [0]
    assert not any("not found" in note for note in explanation.notes[0])


@pytest.mark.parametrize("path_points", [0, 3])
def test_the_gradient_is_that_of_the_objective(path_points):
    """By finite differences in float64, with different prices, while masks still avoid each other."""
    settings = {"temperature": 1.0, "warmup": 0.0, "path_points": path_points}
    explainer = sdfido.SufficientRegions(Contrast(), steps=3, mask_size=4, **settings)
    prices = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    with explainer.scene(images(1), None, None) as scene:
        wide = {name: getattr(scene, name).double() for name in ("images", "infill")}
        scene = replace(scene, **wide)
        object.__setattr__(scene.execution, "dtype", torch.float64)
        parameters = torch.randn(1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        gradient, loss, _ = explainer._gradient(parameters, scene, 0, prices)
        for place in ((0, 0, 0, 0), (0, 1, 2, 1), (0, 2, 3, 3)):
            moved = parameters.clone()
            moved[place] += 1e-6
            change = (explainer._gradient(moved, scene, 0, prices)[1] - loss) / 1e-6
            assert float(change) == pytest.approx(float(gradient[place]), rel=1e-4)


@pytest.mark.parametrize("boxes", [BOXES[:1], BOXES, (*BOXES, THIRD)], ids=["one", "two", "three"])
def test_by_integrated_gradients_every_box_has_a_region_too(boxes):
    explanation, truth = explained(boxes, 3, path_points=4)
    assert explanation.count.tolist() == [len(boxes)]
    kept = explanation.binary_masks[0, : len(boxes)] > 0.5
    inside = (kept[:, None] & truth).sum((2, 3)) / kept.sum((1, 2))[:, None]  # of each region in each box
    values, places = inside.max(1)
    assert sorted(places.tolist()) == list(range(len(boxes)))
    assert values.min() >= 0.7, f"precision {values.tolist()}"
    for name in REGIONS[: len(boxes)]:
        assert explanation.scores[f"prob_{name}_binary"] >= 0.9 * explanation.prob_image


def test_a_path_ends_at_the_mask():
    explainer = sdfido.SufficientRegions(TinyNet(), path_points=4, mask_size=4)
    assert explainer.composites_per_image() == 12
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with explainer.scene(images(2), None, None) as scene:
        found = explainer.path(logits, scene)
        end = scene.blend(torch.sigmoid(logits)[:, :, None])[:, :, 0]
        infill = scene.infill[:, None].expand_as(end)
    assert found.composites.shape == (2, 3, 4, 3, 24, 24)
    torch.testing.assert_close(found.composites[:, :, 3], end)
    torch.testing.assert_close(found.composites[:, :, 0], infill.lerp(end, 0.25), atol=1e-5, rtol=1e-5)
    prices = torch.ones(2, 3)
    assert explainer.prices(prices, torch.full((2, 3), 99.0), scene, 40) is prices
    torch.testing.assert_close(found.sparsity, torch.sigmoid(logits).mean((2, 3)))


def test_what_masks_share():
    rates = torch.tensor([[0.2, 0.4], [0.5, 0.1], [0.0, 1.0]]).clamp(1e-6, 1 - 1e-6)
    logits = torch.logit(rates).view(1, 3, 1, 2)
    alone = [0.2 * 0.5 + 0.4 * 1.1, 0.5 * 0.2 + 0.1 * 1.4, 0.0 * 0.7 + 1.0 * 0.5]
    shared = sdfido.SufficientRegions(TinyNet(), reach=0.0).shared(logits)
    torch.testing.assert_close(shared, torch.tensor([alone]) / 4, rtol=1e-4, atol=1e-5)
    # With a reach beside which the image is small, others are where they are on average.
    mean = [0.3 * 0.8, 0.3 * 0.8, 0.5 * 0.6]
    shared = sdfido.SufficientRegions(TinyNet(), reach=1000.0).shared(logits)
    torch.testing.assert_close(shared, torch.tensor([mean]) / 2, rtol=1e-4, atol=1e-5)


def test_masks_begin_apart():
    explainer = sdfido.SufficientRegions(TinyNet(), count=4, parting=2.0, mask_size=(3, 5))
    with explainer.scene(images(2), None, None) as scene:
        logits = explainer.start(scene)
    assert logits.shape == (2, 4, 3, 5)
    torch.testing.assert_close(logits.sum(1), torch.zeros(2, 3, 5), rtol=0, atol=1e-6)
    right, below, left, above = logits[0]
    assert right[:, -1].min() > 1 > -1 > right[:, 0].max()
    assert below[-1].min() > 1 > -1 > below[0].max()
    torch.testing.assert_close(left, -right)
    torch.testing.assert_close(above, -below, rtol=0, atol=1e-6)
    alone = sdfido.SufficientRegions(TinyNet(), count=1, mask_size=4)
    with alone.scene(images(1), None, None) as scene:
        assert not alone.start(scene).any()


@pytest.mark.parametrize(("kind", "max_batch"), [(TinyNet, None), (OneByOne, 2), (OneByOne, 9), (OneByOne, 100)])
@pytest.mark.parametrize(("cells", "path_points"), [(6, 0), (24, 0), (6, 2)])
def test_bits_do_not_depend_on_the_batch(kind, max_batch, cells, path_points):
    settings = {"steps": 12, "mask_size": cells, "largest": 0.6, "path_points": path_points}
    given = images() * torch.tensor([0.3, 1.0, 2.0]).view(3, 1, 1, 1)
    batch = sdfido.SufficientRegions(kind(), max_batch=max_batch, **settings).explain(given)
    assert batch.count.max() > 0
    for i in range(3):
        alone = sdfido.SufficientRegions(kind(), **settings).explain(given[i], streams=[i])
        assert alone.numbers.keys() == batch.numbers.keys()
        for name in (*REGIONS, "trace", "masks", "kept_cells", *batch.scores):
            one, all_ = getattr(alone, name), getattr(batch, name)
            torch.testing.assert_close(one[0], all_[i], rtol=0, atol=0, equal_nan=True, msg=f"{name} of {i}")


def test_the_legend_follows_the_count(tmp_path):
    assert methods.load("regions") is sdfido.SufficientRegions
    given = images(2)
    two = sdfido.SufficientRegions(TinyNet(), count=2, **QUICK)
    assert list(two.legend) == ["region_1", "region_2"]
    explanation = two.explain(given)
    assert explanation.regions == ("region_1", "region_2")
    assert explanation.masks.shape == (2, 2, 24, 24)
    assert len(sdfido.SufficientRegions(TinyNet()).legend) == 3
    explanation.save(tmp_path / "regions.npz")
    loaded = sdfido.Explanation.load(tmp_path / "regions.npz")
    assert loaded.legend == explanation.legend
    assert sdfido.SufficientRegions.found(loaded) == sdfido.SufficientRegions.found(explanation)
    empty = two.explain(given[:0])
    assert empty.region_2.shape == (0, 24, 24)
    assert sdfido.SufficientRegions.found(empty) == []


def test_prices_follow_what_each_mask_keeps():
    explainer = sdfido.SufficientRegions(Boxes(images(1), [(0, 0, 8, 8)]), steps=10)
    with explainer.scene(images(1), 0, None) as scene:
        needed = float(torch.logit(0.9 * scene.confidence))
        scores = torch.tensor([[needed + 1, needed, needed - 1]])
        assert explainer.prices(torch.ones(1, 1), scores, scene, 0).tolist() == [[1.0]]
        above, at, below = explainer.prices(torch.ones(1, 1), scores, scene, 5)[0].tolist()
    assert above == pytest.approx(torch.exp(0.3 * torch.tanh(torch.tensor(0.5))).item(), rel=1e-4)
    assert at == pytest.approx(1.0, rel=1e-5)
    assert below == pytest.approx(1 / above, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must be .*, got 0"),
        ({"count": 2.0}, TypeError, "count must be an integer, got 2.0"),
        ({"overlap_weight": -1.0}, ValueError, "overlap_weight must be .*, got -1.0"),
        ({"reach": -1}, ValueError, "reach must be .*, got -1"),
        ({"parting": "far"}, TypeError, "parting must be a number, got 'far'"),
        ({"largest": 1.5}, ValueError, "largest must be .*, got 1.5"),
        ({"repeats": 2}, TypeError, "settings of SufficientRegions are .*; got repeats"),
    ],
)
def test_wrong_settings(change, error, message):
    with pytest.raises(error, match=message):
        sdfido.SufficientRegions(TinyNet(), **change)


def test_wrong_calls_fail_before_the_first_step():
    steps = []
    explainer = sdfido.SufficientRegions(TinyNet(), **QUICK)
    for arguments, message in (
        ((images(), 5), r"targets must be class indices in 0\.\.4"),
        ((images()[0, 0],), "\\[N,"),
    ):
        with pytest.raises(ValueError, match=message):
            explainer.explain(*arguments, on_step=steps.append)
    assert steps == []


def test_settings_are_those_of_fido_but_for_its_two_regions():
    fido, ours = set(vars(sdfido.Settings())), set(vars(RegionsSettings()))
    assert fido - ours == {"repeats", "region_weight"}
    assert ours - fido == {"count", "overlap_weight", "reach", "parting", "largest", "path_points"}
