"""An explainer of photos: a classifier, a method and all that is the same for every photo of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import infills, methods, models
from ..checks import check_flag
from ..explanation import Explanation
from ..methods.base import OnImage, OnStep
from ..ops import build_info
from . import layout
from .items import NOISE, Item, stream
from .store import Results

__all__ = ["Opened", "PhotoExplainer"]

_SHOWN = ("seed", "steps", "steps_done", "num_samples")  # what a summary has beside its settings, if the method has it


@dataclass(frozen=True, eq=False)
class Opened:
    """A photo as the classifier is fed it."""

    item: Item
    image: Tensor  #: [1, 3, H, W]
    origin: dict[str, str]  #: where it lies and what it contains, for the summary

    @property
    def stream(self) -> int:
        """The random stream, which names the photo's noise; see ``sdfido.runs.items.stream``."""
        return stream(self.origin.get("photo_sha256"))


class PhotoExplainer:
    """Explains photos by one classifier and one method with fixed settings.

    It is made from plain values, which ``recipe`` holds: another process makes the same one by
    ``PhotoExplainer(**recipe)``.

    Args:
        model: what ``sdfido.models.load`` takes, such as "timm:resnet50"; or a ``Classifier``, whose results can only
            be measured later if its name can be loaded, too.
        method: a name of ``sdfido.methods.METHODS``, or "package.module:Class".
        target: the class to explain, an id or a name; the predicted one of each photo by default.
        infill: name of an infill, such as "local-mean:31".
        device: where to compute: "cpu", "cuda", "cuda:1".
        pictures: whether a picture of each result is drawn; with a fast classifier, that takes most of the time.
        settings: of the method, such as ``steps=200``, and of ``sdfido.Execution``.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value, or the method has no such setting; the message
            says which.
        ImportError: an optional package is missing; the message has the pip command.

    Example:
        >>> explainer = runs.PhotoExplainer("timm:resnet50", device="cuda", steps=200)
    """

    def __init__(
        self,
        model: str | models.Classifier = models.DEMO,
        *,
        method: str = "fido",
        target: int | str | None = None,
        infill: str = "blur",
        device: str = "cpu",
        pictures: bool = True,
        **settings: Any,
    ) -> None:
        self.recipe: dict[str, Any] = {"model": model, "method": method, "target": target, "infill": infill}
        self.recipe |= {"device": device, "pictures": check_flag("pictures", pictures), **settings}
        infills.from_spec(infill, models.IMAGENET)  # a misspelt name should not wait for a model to load
        kind = methods.load(method)
        known = kind.setting_names()
        if unknown := settings.keys() - known:
            raise TypeError(
                f"settings of method {method!r} are {', '.join(sorted(known))}; got {', '.join(sorted(unknown))}"
            )
        self.device, self.pictures = device, pictures
        self.infill = infill
        if isinstance(model, models.Classifier):
            self.model_spec, self.classifier = model.name, replace(model, model=model.model.to(device))
        else:
            self.model_spec, self.classifier = model, models.load(model, device)
        self.target = None if target is None else self.classifier.find(target)
        self.explainer = kind(
            self.classifier.model, infill=infill, normalization=self.classifier.normalization, **settings
        )
        self._model_sha256 = self.classifier.fingerprint()

    @property
    def made_with(self) -> dict[str, Any]:
        """What a summary must say for its results to count as made by this explainer."""
        return {
            "method": self.explainer.name,
            "model_spec": self.model_spec,
            "model_sha256": self._model_sha256,
            # as it is read from a summary
            "settings": json.loads(json.dumps(self.explainer.describe())) | {"noise": NOISE},
            "build": {"version": build_info()["version"]},
            **({"target_is_predicted": True} if self.target is None else {"target": self.target}),
        }

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that the results of each photo consist of."""
        return *(layout.FILES if self.pictures else layout.NUMBERS), *self.explainer.files()

    def open(self, item: Item) -> Opened:
        """Read and preprocess a photo.

        Raises:
            ValueError, OSError: the photo cannot be read or fed to the classifier.
            ImportError: a package that reads it is not installed.
        """
        photo = item.open()
        origin = item.origin()
        return Opened(item, self.classifier.preprocess(photo)[None], origin)

    def explain(
        self, photos: Sequence[Opened], *, on_step: OnStep | None = None, on_image: OnImage | None = None
    ) -> Explanation:
        """Explain photos together; each gets the maps that it gets alone. See ``sdfido.methods.Explainer.explain``."""
        return self.explainer.explain(
            torch.cat([photo.image for photo in photos]).to(self.device),
            self.target,
            streams=[photo.stream for photo in photos],
            on_step=on_step,
            on_image=on_image,
        )

    def results(self, opened: Opened, explanation: Explanation) -> Results:
        """What is to be written of one photo, given its explanation (N = 1)."""
        explanation = replace(explanation, settings={**explanation.settings, "noise": NOISE})
        classifier, target = self.classifier, int(explanation.targets[0])
        label, settings = classifier.label(target), explanation.settings
        seconds = None if explanation.seconds is None else round(explanation.seconds, 3)
        known = settings | ({"steps_done": int(explanation.steps[0])} if explanation.trace.shape[1] else {})
        summary = {
            "photo": opened.item.name,
            **opened.origin,
            "model": classifier.name,
            "model_spec": self.model_spec,
            "model_sha256": self._model_sha256,
            "method": explanation.method,
            "target": target,
            "label": label,
            "target_is_predicted": self.target is None,
            "infill": self.infill,
            "device": self.device,
            **{name: known[name] for name in _SHOWN if name in known},
            "stream": opened.stream,
            "seconds": seconds,
            **{name: float(value[0]) for name, value in explanation.numbers.items()},
            "notes": explanation.notes[0],
            "maps": {name: {"title": info.title, "note": info.note} for name, info in explanation.legend.items()},
            "settings": settings | explanation.execution,
            "build": build_info(),
        }
        image = opened.image.to(self.device)
        pixels = classifier.normalization.pixels(image)
        infill = classifier.normalization.pixels(infills.apply(self.explainer.infill, image))
        shown, files = (pixels.cpu(), infill.cpu()), self.explainer.files()
        return Results(opened.item.folder, summary, explanation.to("cpu"), *shown, label, files, self.pictures)
