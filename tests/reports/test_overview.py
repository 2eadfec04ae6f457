"""Pictures: colours with known answers, what an overview shows, and files that are whole or not there."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from sdfido import Explanation, MapInfo, reports
from sdfido.explanation import SSR_AND_SDR


def explanation(height: int = 24, width: int = 24, count: int = 1) -> Explanation:
    generator = torch.Generator().manual_seed(0)
    ssr, sdr = torch.rand(2, count, height, width, generator=generator)
    kept = torch.zeros(2, 4, 4, dtype=torch.bool)
    kept[0, 0], kept[1, :, 1:], kept[1, 2:] = True, True, True
    probs = {"image": 0.386, "infill": 0.00012, "ssr": 0.912, "sdr": 0.034, "ssr_binary": 0.871, "sdr_binary": 0.052}
    return Explanation(
        "fido",
        {"ssr": ssr, "sdr": sdr},
        {f"prob_{name}": torch.full((count,), value) for name, value in probs.items()}
        | {"agreement_ssr": torch.full((count,), 0.62)},
        torch.full((count,), 282),
        {"mask_logits": torch.zeros(count, 2, 4, 4), "kept_cells": kept.expand(count, -1, -1, -1)},
        legend=SSR_AND_SDR,
    )


def pixels(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def texts(figure: Figure) -> str:
    found = [t.get_text() for t in figure.texts]
    for axes in figure.axes:
        found += [t.get_text() for t in axes.texts]
    return "\n".join(found)


def test_heatmap_is_grey_at_0_and_bright_at_1() -> None:
    photo = pixels(3, 5, 6)
    nothing = reports.heatmap(torch.zeros(5, 6), photo)
    assert nothing.shape == (5, 6, 3)
    luma = (photo * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).numpy()
    np.testing.assert_allclose(nothing, np.repeat(0.12 + 0.45 * luma[..., None], 3, axis=2), atol=1e-6)
    everything = reports.heatmap(torch.ones(5, 6), photo)
    assert (everything.sum(2) > nothing.sum(2)).all()
    assert 0 <= everything.min() <= everything.max() <= 1


def test_heatmap_of_more_is_nearer_to_its_colour() -> None:
    scale = np.linspace(0, 1, 50)[None]
    picture = reports.heatmap(scale, np.full((3, 1, 50), 0.2))[0]
    assert (np.diff(picture[:, 0]) > -1e-3).all()  # red rises
    assert len(np.unique(picture.round(3), axis=0)) == 50


def test_heatmap_takes_one_channel_and_arrays() -> None:
    grey, values = pixels(1, 4, 4), pixels(4, 4)
    np.testing.assert_array_equal(
        reports.heatmap(values, grey), reports.heatmap(values.numpy(), grey.expand(3, -1, -1).numpy())
    )


@pytest.mark.parametrize(
    ("importance", "shape", "says"),
    [
        (torch.zeros(4, 5), (3, 4, 4), r"importance must be \[H, W\] like the pixels \(4, 4\), got shape \(4, 5\)"),
        (torch.full((4, 4), 1.5), (3, 4, 4), r"importance must be in 0\.\.1 everywhere, got 1\.5"),
        (torch.full((4, 4), torch.nan), (3, 4, 4), r"importance must be in 0\.\.1 everywhere"),
        (torch.zeros(4, 4), (2, 4, 4), r"pixels must be \[C, H, W\] with 1 or 3 channels, got shape \(2, 4, 4\)"),
        (torch.zeros(4, 4), (4, 4), r"pixels must be \[C, H, W\]"),
    ],
)
def test_heatmap_says_what_is_wrong(importance: torch.Tensor, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reports.heatmap(importance, torch.zeros(shape))


def test_overview_names_and_shows_everything() -> None:
    shown, photo, infill = explanation(), pixels(1, 3, 24, 24), torch.full((1, 3, 1, 1), 0.5)
    figure = reports.overview(shown, photo, infill, label="tiger cat")
    text = texts(figure)
    for part in (
        "Why “tiger cat”?",
        "Photo\ntiger cat  38.6%",
        "Infill alone\ntiger cat  < 0.1%",
        "SSR: smallest sufficient",
        "SDR: smallest destroying",
        "Joint",
        "SSR: 25% of the photo kept\ntiger cat  87.1%",
        "SSR: 25% kept\n87.1%",
        "SDR: 12% gone\n5.2%",
        "SDR: 12% of the photo gone\ntiger cat  5.2%",
        "SSR: 25% of the photo alone says 87.1%, the whole photo 38.6%. Repeats overlap by 62%.",
        "SDR: without 12% of",
    ):
        assert part in text
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    ssr, sdr = shown.composites(photo, infill)
    for tensor in (photo, infill.expand(1, 3, 24, 24), ssr, sdr):
        expected = tensor[0].permute(1, 2, 0).numpy()
        assert any(p.shape == expected.shape and np.allclose(p, expected, atol=1e-6) for p in pictures)
    for importance in (shown.ssr, shown.sdr, shown.joint):
        expected = reports.heatmap(importance[0], photo[0])
        assert any(p.shape == expected.shape and np.allclose(p, expected) for p in pictures)


def test_overview_of_one_image_of_several() -> None:
    shown, photo = explanation(count=3), pixels(3, 3, 24, 24)
    figure = reports.overview(shown, photo, torch.zeros(3, 1, 1), index=2, title="A title")
    assert "A title" in texts(figure)
    assert "class 282" in texts(figure)
    assert any(np.allclose(a.images[0].get_array(), photo[2].permute(1, 2, 0)) for a in figure.axes[:1])


def test_long_names_are_cut() -> None:
    name = "a name that no picture has the room for"
    text = texts(reports.overview(explanation(), pixels(1, 3, 24, 24), torch.zeros(1), label=name, title="t"))
    assert "a name that no pictur…  38.6%" in text
    assert name not in text


@pytest.mark.parametrize("size", [(24, 24), (20, 40), (40, 20)])
@pytest.mark.parametrize("of", ["fido", "one map"])
def test_pictures_keep_their_proportions_and_nothing_overlaps(size: tuple[int, int], of: str) -> None:
    shown = explanation(*size) if of == "fido" else one_map(*size)
    figure = reports.overview(shown, pixels(1, 3, *size), torch.zeros(1))
    width, height = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    for axes, box in zip(figure.axes, boxes, strict=True):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 0.95
        if axes.images and np.asarray(axes.images[0].get_array()).shape[:2] == size:
            assert box.height * height / (box.width * width) == pytest.approx(size[0] / size[1])
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])


@pytest.mark.parametrize("size", [(24, 24), (20, 40), (40, 20)])
def test_the_bars_texts_do_not_overlap(size: tuple[int, int]) -> None:
    figure = reports.overview(explanation(*size), pixels(1, 3, *size), torch.zeros(1))
    panel = figure.axes[-1]
    boxes = [text.get_window_extent() for text in panel.texts if text.get_text()]
    assert len(boxes) == 10  # two for each of four bars, title and subtitle
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])
    assert [round(bar.get_width(), 3) for bar in panel.patches[1::2]] == [0.386, 0.0, 0.871, 0.052]


@pytest.mark.parametrize(
    ("index", "shape", "says"),
    [
        (1, (1, 3, 24, 24), r"index must be one of the explanation's 1 images, 0\.\.0, got 1"),
        (-1, (1, 3, 24, 24), "got -1"),
        (0, (3, 24, 24), r"pixels must be \[N, C, H, W\] like the explanation's maps \(1, 24, 24\), got shape"),
        (0, (1, 3, 24, 25), "pixels must be"),
        (0, (2, 3, 24, 24), "pixels must be"),
    ],
)
def test_overview_says_what_is_wrong(index: int, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reports.overview(explanation(), pixels(*shape), torch.zeros(1), index=index)


def test_saving_leaves_the_picture_only(tmp_path: Path) -> None:
    path = tmp_path / "overview.png"
    path.write_text("what was there before")
    reports.save(reports.overview(explanation(), pixels(1, 3, 24, 24), torch.zeros(1)), path)
    assert [p.name for p in tmp_path.iterdir()] == ["overview.png"]
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 1200 <= picture.width <= 2000
        assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask(tmp_path)


def current_umask(folder: Path) -> int:
    probe = folder / "probe"
    probe.touch()
    return 0o666 & ~probe.stat().st_mode


def test_a_failed_save_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "overview.png"
    path.write_text("what was there before")

    def fail(self: Figure, part: Path, **settings: object) -> None:
        part.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        reports.save(Figure(), path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("overview.png", "what was there before")]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sdfido.reports")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'matplotlib; .* pip install "sdfido\[plot\]"'):
        __import__("sdfido.reports")


def one_map(height: int = 24, width: int = 24) -> Explanation:
    """Of a method with one map and no masks, which says nothing of them."""
    maps = {"importance": torch.rand(1, height, width, generator=torch.Generator().manual_seed(2))}
    scores = {"prob_image": torch.tensor([0.5]), "prob_infill": torch.tensor([0.25])}
    return Explanation("toy", maps, scores, torch.tensor([7]))


def test_a_method_with_one_map() -> None:
    shown, photo = one_map(), pixels(1, 3, 24, 24)
    figure = reports.overview(shown, photo, torch.zeros(1))
    text = texts(figure)
    for part in ("Why “class 7”?", "Photo\nclass 7  50.0%", "importance", "Infill alone\nclass 7  25.0%"):
        assert part in text
    assert "composite" not in text
    assert "photo\n50.0%\ninfill\n25.0%" in text
    expected = reports.heatmap(shown["importance"][0], photo[0])
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert any(p.shape == expected.shape and np.allclose(p, expected) for p in pictures)


def test_a_region_that_was_not_found_is_told_but_not_drawn() -> None:
    maps = {"region_1": torch.rand(1, 8, 8), "region_2": torch.zeros(1, 8, 8)}
    kept = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    kept[0, 0, 0] = True
    probs = {"image": 0.9, "infill": 0.1, "region_1_binary": 0.85, "region_2_binary": 0.1}
    shown = Explanation(
        "regions",
        maps,
        {f"prob_{name}": torch.tensor([value]) for name, value in probs.items()},
        torch.tensor([0]),
        {"masks": kept.float(), "kept_cells": kept},
        legend={f"region_{k}": MapInfo(f"Region {k}", "enough on its own", "keep") for k in (1, 2)},
    )
    assert shown.missing == [("region_2",)]
    figure = reports.overview(shown, pixels(1, 3, 8, 8), torch.zeros(1, 3, 1, 1))
    text = texts(figure)
    assert text.count("Region 1") == 4
    assert "Region 1: 25% of the photo alone says 85.0%" in text
    assert text.count("Region 2") == 1
    assert "Region 2: not found; no further small region suffices." in text
    assert sum(bool(axes.images) for axes in figure.axes) == 2 + 2 + 1  # photo and infill, region 1 twice, the scale
    enough = replace(shown, scores=shown.scores | {"prob_infill": torch.tensor([0.82])})
    assert enough.missing == [()]  # nothing need be kept


@pytest.mark.parametrize("role", ["keep", "remove"])
def test_a_region_of_another_method(role: str) -> None:
    maps, masks = torch.rand(2, 1, 24, 24).unbind()
    scores = {
        "prob_image": torch.tensor([0.5]),
        "prob_infill": torch.tensor([0.25]),
        "prob_mask_binary": torch.tensor([0.75]),
    }
    legend = {"mask": MapInfo("Mask: what counts", "one for all", role)}  # type: ignore[arg-type]
    shown = Explanation("other", {"mask": maps}, scores, torch.tensor([7]), {"masks": masks[None]}, legend=legend)
    text = texts(reports.overview(shown, pixels(1, 3, 24, 24), torch.zeros(1), label="cat"))
    part = float((masks > 0.5).float().mean())
    part, does = (part, "kept") if role == "keep" else (1 - part, "gone")
    assert f"Mask: {part:.0%} of the photo {does}\ncat  75.0%" in text
    assert "Mask: what counts\none for all" in text
    assert f"Mask: {part:.0%} {does}\n75.0%" in text


def test_pictures_are_drawn_of_what_is_given() -> None:
    photo, values = pixels(3, 24, 24), torch.rand(24, 24)
    top = [reports.Panel(photo, "A photo", "of mine"), reports.Panel(values, "A map")]
    figure = reports.draw(top, [], [reports.Bar("bar", 0.5)], label="cat", title="T")
    assert {"A photo", "of mine", "A map", "T", "bar", "50.0%"} <= set(texts(figure).split("\n"))
