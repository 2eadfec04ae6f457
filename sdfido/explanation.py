"""What an explanation holds, and its file format."""

import io
import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .files import replacing

_FORMAT = "sdfido explanation 1"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Importance maps of N images and what the classifier says of them.

    The smallest sufficient region (SSR) keeps the class with as little of the image as possible: its map is the keep
    rate. The smallest destroying region (SDR) loses the class by removing as little as possible: its map is one minus
    the keep rate.
    """

    ssr: Tensor  #: importance [N, H, W], 0..1: keep rate of the sufficient mask
    sdr: Tensor  #: importance [N, H, W], 0..1: one minus the keep rate of the destroying mask
    targets: Tensor  #: explained classes [N], int64
    prob_image: Tensor  #: probability of the target for the image [N]
    prob_infill: Tensor  #: … for the infill alone [N]
    prob_ssr: Tensor  #: … for the image with all but the SSR infilled, by keep rates [N]
    prob_sdr: Tensor  #: … for the image with the SDR infilled, by keep rates [N]
    prob_ssr_binary: Tensor  #: … with every cell of the SSR's mask wholly kept or infilled, by keep rates cut at ½ [N]
    prob_sdr_binary: Tensor  #: … with every cell of the SDR's mask wholly kept or infilled, by keep rates cut at ½ [N]
    logits: Tensor  #: keep logits of both masks [N, 2, h, w], SSR first
    objective: Tensor  #: mean objective of each step [steps]; lower is better
    seconds: float  #: duration of the optimisation
    settings: dict[str, Any] = field(default_factory=dict)  #: how it was computed

    @property
    def joint(self) -> Tensor:
        """Both maps in one, ``sqrt(ssr * sdr)``: what is sufficient and necessary [N, H, W], 0..1."""
        return (self.ssr * self.sdr).sqrt()

    @property
    def kept_ssr(self) -> Tensor:
        """Part of the image that the sufficient mask keeps: mean keep rate [N], 0..1."""
        return self.ssr.mean((1, 2))

    @property
    def removed_sdr(self) -> Tensor:
        """Part of the image that the destroying mask removes: mean of one minus the keep rate [N], 0..1."""
        return self.sdr.mean((1, 2))

    @property
    def area_ssr(self) -> Tensor:
        """Part of the SSR mask's cells with a keep rate above ½ [N], 0..1."""
        return (self.logits[:, 0] > 0).float().mean((1, 2))

    @property
    def area_sdr(self) -> Tensor:
        """Part of the SDR mask's cells with a keep rate of at most ½ [N], 0..1."""
        return (self.logits[:, 1] <= 0).float().mean((1, 2))

    def composites(self, images: Tensor, infill: Tensor) -> tuple[Tensor, Tensor]:
        """Images with all but the SSR infilled, and with the SDR infilled, by keep rates: two [N, C, H, W].

        Args:
            images: the explained images [N, C, H, W].
            infill: what replaces pixels; broadcasts against ``images``.
        """
        difference = images - infill
        ssr, sdr = (m.to(images)[:, None] for m in (self.ssr, self.sdr))
        return infill + ssr * difference, infill + (1 - sdr) * difference

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
            fits, meaning = tensor.dim() == 1, "[steps]"
        else:
            expected = shape if name in ("ssr", "sdr") else (n,)
            fits, meaning = tensor.shape == expected, str(list(expected))
        if not fits:
            raise ValueError(f"its {name} must be {meaning}, got {list(tensor.shape)}")
