"""What is explained: scores, one number per image that is higher the more an image shows of what is asked for."""

from .base import Model, Score, eval_mode, module_of
from .classes import ClassScore, as_score
from .links import Link, log_odds, log_probability, margin, probability

__all__ = [
    "ClassScore",
    "Link",
    "Model",
    "Score",
    "as_score",
    "eval_mode",
    "log_odds",
    "log_probability",
    "margin",
    "module_of",
    "probability",
]
