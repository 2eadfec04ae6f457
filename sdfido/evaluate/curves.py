"""What the classifier says while pixels are infilled, or kept, in the order of their importance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .. import infills, ops
from ..checks import check_images, check_number, check_streams, check_targets
from ..judge import Judge, Model, check_model, evaluating, probability
from ..normalization import Normalization
from ..ops import make_rng
from .order import check_fraction, check_maps, count_pixels, ranks

Measure = Literal["deletion", "insertion", "sufficiency", "necessity"]
InfillSpec = str | Tensor | Callable[..., Tensor]
Targets = int | Sequence[int] | Tensor | None

_CERTAIN = 1000.0  # a keep logit whose mask is exactly 1, and its negative's exactly 0, whatever the noise


@dataclass(frozen=True, eq=False)
class Curve:
    """Probability of the target class against the part of the image that is infilled or kept, for N images."""

    measure: Measure  #: which of the four
    fractions: Tensor  #: part of the pixels infilled (deletion, necessity) or kept (the others) [P], 0..1, increasing
    values: Tensor  #: probability of the target for each composite [N, P], 0..1
    prob_image: Tensor  #: … for the image itself [N], 0..1
    targets: Tensor  #: classes [N], int64

    range: ClassVar[tuple[float, float]] = (0.0, 1.0)  #: of ``values`` and ``area``

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Which values are better: higher ones where the important pixels are kept, lower ones where they go."""
        return "higher" if self.measure in ("insertion", "sufficiency") else "lower"

    @property
    def area(self) -> Tensor:
        """Area under the curve by the trapezoidal rule, over the distance of the first and last fraction: [N], 0..1.

        That distance is 1 for deletion and insertion; the area of a single fraction is its value.
        """
        if len(self.fractions) == 1:
            return self.values[:, 0]
        widths = self.fractions.double().diff()
        heights = (self.values[:, 1:].double() + self.values[:, :-1].double()) / 2
        return ((heights * widths).sum(1) / widths.sum()).to(self.values)

    @property
    def relative(self) -> Tensor:
        """``values / prob_image``: [N, P], 1 where a composite is as good as the image, above 1 where it is better.

        The area under it is ``area / prob_image``. Infinite or NaN where the image's own probability is 0.
        """
        return self.values / self.prob_image[:, None]


def deletion(
    model: Model,
    images: Tensor,
    importance: Tensor,
    targets: Targets = None,
    *,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    num_fractions: int = 33,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Probability of the target while the image is infilled, the most important pixels first.

    ``values[n, i] = p(infill + M_i * (image - infill))`` with ``M_i = 0`` for the ``round(f_i * H * W)`` most important
    pixels, 1 elsewhere, and ``f_i = i / (P - 1)``: from the image to the infill alone. Area: 0..1, lower is better.
    It depends on the infill, so compare methods by one infill only; that the composites are unlike any photo counts
    against every method alike.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; put into eval mode for the time, if it is a module.
        images: [N, C, H, W], or one image [C, H, W], as the model takes them.
        importance: maps [N, H, W] of any scale, such as ``explanation.sdr``; equal values as in :func:`ranks`.
        targets: class index of each image, or one for all; the model's predictions by default.
        infill, normalization: as :class:`sdfido.FIDO` takes them; a random infill of a seed is ``explainer.infill``.
        num_fractions: number of fractions P, at least 2.
        streams: which randomness a random infill has for each image, 0, ..., N-1 by default.
        max_batch: composites made, and given to the model, at once. By default 64, but on CPUs 32 of one image, so that
            an image gets the same curve, bit for bit, in every batch.

    Raises:
        TypeError, ValueError: an argument does not fit, or the model does not return logits [B, classes].
        RuntimeError: the model's probabilities are not finite.

    Source: Petsiuk et al., "RISE", BMVC 2018, arXiv 1806.07421, section 4; there the infill is grey or black.
    """
    fractions = _even_fractions(num_fractions)
    return _curve("deletion", model, images, importance, targets, fractions, infill, normalization, streams, max_batch)


def insertion(
    model: Model,
    images: Tensor,
    importance: Tensor,
    targets: Targets = None,
    *,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    num_fractions: int = 33,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Probability of the target while the image is put in place of the infill, the most important pixels first.

    As :func:`deletion`, but with ``M_i = 1`` for the most important pixels and 0 elsewhere: from the infill alone to
    the image. Area: 0..1, higher is better. Arguments, errors and source are those of :func:`deletion`; RISE's infill
    is a blur here.
    """
    fractions = _even_fractions(num_fractions)
    return _curve("insertion", model, images, importance, targets, fractions, infill, normalization, streams, max_batch)


def sufficiency(
    model: Model,
    images: Tensor,
    importance: Tensor,
    targets: Targets = None,
    *,
    areas: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Probability of the target where only the most important part of the image is kept.

    ``values[n, i] = p(infill + top(importance, areas[i]) * (image - infill))``; ``relative`` sets it against the
    image's own probability. 0..1, higher is better, the more so the smaller the area. Made for SSR maps.

    Args:
        areas: parts of the image, 0..1, increasing by at least a pixel.

    The other arguments and errors are those of :func:`deletion`.

    Example:
        >>> kept = sufficiency(model, images, explanation.ssr, explanation.targets, areas=[0.3])
        >>> kept.relative[:, 0]  # part of the image's probability that 30 % of its pixels keep

    Source: the smallest sufficient region of Dabkowski & Gal, NeurIPS 2017, arXiv 1705.07857, and of Chang et al.,
    ICLR 2019, arXiv 1807.08024, at given areas.
    """
    areas = _check_areas(areas)
    return _curve("sufficiency", model, images, importance, targets, areas, infill, normalization, streams, max_batch)


def necessity(
    model: Model,
    images: Tensor,
    importance: Tensor,
    targets: Targets = None,
    *,
    areas: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Probability of the target where the most important part of the image is infilled.

    ``values[n, i] = p(image + top(importance, areas[i]) * (infill - image))``; ``relative`` sets it against the image's
    own probability. 0..1, lower is better, the more so the smaller the area. Made for SDR maps.
    Arguments, errors and source (there the smallest destroying region) are those of :func:`sufficiency`.
    """
    areas = _check_areas(areas)
    return _curve("necessity", model, images, importance, targets, areas, infill, normalization, streams, max_batch)


def _curve(
    measure: Measure,
    model: Model,
    images: Tensor,
    importance: Tensor,
    targets: Targets,
    fractions: Sequence[float],
    infill: InfillSpec,
    normalization: Normalization | None,
    streams: Sequence[int] | None,
    max_batch: int | None,
) -> Curve:
    check_model(model)
    if max_batch is not None:
        max_batch = check_number("max_batch", max_batch, int, 1)
    filling = infills.from_spec(infill, normalization)
    judge = Judge(model)
    with torch.no_grad(), evaluating(model):
        images = check_images(images)
        n, _, height, width = images.shape
        importance = check_maps("importance", importance).to(images.device)
        if importance.shape != (n, height, width):
            raise ValueError(
                f"importance must be [N, H, W] like the images, {[n, height, width]}, got {list(importance.shape)}"
            )
        pixels = height * width
        numbers = [count_pixels(fraction, pixels) for fraction in fractions]
        if measure in ("sufficiency", "necessity") and len(set(numbers)) < len(numbers):
            raise ValueError(f"areas must differ by at least a pixel of {height}x{width}, got {list(fractions)}")
        chosen_streams = check_streams(streams, n, images.device).tolist()
        replacement = infills.apply(filling, images.clone(), chosen_streams)
        limit, together = _batch(max_batch, len(numbers), images.device)
        scores = judge.classify(images, together)
        labels = check_targets(targets, scores)

        counts = torch.tensor(numbers, dtype=torch.int64, device=images.device)
        values = torch.empty(n, len(counts), dtype=torch.float32, device=images.device)
        places, noise = ranks(importance), make_rng(0, device=images.device)
        for first in range(0, n, together):
            some = slice(first, first + together)
            for begin in range(0, len(counts), limit):
                part = slice(begin, begin + limit)
                kept = places[some, None] < counts[part, None, None]
                if measure in ("deletion", "necessity"):
                    kept = ~kept
                logits = (kept.float() - 0.5) * (2 * _CERTAIN)
                samples = ops.sample_composites(logits, images[some], replacement[some], noise, num_samples=1)
                answers = judge.logits(samples.composites.flatten(0, 2))
                size = kept.shape[1]
                values[some, part] = probability(answers, labels[some].repeat_interleave(size)).view(-1, size)
        if not values.isfinite().all():
            raise RuntimeError("model must give finite logits for composites of image and infill, got NaN or infinity")
        return Curve(measure, counts.float() / pixels, values, probability(scores, labels), labels)


def _batch(max_batch: int | None, fractions: int, device: torch.device) -> tuple[int, int]:
    """Composites at once, and images whose composites these may be."""
    if max_batch is None and device.type == "cpu":
        return 32, 1
    limit = max_batch or 64
    return limit, max(1, limit // fractions)


def _even_fractions(number: int) -> list[float]:
    number = check_number("num_fractions", number, int, 2)
    return [i / (number - 1) for i in range(number)]


def _check_areas(areas: Sequence[float]) -> list[float]:
    if isinstance(areas, str) or not isinstance(areas, Sequence):
        raise TypeError(f"areas must be a sequence of parts of the image, 0..1, got {areas!r}")
    values = [check_fraction("areas", area) for area in areas]
    if not values or values != sorted(set(values)):
        raise ValueError(f"areas must be at least one part of the image, increasing, got {values}")
    return values
