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
        "one repeat of four samples": {"repeats": 1, "num_samples": 4},
        "four repeats of one sample": {"repeats": 4, "num_samples": 1, "learning_rate": 0.8},
        "twice the steps with one sample": {"steps": 52, "num_samples": 1, "learning_rate": 0.6},
    },
    "what a mask follows": {
        "gradient smoothed by 2 cells": {"spread": 2.0},
        "fixed weights": {"adaptation": 0.0},
        "full weight early": {"warmup": 0.1},
    },
    "the maps": {
        "keep rates alone": {"region_weight": 0.0},
        "half of the final region": {"region_weight": 0.5},
        "regions as they are cut": {"pruning": False},
    },
    "more time, or less": {
        "twice the steps": {"steps": 52},
        "FAST": FAST,
    },
}

TRIALS = {name: settings for group in GROUPS.values() for name, settings in group.items()}
