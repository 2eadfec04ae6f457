"""Reading photos, and resizing and cropping them to what a network sees."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_kind, check_path
from . import packages
from .limits import MAX_PIXELS, check_file, most_pixels
from .window import Window

if TYPE_CHECKING:
    from PIL import Image

INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "box", "hamming", "nearest")
CROP_MODES = ("center", "squash", "border")
_ORIENTATION = 0x0112  # the Exif tag
_DETAILS, _TAKEN = 0x8769, 0x9003  # the Exif directory with the camera's settings, and its tag DateTimeOriginal
_TURNS = {  # how a stored photo becomes upright, by the Exif orientation
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read_photo(path: str | os.PathLike[str]) -> Image.Image:
    """Read and decode a photo; of an animation, its first picture.

    A photo may have 178,956,970 pixels, as many as Pillow reads, or what the environment variable ``SDFIDO_MAX_PIXELS``
    says: a few kilobytes can claim more than there is memory for. The size is checked before the photo is decoded. Its
    file may have 4 GiB, or what ``SDFIDO_MAX_BYTES`` says.

    Raises:
        ValueError: the file is missing, Pillow cannot read it, or it has too many pixels or bytes; the message names
            the file.
        ImportError: Pillow is not installed.
    """
    pil: Any = packages.require("PIL.Image", "reading photos", packages.FOR_PHOTOS)
    path = check_path("photo", path)
    shown, most = f"photo {os.fspath(path)!r}", most_pixels()
    if pil.MAX_IMAGE_PIXELS is not None and os.environ.get(MAX_PIXELS) and most > pil.MAX_IMAGE_PIXELS:
        pil.MAX_IMAGE_PIXELS = most  # beyond, Pillow warns, and beyond twice that it refuses
    try:
        check_file(path)
        with pil.open(path) as opened:
            if opened.width * opened.height > most:
                raise pil.DecompressionBombError(f"{opened.width * opened.height} pixels")
            opened.load()
            photo: Image.Image = opened
    except pil.DecompressionBombError as error:
        claimed = re.search(r"\d+(?= pixels)", str(error))
        count = f"{int(claimed[0]):,}" if claimed else "too many"
        raise ValueError(
            f"{shown} has {count} pixels, and {most:,} are allowed; the environment variable {MAX_PIXELS} allows more"
        ) from error
    except pil.UnidentifiedImageError:
        raise ValueError(f"{shown} is not an image that Pillow can read") from None
    except MemoryError as error:
        raise ValueError(f"{shown} cannot be read: there is too little memory for it") from error
    except Exception as error:  # what a damaged file makes Pillow's plugins raise is no closed list
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{shown} cannot be read: {str(reason) or type(error).__name__}") from error
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
    rounding: str = "nearest",
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
        rounding: of sizes, as ``Classifier`` takes it.

    Raises:
        ValueError: the photo's pixels have no defined range.
    """
    image = upright_rgb(photo)
    window = Window.of((image.height, image.width), size, crop, crop_mode, rounding)
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


def orientation(photo: Image.Image) -> int:
    """How a photo is stored, 1..8 as Exif counts; 1, upright, where it does not say it or its Exif data are damaged."""
    try:
        found = photo.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever parsing them runs into
        return 1
    return found if isinstance(found, int) and (found == 1 or found in _TURNS) else 1


def taken(photo: Image.Image) -> datetime | None:
    """When a photo was taken, by the camera's clock; None where Exif data do not say it, or are damaged."""
    try:
        return datetime.strptime(photo.getexif().get_ifd(_DETAILS)[_TAKEN].strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # whatever parsing them runs into
        return None


def turned(photo: Image.Image, stored: int) -> Image.Image:
    """A photo that is stored in this orientation, upright."""
    if stored not in _TURNS:
        return photo
    pil = packages.require("PIL.Image", "photos", packages.FOR_PHOTOS)
    upright: Image.Image = photo.transpose(pil.Transpose[_TURNS[stored]])
    return upright


def _check_photo(photo: Any) -> None:
    kind = packages.require("PIL.Image", "photos", packages.FOR_PHOTOS).Image
    check_kind("photo", photo, kind, "a photo, as models.read_photo returns it")


def upright_size(photo: Image.Image) -> tuple[int, int]:
    """Height and width of the photo once it is turned as its Exif orientation says."""
    _check_photo(photo)
    return photo.size if orientation(photo) in (5, 6, 7, 8) else photo.size[::-1]


def upright_rgb(photo: Image.Image) -> Image.Image:
    """The photo turned as its Exif orientation says, in 8-bit RGB, transparent pixels white.

    Raises:
        ValueError: the photo's pixels have no defined range, or cannot be converted.
    """
    _check_photo(photo)
    pil = packages.require("PIL.Image", "photos", packages.FOR_PHOTOS)
    image = turned(photo, orientation(photo))
    if image.mode.startswith("I;16"):
        image = pil.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"photo must have 8 or 16 bits per channel, got mode {image.mode!r}, whose range is undefined")
    try:
        if image.has_transparency_data:
            white = pil.new("RGBA", image.size, "white")
            image = pil.alpha_composite(white, image.convert("RGBA"))
        return image.convert("RGB")
    except Exception as error:  # such as a damaged palette
        raise ValueError(f"photo must be convertible to RGB, got mode {image.mode!r}: {error}") from error
