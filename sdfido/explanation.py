"""What an explanation holds."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, overload

import torch
from torch import Tensor

from . import _deprecated, explanation_file
from . import notes as _notes
from .checks import (
    check_broadcast,
    check_choice,
    check_device,
    check_flag,
    check_kind,
    check_list,
    check_tensor,
)
from .explanation_file import GROUPS
from .ops import functional
from .scores import PROBABILITY, Scale

__all__ = ["GEOMETRIC", "SSR_AND_SDR", "Explanation", "MapInfo"]


@dataclass(frozen=True)
class MapInfo:
    """What a map shows, for pictures, tables and evaluation."""

    title: str  #: a few words, such as "SSR: smallest sufficient"
    note: str = ""  #: a second line, such as "enough on its own"
    role: Literal["keep", "remove", "both"] = "both"  #: what its top is for: to be enough, to be missed, or either
    of: tuple[str, ...] = ()  #: the maps whose mean it is; such a map is computed, not stored
    mean: Literal["arithmetic", "geometric"] = "geometric"  #: which mean
    main: bool = False  #: whether it stands for the method before maps that its role would put first
    signed: bool = False  #: whether the map is in -1..1: below 0, what speaks against the target

    def __post_init__(self) -> None:
        for name in ("title", "note"):
            check_kind(name, getattr(self, name), str, "a text")
        object.__setattr__(self, "of", tuple(check_list("of", self.of, str, "names of maps")))
        check_choice("mean", self.mean, ("arithmetic", "geometric"))
        check_choice("role", self.role, ("keep", "remove", "both"))
        for name in ("main", "signed"):
            check_flag(name, getattr(self, name))

    @property
    def heading(self) -> str:
        """What the map is called where there is little room: "SSR" of "SSR: smallest sufficient"."""
        return self.title.partition(":")[0]


SSR_AND_SDR = {
    "ssr": MapInfo("SSR: smallest sufficient", "enough on its own", "keep"),
    "sdr": MapInfo("SDR: smallest destroying", "lost without it", "remove"),
    "joint": MapInfo("Joint", "(SSR + SDR) / 2", "both", of=("ssr", "sdr"), mean="arithmetic"),
}
"""The legend of the smallest sufficient and the smallest destroying region, and of both in one."""
GEOMETRIC = SSR_AND_SDR | {"joint": MapInfo("Joint", "√(SSR · SDR)", "both", of=("ssr", "sdr"))}
"""The same with the geometric mean, as existing FIDO code and older files have it."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Importance maps of N images, the masks that they come from, and what the model says of the masked images.

    ``explanation["ssr"]`` is a map, ``explanation[0]`` the explanation of one image. Maps, scores and parts are
    attributes, too: ``explanation.ssr``, ``explanation.prob_image``, ``explanation.mask_logits``.

    A *region* is a map with a mask of its own: what the mask keeps where the map's role is "keep", what it removes
    where the role is "remove". The mask is soft; the *final* region takes the most important cells of the map, wholly,
    as many as are needed to keep 90% of the image's confidence, or to leave 10%. ``kept_NAME`` or ``removed_NAME`` is
    the size of the soft mask, ``area_NAME`` that of the final region, both [N], 0..1; ``prob_NAME`` and
    ``prob_NAME_binary`` is what the model says of them. ``notes`` tells where that is not to be relied on.
    """

    method: str  #: name of the method, such as "fido"
    maps: Mapping[str, Tensor]  #: importance by name [N, H, W], 0..1 or, where signed, -1..1; in the order of display
    scores: Mapping[str, Tensor]  #: numbers by name [N]; ``prob_image`` and ``prob_infill``: confidence of the target
    targets: Tensor  #: what is explained [N, ...]; class indices, int64, for classifiers
    parts: Mapping[str, Tensor] = field(default_factory=dict)  #: what else a method tells of each image [N, ...]
    #: loss of each step [N, steps], NaN once converged
    trace: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float32, device="cpu"))
    legend: Mapping[str, MapInfo] = field(default_factory=dict)  #: what each map shows
    settings: dict[str, Any] = field(default_factory=dict)  #: what was computed
    execution: dict[str, Any] = field(default_factory=dict)  #: how the model was run
    seconds: float | None = None  #: duration of the computation
    scale: Scale = PROBABILITY  #: what the confidences mean, and how they are written

    def __post_init__(self) -> None:
        legend = {name: self.legend.get(name, MapInfo(name)) for name in [*self.maps, *self.legend]}
        maps = dict(self.maps)
        for name, info in legend.items():
            if info.of and name not in maps:
                maps[name] = _mean([maps[other] for other in info.of], info.mean)
        object.__setattr__(self, "maps", maps)
        object.__setattr__(self, "legend", {name: info for name, info in legend.items() if name in maps})
        if self.trace.shape == (0, 0):
            object.__setattr__(self, "trace", self.trace.new_zeros(len(self), 0))

    def __getattr__(self, name: str) -> Tensor:
        if not name.startswith("_"):
            for group in GROUPS:
                if name in self.__dict__.get(group, ()):
                    value: Tensor = self.__dict__[group][name]
                    return value
            size, _, region = name.partition("_")
            if size in ("kept", "removed", "area") and region in self.regions:
                return self.area(region) if size == "area" else self._part(region, size == "kept")
            if name in _deprecated.EXPLANATION:
                old: Tensor = _deprecated.attribute(self, name, _deprecated.EXPLANATION)
                return old
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.targets)

    @property
    def masks(self) -> Tensor:
        """Keep masks at the end, one for each region [N, K, H, W], 0..1: what the composites are made with."""
        return functional.upsample(self._cells(), self._size()).clamp(0, 1)

    @property
    def binary_masks(self) -> Tensor:
        """The final regions as keep masks [N, K, H, W], 0..1: every cell is wholly kept or infilled, edges bilinear."""
        return functional.upsample(self._kept_cells().float(), self._size())

    @property
    def final_cells(self) -> Tensor:
        """Cells that belong to each final region, kept or removed: bool [N, K, h, w], in the order of ``regions``."""
        kept = self._kept_cells()
        removed = [self.legend[name].role == "remove" for name in self.regions]
        return kept ^ torch.tensor(removed, device=kept.device)[:, None, None]

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the maps that have a mask, in the order of ``masks``."""
        if not {"mask_logits", "masks"} & set(self.parts):
            return ()
        return tuple(name for name, info in self.legend.items() if info.role != "both")

    @property
    def steps(self) -> Tensor:
        """Steps that each image took until it had converged [N], int64."""
        return (~self.trace.isnan()).sum(1)

    @property
    def numbers(self) -> dict[str, Tensor]:
        """All numbers of each image by name [N]: confidences, sizes of the regions, other scores."""
        found = {name: self.scores[name] for name in ("prob_image", "prob_infill") if name in self.scores}
        for form in ("prob_{}", "", "prob_{}_binary", "area_{}"):
            for region in self.regions:
                name = form.format(region) or self.size_name(region)
                if form[:4] != "prob" or name in self.scores:
                    found[name] = getattr(self, name)
        return found | {name: value for name, value in self.scores.items() if name not in found}

    @property
    def mask_size(self) -> tuple[int, int]:
        """Rows and columns of the masks' cells."""
        cells = self._cells()
        return cells.shape[2], cells.shape[3]

    def share(self, region: str) -> float:
        """Part of the image's confidence that a region is to keep, or to leave: 0.9 and 0.1 by default."""
        role = self.legend[check_choice("region", region, list(self.legend))].role
        return float(self.settings.get(*(("kept_share", 0.9) if role == "keep" else ("left_share", 0.1))))

    @property
    def notes(self) -> list[list[str]]:
        """For each image what speaks against taking its explanation at its word, a sentence each; often none."""
        return [_notes.notes(self[place]) for place in range(len(self))]

    @property
    def missing(self) -> list[tuple[str, ...]]:
        """For each image the regions that it does not have.

        That are those to be kept of which nothing that suffices was found; and all, where the model says the same of
        the image, of its infill and of every mask, so that there is nothing to explain.
        """
        if not {"prob_image", "prob_infill"} <= set(self.scores):
            return [()] * len(self)
        image, infill = (self.scores[f"prob_{of}"].tolist() for of in ("image", "infill"))
        areas = {name: self.area(name).tolist() for name in self.regions if self.legend[name].role == "keep"}

        def is_missing(name: str, n: int) -> bool:
            level = self.scale.wanted(self.share(name), image[n], infill[n])
            return _notes.is_missing(areas[name][n], infill[n], level)

        said = {name: value.tolist() for name, value in self.scores.items() if name.startswith("prob_")}
        indifferent = [_notes.is_indifferent({name: said[name][n] for name in said}) for n in range(len(self))]
        return [
            self.regions if indifferent[n] else tuple(name for name in areas if is_missing(name, n))
            for n in range(len(self))
        ]

    def size_name(self, region: str) -> str:
        """What a region's size is called: "kept_NAME" or "removed_NAME"."""
        return f"{'kept' if self.legend[region].role == 'keep' else 'removed'}_{region}"

    def area(self, region: str) -> Tensor:
        """Part of the image's cells that belongs to the final region [N], 0..1."""
        check_choice("region", region, self.regions)
        kept = self._kept_cells()[:, self.regions.index(region)]
        return (kept if self.legend[region].role == "keep" else ~kept).float().mean((1, 2))

    def _part(self, region: str, kept: bool) -> Tensor:
        """Mean of the region's mask at the end, or one minus that: [N], 0..1."""
        mean = self.masks[:, self.regions.index(region)].mean((1, 2))
        return mean if kept else 1 - mean

    def _size(self) -> tuple[int, int]:
        shape = next(iter(self.maps.values())).shape
        return shape[1], shape[2]

    def _cells(self) -> Tensor:
        """Keep masks [N, K, h, w], 0..1."""
        if "mask_logits" in self.parts:
            return torch.sigmoid(self.parts["mask_logits"])
        if "masks" in self.parts:
            return self.parts["masks"]
        raise ValueError(f"an explanation by method {self.method!r} has no masks")

    def _kept_cells(self) -> Tensor:
        """Cells that the final regions keep: bool [N, K, h, w]; in older explanations those kept by more than 1/2."""
        if "kept_cells" in self.parts:
            return self.parts["kept_cells"]
        return self.parts["mask_logits"] > 0 if "mask_logits" in self.parts else self._cells() > 0.5

    @overload
    def __getitem__(self, index: str) -> Tensor: ...

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    def __getitem__(self, index: str | int) -> Explanation | Tensor:
        """A map by its name; or the explanation of one image alone (N = 1), whose ``seconds`` stay those of all."""
        if isinstance(index, str):
            if index not in self.maps:
                raise KeyError(f"index must be one of the maps {', '.join(self.maps)}, got {index!r}")
            return self.maps[index]
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise TypeError(f"index must be an integer or the name of a map, got {index!r}")
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"index must be one of the explanation's {n} images, 0..{n - 1}, got {index}")
        position = int(index) % n
        return self._each(lambda tensor: tensor[position : position + 1])

    def to(self, device: torch.device | str) -> Explanation:
        """The same with all tensors on a device."""
        chosen = check_device("device", device)
        return self._each(lambda tensor: tensor.to(chosen))

    def _each(self, function: Callable[[Tensor], Tensor]) -> Explanation:
        groups: dict[str, Any] = {
            group: {name: function(tensor) for name, tensor in getattr(self, group).items()} for group in GROUPS
        }
        return replace(self, **groups, targets=function(self.targets), trace=function(self.trace))

    @staticmethod
    def stack(explanations: Iterable[Explanation]) -> Explanation:
        """Several explanations as one, image after image; ``seconds`` is their sum.

        Raises:
            TypeError: they are no explanations.
            ValueError: there are none, or they differ in method, settings, size or the names of what they hold.
        """
        explanations = check_list("explanations", explanations, Explanation, "explanations")
        if not explanations:
            raise ValueError("explanations must be at least one, got none")
        first: Explanation = explanations[0]
        computed = [(each.method, _plain(each.settings)) for each in explanations]
        if any(each != computed[0] for each in computed):
            raise ValueError("explanations must have the same method and settings to be stacked")
        if any(other._size() != first._size() for other in explanations):
            raise ValueError(
                f"explanations must have maps of the same size, got {[list(each._size()) for each in explanations]}"
            )
        for group in GROUPS:
            names = list(getattr(first, group))
            if other := next((e for e in explanations if getattr(e, group).keys() != set(names)), None):
                unlike = list(getattr(other, group))
                raise ValueError(f"explanations must have the same {group} to be stacked, got {names} and {unlike}")
        groups: dict[str, Any] = {
            group: {name: torch.cat([getattr(e, group)[name] for e in explanations]) for name in getattr(first, group)}
            for group in GROUPS
        }
        # Whether a map of a function of the user's own is signed may show with some images only.
        groups["legend"] = {
            name: replace(info, signed=any(e.legend[name].signed for e in explanations))
            for name, info in first.legend.items()
        }
        targets, trace = (torch.cat([getattr(e, name) for e in explanations]) for name in ("targets", "trace"))
        seconds = [e.seconds for e in explanations if e.seconds is not None]
        return replace(first, **groups, targets=targets, trace=trace, seconds=sum(seconds) if seconds else None)

    def composites(self, images: Tensor, infill: Tensor) -> tuple[Tensor, ...]:
        """The images masked by each final region, in the order of ``regions``: tensors [N, C, H, W].

        A region of role "keep" is all that is left of its images; one of role "remove" is infilled in them.

        Args:
            images: the explained images [N, C, H, W].
            infill: what replaces pixels; broadcasts against ``images``.

        Raises:
            TypeError, ValueError: an argument is no such tensor; the message says which.
        """
        size = [len(self), *self._size()]
        check_tensor("images", images, "[N, C, H, W]", 4, floating=True, values=True)
        if [images.shape[0], *images.shape[2:]] != size:
            raise ValueError(
                f"images must be those explained, [{size[0]}, C, {size[1]}, {size[2]}], got {list(images.shape)}"
            )
        check_tensor("infill", infill, "that broadcasts against images", floating=True, values=True)
        check_broadcast("infill", infill, "images", images)
        masks = self.binary_masks.to(images).transpose(0, 1)
        return tuple(functional.blend(mask, images, infill.expand_as(images)) for mask in masks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything into one ``.npz`` file, which NumPy alone can read; the file appears whole or not at all."""
        tensors = {"targets": self.targets, "trace": self.trace}
        for group in GROUPS:
            stored = [name for name in getattr(self, group) if group != "maps" or not self.legend[name].of]
            tensors |= {f"{group}/{name}": getattr(self, group)[name] for name in stored}
        legend = {name: asdict(info) for name, info in self.legend.items()}
        about = {name: getattr(self, name) for name in ("method", "settings", "execution", "seconds")}
        about |= {"legend": legend, "scale": self.scale.described()}
        explanation_file.write(path, about, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, size: tuple[int, int] | None = None) -> Explanation:
        """Read what ``save`` wrote, in this version or an older one; nothing is unpickled.

        What the file claims to hold is checked before memory is taken for it, so that it may be anybody's.

        Args:
            path: of the file.
            size: height and width that its maps must have, if they are known; others are refused.

        Raises:
            OSError: the file cannot be read; FileNotFoundError where there is none.
            ValueError: the file is not an explanation; the message says why.
        """
        with explanation_file.reading(path, size) as (about, tensors):
            legend = {name: MapInfo(**info) for name, info in about["legend"].items()} or GEOMETRIC
            groups: dict[str, Any] = {group: {} for group in GROUPS}
            for name, tensor in tensors.items():
                group, slash, key = name.partition("/")
                if slash and group in groups:
                    groups[group][key] = tensor
            # Stored maps in the order of the legend; those computed from them are put in again.
            groups["maps"] = {name: groups["maps"][name] for name, info in legend.items() if not info.of}
            fields = {name: about[name] for name in ("method", "settings", "execution", "seconds")}
            fields |= {"scale": Scale.read(about.get("scale")), "legend": legend}
            shown = [name for name, info in legend.items() if info.role != "both"]
            for name in ("mask_logits", "masks", "kept_cells"):
                mask = groups["parts"].get(name)
                if mask is not None and (mask.dim() != 4 or mask.shape[1] != len(shown)):
                    raise ValueError(f"its parts/{name} must be [N, {len(shown)}, h, w], got {list(mask.shape)}")
            signed = [name for name, info in legend.items() if info.signed]
            explanation_file.check_ranges(about, tensors, signed, fields["scale"] == PROBABILITY)
            return cls(**groups, targets=tensors["targets"], trace=tensors["trace"], **fields)


# `torch.load` reads those that `torch.save` wrote: plain data, whose fields nothing runs.
torch.serialization.add_safe_globals([Explanation, MapInfo, Scale])


def _plain(value: Any) -> Any:
    """Settings as files have them, where every pair is a list."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _mean(maps: list[Tensor], kind: str) -> Tensor:
    """The mean of maps [N, H, W]."""
    result = maps[0]
    for other in maps[1:]:
        result = result * other if kind == "geometric" else result + other
    if kind == "arithmetic":
        return result / len(maps)
    return result.sqrt() if len(maps) == 2 else result ** (1 / len(maps))
