"""What is explained: scores, one number per image that is higher the more an image shows of what is asked for."""

from .base import Model, ModelScore, Score, eval_mode, module_of
from .classes import ClassScore, as_score
from .contrast import ContrastScore
from .detection import DetectionScore
from .embeddings import EmbeddingScore
from .labels import LabelScore
from .links import Link, log_odds, log_probability, margin, probability
from .regression import RegressionScore
from .scale import PROBABILITY, Scale, scale_of
from .segments import SegmentScore
from .targets import TargetScore
from .text import TextScore

__all__ = [
    "PROBABILITY",
    "ClassScore",
    "ContrastScore",
    "DetectionScore",
    "EmbeddingScore",
    "LabelScore",
    "Link",
    "Model",
    "ModelScore",
    "RegressionScore",
    "Scale",
    "Score",
    "SegmentScore",
    "TargetScore",
    "TextScore",
    "as_score",
    "eval_mode",
    "log_odds",
    "log_probability",
    "margin",
    "module_of",
    "probability",
    "scale_of",
]
