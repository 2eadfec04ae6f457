"""Explaining many photos: what all share, what is left to do, and batch after batch with the results written."""

from __future__ import annotations

import importlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import infills, models
from ..explanation import Explanation
from ..files import remove_leftovers
from ..methods.fido import FIDO
from ..ops import build_info
from . import results
from .bar import Bar
from .common import complain, fail, printable, reason, say
from .photos import Photo, check_places, fingerprint
from .writer import Writer, processes


@dataclass(frozen=True)
class Run:
    """What all photos of a command share."""

    classifier: models.Classifier
    target: int | None  #: None: the class that is predicted for each photo
    infill: str
    explainer: FIDO
    device: str
    made_with: dict[str, Any]  #: what of a summary must be the same for its results to count as finished


def prepare(
    model: str,
    target: str | None,
    infill: str,
    device: str,
    out: Path,
    photos: Sequence[Photo],
    settings: dict[str, Any],
) -> Run:
    """Find all that is wrong with the arguments before the classifier is run; settings of None are FIDO's defaults."""
    try:
        infills.from_spec(infill, models.IMAGENET)  # a misspelt name should not wait for a model to load
        check_places(out, photos)
        importlib.import_module("sdfido.plot")
        classifier = models.load(model, device)
        index = None if target is None else classifier.find(target)
        given = {name: value for name, value in settings.items() if value is not None}
        function = infills.from_spec(infill, classifier.normalization, seed=settings["seed"])
        explainer = FIDO(classifier.model, infill=function, normalization=classifier.normalization, **given)
    except Exception as error:  # a user's own model can raise anything
        fail(error)
    described = json.loads(json.dumps(explainer.describe()))  # as it is read from a summary
    made_with = {
        "model_spec": model,
        "model_sha256": results.fingerprint(classifier),
        "settings": {name: value for name, value in described.items() if name not in _SPEED},
        "build": {"version": build_info()["version"]},
        **({"target_is_predicted": True} if index is None else {"target": index}),
    }
    for folder in {out, *(photo.folder for photo in photos)}:
        remove_leftovers(folder)
    return Run(classifier, index, infill, explainer, device, made_with)


def unfinished(run: Run, photos: Sequence[Photo]) -> list[Photo]:
    """The photos without complete results of the same content, model and settings; says how many have them."""
    left = []
    older: Counter[str] = Counter()
    for photo in photos:
        if (summary := results.read_summary(photo.folder)) is None:
            left.append(photo)
        elif other := _differences(summary, run, photo):
            left.append(photo)
            older[", ".join(sorted({_NAMES.get(name, name) for name in other}))] += 1
    if len(left) == 0 and len(photos) == 1:
        say("the photo is explained already (--again explains it anew)")
    elif len(left) < len(photos):
        say(f"{len(photos) - len(left)} of {len(photos)} photos are explained already (--again explains them anew)")
    for names, count in older.items():
        say(f"{count} of {len(photos)} photos have older results (other {names}), which are replaced")
    return left


def _differences(summary: dict[str, Any], run: Run, photo: Photo) -> list[str]:
    assert photo.path is not None
    if other := results.differences(summary, run.made_with):
        return other
    try:
        return results.differences(summary, {"photo_sha256": fingerprint(photo.path)})
    except OSError:
        return ["photo_sha256"]


_SPEED = {"max_batch", "channels_last"}  # settings that change how fast a result is computed, but not which
_NAMES = {
    **{"model_spec": "model", "model_sha256": "model", "photo_sha256": "photo", "target_is_predicted": "target"},
    **{"num_samples": "samples", "mask_size": "mask size", "dtype": "precision"},
}


@dataclass(frozen=True)
class _Opened:
    """A photo as the classifier is fed it."""

    photo: Photo
    image: Tensor  #: [1, 3, H, W]
    origin: dict[str, str]  #: where it is and what it contains, for the summary


class Work:
    """Explains photos in batches, and writes the results of each as soon as it has settled."""

    def __init__(self, run: Run) -> None:
        self.explained = 0  #: photos whose results are written
        self._run = run

    def explain(self, photos: Sequence[Photo], batch: int) -> None:
        """Explain photos, so many at once; those that fail are reported, and the others explained."""
        waiting: list[_Opened] = []
        with Bar(len(photos)) as bar, Writer(processes(self._run.device, len(photos))) as writer:
            for number, photo in enumerate(photos, 1):
                if (opened := self._open(photo)) is None:
                    bar.settle()
                else:
                    waiting.append(opened)
                if waiting and (len(waiting) == batch or number == len(photos)):
                    self._together(waiting, bar, writer)
                    waiting = []

    def _open(self, photo: Photo) -> _Opened | None:
        try:
            if photo.path is None:
                opened, origin = models.demo_photo(), {}
            else:
                opened = models.read_photo(photo.path)
                path = os.path.relpath(os.path.realpath(photo.path), os.path.realpath(photo.folder))
                origin = {"photo_path": printable(Path(path)), "photo_sha256": fingerprint(photo.path)}
        except ImportError as error:
            fail(error)
        except (ValueError, OSError) as error:  # names the photo
            complain(f"Error: {error}")
            return None
        try:
            return _Opened(photo, self._run.classifier.preprocess(opened)[None], origin)
        except Exception as error:
            complain(f"Error: photo {photo.name!r} could not be explained: {reason(error)}")
            return None

    def _together(self, group: Sequence[_Opened], bar: Bar, writer: Writer) -> None:
        """Explain a batch; where that fails, the halves of what is left, so that only what is at fault fails."""
        left = dict(enumerate(group))

        def settled(index: int, explanation: Explanation) -> None:
            opened = left.pop(index)
            try:
                arguments, line = self._result(opened, explanation)
            except Exception as error:
                written(opened, "", error)
            else:
                writer.write(arguments, lambda error: written(opened, line, error))

        def written(opened: _Opened, line: str, error: BaseException | None) -> None:
            if error is None:
                self.explained += 1
                say(line)
            else:
                complain(f"Error: photo {opened.photo.name!r} could not be explained: {reason(error)}")
            bar.settle()

        bar.begin([opened.photo.name for opened in group])
        try:
            self._run.explainer.explain(
                torch.cat([opened.image for opened in group]).to(self._run.device),
                self._run.target,
                streams=[0] * len(group),  # the noise that each photo gets alone
                on_step=lambda now: bar.step(now.step, now.steps, len(left)),
                on_image=settled,
            )
        except Exception as error:
            message = reason(error)  # the error itself would hold on to the batch's memory
        rest = list(left.values())
        if len(group) > 1 and rest:
            complain(f"Note: {len(group)} photos together failed, and are tried in halves: {message}")
            middle = (len(rest) + 1) // 2
            for half in (rest[:middle], rest[middle:]):
                if half:
                    self._together(half, bar, writer)
        elif rest:
            complain(f"Error: photo {group[0].photo.name!r} could not be explained: {message}")
            bar.settle()

    def _result(self, opened: _Opened, explanation: Explanation) -> tuple[tuple[Any, ...], str]:
        """What is to be written of one photo, the arguments of results.write, and the line that tells of it."""
        run, folder = self._run, opened.photo.folder
        classifier, settings = run.classifier, run.explainer.settings
        target = int(explanation.targets[0])
        label = classifier.label(target)
        summary = {
            "photo": opened.photo.name,
            **opened.origin,
            "model": classifier.name,
            "model_spec": run.made_with["model_spec"],
            "model_sha256": run.made_with["model_sha256"],
            "target": target,
            "label": label,
            "target_is_predicted": run.target is None,
            "infill": run.infill,
            "device": run.device,
            "seed": settings.seed,
            "steps": settings.steps,
            "steps_done": int(explanation.steps[0]),
            "num_samples": settings.num_samples,
            "seconds": round(explanation.seconds or 0.0, 3),
            **{name: float(getattr(explanation, name)[0]) for name in results.NUMBERS},
            "settings": explanation.settings,
            "build": build_info(),
        }
        image = opened.image.to(run.device)
        pixels = classifier.normalization.pixels(image)
        infill = classifier.normalization.pixels(infills.apply(run.explainer.infill, image))
        arguments = (folder, summary, explanation.to("cpu"), pixels.cpu(), infill.cpu(), label)
        return arguments, (
            f"{summary['photo']}: {label} ({target}) {summary['prob_image']:.1%}; "
            f"SSR keeps {summary['kept_ssr']:.0%} of the photo: {summary['prob_ssr']:.1%}; "
            f"SDR removes {summary['removed_sdr']:.0%}: {summary['prob_sdr']:.1%}; "
            f"see {printable(folder / 'overview.png')}"
        )
