"""A new method is one file: everything else works for it as it is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from sdfido import Explanation, Normalization, evaluate, methods, reports
from tests.cli.support import INDEX, RESULTS, draw, names, page_of, prepare, run, summary_of
from tests.methods.toy_method import Toy

SPEC = "tests.methods.toy_method:Toy"
OPTIONS = ["--model", "colour_models:make", "--method", SPEC]
NUMBERS = ["prob_image", "prob_infill", "prob_noise", "kept_noise", "prob_noise_binary", "area_noise"]


def model(images: torch.Tensor) -> torch.Tensor:
    return 8 * images.mean((2, 3))


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, colour in (("a", (250, 20, 20)), ("b", (20, 20, 250))):
        draw(tmp_path / "birds" / f"{name}.png", colour)
    yield from prepare(tmp_path, monkeypatch)


def test_it_is_short() -> None:
    path = Path(__file__).with_name("toy_method.py")
    assert len(path.read_text().splitlines()) < 40


def test_it_explains_saves_and_loads(tmp_path: Path) -> None:
    assert methods.load(SPEC) is Toy
    explanation = Toy(model, seed=3).explain(images())
    assert (explanation.method, explanation.regions, len(explanation)) == ("toy", ("noise",), 2)
    assert list(explanation.numbers) == NUMBERS
    explanation.save(tmp_path / "toy.npz")
    loaded = Explanation.load(tmp_path / "toy.npz")
    assert torch.equal(loaded.noise, explanation["noise"])
    assert (loaded.method, loaded.legend, loaded.settings) == ("toy", Toy.legend, explanation.settings)


def test_it_is_drawn_and_measured(tmp_path: Path) -> None:
    explanation = Toy(model, infill="zeros", normalization=Normalization((0.0,), (1.0,))).explain(images())
    figure = reports.overview(explanation, images(), torch.full((1, 3, 1, 1), 0.5), index=1, label="red")
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"Noise: drawn at random", "what chance gives", f"Noise: {explanation.area_noise[1]:.0%} kept"} <= set(shown)
    reports.save(figure, tmp_path / "toy.png")
    with Image.open(tmp_path / "toy.png") as picture:
        assert picture.width > 600
    found = evaluate.measure(explanation["noise"], evaluate.Probe(model, images(), infill=torch.zeros(())))
    assert found.numbers["insertion"].shape == (2,)


def test_the_command_line_runs_it_over_a_folder(folder: Path) -> None:
    result = run("explain", "birds", *OPTIONS, "--seed", "5")
    assert result.exit_code == 0, result.output
    assert "birds/a.png: red (0)" in result.stdout
    assert "; Noise keeps " in result.stdout
    assert names(folder / "out") == sorted([*(f"{name}/{file}" for name in "ab" for file in RESULTS), *INDEX])
    about = summary_of(folder / "out" / "a")
    assert (about["method"], about["seed"], about["settings"]["cells"]) == ("toy", 5, 4)
    assert [name for name in NUMBERS if name not in about] == []
    with (folder / "out" / "summary.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["results"] for row in rows] == ["a", "b"]
    assert set(NUMBERS) < set(rows[0])
    assert ["Noise", "drawn at random, what chance gives"] in page_of(folder / "out")["reading"]
    assert "2 of 2 photos are explained already" in run("explain", "birds", *OPTIONS, "--seed", "5").stdout
    assert "(other method), which are replaced" in run("explain", "birds", *OPTIONS[:2], "--steps", "1").stdout


def test_the_command_line_measures_it(folder: Path) -> None:
    for seed in ("0", "1"):
        assert run("explain", "birds", *OPTIONS, "--seed", seed, "--out", f"seed{seed}").exit_code == 0
    result = run("evaluate", "seed0")
    assert result.exit_code == 0, result.output
    written = json.loads((folder / "seed0" / "evaluation.json").read_text())
    assert set(written["runs"][0]["photos"][0]["deletion"]) == {"noise"}
    assert run("evaluate", "seed0", "seed1").exit_code == 0
    written = json.loads((folder / "seed0" / "evaluation.json").read_text())
    assert set(written["rank_correlation"]["mean"]) == {"noise"}


def test_options_that_it_does_not_have_are_refused(folder: Path) -> None:
    result = run("explain", "birds", *OPTIONS, "--steps", "5", "--samples", "2")
    assert result.exit_code == 2
    assert SPEC in result.stderr
    assert "--steps, --samples" in result.stderr
    assert not (folder / "out").exists()
