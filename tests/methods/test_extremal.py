"""Extremal perturbations: the planted region, the area that is asked for, the formulas, gradients, bits and errors."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch.nn import functional as F

import sdfido
from sdfido.methods import extremal
from sdfido.scores import log_odds
from tests.methods.test_fido import OneByOne, PlantedEvidence, TinyNet, _images, _iou, _texture
from tests.methods.test_learner import Watch
from tests.support import DEVICES
from tests.test_docs import first_column

QUICK = {"steps": 4, "mask_size": 6, "areas": (0.1, 0.3)}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("box", "settings"),
    [
        ((40, 40, 72, 72), {}),  # centre
        ((0, 0, 36, 48), {}),  # corner
        ((60, 10, 84, 100), {}),  # wide
        ((10, 10, 80, 90), {"variant": "delete"}),  # large
        ((8, 70, 108, 94), {"variant": "dual"}),  # tall
        ((40, 40, 72, 72), {"smoothing": "max", "steps": 60}),
    ],
)
def test_planted_evidence_is_found_at_its_area(device, box, settings):
    image = _texture(112).to(device)
    model = PlantedEvidence(image, box)
    truth = model.mask.bool()
    area = float(truth.float().mean())
    explanation = sdfido.ExtremalPerturbation(model, areas=(area / 2, area), **settings).explain(image, 0)
    half, whole = explanation.regions
    assert _iou(explanation[whole][0], truth) >= 0.7
    found = explanation[half][0] > 0.5
    assert (found & truth).sum() >= 0.9 * found.sum()  # half of it lies in it
    says, image = explanation.scores[f"prob_{whole}_binary"], explanation.prob_image
    assert says <= 0.1 * image if settings.get("variant") == "delete" else says >= 0.9 * image


@pytest.mark.parametrize("smoothing", ["bilinear", "max"])
def test_masks_take_their_areas(smoothing):
    areas = (0.05, 0.2, 0.6)
    explainer = sdfido.ExtremalPerturbation(TinyNet(), areas=areas, smoothing=smoothing)
    explanation = explainer.explain(_images(1, 64))
    found = explanation.masks.mean((2, 3))[0]
    torch.testing.assert_close(found, torch.tensor(areas), rtol=0, atol=0.015)


def test_area_penalty():
    masks = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    areas = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)  # of 20 cells
    wanted = torch.stack([torch.arange(20) >= 20 * (1 - a) for a in (0.1, 0.5, 0.9)]).double()
    expected = ((masks.flatten(2).sort(2).values - wanted) ** 2).mean(2)
    torch.testing.assert_close(extremal.area_penalty(masks, areas), expected)
    torch.testing.assert_close(extremal.area_penalty(wanted.view(1, 3, 4, 5), areas), torch.zeros(1, 3).double())


def test_area_penalty_of_equal_values():
    """With all values c it is ``a (1 - c)**2 + (1 - a) c**2``, and the gradient is the same everywhere."""
    masks = torch.full((1, 1, 3, 3), 0.3, dtype=torch.float64, requires_grad=True)
    penalty = extremal.area_penalty(masks, torch.tensor([0.25], dtype=torch.float64))
    penalty.sum().backward()
    torch.testing.assert_close(penalty.item(), 0.25 * 0.7**2 + 0.75 * 0.3**2)
    torch.testing.assert_close(masks.grad, torch.full_like(masks, 2 * (0.3 - 0.25) / 9))


@pytest.mark.parametrize("points", [1, 2])
def test_smooth_max(points):
    cells = torch.rand(2, 7, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = extremal.smooth_max(cells, points)
    assert found.shape == (2, 7 * points, 13 * points)
    for y, x in itertools.product(range(7 * points), range(13 * points)):
        at = ((y + 0.5) / points - 0.5, (x + 0.5) / points - 0.5)  # in cells, whose centres are whole numbers
        top = bottom = torch.zeros(2, dtype=torch.float64)
        for i, j in itertools.product(range(7), range(13)):
            if abs(i - y // points) <= 5 and abs(j - x // points) <= 5:
                value = cells[:, i, j] * math.exp(-2 * max(0.0, math.dist(at, (i, j)) / 3 - 0.5) ** 2)
                top, bottom = top + value * torch.exp(20 * value), bottom + torch.exp(20 * value)
        torch.testing.assert_close(found[:, y, x], top / bottom)


def test_smooth_max_of_one_cell_is_a_disc():
    cells = torch.zeros(1, 15, 15)
    cells[0, 7, 7] = 1
    mask = extremal.smooth_max(cells, 7)[0]
    away = (torch.arange(105) - 52) / 7
    distance = (away[:, None] ** 2 + away**2).sqrt()
    assert mask[distance < 1.5].min() > 0.99
    assert mask[distance > 4.5].max() < 0.05


def test_gradient_of_smooth_max():
    cells = torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda cells: extremal.smooth_max(cells, 2), cells)


@pytest.mark.parametrize("smoothing", ["bilinear", "max"])
@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
def test_gradient_is_that_of_the_objective(variant, smoothing):
    """Against finite differences of the loss written down in float64."""
    areas = (0.25, 0.5)  # whole numbers of cells
    images, model = _images(2, 12).double(), TinyNet().eval().double()
    explainer = sdfido.ExtremalPerturbation(
        lambda x: model(x.double()),
        variant=variant,
        smoothing=smoothing,
        infill=torch.zeros(()),
        **(QUICK | {"areas": areas}),
    )
    cells = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step, targets = 2, torch.tensor([1, 2])

    def loss(cells):
        masks = extremal.smooth_max(cells, 2) if smoothing == "max" else cells
        upsampled = F.interpolate(masks, (12, 12), mode="bilinear")
        count = masks[0, 0].numel()
        wanted = torch.stack([torch.arange(count) >= round(count * (1 - a)) for a in areas])
        weight = 10 * 3000 ** (step / 3)
        total = weight * ((masks.flatten(2).sort(2).values - wanted.double()) ** 2).mean(2).sum()
        for k in range(2):
            mask = upsampled[:, k : k + 1]
            if variant != "delete":
                total = total - log_odds(model(mask * images), targets).sum()
            if variant != "preserve":
                total = total + log_odds(model((1 - mask) * images), targets).sum()
        return total

    with explainer.scene(images, [1, 2], None) as scene:
        found = explainer._gradient(cells.float(), scene, step, torch.ones(2, 1))[0].double()
    with torch.no_grad():
        for n, k, y, x in [(0, 0, 0, 0), (0, 1, 2, 3), (1, 0, 5, 5), (1, 1, 4, 1)]:
            change = torch.zeros_like(cells)
            change[n, k, y, x] = 1e-6
            expected = (loss(cells + change) - loss(cells - change)) / 2e-6
            torch.testing.assert_close(found[n, k, y, x], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("max_batch", [None, 1, 100])
@pytest.mark.parametrize("settings", [{}, {"smoothing": "max", "variant": "dual"}], ids=str)
def test_bits_do_not_depend_on_the_batch(device, max_batch, settings):
    images, model = _images(3, 25).to(device), OneByOne().to(device)
    explainer = sdfido.ExtremalPerturbation(model, max_batch=max_batch, **(QUICK | {"steps": 12} | settings))
    batch = explainer.explain(images)
    for i in range(3):
        alone = explainer.explain(images[i], streams=[i])
        for group in ("maps", "parts", "scores"):
            for name, value in getattr(alone, group).items():
                assert torch.equal(value[0], getattr(batch, group)[name][i]), name
        assert torch.equal(alone.trace[0].nan_to_num(), batch.trace[i].nan_to_num())


def test_maps_and_regions_bear_the_names_of_their_areas(tmp_path):
    explanation = sdfido.ExtremalPerturbation(TinyNet(), steps=2, mask_size=6, areas=[0.025, 0.1]).explain(_images(2))
    assert list(explanation.maps) == ["area_2.5", "area_10", "sum"]
    assert explanation.regions == ("area_2.5", "area_10")
    assert [info.heading for info in explanation.legend.values()] == ["Area 2.5%", "Area 10%", "Sum"]
    torch.testing.assert_close(explanation["sum"], (explanation["area_2.5"] + explanation.area_10) / 2)
    explanation.save(tmp_path / "e.npz")
    again = sdfido.Explanation.load(tmp_path / "e.npz")
    assert again.legend == explanation.legend
    assert torch.equal(again["sum"], explanation["sum"])


def test_the_mask_of_a_region_to_delete_is_infilled():
    explainer = sdfido.ExtremalPerturbation(TinyNet(), variant="delete", **(QUICK | {"steps": 40}))
    explanation = explainer.explain(_images(2))
    assert {info.role for info in explanation.legend.values()} == {"remove", "both"}
    torch.testing.assert_close(explanation.removed_area_30, torch.full((2,), 0.3), rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [None, 7, (3, 5), 28])
def test_mask_sizes(size):
    settings = QUICK | {"mask_size": size, "smoothing": "max", "steps": 1}
    explanation = sdfido.ExtremalPerturbation(TinyNet(), **settings).explain(_images(1, 20))
    cells = {None: (20, 20), 7: (14, 14), (3, 5): (6, 10), 28: (20, 20)}[size]
    assert explanation.mask_size == cells


def test_contrast_with_the_best_other_class():
    logits = torch.tensor([[2.0, 5.0, 1.0], [0.0, -1.0, -3.0]])
    assert sdfido.scores.margin(logits, torch.tensor([0, 0])).tolist() == [-3.0, 1.0]
    score = sdfido.ClassScore(TinyNet(), link=sdfido.scores.margin)
    assert sdfido.ExtremalPerturbation(score, **QUICK).explain(_images(1)).settings["score"] == "margin"


def test_empty_batch():
    explanation = sdfido.ExtremalPerturbation(TinyNet(), **QUICK).explain(torch.zeros(0, 3, 24, 24))
    assert explanation["sum"].shape == (0, 24, 24)


@pytest.mark.parametrize("smoothing", ["bilinear", "max"])
def test_a_step_waits_for_nothing(smoothing):
    explainer = sdfido.ExtremalPerturbation(lambda x: x.mean((2, 3)), smoothing=smoothing, **QUICK)
    with explainer.scene(_images(2), [0, 1], None) as scene:
        updater = explainer.updater(explainer.start(scene))
        for step in range(2):
            with Watch() as watch:
                updater.step(explainer._gradient(updater.parameters, scene, step, torch.ones(2, 1))[0], step)
            if step:  # the first one makes what all share
                assert watch.found == []


WRONG_SETTINGS = [
    ({"areas": 0.1}, TypeError, r"areas must be a tuple of one number or more, such as \(0.05, 0.1\), got 0.1"),
    ({"areas": ()}, TypeError, r"areas must be .*, got \(\)"),
    ({"areas": (0.1, 1.0)}, ValueError, "areas must be .*, got 1.0"),
    ({"areas": (0.0,)}, ValueError, "areas must be .*, got 0.0"),
    ({"areas": ("5%",)}, TypeError, "areas must be a number, got '5%'"),
    ({"areas": (0.1, 0.2, 0.1)}, ValueError, r"areas must differ from each other, got \(0.1, 0.2, 0.1\)"),
    ({"variant": "keep"}, ValueError, "variant must be one of 'preserve', 'delete', 'dual', got 'keep'"),
    ({"smoothing": True}, ValueError, "smoothing must be one of 'bilinear', 'max', got True"),
    ({"learning_rate": 0}, ValueError, "learning_rate must be .*, got 0"),
    ({"spread": -1}, ValueError, "spread must be .*, got -1"),
    ({"area_weight": 0}, ValueError, "area_weight must be .*, got 0"),
    ({"area_weight": (1, 2, 3)}, TypeError, r"area_weight must be a number or a pair \(first, last\)"),
    ({"steps": 0}, ValueError, "steps must be .*, got 0"),
    ({"repeats": 2}, TypeError, "settings of ExtremalPerturbation are .*; got repeats"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG_SETTINGS, ids=[str(c) for c, *_ in WRONG_SETTINGS])
def test_wrong_settings(change, error, message):
    with pytest.raises(error, match=message):
        sdfido.ExtremalPerturbation(TinyNet(), **change)


def test_the_weight_grows_geometrically():
    settings = extremal.ExtremalSettings(steps=3, area_weight=(1, 100))
    assert [settings.area_weight_at(step) for step in range(3)] == pytest.approx([1, 10, 100])
    assert extremal.ExtremalSettings(area_weight=7).area_weight_at(50) == 7
    assert extremal.ExtremalSettings(steps=1).area_weight_at(0) == 10


def test_the_page_has_the_settings():
    assert first_column("methods/extremal.md", "Settings") == {
        field.name: str(field.default) for field in dataclasses.fields(extremal.ExtremalSettings)
    }


def test_final_regions_take_exactly_their_areas() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    found = sdfido.ExtremalPerturbation(
        lambda x: 9 * x[:, :, 20:, :].mean((2, 3)), areas=(0.05, 0.25), steps=8, mask_size=10
    )
    explanation = found.explain(image)
    assert float(explanation.area("area_5")) == pytest.approx(0.05)
    assert float(explanation.area("area_25")) == pytest.approx(0.25)
    inside, importance = explanation.parts["kept_cells"][0, 1], explanation["area_25"][0]
    cells = F.adaptive_avg_pool2d(importance[None], 10)[0]
    assert cells[inside].mean() > cells[~inside].mean()
