"""What is asked of every photo of a run, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..checks import check_choice
from ..models import Classifier
from ..scores import ContrastScore, Model, RegressionScore, Score

__all__ = ["Question"]

RIVAL = "rival"
"""Instead of a class: the strongest other one in each photo."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Why the target? Why the target rather than another class? What makes a value high, or low?

    Raises:
        ValueError: ``value`` is not "up" or "down", or is asked together with another class.
    """

    target: int | str | None = None  #: a class or an output, an id or a name; None: the one predicted
    rather_than: int | str | None = None  #: the class that it is set against, "rival" for the strongest other one
    value: Literal["up", "down"] | None = None  #: of models that predict values: what drives the target that way

    def __post_init__(self) -> None:
        if self.value is not None:
            check_choice("value", self.value, ("up", "down"))
            if self.rather_than is not None:
                raise ValueError(f"rather_than must not be given with a value {self.value!r}, got {self.rather_than!r}")

    @classmethod
    def read(cls, summary: Mapping[str, Any]) -> Question:
        """What was asked, according to a summary; the target is in its explanation."""
        asked = summary.get("question")
        return cls(**{name: asked.get(name) for name in ("rather_than", "value")} if isinstance(asked, dict) else {})

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked, for a summary; nothing where a class is explained as it is."""
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        return asked if asked.keys() - {"target"} else {}

    def score(self, classifier: Classifier) -> Model | Score:
        """What is explained.

        Raises:
            ValueError: the classifier has no such class.
        """
        if self.value is not None:
            return RegressionScore(classifier.model, self.value)
        if self.rather_than is None:
            return classifier.model
        rival = None if self.rather_than == RIVAL else classifier.find(self.rather_than, "rather_than")
        return ContrastScore(classifier.model, rival)

    def chosen(self, classifier: Classifier) -> int | None:
        """The class or output that is explained of every photo; None: the one predicted.

        Raises:
            ValueError: the classifier has no such class.
        """
        return None if self.target is None else classifier.find(self.target)
