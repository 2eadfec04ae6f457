"""An explainer of photos: a classifier, a method and all that is the same for every photo of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .. import evaluate, infills, methods, models
from ..checks import check_device, check_flag, check_number
from ..explanation import Explanation
from ..methods.base import OnImage, OnStep
from ..ops import build_info
from ..scores import PROBABILITY
from . import layout
from .items import NOISE, Item, stream
from .question import Question
from .store import Results

__all__ = ["Opened", "PhotoExplainer"]

_SHOWN = ("seed", "steps", "steps_done", "num_samples")  # what a summary has beside its settings, if the method has it


@dataclass(frozen=True, eq=False)
class Opened:
    """A photo as the classifier is fed it."""

    item: Item
    image: Tensor  #: [1, 3, H, W]
    origin: dict[str, str]  #: where it lies and what it contains, for the summary
    window: models.Window  #: which part of it the classifier sees

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
        rather_than: the class that the target is set against, an id or a name, or "rival" for the strongest other one
            of each photo (``sdfido.ContrastScore``).
        value: for models that predict values: "up" or "down", what drives the target, an output, that way
            (``sdfido.scores.RegressionScore``).
        seeds: how many seeds explain each photo; of two or more, the results say how far they agree
            (``sdfido.evaluate.over_seeds``).
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
        rather_than: int | str | None = None,
        value: Literal["up", "down"] | None = None,
        infill: str = "blur",
        device: str = "cpu",
        seeds: int = 1,
        pictures: bool = True,
        **settings: Any,
    ) -> None:
        device = str(check_device("device", device))
        self.recipe: dict[str, Any] = {"model": model, "method": method, "target": target, "infill": infill}
        self.recipe |= {"rather_than": rather_than, "value": value, "device": device, "seeds": seeds}
        self.recipe |= {"pictures": check_flag("pictures", pictures), **settings}
        self.question = Question(target=target, rather_than=rather_than, value=value)
        self.seeds = check_number("seeds", seeds, int, 1)
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
        self.target = self.question.chosen(self.classifier)
        score = self.question.score(self.classifier)
        self.explainer = kind(score, infill=infill, normalization=self.classifier.normalization, **settings)
        if self.seeds > 1 and "seed" not in known:
            raise ValueError(f"seeds must be 1 for method {method!r}, which is not random, got {seeds}")
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
            **self._target(),
            **({"question": asked} if (asked := self.question.asked) else {}),
            **({"seeds": float(self.seeds)} if self.seeds > 1 else {}),
        }

    def _target(self) -> dict[str, Any]:
        """What a summary must say of the target."""
        if self.target is None:
            return {"target_is_predicted": True}
        return {"target_is_predicted": False} if self.question.rather_than is not None else {"target": self.target}

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that the results of each photo consist of."""
        return *(layout.FILES if self.pictures else layout.UNDRAWN), *self.explainer.files()

    def open(self, item: Item) -> Opened:
        """Read and preprocess a photo.

        Raises:
            ValueError, OSError: the photo cannot be read or fed to the classifier.
            ImportError: a package that reads it is not installed.
        """
        photo = item.open()
        origin = item.origin()
        return Opened(item, self.classifier.preprocess(photo)[None], origin, self.classifier.window(photo))

    def explain(
        self, photos: Sequence[Opened], *, on_step: OnStep | None = None, on_image: OnImage | None = None
    ) -> Explanation:
        """Explain photos together; each gets the maps that it gets alone. See ``sdfido.methods.Explainer.explain``."""
        images = torch.cat([photo.image for photo in photos]).to(self.device)
        options: dict[str, Any] = {"on_step": on_step, "on_image": on_image}
        options["streams"] = [photo.stream for photo in photos]
        if self.seeds > 1:
            return evaluate.over_seeds(self.explainer, images, self.target, seeds=self.seeds, **options)
        return self.explainer.explain(images, self.target, **options)

    def lessen(self, photos: int) -> int | None:
        """Have the classifier given half as many images at once from now on, for so many photos explained together.

        Returns:
            How many that are; None if it was one already.
        """
        execution, composites = self.explainer.execution, self.explainer.composites_per_image()
        at_once = min(execution.at_once(torch.device(self.device).type, composites), photos * composites) // 2
        if at_once == 0:
            return None
        self.explainer.execution = replace(execution, max_batch=at_once)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()  # pieces that are free, but too small
        return at_once

    def results(self, opened: Opened, explanation: Explanation) -> Results:
        """What is to be written of one photo, given its explanation (N = 1)."""
        explanation = replace(explanation, settings={**explanation.settings, "noise": NOISE})
        classifier, target, scale = self.classifier, explanation.targets[0], explanation.scale
        label, settings = scale.called(target, classifier.label), explanation.settings
        seconds = None if explanation.seconds is None else round(explanation.seconds, 3)
        known = settings | ({"steps_done": int(explanation.steps[0])} if explanation.trace.shape[1] else {})
        summary = {
            "photo": opened.item.name,
            **opened.origin,
            "geometry": opened.window.described(),
            "model": classifier.name,
            "model_spec": self.model_spec,
            "model_sha256": self._model_sha256,
            "method": explanation.method,
            "target": target.tolist(),
            "label": label,
            "target_is_predicted": self.target is None,
            "infill": self.infill,
            "device": self.device,
            **{name: known[name] for name in _SHOWN if name in known},
            "stream": opened.stream,
            "seconds": seconds,
            **{name: float(value[0]) for name, value in explanation.numbers.items()},
            "notes": explanation.notes[0],
            **({"question": asked} if (asked := self.question.asked) else {}),
            **({} if scale == PROBABILITY else {"scale": scale.described()}),
            "maps": {
                name: {"title": info.title, "note": info.note} | ({"signed": True} if info.signed else {})
                for name, info in explanation.legend.items()
            },
            "files": list(self.files),
            "settings": settings | explanation.execution,
            "build": build_info(),
        }
        image = opened.image.to(self.device)
        pixels = classifier.normalization.pixels(image)
        infill = classifier.normalization.pixels(infills.apply(self.explainer.infill, image))
        shown, files = (pixels.cpu(), infill.cpu()), self.explainer.files()
        return Results(opened.item.folder, summary, explanation.to("cpu"), *shown, label, files, self.pictures)
