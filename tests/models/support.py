"""A small classifier with names that are easily confused."""

from __future__ import annotations

from torch import nn

from sdfido.models import Classifier, Normalization

IDENTITY = Normalization((0.0,), (1.0,))
LABELS = ("tench, Tinca tinca", "crane, hoist", "crane", "tiger cat", "Egyptian cat", "oystercatcher", "missile")


def classifier(**settings) -> Classifier:
    given = {"model": nn.Flatten(), "normalization": IDENTITY, "size": (8, 8), "labels": LABELS}
    return Classifier("tiny", **(given | settings))
