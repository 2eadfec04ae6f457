"""The three EfficientNet-Lite networks on photos: does each recognise what another one's relevance keeps?"""

from __future__ import annotations

import torch

import sdfido
from benchmarks.common import photos
from benchmarks.common.attributions import BLUR
from benchmarks.common.photo_table import REPORTING
from benchmarks.common.records import Results
from benchmarks.common.statistics import interval
from benchmarks.studies.transfer.birds import OTHER, tables
from sdfido import evaluate, models
from sdfido.models import efficientnet_lite

FRACTIONS = (0.1, 0.3)


def matrix(count: int = len(REPORTING), **settings: object) -> Results:
    """The transfer matrix between the networks, each for its own answers, and what the diagonal gains."""
    shown = photos.load_entries(REPORTING[:count])
    networks, images, maps = {}, {}, {}
    for name in efficientnet_lite.SIZES:
        classifier = models.load(name)
        short = name.removeprefix("efficientnet-")
        networks[short] = classifier.model
        images[short] = torch.stack([classifier.preprocess(photo.image) for photo in shown])
        maps[short] = sdfido.Relevance(classifier.model, infill=BLUR, **settings).explain(images[short])["relevance"]
    maps[OTHER] = maps["lite0"].roll(1, 0)
    result = evaluate.transfer(maps, networks, images, FRACTIONS, infill=BLUR, max_batch=16)
    gains = {}
    own, control = [], []
    for place, name in enumerate(result.models):
        values = result.kept.confidence[:, place, 0]  # [A, N], of the smallest fraction
        controls = [result.maps.index(row) for row in (*result.controls, OTHER)]
        best = controls[int(values[controls].mean(1).argmax())]
        own.append(values[result.maps.index(name)])
        control.append(values[best])
        gains[name] = interval(own[-1] - control[-1], result.kept.unmasked[place])
    return {"photos": count, "diagonal": gains, "tables": tables(result)}
