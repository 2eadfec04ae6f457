"""Concepts: few orthogonal features that reproduce a class's logit from the activations of a layer."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import json_file, npz_file
from ..checks import (
    check_choice,
    check_images,
    check_integers,
    check_kind,
    check_list,
    check_number,
    check_path,
    check_tensor,
)
from ..execution import chunks
from ..explanation import Explanation
from ..files import replacing
from ..scores import Model, eval_mode, module_of
from ..surroundings import plain
from . import concept_network as network
from .base import Explainer
from .concept_score import ConceptScore
from .concept_training import PUBLISHED, ConceptSettings, Round, train
from .fido import FIDO
from .layers import POOLINGS, Layer, activations_of, check_layer

__all__ = ["PUBLISHED", "ConceptMeasures", "ConceptScore", "ConceptSettings", "Concepts", "Round"]

Images = Tensor | Iterable[Any]

_FORMAT = "sdfido concepts 1"
_AT_ONCE = 64  # images of a tensor that the model is given
_LIVE = 0.01  # part of the images on which a live feature is above 0


@dataclass(frozen=True)
class ConceptMeasures:
    """How good concepts are on images; C classes, K features each."""

    r2: Tensor  #: of each class's logit [C]: ``1 - sum (predicted - logit)^2 / sum (logit - mean logit)^2``
    #: part of the images for which the predicted logit, beside the model's own logits of all others, leaves the
    #: decision for or against the class as it is [C]
    agreement: Tensor
    decisions: float  #: part of the images whose class stays the same when all predicted logits take their places
    cosine: Tensor  #: mean ``|cos|`` between the contributions of live features [C]; 0 where fewer than two live
    live: Tensor  #: which features are above 0 on at least 1% of the images, bool [C, K]


class Concepts:
    """Few features for each class that reproduce its logit from the activations of a layer (XNN).

    For each class a small autoencoder takes the activations x [D] of a layer. Its encoder has rectifiers throughout::

        features  E = max(0, encoder(x))  [K]      logit  y = sum_k w_k E_k + b      rebuilt  x' = decoder(E)

    It is trained on the model's own logits, for all classes side by side, and minimises::

        mean_i (y_i - logit_i)^2 + a * mean_j log(1 + q * mean_i (x'_ij - x_ij)^2) + c * mean_{k<l} cos(C_k, C_l)^2

    over images i and units j: faithfulness, sparse reconstruction, and the pull-away term, which makes the
    contributions ``C_ik = w_k E_ik`` of different features orthogonal over the images. A feature with ``w_k > 0`` is
    evidence for the class, one with ``w_k < 0`` against it. Activations are centred and divided by their common
    spread, logits by their own, so that the weights a and c mean the same for every layer and class.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes]. It is put into eval mode while it is
            asked; nothing of it changes.
        layer: where the activations come from: the name of a module of the model, as ``named_modules`` has it, or a
            callable from images to activations, [B, D] or [B, D, h, w].
        classes: which classes get features; None: all.
        pooling: how the places of activations [B, D, h, w] are put together: "mean", "max", or "none", which takes
            each place as units of its own.
        settings: any field of ``sdfido.methods.concepts.ConceptSettings``, such as ``count=3``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> concepts = sdfido.Concepts(model, "layer4").fit(loader)
        >>> concepts.measure(held_out).r2  # [C]
        >>> concepts.explain(images, 3).ssr  # maps of each feature of class 3, [N * K, H, W]

    Source: Qi, Khorram, Li, "Embedding deep networks into visual explanations", arXiv 1709.05360; Applied AI Letters
    2021.
    """

    def __init__(
        self,
        model: Model,
        layer: Layer,
        *,
        classes: Sequence[int] | None = None,
        pooling: str = "mean",
        **settings: Any,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model must be a module or a callable, got {type(model).__name__}")
        self.settings = ConceptSettings(**settings)
        self.model, self.layer = model, layer
        self.pooling = check_choice("pooling", pooling, POOLINGS)
        if classes is not None:
            classes = check_list("classes", classes, object, "class indices")
        self._asked = None if classes is None else [check_number("classes", label, int, 0) for label in classes]
        if self._asked is not None and (not self._asked or len(set(self._asked)) < len(self._asked)):
            raise ValueError(f"classes must be different class indices, at least one, got {classes!r}")
        self.rounds: tuple[Round, ...] = ()  #: all trainings of all classes, in their order
        self._tensors: dict[str, Tensor] = {}
        check_layer(model, layer)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that have features, once they are fitted."""
        self._fitted()
        return tuple(self._tensors["classes"].tolist())

    @property
    def units(self) -> int:
        """How many activations D there are, after pooling."""
        return len(self._fitted()["activation_mean"])

    @property
    def head(self) -> Tensor:
        """The weights w of the features [C, K], in units of the logit: above 0 for the class, below 0 against it."""
        return self._fitted()["head"] * self._tensors["logit_scale"][:, None]

    def fit(self, images: Images, on_round: Callable[[Round], object] | None = None) -> Concepts:
        """Train the features of all classes, on activations that are gathered in one pass.

        Args:
            images: [N, C, H, W] as the model takes them, or batches of such, alone or first in a tuple, as loaders of
                data give them.
            on_round: called with a ``Round`` after each training of each class.

        Returns:
            Itself. The same seed and images give the same features.

        Raises:
            TypeError, ValueError: images, activations or logits have a wrong form, or are not finite.
        """
        activations, logits = self._gather(images)
        if len(activations) < 2:
            raise ValueError(f"images must be at least 2, got {len(activations)}")
        labels = list(range(logits.shape[1])) if self._asked is None else self._asked
        if max(labels) >= logits.shape[1]:
            raise ValueError(f"classes must be in 0..{logits.shape[1] - 1}, got {max(labels)}")
        with torch.inference_mode(False), torch.enable_grad(), plain():
            chosen = logits[:, labels].T.clone()
            units = network.units(activations, chosen, self.settings.normalized)
            goals = (chosen - units["logit_mean"][:, None]) / units["logit_scale"][:, None]
            weights, rounds = train(network.scaled(units, activations), goals, labels, self.settings, on_round)
        self._tensors = units | weights | {"classes": torch.tensor(labels, device=goals.device)}
        self.rounds = tuple(rounds)
        return self

    def features(self, images: Images) -> Tensor:
        """The features E of images for every class: [N, C, K], at least 0."""
        return self._features(self._gather(images)[0]).transpose(0, 1)

    def contributions(self, images: Images) -> Tensor:
        """What each feature adds to the logit of its class, ``w_k E_k``: [N, C, K]."""
        return self.features(images) * self.head

    def predict(self, images: Images) -> Tensor:
        """The logits that the features predict for their classes: [N, C]."""
        return self._predicted(self._features(self._gather(images)[0])).T

    def measure(self, images: Images) -> ConceptMeasures:
        """How well the features do on images that they were not trained on; arguments as those of ``fit``."""
        activations, logits = self._gather(images)
        features, labels = self._features(activations), list(self.classes)
        predicted, known = self._predicted(features), logits[:, labels].T
        spread = (known - known.mean(1, keepdim=True)).square().sum(1)
        model = logits.argmax(1)
        one, every = [], logits.clone()
        for row, label in enumerate(labels):
            alone = logits.clone()
            alone[:, label] = every[:, label] = predicted[row]
            one.append(((alone.argmax(1) == label) == (model == label)).double().mean())
        live = (features > 0).double().mean(1) >= _LIVE
        added = network.contributions(self._tensors, features)
        cosine = [
            network.cosines(each[:, alive].T[None]).abs().mean() if alive.sum() > 1 else each.new_zeros(())
            for each, alive in zip(added, live, strict=True)
        ]
        return ConceptMeasures(
            1 - (predicted - known).square().sum(1) / spread,
            torch.stack(one),
            float((every.argmax(1) == model).double().mean()),
            torch.stack(cosine),
            live,
        )

    def score(self) -> ConceptScore:
        """The features as what any method explains: ``sdfido.FIDO(concepts.score())``."""
        tensors = self._fitted()
        return ConceptScore(self.model, self.layer, self.pooling, self.classes, self.settings.count, tensors)

    def explain(
        self,
        images: Tensor,
        classes: int | Sequence[int] | Tensor | None = None,
        *,
        method: Callable[..., Explainer] = FIDO,
        **options: Any,
    ) -> Explanation:
        """Maps of every feature of a class for each image, as one batch of N * K images.

        Args:
            images: [N, C, H, W], or one image [C, H, W], as the model takes them.
            classes: one for all, or one for each image; None: the model's answers.
            method: the class of a method, such as ``sdfido.IGOS``.
            options: what the class takes besides the score, such as ``infill`` and ``steps``.

        Returns:
            The explanation of image 0 for feature 0, 1, ..., K - 1, of image 1, and so on; ``unflatten(0, (N, K))`` has
            both. All features of an image get the same noise. Confidences are contributions to the logit.
        """
        images = check_images(images)
        score, count = self.score(), self.settings.count
        if classes is None:
            with eval_mode(self.model), torch.no_grad():
                labels = score.resolve(images)[:, 0]
        else:
            labels = check_integers("classes", classes, "class indices (integers)", images.device)
            if labels.dim() > 1 or (labels.dim() and len(labels) != len(images)):
                raise ValueError(
                    f"classes must be one, or one for each of {len(images)} images, got {list(labels.shape)}"
                )
            labels = labels.expand(len(images))
        features = torch.arange(count, device=images.device).repeat(len(images))
        targets = torch.stack([labels.repeat_interleave(count), features], 1)
        streams = [stream for stream in range(len(images)) for _ in range(count)]
        return method(score, **options).explain(images.repeat_interleave(count, 0), targets, streams=streams)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings, rounds and features to a file, ``.npz`` without pickle; the model is not in it."""
        about = {
            "format": _FORMAT,
            "layer": self.layer if isinstance(self.layer, str) else None,
            "pooling": self.pooling,
            "settings": asdict(self.settings),
            "rounds": [asdict(each) for each in self.rounds],
        }
        arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in self._fitted().items()}
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Model, layer: Layer | None = None) -> Concepts:
        """Read what ``save`` wrote.

        Args:
            path: of the file.
            model: the model whose features these are.
            layer: where the activations come from; needed where it was a callable.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is none of concepts, or its layer was a callable and none is given.
        """
        path = check_path("path", path)
        try:
            with npz_file.opened(path) as file:
                file.check_total()
                about = json_file.parse(str(file.read("about")), finite=False)
                tensors = {name: torch.from_numpy(file.read(name)) for name in file.headers if name != "about"}
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}, not {_FORMAT!r}")
            settings, rounds = asdict(ConceptSettings(**about["settings"])), about["rounds"]
            made = [Round(**each | {"contributions": tuple(each["contributions"])}) for each in rounds]
            labels, pooling, named = tensors["classes"].tolist(), about["pooling"], about["layer"]
        except Exception as error:
            if isinstance(error, OSError) and not npz_file.is_damage(error):
                raise
            why = textwrap.shorten(str(error), 300, placeholder=" …")  # zipfile quotes whole files
            raise ValueError(f"{os.fspath(path)} holds no concepts: {why}") from error
        if layer is None and named is None:
            raise ValueError("layer must be given: the saved concepts are those of a callable")
        found = cls(model, named if layer is None else layer, classes=labels, pooling=pooling, **settings)
        module = module_of(model)
        parameter = None if module is None else next(module.parameters(), None)
        if parameter is not None:
            tensors = {name: tensor.to(parameter.device) for name, tensor in tensors.items()}
        found._tensors, found.rounds = tensors, tuple(made)
        return found

    def _fitted(self) -> dict[str, Tensor]:
        if "classes" not in self._tensors:
            raise ValueError("concepts have no features yet: call fit(images) first")
        return self._tensors

    def _features(self, activations: Tensor) -> Tensor:
        """[C, N, K] of activations [N, D]."""
        return network.encode(self._fitted(), network.scaled(self._tensors, activations)).relu()

    def _predicted(self, features: Tensor) -> Tensor:
        """Logits [C, N] of features [C, N, K]."""
        tensors = self._tensors
        units = network.contributions(tensors, features).sum(2) + tensors["offset"][:, None]
        return units * tensors["logit_scale"][:, None] + tensors["logit_mean"][:, None]

    @torch.no_grad()
    def _gather(self, images: Images) -> tuple[Tensor, Tensor]:
        """Activations [N, D] and class logits [N, classes] of images, batch after batch."""
        if isinstance(images, Tensor):
            check_tensor("images", images, "[N, C, H, W]", 4, floating=True)
            images = [images[part] for part in chunks(len(images), _AT_ONCE)]
        check_kind("images", images, Iterable, "a tensor [N, C, H, W], or batches of such")
        both = []
        with eval_mode(self.model):
            for batch in images:
                given = batch[0] if isinstance(batch, tuple | list) and batch else batch
                check_tensor("images", given, "[B, C, H, W]", 4, floating=True)
                activations, logits = activations_of(self.model, self.layer, self.pooling, given)
                check_tensor("activations", activations, finite=True)
                check_tensor("logits", logits, "[B, classes]", 2, floating=True, finite=True)
                both.append((activations, logits.float()))
        if not both:
            raise ValueError("images must hold at least one batch, got none")
        return torch.cat([each[0] for each in both]), torch.cat([each[1] for each in both])
