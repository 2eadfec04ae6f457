"""The score that a model stands for."""

from __future__ import annotations

from typing import Any

from ..models.adapters import network_of
from ..models.classifier import Classifier
from .base import Model, Score
from .classes import ClassScore
from .labels import LabelScore


def as_score(model: Model | Score) -> Score:
    """A score as it is; a classifier as its ``ClassScore``, or ``LabelScore`` where each class has a sigmoid.

    Models of transformers say by ``config.problem_type`` whether that is so.

    Raises:
        TypeError: the argument is neither a score nor a model that can be called.
        ValueError: it is a model of transformers that predicts values.
    """
    if isinstance(model, Score):
        return model
    if isinstance(model, Classifier) and model.multi_label:
        return LabelScore(model)
    problem = None if isinstance(model, Classifier) else _problem(model)
    if problem == "regression":
        raise ValueError(
            "model must be a classifier, or a score, got a model that predicts values (config.problem_type is "
            "'regression'); explain one with sdfido.scores.RegressionScore(model)"
        )
    return LabelScore(model) if problem == "multi_label_classification" else ClassScore(model)


def _problem(model: Model) -> Any:
    """What transformers has written into a model's configuration."""
    return getattr(getattr(network_of(model), "config", None), "problem_type", None)
