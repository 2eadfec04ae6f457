"""Exports are read back by the libraries that they are for, and lie on the right pixels of the photos."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors import safe_open

from sdfido import Explanation, exports, reports
from sdfido.exports.coco import run_lengths
from sdfido.models import Window
from sdfido.models.photo import fit
from tests.cli.support import draw, explain, prepare, run


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an upright photo, and of one that its Exif orientation turns, beside the photos."""
    place = tmp_path_factory.mktemp("explained")
    draw(place / "birds/a.b.png", (250, 20, 20))
    draw(place / "turned.png", (20, 20, 250))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(place / "turned.png").save(place / "birds/c.jpg", exif=exif, quality=95)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
        for _ in prepare(place, patch):
            result = explain("birds", "--infill", "zeros", "--out", "results")
            assert result.exit_code == 0, result.output
    return place


@pytest.fixture(autouse=True)
def folder(explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of these."""
    for name in ("birds", "results"):
        shutil.copytree(explained / name, tmp_path / name)
    yield from prepare(tmp_path, monkeypatch)


SIZES = {"a.b": (20, 30), "c": (30, 20)}  # height and width, upright


def explanation(key: str) -> Explanation:
    return Explanation.load(Path("results", key, "explanation.npz"))


def expected(key: str, name: str, region: bool = False) -> np.ndarray:
    """The model saw the middle square of 20 x 20 pixels as 16 x 16; bilinear, by PyTorch, and 0 around."""
    found = explanation(key)
    values = found[name]
    if region:
        values = found.binary_masks[:, found.regions.index(name)]
        values = 1 - values if found.legend[name].role == "remove" else values
    square = torch.nn.functional.interpolate(values[None], (20, 20), mode="bilinear")[0, 0].numpy()
    whole = np.zeros(SIZES[key], dtype=np.float32)
    whole[(slice(None), slice(5, 25)) if SIZES[key] == (20, 30) else (slice(5, 25), slice(None))] = square
    return whole > 0.5 if region else whole


def write(format: str, *options: str) -> None:
    result = run("export", "results", "--format", format, "--out", "exported", *options)
    assert result.exit_code == 0, result.output


def test_png_has_16_bits_of_the_map_at_the_photos_pixels() -> None:
    write("png")
    for key in SIZES:
        for name in explanation(key).maps:
            image = Image.open(f"exported/{key}.{name}.png")
            assert image.mode == "I;16"
            np.testing.assert_allclose(np.asarray(image) / 65535, expected(key, name), atol=1e-4)
    said = json.loads(Path("exported/export.json").read_text())
    assert (said["format"], said["photos"]) == ("png", 2)


def test_coco_masks_are_those_that_pycocotools_decodes() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    write("coco")
    data = coco.COCO("exported/annotations.json")
    images = {image["key"]: image for image in data.loadImgs(data.getImgIds())}
    assert {key: (image["height"], image["width"]) for key, image in images.items()} == SIZES
    seen = 0
    for key, image in images.items():
        found = explanation(key)
        for each in data.loadAnns(data.getAnnIds(image["id"])):
            name = each["region"]
            mask = data.annToMask(each).astype(bool)
            np.testing.assert_array_equal(mask, expected(key, name, region=True))
            assert each["area"] == mask.sum()
            said, whole = (float(found.scores[s][0]) for s in (f"prob_{name}_binary", "prob_image"))
            assert each["score"] == pytest.approx(said if each["role"] == "keep" else whole - said)
            label = json.loads(Path("results", key, "summary.json").read_text())["label"]
            assert data.loadCats(each["category_id"])[0]["name"] == label
            seen += 1
    assert seen >= 2


@pytest.mark.parametrize("kind", ["random", "zeros", "ones"])
def test_run_lengths_are_those_of_pycocotools(kind: str) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    values = {"zeros": np.zeros((7, 5)), "ones": np.ones((7, 5)), "random": np.random.default_rng(0).random((7, 5))}
    inside = values[kind] > 0.5
    np.testing.assert_array_equal(mask.decode(mask.frPyObjects(run_lengths(inside), 7, 5)).astype(bool), inside)


def test_fiftyone_samples_have_the_documented_fields() -> None:
    write("fiftyone", "--map", "ssr")
    samples = json.loads(Path("exported/samples.json").read_text())["samples"]
    assert [Path("exported", each["filepath"]).resolve().name for each in samples] == ["a.b.png", "c.jpg"]
    for key, sample in zip(SIZES, samples, strict=True):
        assert Path("exported", sample["filepath"]).is_file()
        assert sample["sdfido_ssr"]["_cls"] == "Heatmap"
        assert "sdfido_sdr" not in sample
        drawn = np.asarray(Image.open(Path("exported", sample["sdfido_ssr"]["map_path"])))
        assert drawn.dtype == np.uint8
        np.testing.assert_allclose(drawn / 255, expected(key, "ssr"), atol=0.5 / 255 + 1e-4)
        for each in sample["sdfido_regions"]["detections"]:
            whole = np.zeros(SIZES[key], dtype=bool)
            x, y, w, h = each["bounding_box"]
            height, width = SIZES[key]
            left, top = round(x * width), round(y * height)
            mask = np.asarray(Image.open(Path("exported", each["mask_path"]))) > 0
            assert mask.shape == (round(h * height), round(w * width))
            whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
            np.testing.assert_array_equal(whole, expected(key, "ssr", region=True))


def test_safetensors_have_maps_cells_and_settings() -> None:
    write("safetensors")
    for key in SIZES:
        found = explanation(key)
        with safe_open(f"exported/{key}.safetensors", "pt") as file:
            about = json.loads(file.metadata()["sdfido"])
            assert about["settings"]["steps"] == 3
            assert Window.read(about["geometry"]).photo == SIZES[key]
            cells = [name for name in file.keys() if name.startswith("cells/")]  # noqa: SIM118 - no dict
            for name in found.maps:
                assert torch.equal(file.get_tensor(f"maps/{name}"), found[name][0])
            assert all(file.get_tensor(name).shape == (4, 4) for name in cells)


def test_webdataset_reads_the_shards() -> None:
    webdataset = pytest.importorskip("webdataset")
    write("webdataset")
    samples = list(webdataset.WebDataset("exported/sdfido-000000.tar", shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["a_b", "c"]
    assert samples[0]["png"] == Path("birds/a.b.png").read_bytes()
    for key, sample in zip(SIZES, samples, strict=True):
        photo = Image.open(io.BytesIO(sample["png"]))  # that of c is stored upright
        assert photo.size == SIZES[key][::-1]
        values = np.asarray(Image.open(io.BytesIO(sample["ssr.png"]))) / 65535
        np.testing.assert_allclose(values, expected(key, "ssr"), atol=1e-4)
        assert json.loads(sample["json"])["geometry"]["photo"] == list(SIZES[key])


def test_an_export_is_replaced_only_if_that_is_said_and_other_folders_never() -> None:
    write("coco")
    result = run("export", "results", "--format", "png", "--out", "exported")
    assert result.exit_code == 2
    assert "--again replaces it" in result.output
    write("png", "--again")
    assert not Path("exported/annotations.json").exists()
    result = run("export", "results", "--format", "png", "--out", "results", "--again")
    assert result.exit_code == 2
    assert "which has files" in result.output
    assert not list(Path().glob(".*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "tiff"}, "format must be one of 'coco'"),
        ({"maps": ["sdr", "heat"]}, "maps must be some of ssr"),
        ({"results": "birds"}, "folder with results"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_written(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exports.Export(**{"results": "results", "format": "png", "out": "exported"} | arguments)
    assert not Path("exported").exists()


def test_a_photo_that_cannot_be_exported_does_not_stop_the_others() -> None:
    Path("birds/c.jpg").unlink()
    result = run("export", "results", "--format", "webdataset", "--out", "exported")
    assert result.exit_code == 1
    assert "is not where it was" in result.output
    assert json.loads(Path("exported/export.json").read_text())["photos"] == 1
    write("png", "--again")  # needs no photos


def test_results_without_geometry_get_it_from_their_model() -> None:
    for key in SIZES:
        path = Path("results", key, "summary.json")
        about = json.loads(path.read_text())
        del about["geometry"]
        path.write_text(json.dumps(about))
    write("png")
    image = np.asarray(Image.open("exported/c.ssr.png"))
    np.testing.assert_allclose(image / 65535, expected("c", "ssr"), atol=1e-4)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("photo", [(60, 90), (90, 60), (50, 50)])
def test_what_a_window_puts_back_lies_where_it_was_seen(mode: str, photo: tuple[int, int]) -> None:
    """The classifier's own preprocessing of two ramps, put back, gives the photo's ramps again."""
    height, width = photo
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(20, 250, width).round()[None]
    pixels[..., 1] = np.linspace(20, 250, height).round()[:, None]
    size, crop = (40, 48), 0.8
    seen = fit(Image.fromarray(pixels), size, crop, "bilinear", mode)
    window = Window.of(photo, size, crop, mode)
    assert Window.read(json.loads(json.dumps(window.described()))) == window
    inside = window.onto_photo(np.ones(size, dtype=np.float32)) > 0
    assert inside.any()
    for channel in (0, 1):
        back = window.onto_photo(seen[..., channel])
        assert np.all(back[~inside] == 0)
        assert np.abs(back - pixels[..., channel] / np.float32(255))[inside].max() < 0.035  # a pixel is 0.018 at most
