"""The gallery of parts: features, clusters, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from sdfido import reports, runs
from sdfido.evaluate import parts
from sdfido.reports.html import BEGINS
from sdfido.runs.page_files import check_gallery
from tests.cli.support import draw, explain, prepare, run

_SPATIAL = """
import torch
from sdfido.models import Classifier
from colour_models import NORMALIZATION

def make():
    torch.manual_seed(0)
    first = torch.nn.Conv2d(3, 3, 1, bias=False)
    first.weight.data = 4 * torch.eye(3)[:, :, None, None]
    net = torch.nn.Sequential(first, torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten(), Bright())
    return Classifier("spatial", net, NORMALIZATION, (16, 16), ("<b>bright</b>", "dark"))

class Bright(torch.nn.Module):
    def forward(self, x):
        light = x[:, [0, 2]].amax(1) - 1
        return torch.stack([light, -light], 1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spatial_models.py").write_text(_SPATIAL)
    for number in range(4):
        draw(tmp_path / f"birds/red{number}.png", (250 - 9 * number, 20, 20))
        draw(tmp_path / f"birds/blue{number}.png", (20, 20, 250 - 9 * number))
    yield from prepare(tmp_path, monkeypatch)


def test_features_are_averages_inside_the_region() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    images = torch.rand(2, 3, 8, 8)
    masks = torch.zeros(2, 8, 8)
    masks[0, :4, :4] = masks[1, 4:, 2:] = 1
    activations = model[0](images)
    expected = torch.stack([activations[0, :, :2, :2].mean((1, 2)), activations[1, :, 2:, 1:].mean((1, 2))])
    found = parts.region_features(model, images, masks)
    torch.testing.assert_close(found, nn.functional.normalize(expected).detach())


@pytest.mark.parametrize(
    "shape", [(2, 6, 4, 4), (2, 4, 4, 6), (2, 16, 6), (2, 17, 6), (2, 21, 6)], ids=lambda shape: str(list(shape))
)
def test_places_are_found_in_the_outputs_of_networks_and_transformers(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape)
    found = parts._places(values)
    assert found is not None
    assert found.shape == (2, 6, 4, 4)


def test_a_model_without_places_is_told() -> None:
    with pytest.raises(ValueError, match="module whose output has places"):
        parts.region_features(
            nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.rand(1, 3, 4, 4), torch.ones(1, 4, 4)
        )


def test_clusters_are_as_many_as_there_are_groups() -> None:
    torch.manual_seed(0)
    groups = torch.tensor([0] * 12 + [1] * 9 + [2] * 5)
    features = nn.functional.normalize(torch.eye(3, 8)[groups] + 0.05 * torch.randn(26, 8), dim=1)
    found = parts.clusters(features)
    assert torch.equal(found.labels, groups)  # the largest first
    assert [int(groups[medoid]) for medoid in found.medoids] == [0, 1, 2]
    even = parts.clusters(nn.functional.normalize(torch.ones(20, 8) + 0.05 * torch.randn(20, 8), dim=1))
    assert int(even.labels.max()) == 0


def test_regions_of_two_colours_are_two_clusters_on_the_page(folder: Path) -> None:
    result = explain("birds", "--out", "results", "--target", "0", "--steps", "30", model="spatial_models:make")
    assert result.exit_code == 0, result.output
    result = run("gallery", "results")
    assert result.exit_code == 0, result.output
    assert "clusters of 4, 4" in result.output
    page = Path("results/gallery.html").read_text()
    assert "&lt;b&gt;bright&lt;/b&gt;" in page
    assert "<b>bright" not in page
    for figure in re.findall(r"<figure>.*?</figure>", page):
        names = re.findall(r'title="birds/(red|blue)\d', figure)
        assert len(names) == 4
        assert len(set(names)) == 1  # pure; by chance, 1/2
    assert np.asarray(Image.open("results/gallery.webp")).std() > 10
    assert run("gallery", "results").exit_code == 0  # replaces its own
    Path("results/gallery.html").write_text("mine")
    result = run("gallery", "results")
    assert result.exit_code == 2
    assert "results/gallery.html cannot be replaced" in result.stderr
    assert Path("results/gallery.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ({"gallery.html": "<title>mine</title>"}, "gallery.html"),
        ({"gallery.webp": "mine"}, "gallery.webp"),
        ({"gallery.html": f"{BEGINS}<title>", "gallery.webp": "of the gallery before"}, None),
    ],
)
def test_files_of_others_are_not_replaced(folder: Path, there: dict[str, str], refused: str | None) -> None:
    Path("out").mkdir()
    for name, text in there.items():
        Path("out", name).write_text(text)
    if refused is None:
        check_gallery(Path("out"))
        return
    with pytest.raises(ValueError, match=rf"where out/{refused} cannot be replaced; move it, or give another folder"):
        check_gallery(Path("out"))


def test_nothing_to_show_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match="folder with results"):
        runs.Gallery("birds")
