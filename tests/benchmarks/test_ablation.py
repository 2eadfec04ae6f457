"""The trials try what they say: their laboratory computes what sdfido.FIDO does, and no two try the same."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import sdfido

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))

catalogue = importlib.import_module("choices.catalogue")
laboratory = importlib.import_module("choices.laboratory")


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Linear(128, 3)

    def forward(self, x):
        return 4 * self.head(self.layers(x))


# Without the smoothed gradient some cells stay alike up to rounding, where the variation's gradient is a sign.
WITHOUT_TIES = {"num_samples": 2, "warmup": 0.0, "spread": 0.0, "temperature": 0.2, "smoothness_weight": 0.0}


@pytest.fixture(scope="module")
def task():
    image = torch.randn(1, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    model = SmallNet().eval().requires_grad_(False)
    infill = sdfido.infills.Blur()(image)
    target = (model(infill) - model(image)).argmax(1)  # scores of composites then exceed the image's, where they can
    return model, image, infill, target


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("changes", [{}, WITHOUT_TIES])
def test_the_defaults_are_those_of_the_explainer(task, changes, seed):
    model, image, infill, target = task
    settings = {"steps": 15, "seed": seed, **changes}
    explanation = sdfido.FIDO(model, tolerance=0.0, **settings).explain(image, target)
    names = {"num_samples": "samples", "smoothness_weight": "smoothness"}
    trial = laboratory.Trial(**{names.get(name, name): value for name, value in settings.items()})
    outcome = laboratory.run(trial, model, image, infill, target)
    torch.testing.assert_close(outcome.logits, explanation.logits, rtol=1e-4, atol=1e-4)
    ssr, keep = torch.nn.functional.interpolate(outcome.rates, (60, 60), mode="bilinear").unbind(1)
    torch.testing.assert_close(ssr, explanation.ssr, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(1 - keep, explanation.sdr, rtol=1e-4, atol=1e-4)


def test_every_trial_runs_and_differs_from_the_defaults(task):
    """In one thing that its maps or its masks show."""
    model, image, infill, target = task

    def outcome(trial):
        return laboratory.run(dataclasses.replace(trial, steps=max(4, trial.steps // 10)), model, image, infill, target)

    default = outcome(laboratory.Trial())
    seen = []
    for name, (_, _, trial) in catalogue.TRIALS.items():
        found = outcome(trial)
        assert found.rates.isfinite().all(), name
        assert 0 <= found.rates.min() <= found.rates.max() <= 1, name
        seen.append(found.rates)
        if name != "default":
            assert found.rates.shape != default.rates.shape or not torch.equal(found.rates, default.rates), name
    same = [
        (a, b) for a in range(len(seen)) for b in range(a) if seen[a].shape == seen[b].shape and seen[a].equal(seen[b])
    ]
    assert not same


def test_the_final_readout_is_the_masks_at_the_end(task):
    outcome = laboratory.run(dataclasses.replace(catalogue.TRIALS["final"][2], steps=20), *task)
    torch.testing.assert_close(outcome.rates, torch.sigmoid(outcome.logits), rtol=0, atol=1e-4)


def test_the_figures_are_those_of_the_catalogue():
    """Of every trial, run with the settings that it has now."""
    trials = importlib.import_module("choices.trials")
    results = json.loads(trials.RESULTS.read_text())["trials"]
    assert {name: found["key"] for name, found in results.items()} == {
        name: trials.key(trial) for name, (_, _, trial) in catalogue.TRIALS.items()
    }


@pytest.mark.parametrize("script", ["trials", "race", "throughput"])
def test_the_page_says_what_the_results_say(script):
    command = [sys.executable, str(BENCHMARKS / f"choices/{script}.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
