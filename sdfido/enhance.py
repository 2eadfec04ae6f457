"""Enhanced predictions: classify again, enlarged, what an explanation found important, and average both."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from . import infills
from .checks import (
    check_choice,
    check_count,
    check_flag,
    check_images,
    check_list,
    check_number,
    check_streams,
    check_tensor,
    describe,
)
from .execution import Execution
from .explanation import Explanation
from .models.adapters import normalization_of
from .normalization import Normalization
from .ops import functional
from .scores import ClassScore, Model, eval_mode

__all__ = ["Enhancement", "enhance"]


@dataclass(frozen=True, eq=False)
class Enhancement:
    """First and second predictions of N images, and what the second was made of."""

    boxes: Tensor  #: what was cropped [N, 4], int64: y0, x0, y1, x1 in pixels of the originals, the ends excluded
    found: Tensor  #: whether anything was above the threshold [N], bool; where not, the crop is the whole image
    crops: Tensor  #: what the model was fed the second time [N, C, h, w]
    logits_image: Tensor  #: of the images [N, classes]
    logits_crop: Tensor  #: of the crops [N, classes]
    weight: float  #: of the crops' probabilities in the average, 0..1

    @property
    def probabilities(self) -> Tensor:
        """``(1 - weight) * softmax(logits_image) + weight * softmax(logits_crop)``: [N, classes], 0..1."""
        return torch.lerp(self.logits_image.softmax(1), self.logits_crop.softmax(1), self.weight)

    @property
    def predictions(self) -> Tensor:
        """The enhanced predictions: classes of the highest averaged probability [N], int64."""
        return self.probabilities.argmax(1)

    @property
    def predictions_image(self) -> Tensor:
        """What the model says of the images alone [N], int64."""
        return self.logits_image.argmax(1)

    @property
    def predictions_crop(self) -> Tensor:
        """What the model says of the crops alone [N], int64."""
        return self.logits_crop.argmax(1)


def enhance(
    model: Model,
    images: Tensor,
    importance: Explanation | Tensor,
    *,
    originals: Tensor | Sequence[Tensor] | None = None,
    mask: str = "joint",
    blend: Literal["infill", "original"] = "infill",
    infill: str | Tensor | Callable[..., Tensor] = "blur",
    normalization: Normalization | None = None,
    streams: Sequence[int] | None = None,
    threshold: float = 0.5,
    smoothing: float = 3.0,
    padding: int = 10,
    min_size: int = 64,
    square: bool = True,
    size: int | tuple[int, int] | None = None,
    weight: float = 0.5,
    max_batch: int = 64,
) -> Enhancement:
    """Classify images a second time, masked and cropped to what is important, and average both predictions.

    ``region = blur(importance, smoothing) > threshold``; the box around the region is padded, grown to ``min_size`` and
    to a square. ``infill + importance * (image - infill)``, or the image as it is, is cropped to it and resized
    (bicubic, antialiased) for the model.

    No true class is needed: explain the model's own prediction, which is what ``FIDO.explain`` does without
    ``targets``. Targets that are true classes would tell the second prediction what it is to find out.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; a module is put into eval mode meanwhile.
        images: [N, C, H, W], or one image [C, H, W], as the model takes them.
        importance: the images' explanation, or any map of theirs [N, H, W] in 0..1, high where important.
        originals: the images, normalised alike and with the same field of view, in a higher resolution: [N, C, H2, W2],
            or N tensors [C, H2, W2] of sizes of their own. Crops are cut out of these: that brings detail which the
            model has not seen. By default the images themselves.
        mask: name of the explanation's map that is taken; a map that is given as a tensor stands for itself.
        blend: "infill" fades to the infill where importance is low, "original" leaves the pixels as they are.
        infill: as for ``FIDO``; that of the images, enlarged where originals are given. A random one of a seed is
            the explainer's own: ``explainer.infill``.
        normalization: how the images were normalised; infills that are defined by pixel values need it.
        streams: which noise a random infill gives each image, 0, ..., N-1 by default.
        threshold: importance above which a pixel counts, 0..1. Where none does, the whole image is taken, unblended.
        smoothing: standard deviation of the Gaussian that smooths the map for the box, in pixels; 0 for none.
        padding: pixels around the region, as far as there are any.
        min_size: least side of a box in pixels, as far as the image is that large.
        square: whether a box grows to a square, as far as the image is large enough. Boxes stay centred on the region
            unless they would leave the image, and are stretched to ``size``.
        size: height and width of the crops that the model is fed, or one number for both; by default the images'.
        weight: of the crop's probabilities in the average, 0..1; 1 is the crop alone.
        max_batch: images given to the model at once.

    ``smoothing``, ``padding`` and ``min_size`` are in pixels of ``images``, whatever the originals' size.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> explanation = sdfido.FIDO(model).explain(images)
        >>> sdfido.enhance(model, images, explanation).predictions

    Source: Korsch et al., GCPR 2023, arXiv 2307.14825, section 4 (classification with masks); defaults are theirs.
    """
    score = ClassScore(model)
    filler = infills.from_spec(infill, normalization_of(model, normalization))
    _check_settings(blend, threshold, weight, smoothing, padding, min_size, square, max_batch)
    with torch.no_grad(), eval_mode(score):
        images = check_images(images)
        n, _, height, width = images.shape
        fed = _check_size(size, (height, width))
        maps = _check_importance(importance, mask, images)
        sources = _check_originals(originals, images)
        smooth = infills.Blur(smoothing)(maps[:, None])[:, 0] if smoothing else maps
        region = smooth > float(threshold)
        found = region.flatten(1).any(1)
        region[~found] = True
        regular = [_box(part, padding, min_size, square) for part in region.cpu()]
        boxes = [_scaled(box, (height, width), source.shape[-2:]) for box, source in zip(regular, sources, strict=True)]
        crops = images.new_empty(n, images.shape[1], *fed)
        if blend == "infill":
            filled = infills.apply(filler, images.clone(), check_streams(streams, n, images.device).tolist())
        for i, (source, (y0, x0, y1, x1)) in enumerate(zip(sources, boxes, strict=True)):
            source = source.to(images)  # one at a time: originals are large
            picture = _blended(source, filled[i], maps[i]) if blend == "infill" and found[i] else source
            crops[i] = _resized(picture[:, y0:y1, x0:x1], fed)
        return Enhancement(
            boxes=torch.tensor(boxes, dtype=torch.int64, device=images.device).view(n, 4),
            found=found,
            crops=crops,
            logits_image=_logits(score, images, max_batch),
            logits_crop=_logits(score, crops, max_batch),
            weight=float(weight),
        )


def _logits(score: ClassScore, images: Tensor, chunk: int) -> Tensor:
    """Class logits [N, classes]; of no images [0, 2], since the number of classes is not known."""
    if len(images) == 0:
        return images.new_zeros(0, 2)
    return Execution(channels_last=False).map(score.logits, images, chunk=chunk)


Box = tuple[int, int, int, int]


def _box(region: Tensor, padding: int, min_size: int, square: bool) -> Box:
    """The box y0, x0, y1, x1 around what is true in [H, W], which something is."""
    spans = []
    for dim in (1, 0):
        length = region.shape[1 - dim]
        inside = region.any(dim).nonzero()
        spans.append((max(0, int(inside[0]) - padding), min(length, int(inside[-1]) + 1 + padding), length))
    least = max(end - begin for begin, end, _ in spans) if square else 0
    (y0, y1), (x0, x1) = (_grown(*span, max(min_size, least)) for span in spans)
    return y0, x0, y1, x1


def _grown(begin: int, end: int, length: int, least: int) -> tuple[int, int]:
    """A span of at least that size around begin..end, shifted so that it stays in 0..length."""
    extent = min(max(end - begin, least), length)
    first = min(max(0, (begin + end - extent) // 2), length - extent)
    return first, first + extent


def _scaled(box: Box, size: Sequence[int], target: Sequence[int]) -> Box:
    """A box in an image of one size as the pixels of another size that it touches."""
    y0, x0, y1, x1 = box
    (h, w), (height, width) = size, target
    return y0 * height // h, x0 * width // w, -(-y1 * height // h), -(-x1 * width // w)


def _blended(source: Tensor, infill: Tensor, importance: Tensor) -> Tensor:
    """Source [C, H2, W2] faded to the infill [C, H, W] by the importance [H, W]."""
    size = (source.shape[-2], source.shape[-1])
    return functional.blend(importance, source, functional.upsample(infill, size))


def _resized(crop: Tensor, size: tuple[int, int]) -> Tensor:
    if crop.shape[-2:] == size:
        return crop
    return F.interpolate(crop[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]


def _check_settings(
    blend: str,
    threshold: float,
    weight: float,
    smoothing: float,
    padding: int,
    min_size: int,
    square: bool,
    max_batch: int,
) -> None:
    check_choice("blend", blend, ("infill", "original"))
    for name, value in (("threshold", threshold), ("weight", weight)):
        check_number(name, value, float, 0, 1)
    if 0 < check_number("smoothing", smoothing, float, 0) < 0.1:
        raise ValueError(f"smoothing must be 0, or at least 0.1 pixels, got {smoothing}")
    check_number("padding", padding, int, 0)
    check_number("min_size", min_size, int, 1)
    check_number("max_batch", max_batch, int, 1)
    check_flag("square", square)


def _check_size(size: Any, default: tuple[int, int]) -> tuple[int, int]:
    if size is None:
        return default
    pair = (size, size) if isinstance(size, numbers.Integral) else size
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"size must be an integer, a pair (height, width) or None, got {describe(size)}")
    height, width = (check_count("size", side) for side in pair)
    return height, width


def _check_importance(importance: Explanation | Tensor, mask: str, images: Tensor) -> Tensor:
    maps = importance
    if isinstance(importance, Explanation):
        maps = importance[check_choice("mask", mask, list(importance.maps))]
    maps = check_tensor("importance", maps, "[N, H, W], or an Explanation", floating=True, values=True)
    if maps.dim() == 2:
        maps = maps[None]
    n, _, height, width = images.shape
    if maps.shape != (n, height, width):
        raise ValueError(f"importance must be {[n, height, width]} like the images, got {list(maps.shape)}")
    if maps.numel() and not (maps.isfinite().all() and maps.min() >= 0 and maps.max() <= 1):
        raise ValueError(
            f"importance must be in 0..1 everywhere, got {float(maps.min()):g}..{float(maps.max()):g}; "
            "scale other maps into that range"
        )
    return maps.detach().to(images)


def _check_originals(originals: Tensor | Sequence[Tensor] | None, images: Tensor) -> list[Tensor]:
    if originals is None:
        return list(images)
    if isinstance(originals, Tensor):
        check_tensor("originals", originals, "[N, C, H2, W2]", (3, 4))
        originals = list(originals[None] if originals.dim() == 3 else originals)
    sources = check_list("originals", originals, Tensor, "tensors")
    if len(sources) != len(images):
        raise ValueError(f"originals must be one for each of {len(images)} images, got {len(sources)}")
    for source in sources:
        check_tensor("originals", source, "normalised like the images", floating=True, values=True)
        if source.dim() != 3 or len(source) != images.shape[1] or 0 in source.shape:
            raise ValueError(f"originals must have [{images.shape[1]}, H2, W2] each, got {list(source.shape)}")
        if not source.isfinite().all():
            raise ValueError("originals must be finite, got NaN or infinity; check the preprocessing")
    return [source.detach() for source in sources]
