"""The four curves under their names in the literature, each with one call; ``Probe`` measures many maps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..checks import check_count
from ..normalization import Normalization
from ..scores import Model, Score
from .order import check_fractions
from .probe import Curve, InfillSpec, Probe

AREAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # parts of the image at which sufficiency and necessity are measured


def deletion(
    model: Model | Score,
    images: Tensor,
    importance: Tensor,
    targets: Any = None,
    *,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    num_fractions: int = 33,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Confidence of the target while the image is infilled, the most important pixels first.

    ``Probe(...).remove(importance, num_fractions)``: from the image to the infill alone. Area: 0..1, lower is better.
    It depends on the infill, so compare methods by one infill only; that the composites are unlike any photo counts
    against every method alike.

    Args:
        model, images, targets, infill, normalization, streams, max_batch: as ``Probe`` takes them.
        importance: maps [N, H, W] of any scale, such as ``explanation.sdr``.
        num_fractions: number of even fractions P, at least 2.

    Raises:
        TypeError, ValueError: an argument does not fit, or the model does not return what the score needs.
        RuntimeError: the model's confidence is not finite.

    Source: Petsiuk et al., "RISE", BMVC 2018, arXiv 1806.07421, section 4; there the infill is grey or black.
    """
    number = check_count("num_fractions", num_fractions, 2)
    options: dict[str, Any] = {"infill": infill, "normalization": normalization, "streams": streams}
    return Probe(model, images, targets, max_batch=max_batch, **options).remove(importance, number)


def insertion(
    model: Model | Score,
    images: Tensor,
    importance: Tensor,
    targets: Any = None,
    *,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    num_fractions: int = 33,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Confidence of the target while the image is put in place of the infill, the most important pixels first.

    ``Probe(...).keep(importance, num_fractions)``: from the infill alone to the image. Area: 0..1, higher is better.
    Arguments, errors and source are those of ``deletion``; RISE's infill is a blur here.
    """
    number = check_count("num_fractions", num_fractions, 2)
    options: dict[str, Any] = {"infill": infill, "normalization": normalization, "streams": streams}
    return Probe(model, images, targets, max_batch=max_batch, **options).keep(importance, number)


def sufficiency(
    model: Model | Score,
    images: Tensor,
    importance: Tensor,
    targets: Any = None,
    *,
    areas: Sequence[float] = AREAS,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Confidence of the target where only the most important part of the image is kept.

    ``Probe(...).keep(importance, areas)``; ``relative`` sets it against the image's own confidence. 0..1, higher is
    better, the more so the smaller the area. Made for SSR maps.

    Args:
        areas: parts of the image, 0..1, increasing by at least a pixel.

    The other arguments and errors are those of ``deletion``.

    Example:
        >>> kept = sufficiency(model, images, explanation.ssr, explanation.targets, areas=[0.3])
        >>> kept.relative[:, 0]  # part of the image's probability that 30% of its pixels keep

    Source: the smallest sufficient region of Dabkowski & Gal, NeurIPS 2017, arXiv 1705.07857, and of Chang et al.,
    ICLR 2019, arXiv 1807.08024, at given areas.
    """
    parts = check_fractions("areas", areas)
    options: dict[str, Any] = {"infill": infill, "normalization": normalization, "streams": streams}
    return Probe(model, images, targets, max_batch=max_batch, **options).keep(importance, parts)


def necessity(
    model: Model | Score,
    images: Tensor,
    importance: Tensor,
    targets: Any = None,
    *,
    areas: Sequence[float] = AREAS,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    streams: Sequence[int] | None = None,
    max_batch: int | None = None,
) -> Curve:
    """Confidence of the target where the most important part of the image is infilled.

    ``Probe(...).remove(importance, areas)``; ``relative`` sets it against the image's own confidence. 0..1, lower is
    better, the more so the smaller the area. Made for SDR maps. Arguments, errors and source (there the smallest
    destroying region) are those of ``sufficiency``.
    """
    parts = check_fractions("areas", areas)
    options: dict[str, Any] = {"infill": infill, "normalization": normalization, "streams": streams}
    return Probe(model, images, targets, max_batch=max_batch, **options).remove(importance, parts)
