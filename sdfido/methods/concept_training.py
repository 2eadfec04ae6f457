"""Training of the networks behind concepts, all classes side by side, in rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checks import check_choice, check_count, check_flag, check_number, set_count, set_number, set_seed
from ..execution import chunks
from .concept_network import Weights, contributions, decode, encode, faithfulness, pull_away, sparse_reconstruction

__all__ = ["PUBLISHED", "ConceptSettings", "LossTerms", "Round"]


@dataclass(frozen=True, kw_only=True)
class ConceptSettings:
    """How the features of concepts are trained.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    count: int = 5  #: features K of each class
    hidden: tuple[int, ...] = ()  #: units between activations and features, in the order of the encoder
    epochs: int = 30  #: passes over the images in a round
    pretraining_epochs: int = 0  #: passes before for each layer of the encoder as an autoencoder of its own
    batch: int = 100  #: images in a step
    learning_rate: float = 5e-3  #: of Adam, falling along a cosine to 0
    weight_decay: float = 1e-4  #: of Adam, on all weights
    dropout: float = 0.02  #: part of the units behind the first hidden layer that a step leaves out
    reconstruction_weight: float = 0.1  #: of the sparse reconstruction, in the first round
    pull_away_weight: float = 1.0  #: of the pull-away term, in the first round
    sharpness: float = 100.0  #: q of the sparse reconstruction: the higher, the fewer activations it asks for
    pull_away: str = "features"  #: what the pull-away term holds apart: "features" or "images"
    rounds: int = 5  #: trainings of a class, at most: until two features or more contribute
    #: whether activations and logits are put in units of their own spread before the losses see them
    normalized: bool = True
    seed: int = 0  #: of start, order of the images, and dropout

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("epochs", 1), ("pretraining_epochs", 0), ("batch", 2), ("rounds", 1)):
            set_count(self, name, least)
        for name in ("weight_decay", "reconstruction_weight", "pull_away_weight", "sharpness"):
            set_number(self, name, float, 0)
        set_number(self, "learning_rate", float, above=0)
        object.__setattr__(self, "dropout", check_number("dropout", self.dropout, float, 0, below=1))
        if not isinstance(self.hidden, Sequence) or isinstance(self.hidden, str):
            raise TypeError(f"hidden must be a sequence of numbers of units, got {self.hidden!r}")
        object.__setattr__(self, "hidden", tuple(check_count("hidden", units) for units in self.hidden))
        check_choice("pull_away", self.pull_away, ("features", "images"))
        check_flag("normalized", self.normalized)
        set_seed(self)


PUBLISHED: dict[str, Any] = {
    "hidden": (800, 100),
    "epochs": 1,
    "pretraining_epochs": 1,
    "batch": 50,
    "learning_rate": 1e-3,
    "reconstruction_weight": 10.0,
    "pull_away_weight": 10.0,
    "pull_away": "images",
    "normalized": False,
}
"""What the published script does, for activations of 4,096 units and about 10,000 images."""


@dataclass(frozen=True)
class Round:
    """One training of one class."""

    label: int  #: the class
    number: int  #: from 1
    reconstruction_weight: float
    pull_away_weight: float
    contributions: tuple[float, ...]  #: of each feature to the logit, mean over the images, highest first
    #: whether two features or more contribute, the second at least 0.3 times as much as the first; a single one always
    accepted: bool


class LossTerms(NamedTuple):
    """The terms of the loss, each without its weight [C]."""

    faithfulness: Tensor
    reconstruction: Tensor
    pull_away: Tensor


def start(units: int, settings: ConceptSettings, labels: Sequence[int], number: int) -> Weights:
    """Weights before the training of a round: those of a class are the same whatever other classes there are."""
    widths = (units, *settings.hidden, settings.count)
    kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    each = []
    for label in labels:
        state = np.random.SeedSequence([settings.seed % 2**64, label, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        one: Weights = {}
        for part, sizes in (("encoder", widths), ("decoder", widths[::-1])):
            for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
                drawn = torch.randn(inputs, outputs, generator=generator, **kind)
                one[f"{part}_weight_{layer}"] = drawn * (2 / inputs) ** 0.5
                one[f"{part}_bias_{layer}"] = torch.zeros(1, outputs, **kind)
        one["head"] = torch.randn(settings.count, generator=generator, **kind) / settings.count**0.5
        one["offset"] = torch.zeros((), **kind)
        each.append(one)
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def loss_terms(
    weights: Weights,
    activations: Tensor,
    logits: Tensor,
    settings: ConceptSettings,
    drop: Callable[[Tensor], Tensor] | None = None,
) -> LossTerms:
    """The terms of the loss of a batch: activations [B, D], logits [C, B]."""
    features = encode(weights, activations, drop).relu()
    added = contributions(weights, features)
    predicted = added.sum(2) + weights["offset"][:, None]
    rebuilt = decode(weights, features)
    apart = added if settings.pull_away == "images" else added.transpose(1, 2)
    return LossTerms(
        faithfulness(predicted, logits),
        sparse_reconstruction(rebuilt, activations, settings.sharpness),
        pull_away(apart),
    )


def train(
    activations: Tensor,
    logits: Tensor,
    labels: Sequence[int],
    settings: ConceptSettings,
    on_round: Callable[[Round], object] | None = None,
) -> tuple[Weights, list[Round]]:
    """The networks of classes, trained in rounds; a class that is accepted takes no part in further rounds.

    A round is accepted where at least two features contribute positively on average over the images, the second at
    least 0.3 times as much as the first. Otherwise the next one begins anew, with ``reconstruction_weight * 1.2`` and
    ``pull_away_weight * 0.8``. Of a class that is never accepted, the round whose second feature comes closest counts.

    Args:
        activations: [N, D], as the losses see them.
        logits: of the classes [C, N], likewise.
        labels: the classes.
        settings: of the training.
        on_round: called with each round of each class.
    """
    kept: Weights = {}
    best = [-float("inf")] * len(labels)
    rounds: list[Round] = []
    left = list(range(len(labels)))
    factors = settings.reconstruction_weight, settings.pull_away_weight
    for number in range(1, settings.rounds + 1):
        some = [labels[place] for place in left]
        trained = _train(activations, logits[left], some, settings, factors, number)
        with torch.no_grad():
            mean = contributions(trained, encode(trained, activations).relu()).mean(1).sort(1, descending=True).values
        kept = kept or {name: value.clone() for name, value in trained.items()}
        failed = []
        for row, place in enumerate(left):
            values = mean[row].tolist()
            share = values[1] / values[0] if len(values) > 1 and values[0] > 0 else -1.0
            accepted = len(values) < 2 or share >= 0.3
            if share > best[place] or number == 1:
                best[place] = share
                for name, value in trained.items():
                    kept[name][place] = value[row]
            if not accepted:
                failed.append(place)
            rounds.append(Round(labels[place], number, *factors, tuple(values), accepted))
            if on_round is not None:
                on_round(rounds[-1])
        left = failed
        if not left:
            break
        factors = factors[0] * 1.2, factors[1] * 0.8
    return kept, rounds


def _train(
    activations: Tensor,
    logits: Tensor,
    labels: Sequence[int],
    settings: ConceptSettings,
    factors: Sequence[float],
    number: int,
) -> Weights:
    """One round: layer by layer as autoencoders where that is asked for, then all terms together."""
    device = activations.device
    weights = {name: w.to(device) for name, w in start(activations.shape[1], settings, labels, number).items()}
    state = np.random.SeedSequence([settings.seed % 2**64, number]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state[0]))
    depth = len(settings.hidden) + 1
    for layer in range(depth if settings.pretraining_epochs else 0):
        names = [f"{part}_{kind}_{at}" for part, at in _mirrored(layer, depth) for kind in ("weight", "bias")]
        below = {name: value for name, value in weights.items() if name.startswith("encoder") and _at(name) < layer}

        def rebuilding(batch: Tensor, below: Weights = below, layer: int = layer) -> Tensor:
            given = activations[batch].expand(len(labels), -1, -1)
            given = encode(below, given).relu() if below else given
            own = {f"{part}_{kind}": weights[f"{part}_{kind}_{at}"] for part, at in _mirrored(layer, depth)
                   for kind in ("weight", "bias")}  # fmt: skip
            features = torch.baddbmm(own["encoder_bias"], given, own["encoder_weight"]).relu()
            return (torch.baddbmm(own["decoder_bias"], features, own["decoder_weight"]) - given).square().mean((1, 2))

        _descend(weights, names, rebuilding, len(activations), settings.pretraining_epochs, settings, generator)

    def drop(x: Tensor) -> Tensor:
        kept = torch.rand(x.shape[1:], generator=generator, dtype=torch.float32, device="cpu") >= settings.dropout
        return x * kept.to(x) / (1 - settings.dropout)

    def together(batch: Tensor) -> Tensor:
        terms = loss_terms(weights, activations[batch], logits[:, batch], settings, drop if settings.dropout else None)
        return terms.faithfulness + factors[0] * terms.reconstruction + factors[1] * terms.pull_away

    _descend(weights, list(weights), together, len(activations), settings.epochs, settings, generator)
    return weights


def _mirrored(layer: int, depth: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """A layer of the encoder and its mirror in the decoder."""
    return ("encoder", layer), ("decoder", depth - 1 - layer)


def _at(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def _descend(
    weights: Weights,
    names: Sequence[str],
    losses: Callable[[Tensor], Tensor],
    count: int,
    epochs: int,
    settings: ConceptSettings,
    generator: torch.Generator,
) -> None:
    """Train some of the weights by Adam on the losses [C] of batches, given as places of images."""
    leaves = [weights[name].requires_grad_() for name in names]
    optimizer = torch.optim.Adam(leaves, settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator, device="cpu")
        for part in chunks(count, settings.batch):
            batch = order[part]
            optimizer.zero_grad()
            torch.autograd.backward(losses(batch).sum())  # each class has weights of its own
            optimizer.step()
        schedule.step()
    for leaf in leaves:
        leaf.requires_grad_(False).grad = None
