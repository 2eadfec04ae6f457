"""The score of a detection: a class in a box."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import check_integers, check_number, check_tensor, from_array
from .base import ModelScore
from .scale import Scale

_LEAST = 1e-4  # confidence of what is not detected, since the logit of 0 is not finite


class DetectionScore(ModelScore):
    """How surely a detector finds an object of a class in a box.

    ``confidence = max over detections d of the class: score_d * IoU(box_d, box)``, 0 where there is none, and
    ``score = logit(confidence)``, with confidences below 0.0001 as if they were that. Where a detector finds nothing
    of the class, the score has no gradient; detectors drop faint detections, so make them keep more of them:
    torchvision's with ``box_score_thresh=0.001``.

    Targets are classes and boxes, float32 [B, 5]: class, x1, y1, x2, y2 in pixels of the input.

    Args:
        model: a detector as torchvision's in eval mode: from images [B, C, H, W] to a list of B dicts with ``boxes``
            [n, 4] (x1, y1, x2, y2), ``labels`` [n] and ``scores`` [n], 0..1; a module or any callable.

    Raises:
        TypeError: the model cannot be called.

    Example:
        >>> score = sdfido.scores.DetectionScore(detector)
        >>> sdfido.FIDO(score, max_batch=1).explain(images)  # the surest detection of each image
        >>> sdfido.FIDO(score).explain(images, {"label": 17, "box": [30, 40, 200, 180]})

    Source: the similarity is that of Petsiuk et al., "Black-box explanation of object detectors via saliency maps"
    (D-RISE), CVPR 2021, arXiv 2006.03204, equation 3, with the score of the class alone.
    """

    scale = Scale(
        name="detection",
        meaning="score of the best detection of the class, times its overlap with the box (intersection over union)",
        target="the detection",
    )

    def __str__(self) -> str:
        return "detection"

    def detections(self, images: Tensor) -> list[dict[str, Tensor]]:
        """What the model detects in each of B images.

        Raises:
            TypeError, ValueError: the model does not return a list of dicts with boxes, labels and scores.
        """
        found = self.output(images)
        if not isinstance(found, list | tuple) or not all(isinstance(each, Mapping) for each in found):
            raise TypeError(
                "model must return a list of dicts with boxes, labels and scores, one for each image, got "
                f"{type(found).__name__}; wrap it in a callable that does"
            )
        if len(found) != len(images):
            raise ValueError(f"model must return a dict for each of {len(images)} images, got {len(found)}")
        for each in found:
            if missing := [name for name in ("boxes", "labels", "scores") if not isinstance(each.get(name), Tensor)]:
                raise ValueError(
                    f"model must return dicts with boxes, labels and scores, got no tensor {', '.join(missing)}; "
                    f"there are {', '.join(map(str, each))}"
                )
            count = len(each["scores"])
            if each["boxes"].shape != (count, 4) or each["labels"].shape != (count,) or each["scores"].dim() != 1:
                shapes = [list(each[name].shape) for name in ("boxes", "labels", "scores")]
                raise ValueError(f"model must return boxes [n, 4], labels [n] and scores [n], got {shapes}")
        return [dict(each) for each in found]

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for classes and boxes [B, 5]."""
        return torch.logit(self.confidence(images, targets), _LEAST)

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Classes and boxes [B, 5], float32.

        Args:
            images: [B, C, H, W].
            targets: one for all images or a list of one for each: ``{"label": class, "box": [x1, y1, x2, y2]}``; a
                class, whose surest detection is meant; None: the surest detection. Or a tensor [5] or [B, 5].

        Raises:
            TypeError, ValueError: a target is none of these, or the model detects nothing of the kind.
        """
        n, targets = len(images), from_array("targets", targets)
        if isinstance(targets, Tensor) and targets.is_floating_point():
            check_tensor("targets", targets, "[5] or [B, 5]: class, x1, y1, x2, y2", (1, 2), finite=True)
            if targets.shape not in ((5,), (n, 5)):
                raise ValueError(f"targets must be [5] or [{n}, 5]: class, x1, y1, x2, y2, got {list(targets.shape)}")
            return targets.to(images.device, torch.float32).expand(n, 5).contiguous()
        if isinstance(targets, Tensor):
            targets = check_integers("targets", targets, "classes (integers)").tolist()
        each: list[Any] = list(targets) if isinstance(targets, Sequence) else [targets] * n
        if len(each) != n:
            raise ValueError(f"targets must be one detection, or one for each of {n} images, got {len(each)}")
        rows = [target if isinstance(target, Mapping) else None for target in each]
        if any(row is None for row in rows):
            found = self.detections(images)
            rows = [row or _surest(found[place], each[place], place) for place, row in enumerate(rows)]
        if not n:
            return torch.zeros(0, 5, dtype=torch.float32, device=images.device)
        return torch.stack([_row(row) for row in rows if row is not None]).to(images.device)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Score times overlap of the detection that fits best [B], 0..1."""
        found = []
        for image, each, target in zip(images, self.detections(images), targets, strict=True):
            same = each["labels"] == target[0].round().to(each["labels"].dtype)
            overlaps = _overlaps(each["boxes"][same].float(), target[1:])
            fits = each["scores"][same].float() * overlaps
            found.append(fits.max() if len(fits) else 0.0 * image.flatten()[0].float())  # 0, but of the image
        return torch.stack(found) if found else images.new_zeros(0)

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a confidence [B]: its log-odds."""
        return torch.logit(confidence, _LEAST)


def _overlaps(boxes: Tensor, box: Tensor) -> Tensor:
    """Intersection over union of boxes [n, 4] with a box [4]: [n]."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    shared = (high - low).clamp(min=0).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) + (box[2:] - box[:2]).prod()
    return shared / (area - shared).clamp(min=1e-6)


def _surest(found: Mapping[str, Tensor], wanted: Any, place: int) -> dict[str, Any]:
    """The surest detection of an image, of a class where one is named."""
    if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, numbers.Integral)):
        raise TypeError(
            'targets must be {"label": class, "box": [x1, y1, x2, y2]}, classes or None, got ' + repr(wanted)
        )
    if wanted is not None:
        wanted = check_number("targets", wanted, int, -(2**63), 2**63 - 1)
    fits = found["labels"] == found["labels"] if wanted is None else found["labels"] == wanted
    if not fits.any():
        seen = sorted(set(found["labels"].tolist()))
        raise ValueError(
            f"targets must be something that the model detects, but in image {place} it finds "
            f"{'nothing' if not seen else f'only classes {seen}'}; give a class and a box"
        )
    best = int(found["scores"].masked_fill(~fits, -1).argmax())
    return {"label": int(found["labels"][best]), "box": found["boxes"][best].detach().tolist()}


def _row(target: Mapping[str, Any]) -> Tensor:
    """A target as class, x1, y1, x2, y2: float32 [5]."""
    if missing := {"label", "box"} - target.keys():
        raise ValueError(f"targets must have a label and a box, got one without {' and '.join(sorted(missing))}")
    row = torch.tensor([float(target["label"]), *map(float, target["box"])], dtype=torch.float32, device="cpu")
    if row.shape != (5,) or not (row[3] > row[1] and row[4] > row[2]):
        raise ValueError(f"targets must have a box [x1, y1, x2, y2] with x1 < x2 and y1 < y2, got {target['box']!r}")
    return row
