"""What an explanation holds, and its file format."""

import io
import json
import numbers
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .files import replacing
from .ops import functional

_FORMAT = "sdfido explanation 2"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Importance maps of N images, the masks at the end, and what the classifier says of them.

    The smallest sufficient region (SSR) keeps the class with as little of the image as possible: its map is the keep
    rate. The smallest destroying region (SDR) loses the class by removing as little as possible: its map is one minus
    the keep rate. Both maps average the keep rates over the steps, the t-th counting t times: they also rank what the
    masks, which end nearly binary, treat alike.
    """

    ssr: Tensor  #: importance [N, H, W], 0..1: keep rate of the sufficient mask, averaged over the steps
    sdr: Tensor  #: importance [N, H, W], 0..1: one minus the keep rate of the destroying mask, likewise
    targets: Tensor  #: explained classes [N], int64
    prob_image: Tensor  #: probability of the target for the image [N]
    prob_infill: Tensor  #: … for the infill alone [N]
    prob_ssr: Tensor  #: … for the image with all but the SSR infilled, by the mask's keep rates at the end [N]
    prob_sdr: Tensor  #: … for the image with the SDR infilled, by the mask's keep rates at the end [N]
    prob_ssr_binary: Tensor  #: … with every cell of the SSR's mask wholly kept or infilled, by keep rates cut at ½ [N]
    prob_sdr_binary: Tensor  #: … with every cell of the SDR's mask wholly kept or infilled, by keep rates cut at ½ [N]
    logits: Tensor  #: keep logits of both masks at the end [N, 2, h, w], SSR first
    objective: Tensor  #: objective of each step [N, steps], NaN after an image had settled; lower is better
    seconds: float  #: duration of the optimisation
    settings: dict[str, Any] = field(default_factory=dict)  #: how it was computed

    @property
    def masks(self) -> Tensor:
        """Keep rates of both masks at the end, SSR first [N, 2, H, W], 0..1: what the composites are made with."""
        rates = torch.sigmoid(self.logits)
        return functional.upsample(rates, (self.ssr.shape[1], self.ssr.shape[2])).clamp(0, 1)

    @property
    def joint(self) -> Tensor:
        """Both maps in one, ``sqrt(ssr * sdr)``: what is sufficient and necessary [N, H, W], 0..1."""
        return (self.ssr * self.sdr).sqrt()

    @property
    def steps(self) -> Tensor:
        """Steps that each image took until it had settled [N], int64."""
        return (~self.objective.isnan()).sum(1)

    @property
    def kept_ssr(self) -> Tensor:
        """Part of the image that the sufficient mask keeps: mean keep rate at the end [N], 0..1."""
        return self.masks[:, 0].mean((1, 2))

    @property
    def removed_sdr(self) -> Tensor:
        """Part of the image that the destroying mask removes: mean of one minus the keep rate at the end [N], 0..1."""
        return 1 - self.masks[:, 1].mean((1, 2))

    @property
    def area_ssr(self) -> Tensor:
        """Part of the SSR mask's cells with a keep rate above ½ [N], 0..1."""
        return (self.logits[:, 0] > 0).float().mean((1, 2))

    @property
    def area_sdr(self) -> Tensor:
        """Part of the SDR mask's cells with a keep rate of at most ½ [N], 0..1."""
        return (self.logits[:, 1] <= 0).float().mean((1, 2))

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.ssr)

    def __getitem__(self, index: int) -> "Explanation":
        """The explanation of one image alone (N = 1); ``seconds`` stays that of all."""
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise TypeError(f"index must be an integer, got {index!r}")
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"index must be one of the explanation's {n} images, 0..{n - 1}, got {index}")
        position = int(index) % n
        part = slice(position, position + 1)
        values: dict[str, Any] = {f.name: getattr(self, f.name)[part] for f in fields(self) if f.type is Tensor}
        return replace(self, **values)

    @staticmethod
    def stack(explanations: "Sequence[Explanation]") -> "Explanation":
        """Several explanations as one, image after image; ``seconds`` is their sum.

        Raises:
            ValueError: there are none, or they differ in size or settings.
        """
        if not explanations:
            raise ValueError("explanations must be at least one, got none")
        first = explanations[0]
        if any(other.settings != first.settings for other in explanations):
            raise ValueError("explanations must have the same settings to be stacked")
        if any(other.ssr.shape[1:] != first.ssr.shape[1:] for other in explanations):
            raise ValueError(f"explanations must have maps of the same size, got {[*map(_size, explanations)]}")
        names = [f.name for f in fields(first) if f.type is Tensor]
        values: dict[str, Any] = {name: torch.cat([getattr(e, name) for e in explanations]) for name in names}
        return replace(first, **values, seconds=sum(e.seconds for e in explanations))

    def composites(self, images: Tensor, infill: Tensor) -> tuple[Tensor, Tensor]:
        """Images with all but the SSR infilled, and with the SDR infilled, by :attr:`masks`: two [N, C, H, W].

        Args:
            images: the explained images [N, C, H, W].
            infill: what replaces pixels; broadcasts against ``images``.
        """
        difference = images - infill
        ssr, sdr = self.masks.to(images).unsqueeze(2).unbind(1)
        return infill + ssr * difference, infill + sdr * difference

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything into one ``.npz`` file, which NumPy alone can read; the file appears whole or not at all."""
        arrays = {f.name: getattr(self, f.name).cpu().numpy() for f in fields(self) if f.type is Tensor}
        about = {"format": _FORMAT, "seconds": self.seconds, "settings": self.settings}
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Explanation":
        """Read what :meth:`save` wrote; nothing is unpickled.

        Raises:
            OSError: the file cannot be read; FileNotFoundError where there is none.
            ValueError: the file is not an explanation; the message says why.
        """
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about.get("format") != _FORMAT:
                    raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
                tensors = {f.name: torch.from_numpy(file[f.name]) for f in fields(cls) if f.type is Tensor}
            _check_shapes(tensors)
            seconds, settings = about["seconds"], about["settings"]
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isinstance(settings, dict):
                raise ValueError(
                    f"its seconds and settings must be a number and a table, got {seconds!r}, {settings!r}"
                )
        except KeyError as error:
            raise ValueError(f"{os.fspath(path)} is not a saved explanation: it has no entry {error}") from error
        except Exception as error:
            raise ValueError(f"{os.fspath(path)} is not a saved explanation: {error}") from error
        return cls(**tensors, seconds=seconds, settings=settings)


def _size(explanation: Explanation) -> list[int]:
    return list(explanation.ssr.shape[1:])


def _check_shapes(tensors: dict[str, Tensor]) -> None:
    shape = tensors["ssr"].shape
    if len(shape) != 3:
        raise ValueError(f"its ssr must be [N, H, W], got {list(shape)}")
    n = shape[0]
    for name, tensor in tensors.items():
        if (tensor.dtype != torch.int64) if name == "targets" else not tensor.is_floating_point():
            kind = "int64" if name == "targets" else "floating point"
            raise ValueError(f"its {name} must be {kind}, got {tensor.dtype}")
        if name == "logits":
            fits, meaning = tensor.dim() == 4 and tensor.shape[:2] == (n, 2), f"[{n}, 2, h, w]"
        elif name == "objective":
            fits, meaning = tensor.dim() == 2 and len(tensor) == n, f"[{n}, steps]"
        else:
            expected = shape if name in ("ssr", "sdr") else (n,)
            fits, meaning = tensor.shape == expected, str(list(expected))
        if not fits:
            raise ValueError(f"its {name} must be {meaning}, got {list(tensor.shape)}")
