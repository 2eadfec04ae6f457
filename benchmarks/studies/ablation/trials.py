"""The trials: settings of FIDO by what the table of docs/studies/ablation.md calls them, group by group."""

from typing import Any

from benchmarks.common.variants import PLAIN
from sdfido.methods.settings import FAST

Settings = dict[str, Any]

GROUPS: dict[str, dict[str, Settings]] = {
    "all settings": {
        "the defaults": {},
        "the defaults before": PLAIN,
    },
    "as many composites, spent otherwise": {
        "one repeat of two samples": {"repeats": 1, "num_samples": 2},
        "half of the steps with two samples": {"steps": 26, "num_samples": 2, "learning_rate": 0.7},
    },
    "what a mask follows": {
        "no coupling": {"coupling": 0.0},
        "gradient smoothed by 2 cells": {"spread": 2.0},
    },
    "the penalties": {
        "fixed weights": {"adaptation": 0.0},
        "full weight early": {"warmup": 0.1},
        "less smoothness": {"smoothness_weight": 10.0},
    },
    "more time, or less": {
        "twice the steps": {"steps": 104},
        "FAST": FAST,
    },
}

TRIALS = {name: settings for group in GROUPS.values() for name, settings in group.items()}
