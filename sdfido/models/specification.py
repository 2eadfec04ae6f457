"""What the text that names a model says: its kind, its name, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..normalization import Normalization
from .adapters import ChannelsLast, Selected
from .classifier import Classifier

PROGRAMS = (".pt2", ".pt", ".pth", ".ts", ".torchscript")  # suffixes of files with exported and scripted programs
LAYOUTS = ("channels-first", "channels-last")
_CHANGES = ("size", "mean", "std", "labels", "crop", "crop_mode", "interpolation", "layout", "output")


@dataclass(frozen=True)
class Specification:
    """``KIND:NAME?option=value&option=value``, or the path of a program in a file instead of ``KIND:NAME``."""

    text: str
    kind: str  #: "file" for a program in a file
    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Specification:
        """The parts of a specification.

        Raises:
            ValueError: an option is not ``name=value``.
        """
        source, _, rest = text.partition("?")
        kind, _, name = source.partition(":")
        if Path(source).suffix.lower() in PROGRAMS and (not name or len(kind) == 1):
            kind, name = "file", source
        options = {}
        for part in filter(None, rest.split("&")):
            option, equals, value = part.partition("=")
            if not equals or not value:
                raise ValueError(f"model {text!r} must have options as NAME=VALUE, got {part!r}")
            options[option] = value
        return cls(text, kind, name, options)

    def take(self, *known: str) -> dict[str, str]:
        """The options of a loader.

        Raises:
            ValueError: there are others, which no loader has.
        """
        every = [*known, *_CHANGES]
        if unknown := [name for name in self.options if name not in every]:
            raise ValueError(f"model {self.text!r} must have options out of {', '.join(every)}; got {unknown[0]!r}")
        return {name: value for name, value in self.options.items() if name in known}

    def changed(self, classifier: Classifier) -> Classifier:
        """A classifier with what the options say of its input, classes and output, named by the specification.

        Raises:
            ValueError: an option has a wrong value; the message says which.
        """
        given = {name: value for name, value in self.options.items() if name in _CHANGES}
        changes: dict[str, Any] = {"name": self.text}
        try:
            if "size" in given:
                height, _, width = given["size"].partition("x")
                changes["size"] = (int(height), int(width or height))
            if "mean" in given or "std" in given:
                normalization = classifier.normalization
                mean, std = (
                    tuple(map(float, given[name].split(","))) if name in given else getattr(normalization, name)
                    for name in ("mean", "std")
                )
                changes["normalization"] = Normalization(mean, std)
            if "crop" in given:
                changes["crop"] = float(given["crop"])
            if "labels" in given:
                changes["labels"] = listed(given["labels"])
            if given.get("layout", LAYOUTS[0]) not in LAYOUTS:
                raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {given['layout']!r}")
            changes |= {name: given[name] for name in ("crop_mode", "interpolation") if name in given}
            network = classifier.model
            if given.get("layout") == "channels-last":
                network = ChannelsLast(network)
            if "output" in given:
                network = Selected(network, given["output"])
            return replace(classifier, model=network, **changes)
        except (OSError, ValueError) as error:
            raise ValueError(f"model {self.text!r}: {error}") from error


def listed(value: str) -> tuple[str, ...]:
    """Several texts, separated by ``|``, or the lines of a file after ``@``."""
    if value.startswith("@"):
        lines = Path(value[1:]).read_text(encoding="utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(part.strip() for part in value.split("|") if part.strip())
