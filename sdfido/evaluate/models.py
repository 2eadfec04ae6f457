"""How far several models look at the same pixels of the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_choice
from ..ops.functional import upsample
from .agreement import rank_correlation
from .order import Maps, check_fraction, check_maps, top
from .tables import text_table

__all__ = ["ModelAgreement", "model_agreement"]


@dataclass(frozen=True, eq=False)
class ModelAgreement:
    """How far the maps of M models agree, for each pair of models and each of N images."""

    models: tuple[str, ...]  #: names of the models
    area: float  #: part of the image whose overlap is measured, 0..1
    rank: Tensor  #: rank correlation of the maps of two models [M, M, N], -1..1; NaN where a map is constant
    overlap: Tensor  #: intersection over union of their most important parts [M, M, N], 0..1
    other_images: Tensor  #: rank correlation of a model's map and another model's of other images [M, M]

    @property
    def mean(self) -> Tensor:
        """Rank correlation of each image's maps, averaged over all pairs of different models [N]."""
        first, second = torch.triu_indices(len(self.models), len(self.models), 1)
        return self.rank[first, second].mean(0)

    @property
    def apart(self) -> Tensor:
        """The images, those first of which the models' maps agree least: int64 [N]."""
        return self.mean.nan_to_num(-torch.inf).argsort(stable=True)

    def table(self, measure: str = "rank") -> str:
        """A row and a column for each model with the mean over images, as text.

        Args:
            measure: "rank", "overlap" or "other_images".

        Raises:
            ValueError: there is no such measure.
        """
        titles = {
            "rank": "rank correlation",
            "overlap": f"overlap of the top {self.area:.0%}",
            "other_images": "rank correlation, other images",
        }
        check_choice("measure", measure, list(titles))
        values: Tensor = getattr(self, measure)
        values = values.nanmean(2) if values.dim() == 3 else values
        return text_table(titles[measure], self.models, self.models, values)

    def __str__(self) -> str:
        return "\n\n".join(map(self.table, ("rank", "overlap", "other_images")))


def model_agreement(maps_by_model: Mapping[str, Maps], *, area: float = 0.2) -> ModelAgreement:
    """Compare the maps that several models get for the same images, each with each.

    ``rank[a, b, n] = rank_correlation(map_a[n], map_b[n])`` and
    ``overlap[a, b, n] = |top_a[n] and top_b[n]| / |top_a[n] or top_b[n]|``, where ``top`` is the most important part of
    the image. Two maps may also agree for reasons that are not in the image, such as a preference for the centre. The
    control tells how much: ``other_images[a, b] = mean over n of rank_correlation(map_a[n], map_b[n + 1])``, the last
    image followed by the first. What the models agree on in the images is the difference. That they agree does not make
    them right.

    Args:
        maps_by_model: maps [N, H, W] of the same N images by the names of the models, at least two, of any scale; high
            is important. Maps of another size are resized bilinearly to that of the first, so that all must show the
            same part of the image.
        area: part of the image whose overlap is measured, 0..1.

    Returns:
        The agreement; ``other_images`` is NaN for a single image. Random maps have rank 0 and overlap
        ``area / (2 - area)``.

    Raises:
        TypeError, ValueError: an argument does not fit; the message says which.

    Example:
        >>> maps = {name: sdfido.FIDO(model).explain(images).joint for name, model in models.items()}
        >>> print(sdfido.evaluate.model_agreement(maps))

    Source: the measures are those of ``rank_correlation`` and ``intersection_over_union``; the control is this
    package's own.
    """
    if not isinstance(maps_by_model, Mapping):
        raise TypeError(f"maps_by_model must be a mapping from names to maps [N, H, W], got {maps_by_model!r}")
    if len(maps_by_model) < 2:
        raise ValueError(f"maps_by_model must have the maps of two or more models, got {len(maps_by_model)}")
    part = check_fraction("area", area)
    checked = [check_maps(f"maps_by_model[{name!r}]", maps) for name, maps in maps_by_model.items()]
    if len({len(maps) for maps in checked}) > 1 or not len(checked[0]):
        raise ValueError(f"maps_by_model must be of equally many images, got {[len(maps) for maps in checked]}")
    size = checked[0].shape[1:]
    maps = [
        each if each.shape[1:] == size else upsample(each.float()[:, None], (size[0], size[1]))[:, 0]
        for each in (maps.to(checked[0].device) for maps in checked)
    ]
    tops = torch.stack([top(each, part) for each in maps])
    shared = (tops[:, None] & tops).sum((3, 4))
    union = (tops[:, None] | tops).sum((3, 4))
    rank = torch.stack([torch.stack([rank_correlation(a, b) for b in maps]) for a in maps])
    if len(checked[0]) > 1:
        others = [each.roll(-1, 0) for each in maps]
        control = torch.stack([torch.stack([rank_correlation(a, b).nanmean() for b in others]) for a in maps])
    else:
        control = torch.full_like(rank[:, :, 0], torch.nan)
    return ModelAgreement(
        models=tuple(maps_by_model),
        area=part,
        rank=rank,
        overlap=shared.float() / union.clamp(min=1),
        other_images=control,
    )
