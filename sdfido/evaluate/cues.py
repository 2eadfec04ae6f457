"""How well maps find the cues in which two classes differ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_tensor
from .truth import Truth, check_truth

__all__ = ["CueLocalisation", "average_precision", "cue_localisation"]


def average_precision(importance: Tensor, truth: Truth) -> Tensor:
    """Pixel average precision: mean precision over all thresholds, weighted by what each adds to recall: [N], 0..1.

    ``sum over t of P_t (R_t - R_previous)``, where the pixels with a value of at least t are selected, t runs through
    the map's values from the highest down, ``P_t = |S and T| / |S|`` and ``R_t = |S and T| / |T|``. Equal values are
    selected together, so a constant map gets the truth's area, as a random one does on average. Higher is better.

    Args:
        importance: maps [N, H, W] of any scale.
        truth: mask or boxes, see ``sdfido.evaluate.truth``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Choe et al., "Evaluating weakly supervised object localization methods right", CVPR 2020, arXiv 2001.07437,
    section 4.1 (PxAP).
    """
    importance, known = check_truth(importance, truth)
    found = [_precision(values.flatten(), true.flatten()) for values, true in zip(importance, known, strict=True)]
    return torch.stack(found) if found else importance.new_zeros(0)


@dataclass(frozen=True, eq=False)
class CueLocalisation:
    """How well difference maps find the cues of each of P pairs of classes."""

    pairs: Tensor  #: classes, the lower one first [P, 2], int64, in increasing order
    precision: Tensor  #: pixel average precision over all images of the pair [P], 0..1, higher is better
    area: Tensor  #: part of their pixels that belongs to the cues [P], which is what chance gets

    @property
    def mean(self) -> float:
        """Mean precision of the pairs, each counted once."""
        return float(self.precision.mean())


def cue_localisation(importance: Tensor, truth: Truth, pairs: Tensor) -> CueLocalisation:
    """Pixel average precision of difference maps, for each pair of classes over the pixels of all its images at once.

    So the values of one pair's maps must be comparable between images, as probabilities are; maps that are scaled image
    by image are to be measured by ``average_precision``, image by image.

    The published code goes on adding up the pixels of earlier pairs, so that its figures are means of running values;
    here each pair starts anew.

    Args:
        importance: difference maps [N, H, W], high where the classes of the image's pair differ.
        truth: where they do, mask or boxes, see ``sdfido.evaluate.truth``.
        pairs: the two classes that each image's map tells apart [N, 2], int64, in any order.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Source: Kim et al., "Keep CALM and improve visual feature attribution", ICCV 2021, arXiv 2106.07861, section 4.3.
    """
    importance, known = check_truth(importance, truth)
    check_tensor("pairs", pairs, f"[{len(importance)}, 2]", 2)
    if pairs.dtype != torch.int64 or pairs.shape != (len(importance), 2):
        raise ValueError(f"pairs must be int64 [{len(importance)}, 2], got {pairs.dtype} {list(pairs.shape)}")
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise ValueError(f"pairs must be of two classes, got {pairs[pairs[:, 0] == pairs[:, 1]][0].tolist()}")
    ordered = pairs.to(importance.device).sort(1).values
    every, place = torch.unique(ordered, dim=0, return_inverse=True)
    parts = [(importance[place == p].flatten(), known[place == p].flatten()) for p in range(len(every))]
    precision = [_precision(values, true) for values, true in parts]
    area = [true.float().mean() for _, true in parts]
    empty = importance.new_zeros(0)
    return CueLocalisation(every, torch.stack(precision) if parts else empty, torch.stack(area) if parts else empty)


def _precision(values: Tensor, true: Tensor) -> Tensor:
    """Average precision of values [P] by a truth [P], bool."""
    order = values.argsort(descending=True)
    ordered, hits = values[order], true[order].double().cumsum(0)
    selected = torch.arange(1, len(values) + 1, device=values.device)
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool, device=values.device)])
    hits, selected = hits[last], selected[last]
    gained = torch.diff(hits, prepend=hits.new_zeros(1)) / hits[-1]
    return (gained * hits / selected).sum().float()
