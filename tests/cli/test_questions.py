"""Questions other than the predicted class, and models of other kinds, from the command line to the results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from sdfido import Explanation, reports
from tests.cli.support import MODEL, explain, prepare, run, summary_of

NORMALIZED = "mean=0.5,0.5,0.5&std=0.5,0.5,0.5"


class Colours(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 8 * images.mean((2, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    yield from prepare(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (["--rather-than", "blue"], [0, 2]),
        (["--rather-than", "2", "--target", "green"], [1, 2]),
        (["--target", "blue", "--rather-than", "rival"], [2, 0]),
    ],
)
def test_one_class_rather_than_another(folder: Path, options: list[str], target: list[int]) -> None:
    result = explain("red.png", *options)
    assert result.exit_code == 0, result.output
    about = summary_of(folder / "out")
    names = [("red", "green", "blue")[index] for index in target]
    assert about["target"] == target
    assert about["label"] == " rather than ".join(names)
    assert f"red.png: {about['label']}" in result.stdout
    sure = about["prob_image"]  # of the first, were there only these two
    assert (sure > 0.5) == (target[0] == 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_value_up_or_down(folder: Path, direction: str) -> None:
    result = explain("red.png", "--value", direction, "--target", "0")
    assert result.exit_code == 0, result.output
    about = summary_of(folder / "out")
    assert about["question"] == {"target": "0", "value": direction}
    assert about["label"] == ("a high value" if direction == "up" else "a low value")
    seen = float(Explanation.load(folder / "out" / "explanation.npz").prob_image)
    assert about["prob_image"] == pytest.approx(seen)
    assert (seen > 0) == (direction == "down")  # the value is below 0, for most of the photo is dark


def test_seeds_say_in_the_summary_how_far_they_agree(folder: Path) -> None:
    assert explain("red.png", "--seed", "3", "--seeds", "2").exit_code == 0
    both = summary_of(folder / "out")
    assert explain("red.png", "--seed", "3", "--out", "one").exit_code == 0
    first, alone = (Explanation.load(folder / each / "explanation.npz") for each in ("out", "one"))
    assert torch.equal(first.joint, alone.joint)
    assert both["seeds"] == 2
    assert both["core_ssr"] == pytest.approx(float(first.core[0, 0].float().mean()))
    assert "seeds" not in summary_of(folder / "one")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rather-than", "purple"], "Error: rather_than must be a class id or name of colours, got 'purple'"),
        (["--rather-than", "red", "--target", "red"], "targets must be two different classes, got 0 rather than 0"),
        (["--value", "left"], "Error: value must be one of 'up', 'down', got 'left'"),
        (["--value", "up", "--rather-than", "red"], "Error: rather_than must not be given with a value 'up'"),
        (["--seeds", "0"], "seeds"),
        (["--value", "up"], "targets must name the output to explain, 0..2"),
    ],
)
def test_wrong_questions(folder: Path, options: list[str], says: str) -> None:
    result = explain("red.png", *options)
    assert result.exit_code != 0
    assert says in result.stderr
    assert not (folder / "out" / "explanation.npz").exists()


def test_seeds_of_a_method_without_any(folder: Path) -> None:
    pytest.importorskip("captum")
    result = run("explain", "red.png", "--model", MODEL, "--method", "attribution", "--seeds", "2")
    assert result.exit_code == 2
    assert "Error: seeds must be 1 for method 'attribution', which is not random, got 2" in result.stderr


def save(path: Path) -> None:
    """The classifier of three colours in a file."""
    network, example = Colours().eval(), torch.rand(2, 3, 16, 16)
    if path.suffix == ".pt":
        torch.jit.script(network).save(str(path))
    else:
        dynamic = ({0: torch.export.Dim.DYNAMIC},)
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), path)


@pytest.mark.parametrize(
    "spec",
    [
        f"net.pt2?{NORMALIZED}&labels=red|green|blue",  # the program says its size
        f"net.pt?size=16&{NORMALIZED}&labels=@names.txt",
        f"colour_models:Colours?size=16&{NORMALIZED}&labels=red|green|blue",
    ],
)
def test_other_kinds_of_models_give_the_same_maps(folder: Path, spec: str) -> None:
    name = spec.partition("?")[0]
    if name.startswith("net"):
        save(folder / name)
    (folder / "names.txt").write_text("red\ngreen\nblue\n")
    result = explain("red.png", model=spec)
    assert result.exit_code == 0, result.output
    about = summary_of(folder / "out")
    assert (about["label"], about["model_spec"]) == ("red", spec)
    assert explain("red.png", "--out", "made").exit_code == 0
    found, made = (Explanation.load(folder / each / "explanation.npz") for each in ("out", "made"))
    torch.testing.assert_close(found.ssr, made.ssr)
    torch.testing.assert_close(found.prob_image, made.prob_image)
    seconds = about["seconds"]
    assert explain("red.png", model=spec).exit_code == 0
    assert summary_of(folder / "out")["seconds"] == seconds  # finished before: the same weights


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("none.pt2", "Error: model 'none.pt2' must be a file, and there is none"),
        ("red.png.pt", "Error: model 'red.png.pt' must be a TorchScript program"),
        ("colour_models:make?labels", "must have options as NAME=VALUE, got 'labels'"),
        ("colour_models:make?colour=red", "must have options out of"),
        ("colour_models:make?crop_mode=stretch", "crop_mode must be one of"),
    ],
)
def test_models_that_cannot_be_made_write_nothing(folder: Path, spec: str, says: str) -> None:
    (folder / "red.png.pt").write_bytes(b"weights")
    result = explain("red.png", model=spec)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (folder / "out").exists()
