"""What a model says while pixels are infilled, or kept, in the order of their importance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .. import infills, ops
from ..checks import check_images, check_streams
from ..execution import Execution, chunks
from ..models.adapters import normalization_of
from ..normalization import Normalization
from ..scores import Model, Score, as_score, eval_mode, scale_of
from .order import Maps, check_fractions, check_maps, count_pixels, ranks

__all__ = ["Curve", "InfillSpec", "Measure", "Probe"]

Measure = Literal["deletion", "insertion", "sufficiency", "necessity"]
InfillSpec = str | Tensor | Callable[..., Tensor]

_ON_CPU = 32  # composites of one image that a CPU is given at once: its bits then do not depend on the batch
_ELSEWHERE = 64  # composites of any images at once on other devices


@dataclass(frozen=True, eq=False)
class Curve:
    """Confidence of the target against the part of the image that is infilled or kept, for N images."""

    measure: Measure  #: deletion and necessity infill the most important pixels, insertion and sufficiency keep them
    fractions: Tensor  #: part of the pixels infilled (deletion, necessity) or kept (the others) [P], 0..1, increasing
    values: Tensor  #: confidence of the target for each composite [N, P]; of classifiers its probability, 0..1
    prob_image: Tensor  #: … for the image itself [N]
    targets: Tensor  #: [N, ...]
    floor: Tensor | float = 0.0  #: confidence that ``relative`` counts from [N]: the infill's where 0 is not "nothing"

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
        """``(values - floor) / (prob_image - floor)``: [N, P], 1 where a composite is as good as the image.

        The floor is 0, and the area under it ``area / prob_image``, except for scores whose confidence has no zero
        (``sdfido.scores.Scale``), such as regressions: theirs is what the infill alone gets. Infinite or NaN where the
        image is at the floor.
        """
        floor = torch.as_tensor(self.floor, device=self.values.device).to(self.values).expand_as(self.prob_image)
        return (self.values - floor[:, None]) / (self.prob_image - floor)[:, None]


class Probe:
    """A model, images and an infill, prepared once to measure any number of maps.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes], or any ``sdfido.Score``; what is
            measured is its confidence. A module is put into eval mode while it is asked.
        images: [N, C, H, W], or one image [C, H, W], as the model takes them.
        targets: target of each image, or one for all; the model's own answers by default.
        infill, normalization: as ``sdfido.FIDO`` takes them; a random infill of a seed is ``explainer.infill``.
        streams: which randomness a random infill has for each image, 0, ..., N-1 by default.
        max_batch: composites made, and given to the model, at once. By default 64, but on CPUs 32 of one image, so that
            an image gets the same curve, bit for bit, in every batch.

    Raises:
        TypeError, ValueError: an argument does not fit, or the model does not return what the score needs.

    Example:
        >>> probe = sdfido.evaluate.Probe(model, images)
        >>> probe.keep(explanation.ssr, [0.1, 0.3]).relative  # part of the probability that the top 10% and 30% keep
    """

    def __init__(
        self,
        model: Model | Score,
        images: Tensor,
        targets: Any = None,
        *,
        infill: InfillSpec = "blur",
        normalization: Normalization | None = None,
        streams: Sequence[int] | None = None,
        max_batch: int | None = None,
    ) -> None:
        self.score = as_score(model)
        filling = infills.from_spec(infill, normalization_of(model, normalization))
        self._execution = Execution(max_batch=max_batch, channels_last=False)
        with torch.no_grad(), eval_mode(self.score):
            self.images = check_images(images)
            chosen = check_streams(streams, len(self.images), self.images.device).tolist()
            self.infill = infills.apply(filling, self.images.clone(), chosen)
            chunk = self._at_once(1)[1]
            self.targets = self._execution.resolve(self.score, self.images, targets, chunk=chunk)
            #: confidence of the targets for the images [N]
            self.confidence = self._execution.map(self.score.confidence, self.images, self.targets, chunk=chunk)
            #: confidence that shares count from [N]: 0, or the infill's where the score's scale has no zero
            self.floor = torch.zeros_like(self.confidence)
            if not scale_of(self.score).zero:
                self.floor = self._execution.map(self.score.confidence, self.infill, self.targets, chunk=chunk)

    def keep(self, maps: Maps, fractions: int | Sequence[float] = 33) -> Curve:
        """Confidence of the target where only the most important pixels are kept, and the others infilled.

        ``values[n, i] = confidence(infill + M_i * (image - infill))`` with ``M_i = 1`` for the
        ``round(f_i * H * W)`` most important pixels, 0 elsewhere.

        Args:
            maps: [N, H, W] of any scale and tool, a tensor or a NumPy array, high is important; equal values are
                ordered as in ``ranks``.
            fractions: parts f of the image, 0..1, increasing by at least a pixel ("sufficiency"); or a number P of
                even ones from 0 to 1, at least 2 ("insertion").

        Raises:
            TypeError, ValueError: an argument has a wrong type or value; the message says which.
            RuntimeError: the model's confidence is not finite.
        """
        return self._curve("insertion" if isinstance(fractions, int) else "sufficiency", maps, fractions)

    def remove(self, maps: Maps, fractions: int | Sequence[float] = 33) -> Curve:
        """Confidence of the target where the most important pixels are infilled ("necessity", or "deletion").

        As ``keep``, but with ``M_i = 0`` for the most important pixels and 1 elsewhere.
        """
        return self._curve("deletion" if isinstance(fractions, int) else "necessity", maps, fractions)

    def _curve(self, measure: Measure, maps: Maps, fractions: int | Sequence[float]) -> Curve:
        n, _, height, width = self.images.shape
        maps = check_maps("importance", maps).to(self.images.device)
        if maps.shape != (n, height, width):
            raise ValueError(
                f"importance must be [N, H, W] like the images, {[n, height, width]}, got {list(maps.shape)}"
            )
        pixels = height * width
        numbers = [count_pixels(fraction, pixels) for fraction in check_fractions("fractions", fractions)]
        if not isinstance(fractions, int) and len(set(numbers)) < len(numbers):
            raise ValueError(f"fractions must differ by at least a pixel of {height}x{width}, got {list(fractions)}")
        counts = torch.tensor(numbers, dtype=torch.int64, device=maps.device)
        values = torch.empty(n, len(counts), dtype=torch.float32, device=maps.device)
        limit, together = self._at_once(len(counts))
        places = ranks(maps)
        with torch.no_grad(), eval_mode(self.score):
            for some in chunks(n, together):
                for part in chunks(len(counts), limit):
                    kept = places[some, None] < counts[part, None, None]
                    if measure in ("deletion", "necessity"):
                        kept = ~kept
                    composites = ops.blend(kept[:, :, None].float(), self.images[some], self.infill[some])
                    targets = self.targets[some].repeat_interleave(kept.shape[1], 0)
                    found = self.score.confidence(composites.flatten(0, 2), targets)
                    values[some, part] = found.view(-1, kept.shape[1])
        if not values.isfinite().all():
            raise RuntimeError("model must give finite logits for composites of image and infill, got NaN or infinity")
        return Curve(measure, counts.float() / pixels, values, self.confidence, self.targets, self.floor)

    def _at_once(self, fractions: int) -> tuple[int, int]:
        """Composites at once, and images whose composites these may be."""
        limit = self._execution.max_batch
        if limit is None and self.images.device.type == "cpu":
            return _ON_CPU, 1
        limit = limit or _ELSEWHERE
        return limit, max(1, limit // fractions)
