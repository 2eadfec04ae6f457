"""What a reader must know before believing an explanation, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explanation import Explanation

__all__ = ["is_indifferent", "is_missing", "notes"]

LARGE = 0.5  # part of the image from which a region is no small one
FAINT = 0.2  # confidence below which the image hardly shows the target
SAME = 0.02  # part of the confidence by which answers differ that are nearly the same
RAISED = 0.25  # probability by which a region says far more than the image
UNSTABLE = 0.45  # agreement of the repeats below which a region is not settled


def notes(explanation: Explanation) -> list[str]:
    """What speaks against taking the explanation of one image (N = 1) at its word, a sentence each; often none."""
    numbers = {name: float(value[0]) for name, value in explanation.numbers.items()}
    image, infill = numbers.get("prob_image"), numbers.get("prob_infill")
    finals = {name: f"prob_{name}_binary" for name in explanation.regions if f"prob_{name}_binary" in numbers}
    if image is None or infill is None:
        return []
    scale = explanation.scale
    if is_indifferent(numbers):
        if not explanation.regions:
            return [
                f"The model says nearly the same ({scale.text(image)}) of the image and of the infill: this infill "
                "removes nothing that matters, so there is nothing to explain; another infill may tell more."
            ]
        return [
            f"The model says nearly the same ({scale.text(image)}) of the image, of the infill and of every region: "
            "as far as this infill can tell, the target does not depend on what is shown, and no region means "
            "anything; another infill may tell more."
        ]
    if not finals:
        return []
    found = []
    if scale.percent and image < FAINT:
        found.append(
            f"The model gives the target only {scale.text(image)} for the image: the regions show what speaks for it "
            "most, not why the model decided as it did."
        )
    missing = [name for name in finals if name in explanation.missing[0]]
    if missing:
        headings = ", ".join(explanation.legend[name].heading for name in missing)
        further = "further " if len(missing) < len(finals) else ""
        found.append(f"{headings}: not found; no {further}small region suffices.")
    for name, key in finals.items():
        if name not in missing:
            found += _of_region(explanation, name, numbers[key], image, infill)
            if explanation.legend[name].role == "keep":
                found += _raised(explanation, name, numbers, image, infill)
        agreement = numbers.get(f"agreement_{name}")
        if agreement is not None and agreement < UNSTABLE:
            found.append(
                f"{explanation.legend[name].heading}: repeats overlap by only {agreement:.1%}; do not rely on details."
            )
    return found


def _of_region(explanation: Explanation, name: str, says: float, image: float, infill: float) -> list[str]:
    """What is wrong with one region, for which the model says so much."""
    info, share, scale = explanation.legend[name], explanation.share(name), explanation.scale
    heading, keeps = info.heading, info.role == "keep"
    area, wanted = float(explanation.area(name)[0]), scale.wanted(explanation.share(name), image, infill)
    part = scale.share(share, image, infill)
    if keeps and infill >= wanted:
        return [
            f"{heading}: the infill alone is as convincing ({scale.text(infill)}) as the image ({scale.text(image)}), "
            "so no region is needed; another infill may tell more."
        ]
    if not keeps and min(infill, says) > wanted:
        return [
            f"{heading}: no region leaves at most {part}, since the infill alone leaves {scale.text(infill)}; another "
            "infill may tell more."
        ]
    if says < wanted if keeps else says > wanted:
        does, than = ("keeps", "less") if keeps else ("leaves", "more")
        return [f"{heading}: it {does} {scale.text(says)}, {than} than {part}."]
    if area > LARGE:
        does = "suffices: to keep" if keeps else "destroys: to leave at most"
        return [f"{heading}: no small region {does} {part} takes {area:.0%} of the image."]
    return []


def _raised(
    explanation: Explanation, name: str, numbers: Mapping[str, float], image: float, infill: float
) -> list[str]:
    """Whether a region that is to keep the model's answer makes the model far surer than it is of the image."""
    scale, heading = explanation.scale, explanation.legend[name].heading
    distance = image - infill
    most = image + RAISED if scale.percent else image + distance
    for key, shown in ((f"prob_{name}_binary", "the region"), (f"prob_{name}", "its soft mask")):
        if numbers.get(key, image) > most and (scale.percent or distance > 0):
            return [
                f"{heading}: with nothing but {shown} the model says {scale.text(numbers[key])}, of the whole image "
                f"{scale.text(image)}: it raises the target beyond the model's own decision, which it does not explain."
            ]
    return []


def is_indifferent(numbers: Mapping[str, float]) -> bool:
    """Whether the model says the same of an image, of its infill and of all its masks, to within what can be told.

    Args:
        numbers: those of the explanation by name, ``prob_image`` and ``prob_infill`` among them.
    """
    answers = [value for name, value in numbers.items() if name.startswith("prob_")]
    return len(answers) > 1 and max(answers) - min(answers) <= SAME * max(map(abs, answers))


def is_missing(area: float, infill: float, level: float) -> bool:
    """Whether a region that is to keep a level of confidence has no cells, although the infill does not reach it."""
    return area == 0 and infill < level
