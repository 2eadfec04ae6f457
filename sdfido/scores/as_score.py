"""The score that a model stands for."""

from __future__ import annotations

from ..models.classifier import Classifier
from .base import Model, Score
from .classes import ClassScore
from .labels import LabelScore


def as_score(model: Model | Score) -> Score:
    """A score as it is; a classifier as its ``ClassScore``, or ``LabelScore`` where each class has a sigmoid.

    Raises:
        TypeError: the argument is neither a score nor a model that can be called.
    """
    if isinstance(model, Score):
        return model
    if isinstance(model, Classifier) and model.multi_label:
        return LabelScore(model)
    return ClassScore(model)
