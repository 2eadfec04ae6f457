"""Reading photos, and resizing and cropping them to what a network sees."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_path
from . import packages
from .window import Window

if TYPE_CHECKING:
    from PIL import Image

INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "box", "hamming", "nearest")
_ORIENTATION = 0x0112  # the Exif tag
CROP_MODES = ("center", "squash", "border")


def read_photo(path: str | os.PathLike[str]) -> Image.Image:
    """Read and decode a photo.

    Raises:
        ValueError: the file is missing, or Pillow cannot read it; the message names the file.
        ImportError: Pillow is not installed.
    """
    pil = packages.require("PIL.Image", "reading photos", packages.FOR_PHOTOS)
    path = check_path("photo", path)
    try:
        with pil.open(path) as opened:
            opened.load()
            photo: Image.Image = opened
    except pil.UnidentifiedImageError:
        raise ValueError(f"photo {os.fspath(path)!r} is not an image that Pillow can read") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, pil.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"photo {os.fspath(path)!r} cannot be read: {reason}") from error
    return photo


_DEMO = {"coffee": "coffee", "cat": "chelsea"}  # photos by what scikit-image calls them


def demo_photo(name: str = "coffee") -> Image.Image:
    """A photo from scikit-image: a cup of coffee, which the demo explains, or Chelsea the cat, a hard case.

    Args:
        name: "coffee", 600 x 400 pixels, or "cat", 451 x 300 pixels.

    Raises:
        ValueError: there is no such photo.
        ImportError: scikit-image is not installed.
    """
    check_choice("name", name, list(_DEMO))
    data = packages.require("skimage.data", "the demo photo", packages.FOR_DEMO)
    image = packages.require("PIL.Image", "the demo photo", packages.FOR_DEMO)
    photo: Image.Image = image.fromarray(getattr(data, _DEMO[name])())
    return photo


def fit(
    photo: Image.Image,
    size: tuple[int, int],
    crop: float,
    interpolation: str,
    crop_mode: str = "center",
    border: tuple[float, ...] = (0.0,),
) -> NDArray[np.float32]:
    """The middle of a photo as pixels [H, W, 3] in 0..1.

    The photo is turned upright, resized, and cropped to the centre. Transparent pixels become white. Resized, the photo

    * ``center``: covers ``size / crop``;
    * ``squash``: has the size ``size / crop``, whatever its proportions were;
    * ``border``: fits into ``size / crop``, with a border around it where it does not fill ``size``.

    Args:
        photo: any photo with 8 or 16 bits per channel.
        size: (H, W) in pixels.
        crop: part of the resized photo, per axis, that is kept, in (0, 1].
        interpolation: one of ``INTERPOLATIONS``.
        crop_mode: one of ``CROP_MODES``.
        border: colour of the border, one value in 0..1 for each channel or for all.

    Raises:
        ValueError: the photo's pixels have no defined range.
    """
    image = upright_rgb(photo)
    window = Window.of((image.height, image.width), size, crop, crop_mode)
    top, left, bottom, right = window.box
    y, x, height, width = *window.inside[:2], window.inside[2] - window.inside[0], window.inside[3] - window.inside[1]
    resampling = packages.require("PIL.Image", "photos", packages.FOR_PHOTOS).Resampling
    image = image.resize((width, height), resampling[interpolation.upper()], box=(left, top, right, bottom))
    pixels: NDArray[np.float32] = np.array(image, dtype=np.float32) / np.float32(255)
    if (height, width) == size:
        return pixels
    framed = np.empty((*size, 3), dtype=np.float32)
    framed[:] = border
    framed[y : y + height, x : x + width] = pixels
    return framed


def upright_size(photo: Image.Image) -> tuple[int, int]:
    """Height and width of the photo once it is turned as its Exif orientation says."""
    turned = photo.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return photo.size if turned else photo.size[::-1]


def upright_rgb(photo: Image.Image) -> Image.Image:
    """The photo turned as its Exif orientation says, in 8-bit RGB, transparent pixels white.

    Raises:
        ValueError: the photo's pixels have no defined range.
    """
    ops = packages.require("PIL.ImageOps", "photos", packages.FOR_PHOTOS)
    pil = packages.require("PIL.Image", "photos", packages.FOR_PHOTOS)
    image: Image.Image = ops.exif_transpose(photo)
    if image.mode.startswith("I;16"):
        image = pil.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"photo must have 8 or 16 bits per channel, got mode {image.mode!r}, whose range is undefined")
    if image.has_transparency_data:
        white = pil.new("RGBA", image.size, "white")
        image = pil.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
