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
from sdfido.runs import gallery
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


def test_features_are_averages_inside_regions_at_two_resolutions_and_of_the_mirror_image() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    images = torch.rand(2, 3, 16, 8)
    masks = torch.zeros(2, 2, 16, 8)
    masks[0, 0, :4, :4] = masks[0, 1, 8:, 4:] = masks[1, 0, 4:, :] = masks[1, 1, :, :4] = 1
    fine = model[:2](images) + model[:2](images.flip(3)).flip(3)
    coarse = model[:3](images) + model[:3](images.flip(3)).flip(3)
    expected = []
    for n, rows, columns in ((0, (0, 4), (0, 4)), (0, (8, 16), (4, 8)), (1, (4, 16), (0, 8)), (1, (0, 16), (0, 4))):
        both = [
            each[n, :, rows[0] // side : rows[1] // side, columns[0] // side : columns[1] // side].mean((1, 2))
            for each, side in ((fine, 2), (coarse, 4))
        ]
        expected.append(torch.cat([nn.functional.normalize(each, dim=0) for each in both]) / 2**0.5)
    found = parts.region_features(model, images, masks)
    torch.testing.assert_close(found.flatten(0, 1), torch.stack(expected).detach())
    torch.testing.assert_close(parts.region_features(model, images.flip(3), masks.flip(3)), found)


def test_weights_of_attention_are_no_places() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropped = nn.Identity()
            self.out = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.dropped((x @ x.mT).softmax(2)[:, None])[:, 0] @ x)

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.block = nn.Conv2d(3, 6, 2, 2), Attention()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(self.patches(x).flatten(2).mT).mean(1)

    assert [*parts._stages(Transformer(), torch.rand(1, 3, 8, 8))] == [(4, 4)]


def test_pieces_are_the_connected_parts_of_a_region_without_crumbs() -> None:
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[0:2, 0:2] = region[2, 2] = True  # 5 pixels, by a corner
    region[4:7, 5:8] = True  # 9
    region[7, 0] = True  # 1 of 15
    found = parts.pieces(region)
    assert [int(each.sum()) for each in found] == [9, 5]
    assert found[0, 5, 6]
    assert found[1, 2, 2]
    assert len(parts.pieces(region, least=0)) == 3
    assert parts.pieces(torch.zeros(8, 8, dtype=torch.bool)).shape == (0, 8, 8)
    with pytest.raises(TypeError, match=r"region must be a bool tensor \[H, W\], got torch.float32 \[8, 8\]"):
        parts.pieces(region.float())


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
            nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
        )


def test_clusters_are_as_many_as_there_are_groups() -> None:
    torch.manual_seed(0)
    groups = torch.tensor([0] * 12 + [1] * 9 + [2] * 5)
    features = nn.functional.normalize(torch.eye(3, 8)[groups] + 0.05 * torch.randn(26, 8), dim=1)
    found = parts.clusters(features)
    assert torch.equal(found.labels, groups)  # the largest first
    assert [sorted(each) for each in found.members] == [
        (groups == group).nonzero()[:, 0].tolist() for group in range(3)
    ]
    first = nn.functional.normalize(features - features.mean(0), dim=1)[list(found.members[0])]
    apart = torch.cdist(first, first)
    assert int(apart.sum(1).argmin()) == 0  # the medoid
    assert apart[0].tolist() == sorted(apart[0].tolist())
    assert found.agreement > 0.9
    even = parts.clusters(nn.functional.normalize(torch.ones(40, 8) + 0.05 * torch.randn(40, 8), dim=1))
    assert int(even.labels.max()) == 0


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_or_equal_regions_are_one_group(count: int) -> None:
    assert parts.clusters(torch.eye(8)[:count]).members[0][0] in range(count)
    assert parts.clusters(torch.ones(12, 8)).labels.tolist() == [0] * 12


def test_regions_of_two_colours_are_two_clusters_on_the_page(folder: Path) -> None:
    result = explain("birds", "--out", "results", "--target", "0", "--steps", "30", model="spatial_models:make")
    assert result.exit_code == 0, result.output
    result = run("gallery", "results")
    assert result.exit_code == 0, result.output
    assert re.search(r"8 pieces from 8 photos, 2 groups, agreement (0\.[89]\d|1\.00): 4, 4", result.output)
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


@pytest.mark.parametrize(
    ("count", "photos", "total", "text"),
    [
        (1, 1, 1, "1 piece from 1 photo, too few for groups"),
        (7, 4, 9, "7 pieces from 4 of 9 photos, too few for groups"),
        (12, 6, 6, "12 pieces from 6 photos, no groups that halves of them agree on"),
    ],
)
def test_a_class_without_groups_says_why(count: int, photos: int, total: int, text: str) -> None:
    assert gallery._remark(parts.clusters(torch.ones(count, 3)), photos, total, min(total, 6)) == text


def test_nothing_to_show_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match="folder with results"):
        runs.Gallery("birds")
