"""The learner runs any mask problem: parameters, views, penalties and updates of one's own."""

import json
from dataclasses import asdict
from types import MappingProxyType

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sdfido
from sdfido import methods
from sdfido.methods.attention_graph import AttentionGraphSettings
from sdfido.methods.descent import Descent
from sdfido.methods.extremal import ExtremalSettings
from sdfido.methods.learner import Drawn, MaskLearner
from sdfido.methods.settings import MaskSettings
from tests.methods.test_fido import TinyNet


class Kept(MaskLearner):
    """One mask of keep rates in 0..1, without sampling: what keeps the score up with little of the image."""

    name = "kept"
    legend = MappingProxyType({"kept": sdfido.MapInfo("Kept", role="keep")})
    settings_type = MaskSettings

    def start(self, scene):
        return torch.full((len(scene), 1, *self.settings.cells(*scene.size)), 0.5)

    def draw(self, parameters, scene, step):
        masks = self.keep_rates(parameters)
        return Drawn(scene.blend(masks[:, :, None]), torch.tensor([-1.0]), masks.mean((2, 3)))

    def keep_rates(self, parameters):
        return parameters.clamp(0, 1)

    def updater(self, parameters):
        return Descent(parameters, lambda step: 0.1)

    def readout(self, scene, parameters, rates):
        return {"kept": sdfido.ops.functional.upsample(rates[:, 0], scene.size)}, {"masks": self.keep_rates(parameters)}


def _images(n=3):
    return torch.randn(n, 3, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        sdfido.Settings(mask_size=(3, 5)),
        sdfido.Settings(mask_size=7, temperature=0.5),
        ExtremalSettings(mask_size=(3, 5)),
        ExtremalSettings(mask_size=7, area_weight=2.0),
        AttentionGraphSettings(mask_size=(3, 5)),
    ],
)
def test_settings_that_went_through_a_file_are_the_same(settings):
    assert type(settings)(**json.loads(json.dumps(asdict(settings)))) == settings


def test_a_problem_of_ones_own():
    images, seen = _images(), []
    explainer = Kept(TinyNet(), steps=8, mask_size=4, infill="mean")
    explanation = explainer.explain(images, on_step=seen.append)
    assert explanation.method == "kept"
    assert explanation.regions == ("kept",)
    assert explanation.kept.shape == (3, 24, 24)
    assert explanation.masks.shape == (3, 1, 24, 24)
    assert list(explanation.numbers) == [
        "prob_image",
        "prob_infill",
        "prob_kept",
        "kept_kept",
        "prob_kept_binary",
        "area_kept",
    ]
    assert explanation.trace[:, -1].mean() < explanation.trace[:, 0].mean()
    assert seen[-1].parameters.shape == (3, 1, 4, 4)
    for i in range(3):
        assert torch.equal(explainer.explain(images[i]).kept[0], explanation.kept[i])


def test_the_gradient_is_that_of_the_loss():
    """Against autograd through the whole step, with views of different sign and target."""
    images, model = _images(2), TinyNet().eval()

    class Two(Kept):
        def draw(self, parameters, scene, step):
            masks = torch.cat([parameters, 1 - parameters], 1)
            targets = torch.stack([scene.targets, scene.targets.flip(0)], 1)
            penalty = (parameters**2).mean((2, 3)).expand(-1, 2)
            return Drawn(scene.blend(masks[:, :, None]), torch.tensor([-1.0, 1.0]), penalty, targets)

        def updater(self, parameters):
            found.append(Recording(parameters))
            return found[-1]

    class Recording(Descent):
        def __init__(self, parameters):
            super().__init__(parameters, lambda step: 0.1)
            self.gradients = []

        def step(self, gradient, step):
            self.gradients.append(gradient)
            super().step(gradient, step)

    found = []
    Two(model, steps=1, mask_size=3, max_batch=8, infill=torch.zeros(())).explain(images, [1, 2])
    parameters = torch.full((2, 1, 3, 3), 0.5, requires_grad=True)
    masks = torch.nn.functional.interpolate(parameters, (24, 24), mode="bilinear")
    targets = torch.tensor([1, 2])
    score = sdfido.ClassScore(model)
    loss = -score(masks * images, targets) + score((1 - masks) * images, targets.flip(0))
    (loss.sum() + 2 * (parameters**2).mean((2, 3)).sum()).backward()
    torch.testing.assert_close(found[0].gradients[0], parameters.grad, rtol=1e-4, atol=1e-6)


def test_methods_are_found_by_name():
    assert methods.load("fido") is sdfido.FIDO
    assert methods.load(f"{__name__}:Kept") is Kept
    assert all(issubclass(methods.load(name), methods.Explainer) for name in methods.METHODS)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("grad-cam", ValueError),
        (3, TypeError),
        ("nowhere.at:All", ValueError),
        (f"{__name__}:Drawn", TypeError),
        ("sdfido.methods:Explainer", TypeError),
    ],
)
def test_unknown_methods(spec, error):
    with pytest.raises(error, match="method"):
        methods.load(spec)


class Watch(TorchDispatchMode):
    """Notes operators for which a GPU is waited, or whose result depends on data in shape."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.overloadpacket.__name__
        waits = name in ("_local_scalar_dense", "nonzero", "lift_fresh", "is_nonzero", "equal", "unique")
        indices = arguments[1] if name in ("index", "index_put_") else ()
        if waits or any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices):
            self.found.append(name)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_step_waits_for_nothing(repeats):
    """Nothing in a step reads a number back, selects by a mask or copies from the host; what others do, is not ours."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    fido = sdfido.FIDO(model, steps=8, mask_size=6, repeats=repeats)
    with fido.scene(_images(2), [0, 1], None) as scene:
        parameters = fido.start(scene)
        updater, prices = fido.updater(parameters), torch.ones(2, 1)
        for step in range(3):
            with Watch() as watch:
                gradient, loss, mean = fido._gradient(updater.parameters, scene, step, prices)
                prices = fido.prices(prices, mean, scene, step)
                updater.step(gradient, step)
                rates = fido.keep_rates(updater.parameters)
            if step:  # the first one makes what all share
                assert watch.found == []
    assert rates.isfinite().all()
    assert loss.isfinite().all()
    with Watch() as watch:
        torch.tensor([1.0]).item()
    assert watch.found == ["lift_fresh", "_local_scalar_dense"]


def test_parameters_that_overflow_are_no_result():
    explainer = sdfido.FIDO(TinyNet(), learning_rate=3e38, steps=12, mask_size=4)
    with pytest.raises(ValueError, match=r"NaN by step \d+; learning_rate must be smaller, got 3e\+38"):
        explainer.explain(_images(1), 0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 16, 16).to_sparse(), "images must be a dense tensor, got one of layout sparse_coo"),
        (torch.zeros(1, 3, 16, 16, device="meta"), "images must hold values, got a tensor on the device meta"),
        (
            torch.zeros(1, 3, 16, 16).to(torch.float8_e4m3fn),
            "images must be a floating-point tensor .* got torch.float8_e4m3fn",
        ),
        (torch.zeros(1, 3, 16, 16, dtype=torch.complex64), "images must be a floating-point tensor"),
    ],
)
def test_images_of_other_kinds_are_refused(images, message):
    with pytest.raises(TypeError, match=message):
        sdfido.FIDO(TinyNet(), steps=1).explain(images, 0)


class Confident(sdfido.ClassScore):
    """A score whose confidence has another form."""

    def __init__(self, model, form):
        super().__init__(model)
        self.form = form

    def confidence(self, images, targets):
        return self.form(super().confidence(images, targets))


def test_confidences_are_one_number_an_image_and_can_be_stored(tmp_path):
    given = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    settings = {"steps": 1, "mask_size": 3, "repeats": 1, "pruning": False}
    with pytest.raises(ValueError, match=r"one confidence, an image: \[2\], got \[2, 1\]"):
        sdfido.FIDO(Confident(TinyNet(), lambda found: found[:, None]), **settings).explain(given, 0)
    explanation = sdfido.FIDO(Confident(TinyNet(), torch.Tensor.bfloat16), **settings).explain(given, 0)
    explanation.save(tmp_path / "e.npz")
    assert torch.equal(sdfido.Explanation.load(tmp_path / "e.npz").prob_image, explanation.prob_image)
