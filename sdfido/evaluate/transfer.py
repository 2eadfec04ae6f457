"""Transfer of maps between models: what one model says of images that another model's maps have masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice, check_images, check_number, check_seed
from ..models.adapters import normalization_of
from ..normalization import Normalization
from ..ops.functional import upsample
from ..scores import ClassScore, Model, as_score
from .order import check_fractions, check_maps
from .probe import InfillSpec, Probe
from .tables import text_table

__all__ = ["CONTROLS", "Masked", "Transfer", "transfer"]

CONTROLS = ("random", "centre")
"""Maps that know nothing of the images: a random order of their pixels, and a disc that grows from the centre."""


@dataclass(frozen=True, eq=False)
class Masked:
    """What each of B models says of N images, of which parts are kept, or removed, by A maps."""

    confidence: Tensor  #: of the target [A, B, P, N], 0..1
    correct: Tensor  #: whether the target is the model's answer [A, B, P, N], bool
    unmasked: Tensor  #: confidence of the target for the images themselves [B, N]

    @property
    def accuracy(self) -> Tensor:
        """Part of the images that are still given their target [A, B, P], 0..1."""
        return self.correct.float().mean(3)

    @property
    def probability(self) -> Tensor:
        """Mean confidence relative to that of the unmasked images, ``sum_n p / sum_n p_unmasked``: [A, B, P]."""
        return self.confidence.sum(3) / self.unmasked.sum(1)[None, :, None]


@dataclass(frozen=True, eq=False)
class Transfer:
    """The transfer matrix: each model's answers for images masked by each map."""

    maps: tuple[str, ...]  #: names of the A maps; the controls come last
    models: tuple[str, ...]  #: names of the B models
    fractions: tuple[float, ...]  #: parts of the image that are kept, or removed, [P]
    kept: Masked  #: only the most important pixels are kept
    removed: Masked  #: the most important pixels are infilled
    accuracy: Tensor  #: of each model for the unmasked images [B], 0..1

    @property
    def controls(self) -> tuple[str, ...]:
        """Those of ``maps`` that know nothing of the images."""
        return tuple(name for name in self.maps if name in CONTROLS)

    def table(self, fraction: float | None = None, *, of: str = "kept", measure: str = "probability") -> str:
        """A row for each map and a column for each model, as text.

        Args:
            fraction: one of ``fractions``; the first by default.
            of: "kept" or "removed".
            measure: "probability" or "accuracy".

        Raises:
            ValueError: there is no such fraction or measure.
        """
        fraction = self.fractions[0] if fraction is None else fraction
        if check_number("fraction", fraction) not in self.fractions:
            raise ValueError(f"fraction must be one of {', '.join(map(str, self.fractions))}, got {fraction!r}")
        check_choice("of", of, ("kept", "removed"))
        check_choice("measure", measure, ("probability", "accuracy"))
        values = getattr(getattr(self, of), measure)[:, :, self.fractions.index(fraction)]
        return text_table(f"{measure}, {fraction:.0%} {of}", self.models, self.maps, values)

    def __str__(self) -> str:
        return "\n\n".join(self.table(fraction, of=of) for of in ("kept", "removed") for fraction in self.fractions)


def transfer(
    maps_by_model: Mapping[str, Tensor],
    models: Mapping[str, Model],
    images: Tensor | Mapping[str, Tensor],
    fractions: Sequence[float] = (0.1, 0.2, 0.3),
    *,
    targets: Any = None,
    infill: InfillSpec = "blur",
    normalization: Normalization | None = None,
    seed: int = 0,
    max_batch: int | None = None,
) -> Transfer:
    """Ask every model about images masked by every model's maps.

    For map a, model b and fraction p, the p most important pixels of ``maps_by_model[a]`` are kept and all others
    infilled, or the other way round; b then says how confident it is of its target, and whether that is its answer. On
    the diagonal a model sees what its own map chose. Two controls are put below: random pixels, and a disc in the
    centre. Rows need not be models: maps of another method or of other images are further controls.

    Args:
        maps_by_model: maps by name [N, H, W] of any scale, high is important. Signed maps count by value, not by size.
        models: classifiers by name, from images [B, C, H, W] to class logits.
        images: [N, C, H, W] as the models take them; or for each model its own, by name, where they differ in size or
            normalisation. Maps are resized bilinearly to those of the model that is asked.
        fractions: parts p of the image, 0..1, increasing by at least a pixel.
        targets: class indices: one for all or [N]; or a mapping from models to these, where they differ in their
            classes. Each model's own answers by default.
        infill, normalization, max_batch: as ``Probe`` takes them.
        seed: of the random pixels.

    Raises:
        TypeError, ValueError: an argument does not fit; the message says which.
        RuntimeError: a model's confidence is not finite.

    Example:
        >>> maps = {name: sdfido.Relevance(model).explain(images).relevance for name, model in models.items()}
        >>> print(sdfido.evaluate.transfer(maps, models, images, [0.1, 0.3]).table(0.1))

    Source: after the masking by relevance of arXiv 2006.16795; the protocol is this package's own.
    """
    parts = check_fractions("fractions", fractions)
    seed = check_seed("seed", seed)
    rows = _rows(maps_by_model)
    given = _by_model("images", images, models)
    chosen = _by_model("targets", targets, models)
    count = len(next(iter(rows.values())))
    found: dict[str, list[Tensor]] = {"kept": [], "removed": []}
    unmasked, right = [], []
    for name, model in models.items():
        pixels = check_images(given[name])
        if len(pixels) != count:
            raise ValueError(f"images must be as many as maps, {count}, got {len(pixels)} for model {name!r}")
        score = _Answer(model.model, output=model.part) if isinstance(model, ClassScore) else _Answer(model)
        own = normalization_of(model, normalization)
        probe = Probe(score, pixels, chosen[name], infill=infill, normalization=own, max_batch=max_batch)
        sized = {row: _sized(maps, pixels) for row, maps in rows.items()} | _controls(pixels, seed)
        found["kept"].append(torch.stack([probe.keep(maps, parts).values for maps in sized.values()]))
        found["removed"].append(torch.stack([probe.remove(maps, parts).values for maps in sized.values()]))
        correct = probe.confidence > 1
        unmasked.append(probe.confidence - correct.float())
        right.append(correct.float().mean())
    before = torch.stack(unmasked)
    masked = {}
    for of, values in found.items():
        both = torch.stack(values, 1).transpose(2, 3)  # [A, B, P, N]
        masked[of] = Masked(both - (both > 1).float(), both > 1, before)
    return Transfer((*rows, *CONTROLS), tuple(models), tuple(parts), **masked, accuracy=torch.stack(right))


class _Answer(ClassScore):
    """A classifier whose confidence tells both: the target's probability, and 1 more where it is the answer.

    Both come from one forward pass. They can be told apart, since what is not the answer has at most probability 1/2.
    """

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        logits = self.logits(images)
        chosen = logits.softmax(1).gather(1, targets[:, None])[:, 0]
        return chosen + (logits.argmax(1) == targets)


def _rows(maps_by_model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not isinstance(maps_by_model, Mapping) or not maps_by_model:
        raise TypeError(f"maps_by_model must be a mapping from names to maps [N, H, W], got {maps_by_model!r}")
    rows = {name: check_maps(f"maps_by_model[{name!r}]", maps) for name, maps in maps_by_model.items()}
    if clash := set(rows) & set(CONTROLS):
        raise ValueError(f"maps_by_model must not have the controls' names, got {', '.join(sorted(clash))}")
    if len({len(maps) for maps in rows.values()}) > 1:
        raise ValueError(f"maps_by_model must be of equally many images, got {[len(maps) for maps in rows.values()]}")
    return rows


def _by_model(name: str, value: Any, models: Mapping[str, Model]) -> dict[str, Any]:
    """What each model is given, by its name."""
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"models must be a mapping from names to classifiers, got {models!r}")
    for model, each in models.items():
        if type(as_score(each)) is not ClassScore:
            raise TypeError(f"models must be classifiers, from images to class logits, got a score for {model!r}")
    if not isinstance(value, Mapping):
        return dict.fromkeys(models, value)
    if missing := [model for model in models if model not in value]:
        raise ValueError(f"{name} must have all models, got none for {', '.join(missing)}")
    return dict(value)


def _sized(maps: Tensor, images: Tensor) -> Tensor:
    size = (images.shape[2], images.shape[3])
    maps = maps.to(images.device)
    return maps if maps.shape[1:] == size else upsample(maps.float()[:, None], size)[:, 0]


def _controls(images: Tensor, seed: int) -> dict[str, Tensor]:
    """Maps [N, H, W] by the names of ``CONTROLS``."""
    n, _, height, width = images.shape
    generator = torch.Generator().manual_seed(seed % 2**63)
    order = torch.rand(n, height, width, generator=generator, dtype=torch.float32, device="cpu")
    y, x = (torch.arange(k, dtype=torch.float32, device="cpu") + 0.5 - k / 2 for k in (height, width))
    disc = -(y[:, None].square() + x.square()).expand(n, -1, -1)
    return {"random": order.to(images.device), "centre": disc.to(images.device)}
