"""What specifications of models say, and models from files; loaders of packages with stand-ins for the packages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import sdfido
from sdfido import models
from sdfido.models.specification import Specification
from sdfido.models.texts import check_texts, written


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs, weights, names and a module of one's own."""
    tmp_path = tmp_path_factory.mktemp("models")
    net = network()
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(
        torch.export.export(net, (torch.rand(2, 3, 20, 24),), dynamic_shapes=dynamic), tmp_path / "net.pt2"
    )
    torch.export.save(torch.export.export(net, (torch.rand(1, 3, 20, 24),)), tmp_path / "one.pt2")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "empty.pt2").write_text("")
    (tmp_path / "names.txt").write_text("cat\n\ndog\ncow\n")
    (tmp_path / "heads_of_a_user.py").write_text(
        "import torch\n"
        "class Heads(torch.nn.Module):\n"
        "    size = 16\n"
        "    def forward(self, images):\n"
        "        return {'species': images.mean((2, 3)), 'genus': images.mean((2, 3))[:, :2]}\n"
        "class NHWC(torch.nn.Module):\n"
        "    def forward(self, pixels):\n"
        "        assert pixels.shape[3] == 3\n"
        "        return pixels.mean((1, 2))\n"
    )
    return tmp_path


@pytest.fixture
def folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; modules in it can be imported."""
    monkeypatch.syspath_prepend(files)
    yield files
    sys.modules.pop("heads_of_a_user", None)


def test_parts() -> None:
    spec = Specification.of("hf:owner/name?texts=a heron|a stork&template=a photo of {}.")
    assert (spec.kind, spec.name) == ("hf", "owner/name")
    assert spec.options == {"texts": "a heron|a stork", "template": "a photo of {}."}
    for text in ("net.pt2", "/a/b.pt?size=8", "folder/net.pth", "C:\\nets\\net.pt2"):
        assert Specification.of(text).kind == "file"
    assert Specification.of("timm:hf-hub:timm/resnet18").name == "hf-hub:timm/resnet18"


def test_programs(folder: Path) -> None:
    images, expected = torch.rand(2, 3, 20, 24), network()
    scripted = models.load(f"{folder}/net.pt?size=20x24&labels=@{folder}/names.txt&mean=0.5,0.5,0.5&std=0.2,0.2,0.2")
    assert (scripted.size, scripted.labels) == ((20, 24), ("cat", "dog", "cow"))
    assert scripted.normalization == models.Normalization((0.5,) * 3, (0.2,) * 3)
    exported = models.load(str(folder / "net.pt2"))
    assert exported.size == (20, 24)
    for classifier in (scripted, exported):
        torch.testing.assert_close(classifier.model(images), expected(images))
        explanation = sdfido.FIDO(classifier, steps=2, mask_size=4).explain(images)
        torch.testing.assert_close(explanation.ssr, sdfido.FIDO(expected, steps=2, mask_size=4).explain(images).ssr)


def test_a_program_for_batches_of_one_says_so(folder: Path) -> None:
    one, images = models.load(str(folder / "one.pt2")), torch.rand(2, 3, 20, 24)
    with pytest.raises((RuntimeError, ValueError, AssertionError), match="max_batch=1"):
        sdfido.FIDO(one, steps=2, mask_size=4).explain(images)
    found = sdfido.FIDO(one, steps=2, mask_size=4, max_batch=1).explain(images)
    assert found.ssr.isfinite().all()


def test_options_of_any_model(folder: Path) -> None:
    chosen = models.load("heads_of_a_user:Heads?output=species&labels=red|green|blue&crop=0.9&crop_mode=squash")
    assert (chosen.size, chosen.labels, chosen.crop, chosen.crop_mode) == (
        (16, 16),
        ("red", "green", "blue"),
        0.9,
        "squash",
    )
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(chosen.model(images), images.mean((2, 3)))
    turned = models.load("heads_of_a_user:NHWC?layout=channels-last&size=16&interpolation=bilinear")
    torch.testing.assert_close(turned.model(images), images.mean((2, 3)))
    assert turned.name == "heads_of_a_user:NHWC?layout=channels-last&size=16&interpolation=bilinear"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("none.pt2", "model 'none.pt2' must be a file, and there is none"),
        ("none.pt", "must be a file"),
        ("weights.pt", 'holds weights or a pickled module.*"package.module:function"'),
        ("empty.pt2", "must be a program that torch.export.save wrote"),
        ("net.pt?size=big", "net.pt.*size=big.*invalid literal"),
        ("net.pt?size=0", "size must be"),
        ("net.pt?size", "must have options as NAME=VALUE, got 'size'"),
        ("net.pt?colour=red", "must have options out of size, .*; got 'colour'"),
        ("net.pt?pretrained=x", "must have options out of size, .*; got 'pretrained'"),
        ("net.pt?labels=@none.txt", "No such file"),
        ("net.pt?layout=nhwc", "layout must be one of channels-first, channels-last, got 'nhwc'"),
        ("net.pt?crop=2", "crop must be in"),
        ("net.pt?crop_mode=cut", "crop_mode must be one of center, squash, border, got 'cut'"),
        ("net.pt?mean=0.5,0.5", "mean and std must have one value per channel"),
        ("net.pt?std=0", "std"),
        ("net.pt?mean=red", "could not convert"),
        ("net.pt?interpolation=cubic", "interpolation must be one of"),
        ("hf:./none", "must be a folder or a name on Hugging Face's hub, and there is no such folder"),
        ("open_clip:ViT-B-32", "texts must be given"),
        ("open_clip:ViT-B-32?texts=a heron", "texts must be at least two"),
        ("efficientnet-lite0?texts=a|b", "must have options out of"),
    ],
)
def test_wrong_specifications(spec: str, says: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for package in ("transformers", "open_clip"):
        monkeypatch.setitem(sys.modules, package, SimpleNamespace(__version__="0"))
    with pytest.raises(ValueError, match=says):
        models.load(spec)


def test_texts_of_classes_are_different_and_have_a_place_in_the_template() -> None:
    assert written(["a heron", "{}"], "a photo of {}.") == ["a photo of a heron.", "a photo of {}."]
    with pytest.raises(ValueError, match=r"template must have {} where the text stands.*got 'a photo of a {name}'"):
        written(["a", "b"], "a photo of a {name}")
    with pytest.raises(ValueError, match="texts must be different"):
        check_texts(["a", "b", "a"], "hf:x")


def test_texts_are_for_models_that_read_them(folder: Path) -> None:
    with pytest.raises(ValueError, match="texts must be given once, and for hf: or open_clip: alone"):
        models.load(str(folder / "net.pt"), texts=["a", "b"])
    with pytest.raises(TypeError, match="model must be a specification in text"):
        models.load(folder / "net.pt")


@pytest.mark.parametrize(
    ("spec", "package", "command"),
    [
        ("hf:google/vit-base-patch16-224", "transformers", "pip install transformers"),
        ("open_clip:ViT-B-32?texts=a|b", "open_clip", "pip install open_clip_torch"),
        ("speciesnet:default", "speciesnet", "pip install speciesnet"),
    ],
)
def test_missing_packages(spec: str, package: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=f"model '{spec.partition('?')[0]}' needs .*{package}; install it with: {command}"
    ):
        models.load(spec)


def test_speciesnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the package, of the interface of its version 5: a traced graph of pixels [B, H, W, 3]."""

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.net(pixels.permute(0, 3, 1, 2))

    class SpeciesNetClassifier:
        IMG_SIZE = 48

        def __init__(self, name: str, device: str) -> None:
            self.model = torch.fx.symbolic_trace(Graph()).eval().requires_grad_(False)
            self.labels = {
                0: "u1;mammalia;carnivora;felidae;felis;catus;domestic cat",
                1: "u2;;;;;;blank",
                2: f"u3;;;;;;{name}",
            }

    package = SimpleNamespace(SpeciesNetClassifier=SpeciesNetClassifier, DEFAULT_MODEL="newest")
    monkeypatch.setitem(sys.modules, "speciesnet", package)
    classifier = models.load("speciesnet:default")
    assert (classifier.size, classifier.crop_mode) == ((48, 48), "squash")
    assert classifier.labels == ("domestic cat, felis catus", "blank", "newest")
    images = torch.rand(1, 3, 48, 48)
    torch.testing.assert_close(classifier.model(images), network()(images))
    assert sdfido.FIDO(classifier, steps=2, mask_size=4).explain(images).ssr.isfinite().all()
