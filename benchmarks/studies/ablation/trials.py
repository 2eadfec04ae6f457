"""The trials by name: the group, what the tables of docs/studies/ablation.md call it, and its settings."""

from benchmarks.studies.ablation.learner import Trial

_COARSE = ((0.0, 14), (0.4, 28))

TRIALS: dict[str, tuple[str, str, Trial]] = {
    "default": ("kept", "**the defaults**", Trial()),
    "former": (
        "kept",
        "the defaults before these trials: Adam, S = 2, τ = 0.2, final masks",
        Trial(
            steps=75,
            samples=2,
            temperature=0.2,
            rule="cell",
            learning_rate=1.0,
            memory=0.999,
            spread=0.0,
            warmup=20 / 75,
            emphasis=1000.0,
        ),
    ),
    # How a gradient becomes a step.
    "cell": ("rule", "Adam: each cell by its own √v", Trial(rule="cell", spread=0.0, memory=0.999)),
    "mask": ("rule", "each mask by its √v, gradient not smoothed", Trial(spread=0.0)),
    "spread-2": ("rule", "gradient smoothed by 2 cells", Trial(spread=2.0)),
    "constant": ("rule", "learning rate 0.23, constant", Trial(learning_rate=0.23, schedule="constant")),
    # Sampling.
    "cold": ("sampling", "τ = 0.2 throughout", Trial(temperature=0.2)),
    "hot": ("sampling", "τ = 1 throughout", Trial(temperature=1.0)),
    "pairs": ("sampling", "S = 2, antithetic, 60 steps", Trial(samples=2, steps=60, learning_rate=0.6)),
    "independent": (
        "sampling",
        "S = 2, independent, 60 steps",
        Trial(samples=2, antithetic=False, steps=60, learning_rate=0.6),
    ),
    "half": ("sampling", "60 steps: half the composites", Trial(steps=60, learning_rate=0.6)),
    "double": ("sampling", "240 steps: twice the composites", Trial(steps=240, learning_rate=0.3)),
    # Masks.
    "cells-56": ("masks", "56 cells, gradient smoothed by 2", Trial(cells=((0.0, 56),), spread=2.0)),
    "coarse": ("masks", "14 cells, from 40% of the steps 28", Trial(cells=_COARSE)),
    # Penalties.
    "sparsity-15": ("penalties", "sparsity 15", Trial(sparsity=15.0)),
    "smoothness-50": ("penalties", "smoothness 50", Trial(smoothness=50.0)),
    "warmup-0.2": ("penalties", "full after 20% of the steps", Trial(warmup=0.2)),
    "warmup-0.75": ("penalties", "full after 75% of the steps", Trial(warmup=0.75)),
    "cap": ("penalties", "no reward for an SSR above the image's own score", Trial(cap=True)),
    # Readout.
    "blur": ("readout", "the maps blurred by 1 cell", Trial(blur=1.0)),
    "final": ("readout", "keep rates at the end", Trial(emphasis=1000.0)),
}
