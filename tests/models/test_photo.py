"""Photos: reading them, and what of them the network is fed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdfido import models
from sdfido.models import Normalization
from tests.models.support import classifier


def ramp(width: int, height: int) -> Image.Image:
    """Red rises from left to right, green from top to bottom, both 0 to 250; blue is 100."""
    pixels = np.full((height, width, 3), 100, dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width).round()[None, :]
    pixels[..., 1] = np.linspace(0, 250, height).round()[:, None]
    return Image.fromarray(pixels)


def test_a_photo_of_the_right_size_is_taken_as_it_is() -> None:
    result = classifier(size=(6, 9)).preprocess(ramp(9, 6))
    assert (result.shape, result.dtype) == ((3, 6, 9), torch.float32)
    expected = torch.from_numpy(np.array(ramp(9, 6))).permute(2, 0, 1) / 255
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("size", [(80, 40), (40, 80), (40, 40), (200, 41), (130, 120)])
def test_the_centre_is_seen(size: tuple[int, int]) -> None:
    """The seen part is a centred square with the shorter side's length; its ramp covers that part of the full one."""
    result = classifier(size=(40, 40)).preprocess(ramp(*size))
    middle = result[:, 19:21, 19:21].mean((1, 2)) * 255
    torch.testing.assert_close(middle, torch.tensor([125.0, 125.0, 100.0]), rtol=0, atol=3.1)  # half a pixel
    for channel, length in ((0, size[0]), (1, size[1])):
        line = result[channel].mean(0 if channel == 0 else 1) * 255
        seen = 250 * min(size) / length
        assert (line[-1] - line[0]).item() == pytest.approx(seen, rel=0.06, abs=3)
        assert (line.diff() >= -0.1).all()


def test_crop_shows_the_middle() -> None:
    whole, half = (classifier(size=(40, 40), crop=c).preprocess(ramp(80, 80))[0].mean(0) for c in (1.0, 0.5))
    assert (whole[-1] - whole[0]).item() * 255 == pytest.approx(250, abs=5)
    assert (half[-1] - half[0]).item() * 255 == pytest.approx(125, abs=5)
    assert half.mean().item() == pytest.approx(whole.mean().item(), abs=0.01)


def resized_whole(photo: Image.Image, size: int, crop: float, interpolation: str) -> torch.Tensor:
    """What `preprocess` means: the whole photo resized to cover size / crop, and its middle cut out."""
    scale = size / crop / min(photo.size)
    width, height = (round(length * scale) for length in photo.size)
    whole = photo.resize((width, height), Image.Resampling[interpolation.upper()])
    left, top = (width - size) // 2, (height - size) // 2
    pixels = np.array(whole.crop((left, top, left + size, top + size)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (224, 1.0), (96, 0.9), (400, 0.95)])
def test_the_cat_is_what_resizing_the_whole_photo_gives(interpolation: str, size: int, crop: float) -> None:
    photo = models.demo_photo("cat")
    result = classifier(size=(size, size), crop=crop, interpolation=interpolation).preprocess(photo)
    expected = resized_whole(photo, size, crop, interpolation)
    torch.testing.assert_close(result, expected, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize("shape", [(20000, 1), (1, 20000)])
def test_memory_does_not_grow_with_the_photos_proportions(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    original = Image.Image.resize

    def record(self: Image.Image, size: tuple[int, int], *arguments, **settings) -> Image.Image:
        made.append(size[0] * size[1])
        assert made[-1] <= 224 * 224
        return original(self, size, *arguments, **settings)

    monkeypatch.setattr(Image.Image, "resize", record)
    result = classifier(size=(224, 224)).preprocess(Image.new("RGB", shape, (51, 0, 255)))
    torch.testing.assert_close(result[:, 100, 100], torch.tensor([0.2, 0.0, 1.0]))
    assert made == [224 * 224]


def test_normalization_is_applied_per_channel() -> None:
    photo = Image.new("RGB", (8, 8), (255, 0, 51))
    result = classifier(normalization=Normalization((0.5, 0.25, 0.1), (0.5, 0.25, 0.2))).preprocess(photo)
    torch.testing.assert_close(result[:, 3, 3], torch.tensor([1.0, -1.0, 0.5]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    """The same upright photo, however the camera was held: Pillow's inverse operation makes what it stored."""
    upright = ramp(30, 20)
    store = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(store[orientation]) if orientation in store else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    stored.save(path, exif=exif, quality=100, subsampling=0)
    result = classifier(size=(20, 20)).preprocess(models.read_photo(path))
    torch.testing.assert_close(result, classifier(size=(20, 20)).preprocess(upright), rtol=0, atol=6 / 255)


def test_modes_become_rgb() -> None:
    grey = Image.fromarray(np.full((8, 8), 51, dtype=np.uint8))
    deep = Image.fromarray(np.full((8, 8), 51 * 257, dtype=np.uint16))
    assert deep.mode == "I;16"
    palette = Image.new("RGB", (8, 8), (51, 51, 51)).convert("P", palette=Image.Palette.ADAPTIVE)
    opaque = Image.new("RGBA", (8, 8), (51, 51, 51, 255))
    for photo in (grey, deep, palette, opaque, grey.convert("LA"), grey.convert("CMYK")):
        torch.testing.assert_close(classifier().preprocess(photo), torch.full((3, 8, 8), 0.2), rtol=0, atol=0.005)
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    torch.testing.assert_close(classifier().preprocess(clear), torch.ones(3, 8, 8))
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    torch.testing.assert_close(classifier().preprocess(half)[:, 0, 0], torch.tensor([1.0, 0.5, 0.5]), rtol=0, atol=0.01)
    with pytest.raises(ValueError, match="photo must have 8 or 16 bits per channel, got mode 'F'"):
        classifier().preprocess(Image.new("F", (8, 8)))


def test_photos_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r'the demo photo needs .*: pip install "sdfido\[demo\]"'):
        models.demo_photo()


def test_unreadable_photos(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a photo")
    with pytest.raises(ValueError, match=r"photo '.*text\.jpg' is not an image that Pillow can read"):
        models.read_photo(text)
    with pytest.raises(ValueError, match=r"photo '.*none\.jpg' cannot be read: No such file or directory"):
        models.read_photo(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match=r"photo '.*' cannot be read: Is a directory"):
        models.read_photo(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("cut.png", "cut.jpg"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"photo '.*{name}' cannot be read: .*truncated"):
            models.read_photo(path)
