"""What ``summary.json`` says of one photo's results: how they were made, and their numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import json_file
from ..explanation import MapInfo
from ..models import Window
from ..notes import is_indifferent, is_missing
from ..scores import Scale

__all__ = [
    *("Region", "check", "differences", "is_told", "legend", "notes", "numbers", "read", "regions", "renamed", "scale"),
    "sentence",
]

_ABOUT = (
    *("photo", "photo_path", "photo_sha256", "model", "model_spec", "model_sha256", "method", "target", "label"),
    *("target_is_predicted", "infill", "device", "seed", "stream", "steps", "steps_done", "num_samples", "seconds"),
    *("settings", "build", "maps", "notes", "files", "scale", "question", "geometry"),
)
"""Every key that is not one of the explanation's numbers."""


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A summary, in the names of this version; it may be anybody's.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no summary; the message says why.
    """
    found = json_file.read(path)
    if not isinstance(found, dict):
        raise ValueError(f"it must be a JSON object, got {type(found).__name__}")
    check(found)
    return renamed(found)


def check(summary: Mapping[str, Any]) -> None:
    """Raise ValueError where a summary says something that it cannot mean; it need not say everything."""
    for name, value in summary.items():
        kind, is_one = _KINDS.get(name, ("", _is_anything))
        if not is_one(value):
            raise ValueError(f"its {name} must be {kind}, got {_short(value)}")
        if name.startswith(("prob_", "area_", "kept_", "removed_")) and not (value is None or _is_number(value)):
            raise ValueError(f"its {name} must be a number or null, got {_short(value)}")
    settings = summary.get("settings", {})
    for name in ("kept_share", "left_share"):
        if name in settings and not (_is_number(settings[name]) and 0 <= settings[name] <= 1):
            raise ValueError(f"its settings must have a {name} in 0..1, got {_short(settings[name])}")
    if "geometry" in summary and Window.read(summary["geometry"]) is None:
        raise ValueError(f"its geometry must be that of a photo, got {_short(summary['geometry'])}")
    scale(summary)
    try:
        json.dumps(summary, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # half of a character that takes two
        raise ValueError(f"it must have text that UTF-8 has, got {_short(error.object[error.start])}") from error


class Region(NamedTuple):
    """A region of the explained photo and its numbers, as far as the summary has them."""

    title: str  #: such as "SSR"
    kept: bool  #: whether its mask keeps it; otherwise the mask removes it
    size: float  #: part of the photo, 0..1
    confidence: float | None  #: of the target without it, or with nothing else


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The explanation's numbers by name, in the order of the summary."""
    return {name: value for name, value in summary.items() if name not in _ABOUT and _is_number(value)}


def regions(summary: Mapping[str, Any]) -> list[Region]:
    """The final regions in their order; the sizes ``kept_NAME`` and ``removed_NAME`` tell which there are.

    Those are left out that were looked for and not found; where the model says the same of all, there are none.
    """
    known, infos, found = numbers(summary), legend(summary), []
    if "prob_infill" in known and is_indifferent(known):
        return []
    settings = summary.get("settings")
    share = settings.get("kept_share", 0.9) if isinstance(settings, dict) else 0.9
    for key, size in known.items():
        does, _, name = key.partition("_")
        if does in ("kept", "removed"):
            title = infos[name].heading if name in infos else name.upper()
            area, said = known.get(f"area_{name}"), known.get(f"prob_{name}_binary")
            if area is None and said is None:  # of a method without final regions
                area, said = size, known.get(f"prob_{name}")
            # What is not known counts as found.
            image, infill = known.get("prob_image", 0.0), known.get("prob_infill", math.inf)
            level = scale(summary).wanted(share, image, infill)
            if does == "kept" and is_missing(known.get(f"area_{name}", 1.0), infill, level):
                continue
            whole = area is not None and said is not None
            found.append(Region(title, does == "kept", size if area is None else area, said if whole else None))
    return found


def sentence(summary: Mapping[str, Any]) -> str:
    """What the model says of the regions, in plain words; nothing where there are none."""
    write, told = scale(summary).text, []
    known = [(region, region.confidence) for region in regions(summary) if region.confidence is not None]
    for region, confidence in known:
        size, left = "under 1%" if 0 < region.size < 0.005 else f"{region.size:.0%}", write(confidence)
        alike = sum(other.kept == region.kept for other, _ in known)
        which = f"{size} of the photo{f' ({region.title})' if alike > 1 else ''}"
        if region.kept:
            told.append(f"{which} alone gives {left}" if region.size else f"the infill alone gives {left}")
        else:
            told.append(f"without {which if region.size < 1 else 'all of the photo'}, {left} is left")
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}." if told else ""


def scale(summary: Mapping[str, Any]) -> Scale:
    """What its confidences mean; probabilities where it does not say."""
    return Scale.read(summary.get("scale"))


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What speaks against taking the result at its word, a sentence each."""
    found = summary.get("notes")
    return [str(note) for note in found] if isinstance(found, list) else []


def is_told(summary: Mapping[str, Any]) -> bool:
    """Whether it says what tables and pages need; the summary of another program may not."""
    return "photo" in summary and "label" in summary and _is_number(summary.get("prob_image"))


def renamed(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary of this or an older version in the names of this one."""
    settings = summary.get("settings")
    if isinstance(settings, dict) and "objective" in settings:
        settings = {"score" if name == "objective" else name: value for name, value in settings.items()}
        summary = summary | {"settings": settings}
    return {"method": "fido"} | summary


def differences(summary: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names of what results were made with, according to their summary, that is not as wanted now."""
    names = []
    for name, value in wanted.items():
        made = summary.get(name)
        if isinstance(value, dict):
            names += differences(made if isinstance(made, dict) else {}, value)
        elif made != value:
            names.append(name)
    return names


def legend(summary: Mapping[str, Any]) -> dict[str, MapInfo]:
    """What the maps show by name, as far as the summary says it: those of version 0.1 do not."""
    maps = summary.get("maps")
    if not isinstance(maps, dict):
        return {}
    return {
        name: MapInfo(str(about.get("title", name)), str(about.get("note", "")), signed=about.get("signed") is True)
        for name, about in maps.items()
        if isinstance(about, dict)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_anything(value: object) -> bool:
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_target(value: object) -> bool:
    """Whether it is a number, or numbers in lists."""
    return all(map(_is_target, value)) if isinstance(value, list) else _is_number(value)


def _is_question(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    other, way = value.get("rather_than"), value.get("value")
    return way in (None, "up", "down") and (other is None or (way is None and (_is_whole(other) or _is_text(other))))


def _are_maps(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_table, value.values()))


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("photo", "photo_path", "model", "model_spec", "method", "label", "infill"), ("a text", _is_text)),
    **dict.fromkeys(("photo_sha256", "model_sha256", "device"), ("a text", _is_text)),
    **dict.fromkeys(("seed", "stream", "steps", "steps_done", "num_samples"), ("a whole number", _is_whole)),
    **dict.fromkeys(("settings", "build", "scale", "geometry"), ("an object", _is_table)),
    "question": ("an object with rather_than, or value up or down", _is_question),
    **dict.fromkeys(("notes", "files"), ("a list of texts", _is_texts)),
    "prob_image": ("a number", _is_number),
    "maps": ("an object of objects", _are_maps),
    "target": ("a number, or a list of numbers", _is_target),
    "target_is_predicted": ("true or false", lambda value: isinstance(value, bool)),
    "seconds": ("a number or null", lambda value: value is None or _is_number(value)),
}
"""What a summary must have under some keys, in words and as a test."""
