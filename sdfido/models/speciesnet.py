"""The classifier of SpeciesNet, for camera traps: a graph that takes pixels [B, H, W, 3] in 0..1."""

from __future__ import annotations

from ..normalization import Normalization
from .adapters import ChannelsLast
from .classifier import Classifier
from .packages import require


def load(name: str) -> Classifier:
    """SpeciesNet's classifier, fed the whole photo, squashed to its size.

    Of a label such as "uuid;mammalia;carnivora;felidae;felis;catus;domestic cat", the last part is shown.

    Args:
        name: what ``SpeciesNetClassifier`` takes, such as the folder of a model; "default" for the package's own.

    Raises:
        ImportError: speciesnet is not installed.
    """
    library = require("speciesnet", f"model 'speciesnet:{name}'", "pip install speciesnet")
    made = library.SpeciesNetClassifier(library.DEFAULT_MODEL if name == "default" else name, device="cpu")
    side = int(getattr(made, "IMG_SIZE", 480))
    return Classifier(
        f"speciesnet:{name}",
        ChannelsLast(made.model),
        Normalization((0.0,), (1.0,)),
        (side, side),
        _names([made.labels[index] for index in range(len(made.labels))]),
        interpolation="bilinear",
        crop_mode="squash",
    )


def _names(labels: list[str]) -> tuple[str, ...]:
    """For each class its common name, then its scientific one."""
    found = []
    for label in labels:
        *ranks, common = label.split(";")
        scientific = " ".join(part for part in ranks[-2:] if part)
        found.append(", ".join(part for part in (common, scientific) if part) or label)
    return tuple(found)
