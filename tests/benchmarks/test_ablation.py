"""The trials try what they say, no two of them the same, and what was recorded are those of now."""

import dataclasses
import importlib
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common import drawing, photos, records
from benchmarks.studies.ablation import report
from benchmarks.studies.ablation.planted import Planted
from benchmarks.studies.ablation.trials import GROUPS, TRIALS
from benchmarks.studies.reliability.methods import Case, ChannelsLast

study = importlib.import_module("benchmarks.studies.ablation.__main__")


class Tiny(nn.Module):
    """Tells whether an image is brighter on the left."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = (half.mean((1, 2, 3)) for half in images.chunk(2, dim=3))
        return 8 * torch.stack([left - right, right - left], 1)


def plain(values: Any) -> Any:
    return json.loads(json.dumps(values))


def test_no_two_trials_try_the_same():
    chosen = [dataclasses.asdict(sdfido.Settings(**settings)) for settings in TRIALS.values()]
    assert TRIALS["the defaults"] == {}
    assert all(chosen.count(each) == 1 for each in chosen)
    assert sum(map(len, GROUPS.values())) == len(TRIALS)


def test_composites_are_those_that_the_classifier_is_given():
    counted = 0

    def model(images: Tensor) -> Tensor:
        nonlocal counted
        counted += len(images) if images.requires_grad else 0
        return Tiny()(images)

    settings = {"steps": 3, "num_samples": 2, "repeats": 2}
    sdfido.FIDO(model, **settings).explain(torch.rand(1, 3, 32, 32), 0)
    assert study.composites(settings) == counted == 24
    # Spending them otherwise, a trial has as many as the defaults.
    assert {study.composites(each) for each in GROUPS["as many composites, spent otherwise"].values()} == {
        study.composites({})
    }


def test_photos_are_not_for_reporting():
    assert set(study.PHOTOS) <= {entry.name for entry in photos.TUNING}
    assert not set(study.PHOTOS) & {entry.name for entry in photos.REPORTING}


def test_planted_evidence_is_seen_and_nothing_else():
    image = torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    model = Planted(image[0], (10, 10, 20, 30))
    covered = image.masked_fill(model.truth, 0.0)
    beside = image.masked_fill(~model.truth, 0.0)
    assert model(image)[0, 0] > 4
    assert model(covered)[0, 0] == -5
    torch.testing.assert_close(model(beside), model(image))


def test_the_recorded_trials_are_those_of_now():
    """With the settings that they have now, and the same defaults."""
    results = records.read(study.RESULTS)
    assert {name: one["settings"] for name, one in results["trials"].items()} == plain(TRIALS)
    assert results["settings"] == plain(study.defaults())


def test_rows_are_grouped_and_say_their_settings():
    numbers = dict.fromkeys(report.COLUMNS, 0.5)
    names = ["the defaults", "the defaults before", "full weight early", "keep rates alone"]
    groups = {name: group for group, of_group in GROUPS.items() for name in of_group}
    trials = {name: {"group": groups[name], "settings": TRIALS[name], "numbers": numbers} for name in names}
    rows = report.trials_table(plain({"trials": trials})).splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "**all settings**",
        "the defaults",
        "the defaults before",
        "**what a mask follows**",
        "full weight early: `warmup=0.1`",
        "**the maps**",
        "keep rates alone: `region_weight=0.0`",
    ]
    assert rows[1].split("|")[2:5] == ["          0 ", "                  0.500 ", "       0.50 "]


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """With a small picture and two birds, to results of the form that the table reads."""
    image = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    case = Case(ChannelsLast(Planted(image[0], (10, 10, 30, 30))), image, image[0], 0)
    monkeypatch.setattr(study, "BOXES", study.BOXES[:1])
    names = ["the defaults", "FAST"]
    results = plain(study.run(names, [case], Tiny(), drawing.birds([1, 8], seed=7)))
    assert list(results["trials"]) == names
    assert capsys.readouterr().out.count("minutes left") == 2
    for one in results["trials"].values():
        assert set(one["numbers"]) == set(report.COLUMNS)
        assert 0 < one["numbers"]["area ssr"] < 0.5  # the box has 17%
        assert one["numbers"]["left"] < 0.1 < 0.9 < one["numbers"]["kept"]
    assert len(report.trials_table(results).splitlines()) == 6
