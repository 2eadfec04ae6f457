"""Pieces of regions, where on the bird they lie, and how well groups of them are these places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from torch import Tensor, nn
from torch.nn import functional as F

import sdfido
from benchmarks.common import redundant
from benchmarks.common.attributions import BLUR
from benchmarks.common.pairs import fingerprint
from benchmarks.common.redundant import Birds
from benchmarks.studies.concepts.maps import PLACES, places
from benchmarks.studies.transfer.labels import faces_right
from sdfido.evaluate import parts
from sdfido.files import replacing
from sdfido.models import Classifier
from sdfido.reports.gallery import crop

METHODS = {"FIDO": sdfido.FIDO, "regions": sdfido.SufficientRegions}
LABELS = (*PLACES, "elsewhere")
TOUCHES = 0.1  # of a piece that must lie in a place, for it to lie there
SHUFFLES = 200
_CROP = 16  # side of the crops of which the pixels are clustered


@dataclass(frozen=True)
class Drawn:
    """Birds of one seed, and what is known of them."""

    birds: Birds
    seed: int
    places: Tensor  #: where the parts of all six species would be [N, 6, H, W], bool
    facing: Tensor  #: whether each bird faces right [N]


@dataclass(frozen=True)
class Pieces:
    """Pieces of regions of birds of one species."""

    masks: Tensor  #: [P, H, W], bool
    birds: Tensor  #: which bird of the seed each is of [P]


def draw(model: Classifier, count: int, seed: int) -> Drawn:
    """As many birds of each species with both parts, the first that the classifier gets right, species by species."""
    found = redundant.birds(range(2 * count * len(redundant.SPECIES)), seed=seed)
    right = redundant.probabilities(model, found) > 0.5
    each = [(right & (found.labels == s)).nonzero()[:count, 0] for s in range(1, len(redundant.SPECIES))]
    index = torch.cat(each)
    return Drawn(
        found.some(index),
        seed,
        torch.stack([places(i, seed) for i in index.tolist()]),
        torch.tensor([faces_right(i, seed) for i in index.tolist()]),
    )


def regions(method: str, model: Classifier, drawn: Drawn, folder: Path, **settings: Any) -> Tensor:
    """The regions that suffice [N, R, H, W], bool, empty where there is none; from a file of the folder if it is there.

    The file belongs to the code of sdfido and of the birds, to the settings and to torch.
    """
    explainer = METHODS[method](model.model, infill=BLUR, **settings)
    about = method, explainer.describe(), drawn.seed, len(drawn.birds.labels), redundant.weights_file().name
    path = folder / f"{method}-{drawn.seed}-{fingerprint([Path(redundant.__file__)], *about)}.pt"
    if not path.exists():
        explanation = explainer.explain(model.normalization.normalize(drawn.birds.pixels), drawn.birds.labels)
        kept = [k for k, name in enumerate(explanation.regions) if explanation.legend[name].role == "keep"]
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save(explanation.binary_masks[:, kept] > 0.5, part)
    found: Tensor = torch.load(path, weights_only=True)
    return found


def pieces(found: Tensor, drawn: Drawn, species: int, *, whole: bool = False) -> Pieces:
    """Of the regions [N, R, H, W] of a species the pieces, or the regions as they are."""
    masks, birds = [], []
    for n in (drawn.birds.labels == species).nonzero()[:, 0].tolist():
        for region in found[n][found[n].any((1, 2))]:
            each = region[None] if whole else parts.pieces(region)
            masks.append(each)
            birds += [n] * len(each)
    return Pieces(torch.cat(masks), torch.tensor(birds))


def where(of: Pieces, drawn: Drawn) -> Tensor:
    """The place that most pixels of each piece lie in [P], as an index into ``LABELS``."""
    share = _shares(of, drawn)
    found: Tensor = share.argmax(1).where(share.amax(1) >= TOUCHES, len(PLACES))
    return found


def several(of: Pieces, drawn: Drawn) -> Tensor:
    """Whether each piece lies in more than one place [P]."""
    return (_shares(of, drawn) >= TOUCHES).sum(1) > 1


def _shares(of: Pieces, drawn: Drawn) -> Tensor:
    """Part of the pixels of each piece in each of the six places [P, 6]."""
    inside = (of.masks[:, None] & drawn.places[of.birds]).sum((2, 3))
    return inside / of.masks.sum((1, 2))[:, None]


def activations(model: nn.Module, images: Tensor, of: Pieces, **settings: Any) -> Tensor:
    """Features of the pieces by the model [P, D]."""
    found = []
    for n in dict.fromkeys(of.birds.tolist()):
        masks = of.masks[of.birds == n]
        found.append(parts.region_features(model, images[n : n + 1], masks[None], **settings)[0])
    return torch.cat(found)


def pixels(birds: Birds, of: Pieces) -> Tensor:
    """Pixels of the crops that the gallery shows of the pieces, made small: [P, 3 * 16 * 16]."""
    crops = [torch.from_numpy(each).permute(2, 0, 1)[None] / 255 for each in crops_of(birds, of)]
    return torch.cat([F.interpolate(each, (_CROP, _CROP), mode="area") for each in crops]).flatten(1)


def crops_of(birds: Birds, of: Pieces) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """What the gallery shows of the pieces, each [h, w, 3]."""
    return [crop(birds.pixels[n], mask) for n, mask in zip(of.birds.tolist(), of.masks, strict=True)]


def measured(found: parts.Clusters, true: Tensor, facing: Tensor) -> dict[str, float]:
    """How well groups are the places of the pieces, and by chance; how well they are the directions that birds face."""
    labels, truth = found.labels.numpy(), true.numpy()
    random = np.random.default_rng(0)
    return {
        "purity": purity(labels, truth),
        "chance": float(np.mean([purity(labels, random.permutation(truth)) for _ in range(SHUFFLES)])),
        "rand": float(adjusted_rand_score(truth, labels)),
        "mutual": float(adjusted_mutual_info_score(truth, labels)),
        "facing": float(adjusted_mutual_info_score(facing.numpy(), labels)),
        "groups": float(len(found.members)),
    }


def purity(labels: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Part of the pieces that lie where most of their group do."""
    most = sum(int(np.bincount(truth[labels == group]).max()) for group in np.unique(labels))
    return most / len(labels)


Features = Callable[[nn.Module, Tensor, Birds, Pieces], Tensor]
WAYS: dict[str, tuple[bool, Features]] = {
    "gallery": (False, lambda model, images, _, of: activations(model, images, of)),
    "no mirror": (False, lambda model, images, _, of: activations(model, images, of, mirror=False)),
    "last": (False, lambda model, images, _, of: activations(model, images, of, resolutions=1)),
    "whole": (True, lambda model, images, _, of: activations(model, images, of)),
    "before": (True, lambda model, images, _, of: activations(model, images, of, mirror=False, resolutions=1)),
    "pixels": (False, lambda _model, _images, birds, of: pixels(birds, of)),
}
"""Whether whole regions are clustered in place of their pieces, and by which features [P, D]."""
