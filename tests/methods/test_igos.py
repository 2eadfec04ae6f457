"""I-GOS and iGOS++: planted evidence is found, the gradient is that of the objective, the line search never climbs."""

import dataclasses
from dataclasses import replace

import pytest
import torch
from torch import nn

import sdfido
from sdfido import ClassScore, methods
from sdfido.methods.igos import PUBLISHED, _paths
from sdfido.methods.projected import Nesterov, line_search
from sdfido.scores import log_odds, probability
from tests.methods.test_fido import OneByOne, PlantedEvidence, TinyNet, _iou, _texture
from tests.methods.test_learner import Watch
from tests.test_docs import first_column

QUICK = {"steps": 3, "mask_size": 6, "path_points": 3}
PLUS = {"insertion": True}
KINDS = [(sdfido.IGOS, {}), (sdfido.IGOS, PLUS), (sdfido.IGOSPlusPlus, {})]
BOXES = [(40, 40, 72, 72), (0, 0, 36, 48), (60, 10, 84, 100)]


def _images(n=3, size=24, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_planted_evidence_is_found(kind, settings, box):
    image = _texture(112)
    model = PlantedEvidence(image, box)
    explanation = kind(model, **settings).explain(image, 0)
    for name, importance in explanation.maps.items():
        assert _iou(importance[0], model.mask.bool()) >= 0.7, name
    for name in explanation.regions:
        share = explanation.scores[f"prob_{name}_binary"] / explanation.prob_image
        assert share >= 0.9 if explanation.legend[name].role == "keep" else share <= 0.1


def _plain(model, images, infill, targets, kind, insertion, masks, settings):
    """The objective of each image [N], in float64: every composite of every path by itself, pixels by cells."""

    def up(m):
        return torch.nn.functional.interpolate(m[:, None], images.shape[2:], mode="bilinear")

    def integrated(m, start, end):
        points = settings["path_points"]
        composites = [start + s / points * up(m) * (end - start) for s in range(1, points + 1)]
        return sum(log_odds(model(x), targets) for x in composites) / points

    def removal(m):
        return integrated(m, infill, images)

    def insert(m):
        return integrated(m, images, infill)

    if kind is sdfido.IGOSPlusPlus:
        x, y = masks.unbind(1)
        product = x * y
        data = (removal(x) - insert(y) + removal(product) - insert(product)) / 2
    else:
        product = masks[:, 0]
        data = removal(product) - (insert(product) if insertion else 0)
    rough = sum(product.diff(dim=d).square().mean((1, 2)) for d in (1, 2))
    if settings["bilateral"]:
        fine = up(product)[:, 0]
        for d in (1, 2):
            weights = torch.exp(-images.diff(dim=d + 1).square().mean(1) / 0.01)
            rough = rough + (weights * fine.diff(dim=d).square()).mean((1, 2))
        rough = rough / 2
    return data + settings["sparsity_weight"] * (1 - product).mean((1, 2)) + settings["smoothness_weight"] * rough


class Smooth(nn.Module):
    """A small network without kinks, for finite differences."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.head = nn.Linear(54, 4)

    def forward(self, x):
        return 3 * self.head(self.layers(x))


def _first_step(kind, model, images, targets, masks, **settings):
    """Loss [N] and gradient [N, K, h, w] of the first step, by masks of one's own."""
    gradients = []

    class Recording(Nesterov):
        def step(self, gradient, step):
            gradients.append(gradient)

    class Started(kind):
        def start(self, scene):
            return masks

        def updater(self, parameters):
            return Recording(parameters, lambda step: 0.1)

    explanation = Started(model, infill="mean", steps=1, mask_size=masks.shape[2:], **settings).explain(images, targets)
    return explanation.trace[:, 0], gradients[0]


@pytest.mark.parametrize("bilateral", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_gradient_is_that_of_the_objective(kind, options, bilateral):
    """Against central differences of the objective, every composite by itself, in float64."""
    settings = {"path_points": 4, "sparsity_weight": 2.0, "smoothness_weight": 30.0, "bilateral": bilateral}
    settings["normalized"] = False
    images, targets, model = 0.3 * _images(2, 18), torch.tensor([1, 2]), Smooth()
    count = 2 if kind is sdfido.IGOSPlusPlus else 1
    masks = torch.rand(2, count, 4, 5, generator=torch.Generator().manual_seed(1))
    loss, gradient = _first_step(kind, model, images, targets, masks, **settings, **options)
    exact, model = images.double(), model.double()

    def objective(values):
        infill = exact.mean((2, 3), keepdim=True).expand_as(exact)
        return _plain(model, exact, infill, targets, kind, bool(options), values, settings).detach()

    torch.testing.assert_close(loss.double(), objective(masks.double()), rtol=1e-5, atol=1e-5)
    expected = torch.empty(masks.shape, dtype=torch.float64)
    for k, y, x in [(k, y, x) for k in range(count) for y in range(4) for x in range(5)]:
        ahead, behind = masks.double(), masks.double()
        ahead[:, k, y, x] += 1e-4
        behind[:, k, y, x] -= 1e-4
        expected[:, k, y, x] = (objective(ahead) - objective(behind)) / 2e-4
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=1e-5)


def test_paths_are_masks():
    """One blend by scaled masks gives the points of all paths, in either role of image and infill."""
    images, generator = _images(2), torch.Generator().manual_seed(1)
    infill, masks = torch.randn(images.shape, generator=generator), torch.rand(2, 4, 6, 5, generator=generator)
    offsets, slopes, signs = _paths((0.5, -0.5, 0.5, -0.5), 3, masks.device)
    assert signs.tolist() == [0.5, -0.5, 0.5, -0.5]
    composites = sdfido.blend(offsets + slopes * masks[:, :, None], images, infill)
    upsampled = torch.nn.functional.interpolate(masks, images.shape[2:], mode="bilinear")
    for view in range(4):
        start, end = (infill, images) if view % 2 == 0 else (images, infill)
        for point in range(3):
            expected = start + (point + 1) / 3 * upsampled[:, view, None] * (end - start)
            torch.testing.assert_close(composites[:, view, point], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_line_search_never_climbs(kind, options, normalized):
    rate = {"normalized": normalized, "learning_rate": 0.3 if normalized else 1000.0}
    explainer = kind(TinyNet(), line_search=True, **(QUICK | {"steps": 8, "tolerance": 0.0}), **rate, **options)
    trace = explainer.explain(_images()).trace
    assert (trace.diff(dim=1) <= 0).all()
    assert (trace[:, -1] < trace[:, 0]).all()


def test_the_line_search_sees_the_loss_of_the_step():
    """With the same noise, and in whatever chunks."""
    explainer = sdfido.IGOSPlusPlus(TinyNet(), noise=0.2, **QUICK)
    with explainer.scene(_images(), None, None) as scene:
        scene = replace(scene, extras={"stencil": torch.ones(3, 10, 6, 6), "unit": torch.ones(3)})
        masks = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
        prices = torch.tensor([[1.0], [0.5], [2.0]])
        _, loss, _ = explainer._gradient(masks, scene, 1, prices)
        assert torch.equal(explainer.losses(masks, scene, 1, prices), loss)
        assert not torch.equal(explainer.losses(masks, scene, 2, prices), loss)


def test_the_line_search_shortens_steps_and_gives_up():
    """On ``(m - 0.9) ** 2`` with steps of 10 times the gradient, two trials fail; uphill all do, and masks stay."""
    start = torch.tensor([0.5, 0.5, 0.5]).view(3, 1, 1, 1)
    tried = []

    def losses(masks, places):
        tried.append(places.tolist())
        return (masks - 0.9).square().sum((1, 2, 3))

    gradient = 2 * (start - 0.9)
    move = gradient * torch.tensor([1.0, 10.0, -1.0]).view(3, 1, 1, 1)
    found = line_search(start, move, gradient, losses(start, torch.arange(3)), losses)
    assert tried[1] == [0, 1, 2]
    assert tried[-1] == [2]
    assert len(tried) == 13
    assert found[2] == 0.5
    assert losses(found, torch.arange(3))[:2].max() < 0.16


def test_nesterov_takes_the_steps_of_its_formula():
    m = torch.full((1, 1, 1, 2), 0.5)
    descent = Nesterov(m, lambda step: 0.1, normalized=False)
    gradients = [torch.tensor([[[[1.0, -6.0]]]]), torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[0.0, 1.0]]]])]
    previous = m
    for i, gradient in enumerate(gradients):
        ahead = m - 0.1 * gradient
        m = (ahead + i / (i + 3) * (ahead - previous)).clamp(0, 1)
        previous = ahead
        descent.step(gradient, i)
        torch.testing.assert_close(descent.parameters, m)
    assert torch.equal(descent[torch.tensor([True])].parameters, descent.parameters)


def test_normalised_steps_do_not_depend_on_the_scale():
    moves = []
    for scale in (1.0, 1000.0):
        descent = Nesterov(torch.ones(1, 2, 3, 3), lambda step: 0.1)
        gradient = scale * torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
        moves.append(descent.move(gradient, 0))
    torch.testing.assert_close(*moves)
    torch.testing.assert_close(moves[0].square().mean((2, 3)).sqrt(), torch.full((1, 2), 0.1))


@pytest.mark.parametrize(
    ("kind", "options", "more"),
    [
        (sdfido.IGOS, {}, {}),
        (sdfido.IGOS, PLUS, {"noise": 0.2}),
        (sdfido.IGOSPlusPlus, {}, {"line_search": True, "noise": 0.2}),
        (sdfido.IGOSPlusPlus, {}, {"mask_size": None}),
    ],
)
def test_bits_do_not_depend_on_the_batch(kind, options, more):
    images, settings = _images(), QUICK | options | more
    batch = kind(OneByOne(), **settings).explain(images)
    small = kind(OneByOne(), max_batch=2, **settings).explain(images)
    for i in range(3):
        alone = kind(OneByOne(), **settings).explain(images[i], streams=[i])
        for name in (*batch.maps, "masks", "trace", *batch.scores):
            assert torch.equal(getattr(alone, name)[0], getattr(batch, name)[i]), name
            assert torch.equal(getattr(small, name)[i], getattr(batch, name)[i]), name


def test_noise_is_normal_and_has_streams_and_seeds():
    explainer = sdfido.IGOSPlusPlus(TinyNet(), noise=0.2, **QUICK)
    with explainer.scene(_images(2, 64), [0, 1], None) as scene:
        composites = torch.empty(2, 4, 3, 3, 64, 64)
        noise = explainer._noise(composites, scene, 0)
        again, later = explainer._noise(composites[1:], scene[1:], 0), explainer._noise(composites, scene, 1)
    assert torch.equal(again[0], noise[1])
    every = torch.stack([*noise.flatten(1), *later.flatten(1)])
    torch.testing.assert_close(every.mean(1), torch.zeros(4), rtol=0, atol=4 / every.shape[1] ** 0.5)
    assert (torch.corrcoef(every) - torch.eye(4)).abs().max() < 4 / every.shape[1] ** 0.5
    torch.testing.assert_close(every.std(1), torch.ones(4), rtol=0, atol=4 / (2 * every.shape[1]) ** 0.5)
    torch.testing.assert_close((every.abs() > 1.96).float().mean(1), torch.full((4,), 0.05), rtol=0, atol=2e-3)
    first, other = (sdfido.IGOS(TinyNet(), noise=0.2, seed=s, **QUICK).explain(_images()) for s in (0, 1))
    assert not torch.equal(first.igos, other.igos)


def test_maps_are_those_of_the_masks():
    images = _images()
    explanation = sdfido.IGOSPlusPlus(TinyNet(), **QUICK).explain(images)
    deletion, insertion = explanation.parts["masks"].unbind(1)
    cells = torch.stack([1 - deletion, insertion, 1 - deletion * (1 - insertion)], 1)
    maps = torch.nn.functional.interpolate(cells, (24, 24), mode="bilinear")
    torch.testing.assert_close(torch.stack([*explanation.maps.values()], 1), maps)
    assert explanation.regions == ("deletion", "insertion")
    torch.testing.assert_close(explanation.removed_deletion, explanation.deletion.mean((1, 2)))
    torch.testing.assert_close(explanation.kept_insertion, explanation.insertion.mean((1, 2)))


def test_published_settings_are_settings():
    for kind in (sdfido.IGOS, sdfido.IGOSPlusPlus):
        settings = PUBLISHED | {"steps": 2, "path_points": 3}
        explanation = kind(ClassScore(TinyNet(), link=probability), **settings).explain(_images(1))
        assert explanation.settings["learning_rate"] == 1000
        assert explanation.settings["score"] == "probability"


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_step_waits_for_nothing(kind, options):
    explainer = kind(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), **QUICK, **options)
    with explainer.scene(_images(2), [0, 1], None) as scene:
        scene = replace(scene, extras={"stencil": torch.zeros(2, 10, 6, 6), "unit": torch.ones(2)})
        updater, prices = explainer.updater(explainer.start(scene)), torch.ones(2, 1)
        for step in range(3):
            with Watch() as watch:
                gradient, loss, _ = explainer._gradient(updater.parameters, scene, step, prices)
                explainer.advance(updater, gradient, loss, scene, step, prices)
            if step:
                assert watch.found == []


def test_no_images():
    assert len(sdfido.IGOSPlusPlus(TinyNet(), **QUICK).explain(_images(0))) == 0


def test_methods_are_found_by_name():
    assert methods.load("igos") is sdfido.IGOS
    assert methods.load("igos++") is sdfido.IGOSPlusPlus


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"path_points": 0}, ValueError),
        ({"learning_rate": 0.0}, ValueError),
        ({"noise": -1.0}, ValueError),
        ({"smoothness_weight": "much"}, TypeError),
        ({"line_search": 1}, TypeError),
        ({"insertion": "yes"}, TypeError),
        ({"sparsity_weight": float("nan")}, ValueError),
    ],
)
def test_wrong_settings_are_refused(settings, error):
    (name,) = settings
    with pytest.raises(error, match=name):
        sdfido.IGOS(TinyNet(), **settings)


def test_settings_that_a_method_does_not_have():
    with pytest.raises(TypeError, match="insertion"):
        sdfido.IGOSPlusPlus(TinyNet(), insertion=True)
    with pytest.raises(ValueError, match="mask_size"):
        sdfido.IGOS(TinyNet(), mask_size=(30, 6)).explain(_images())
    assert not {"coupling", "repeats"} & sdfido.IGOS.setting_names()


def test_the_page_has_the_settings():
    fields = {field.name: str(field.default) for field in dataclasses.fields(sdfido.methods.igos.IGOSPlusPlusSettings)}
    assert first_column("methods/igos.md", "Settings") == fields
