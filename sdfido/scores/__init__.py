"""What is explained: scores, one number per image that is higher the more an image shows of what is asked for."""

from .as_score import as_score
from .base import Model as Model
from .base import ModelScore, Score, eval_mode
from .base import module_of as module_of
from .classes import ClassScore
from .contrast import ContrastScore
from .detection import DetectionScore
from .embeddings import EmbeddingScore
from .labels import LabelScore
from .links import Link as Link
from .links import log_odds, log_probability, margin, probability
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
    "probability",
    "scale_of",
]
