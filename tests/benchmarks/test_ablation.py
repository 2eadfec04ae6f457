"""The trials try what they say: with no switch set they compute what sdfido.FIDO does, and no two try the same."""

import dataclasses
import importlib

import pytest
import torch
from torch import nn

import sdfido
from benchmarks.common import records
from benchmarks.studies.ablation import report
from benchmarks.studies.ablation.learner import Trial, TrialFIDO
from benchmarks.studies.ablation.planted import Planted
from benchmarks.studies.ablation.trials import TRIALS
from sdfido import evaluate
from sdfido.infills import Blur

study = importlib.import_module("benchmarks.studies.ablation.__main__")


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Linear(128, 3)

    def forward(self, x):
        return 4 * self.head(self.layers(x))


@pytest.fixture(scope="module")
def task():
    image = torch.randn(1, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    model = SmallNet().eval().requires_grad_(False)
    target = (model(Blur()(image)) - model(image)).argmax(1)  # scores of composites then exceed the image's
    return model, image, target


def explained(trial, model, image, target):
    return TrialFIDO(model, trial).explain(image, target)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("changes", [{}, {"num_samples": 2, "warmup": 0.0, "spread": 0.0, "smoothness_weight": 0.0}])
def test_no_switch_is_the_explainer_bit_for_bit(task, changes, seed):
    model, image, target = task
    settings = {"steps": 15, "seed": seed, **changes}
    expected = sdfido.FIDO(model, tolerance=0.0, **settings).explain(image, target)
    names = {"num_samples": "samples", "smoothness_weight": "smoothness"}
    found = explained(Trial(**{names.get(name, name): value for name, value in settings.items()}), *task)
    assert torch.equal(found.mask_logits, expected.mask_logits)
    for name in expected.maps:
        assert torch.equal(found[name], expected[name])
    assert torch.equal(found.trace, expected.trace)


@pytest.mark.studies
def test_every_trial_runs_and_differs_from_the_defaults(task):
    """In one thing that its maps or its masks show."""

    def maps(trial):
        found = explained(dataclasses.replace(trial, steps=max(4, trial.steps // 10)), *task)
        return torch.stack([found.ssr, found.sdr])

    seen = {name: maps(trial) for name, (_, _, trial) in TRIALS.items()}
    for name, found in seen.items():
        assert found.isfinite().all(), name
        assert 0 <= found.min() <= found.max() <= 1, name
        assert not any(torch.equal(found, other) for key, other in seen.items() if key != name), name


def test_the_final_readout_is_the_masks_at_the_end(task):
    found = explained(dataclasses.replace(TRIALS["final"][2], steps=20), *task)
    torch.testing.assert_close(torch.stack([found.ssr, 1 - found.sdr], 1), found.masks, rtol=0, atol=1e-4)


def test_cells_become_finer(task):
    seen = []
    trial = Trial(steps=10, cells=((0.0, 7), (0.4, 14)))
    found = TrialFIDO(task[0], trial).explain(
        *task[1:], on_step=lambda now: seen.append(tuple(now.parameters.shape[2:]))
    )
    assert seen == [(7, 7)] * 3 + [(14, 14)] * 7
    assert found.mask_logits.shape == (1, 2, 14, 14)


def test_a_capped_score_has_no_gradient_above_the_image(task):
    free, capped = (explained(Trial(steps=20, cap=cap), *task) for cap in (False, True))
    assert not torch.equal(free.mask_logits[:, 0], capped.mask_logits[:, 0])
    torch.testing.assert_close(free.mask_logits[:, 1], capped.mask_logits[:, 1])  # the SDR has no cap


def test_the_recorded_trials_are_those_of_the_catalogue():
    """Each was run with the settings that it has now."""
    results = records.read(study.RESULTS)["trials"]
    assert {name: found["key"] for name, found in results.items()} == {
        name: study.key(trial) for name, (_, _, trial) in TRIALS.items()
    }


def test_planted_evidence_is_seen_and_nothing_else():
    image = torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    model = Planted(image[0], (10, 10, 20, 30))
    covered = image.masked_fill(model.truth, 0.0)
    beside = image.masked_fill(~model.truth, 0.0)
    assert model(image)[0, 0] > 4
    assert model(covered)[0, 0] == -5
    torch.testing.assert_close(model(beside), model(image))


def test_measures_of_one_image(task):
    model, image, target = task
    probe = evaluate.Probe(model, image, target, infill=Blur())
    explanation = study.explain(Trial(steps=6), model, image, target)
    found = study.measured(probe, explanation)
    assert set(report.COLUMNS) - {"composites", "seeds", "iou_joint", "pointing", "iou"} <= set(found)
    assert found["kept"] == pytest.approx(float(explanation.ssr.mean()))
    whole = evaluate.insertion(model, image, explanation.ssr, target, num_fractions=17)
    assert found["insertion"] == pytest.approx(float(whole.area / whole.prob_image), rel=1e-5)
