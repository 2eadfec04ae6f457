"""What the confidence of a score means, and how it is written for people."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from torch import Tensor

from ..checks import check_flag, check_kind, check_number

PER_IMAGE = 10.0  # units between an image and its infill, where a score has none of its own: about that of log-odds


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What confidences of a score mean, and how pictures, tables and notes write them.

    A score says it by its attribute ``scale``; one without it is read as a probability. Whatever the scale, a higher
    confidence is more of what is asked for.

    Where 0 means "nothing of it" (``zero``), a share of an image's confidence is ``share * image``. Otherwise, as of
    contrasts, regressions and similarities, it is counted from what the infill alone gets:
    ``infill + share * (image - infill)``.
    The score of such an image is then divided by a tenth of its distance between image and infill, so that the masks'
    penalties mean what they mean for log-odds.

    Raises:
        TypeError, ValueError: a field has a wrong type or value; the message says which.
    """

    name: str = "probability"  #: what it is, in a word or three
    meaning: str = "softmax probability of the target class"  #: the same in words that explain it
    target: str = "{}"  #: what a target is called, with a place for the label of each class that it consists of
    percent: bool = True  #: whether it is written in percent, otherwise as a number
    zero: bool = True  #: whether 0 means nothing of what is asked for, and shares are parts of the confidence itself
    sign: int = 1  #: -1 where people are shown minus the confidence: of scores that ask for less of a value

    def __post_init__(self) -> None:
        for name in ("name", "meaning", "target"):
            check_kind(name, getattr(self, name), str, "a text")
        for name in ("percent", "zero"):
            check_flag(name, getattr(self, name))
        if check_number("sign", self.sign, int, meaning="1 or -1") not in (1, -1):
            raise ValueError(f"sign must be 1 or -1, got {self.sign!r}")
        # Anything else in the braces would reach into what stands there, or ask for any width.
        if any(each[1:] not in ((None, None, None), ("", "", None)) for each in string.Formatter().parse(self.target)):
            raise ValueError(f"target must have {{}} where labels stand, and no other braces, got {self.target!r}")

    @property
    def heading(self) -> str:
        """The name as a title."""
        return self.name[:1].upper() + self.name[1:]

    def text(self, confidence: float) -> str:
        """A confidence as it is shown: "93.1%", "0.0412"; a tiny probability is not shown as 0."""
        check_kind("confidence", confidence, Real, "a number")
        if not self.percent:
            return f"{self.sign * confidence:.3g}".replace("-", "\N{MINUS SIGN}")
        return f"{confidence:.1%}" if confidence >= 0.001 or confidence <= 0 else "< 0.1%"

    def share(self, share: float, image: float, infill: float) -> str:
        """A share of an image's confidence in words, such as "90% of the image's 93.1%"."""
        if self.zero:
            return f"{share:.0%} of the image's {self.text(image)}"
        return f"{share:.0%} of the way from the infill's {self.text(infill)} to the image's {self.text(image)}"

    def level(self, share: float, image: Any, floor: Any) -> Any:
        """The confidence that is a share of the image's: numbers or tensors; ``floor`` is that of no evidence."""
        return floor + share * (image - floor)

    def wanted(self, share: float, image: float, infill: float) -> float:
        """The confidence that a region is to keep, or to leave: a share of the image's."""
        return float(self.level(share, image, 0.0 if self.zero else infill))

    def called(self, target: Tensor, label: Callable[[int], str] = "class {}".format) -> str:
        """What a target [...] of one image is called: "tabby", "tabby rather than tiger cat"."""
        check_kind("target", target, Tensor, "a tensor")
        places = sum(name is not None for _, name, _, _ in string.Formatter().parse(self.target))
        if not places:
            return self.target
        if target.is_floating_point() or target.numel() != places:
            return "the target"
        return self.target.format(*(label(int(each)) for each in target.flatten()))

    def described(self) -> dict[str, Any]:
        """The fields as plain values, for files."""
        return asdict(self)

    @classmethod
    def read(cls, described: object) -> Scale:
        """The scale of plain values, that of a probability where there are none; unknown fields do not count.

        Raises:
            ValueError: a value is none of a scale.
        """
        if not isinstance(described, Mapping):
            return PROBABILITY
        try:
            return cls(**{name: described[name] for name in asdict(PROBABILITY) if name in described})
        except TypeError as error:
            raise ValueError(f"scale cannot be read: {error}") from error


PROBABILITY = Scale()
"""Softmax probabilities, 0..1: what scores without a scale of their own have."""


def scale_of(score: object) -> Scale:
    """The scale of a score's confidence."""
    scale = getattr(score, "scale", None)
    return scale if isinstance(scale, Scale) else PROBABILITY
