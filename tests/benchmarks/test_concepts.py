"""The study of concepts: places of parts, mass of maps, results that fit tables and picture."""

import importlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.common import classifiers, drawing, records
from benchmarks.studies.concepts import maps, picture, report
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.concepts.__main__")


def test_the_place_of_the_own_part_is_its_truth():
    bird = drawing.birds([10], seed=3)
    places = maps.places(10, 3)
    assert places.shape == (6, drawing.SIZE, drawing.SIZE)
    assert torch.equal(places[10 % 7 - 1], bird.truth[0])
    assert places.any((1, 2)).all()  # also the places of parts that this bird does not have


def test_mass_is_the_part_of_a_map_in_each_place():
    values = torch.zeros(2, 4, 4)
    values[0, 0, 0], values[0, 3, 3] = 3.0, 1.0
    where = torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    where[:, 0, :2], where[:, 1, 2:] = True, True
    assert maps.mass(values, where).tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_goals_count_parts_by_the_strongest_feature_of_each_species():
    results = records.read(report.RESULTS)
    rows = dict((row[0], row) for row in report.goals(results))
    strongest = report.own(results)
    cut = sum(strongest[name][place]["value"] >= 0.5 for name, place in zip(strongest, maps.PLACES, strict=True))
    assert rows["parts with a feature of their own, maps cut to their regions"][2] == str(cut)
    worst = min(found["r2"] for found in results["measures"]["species"].values())
    assert rows["R² of held-out logits, the worst species"][3] == (worst >= 0.9)


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With an untrained network and few birds, to results of the form that tables and picture read."""
    torch.manual_seed(0)
    size = (drawing.SIZE, drawing.SIZE)
    untrained = Classifier("untrained", classifiers.network().eval(), classifiers.NORMALIZATION, size, drawing.SPECIES)
    monkeypatch.setattr(classifiers, "strong", lambda: untrained)
    monkeypatch.setattr(study, "HELD_OUT", 28)
    monkeypatch.setattr(maps, "QUICK", {"path_points": 1, "steps": 1, "mask_size": 4})
    results, found, pixels = study.run(2, 40, 0)
    results = records.write(tmp_path / "concepts.json", results)
    recorded = records.read(report.RESULTS)
    assert set(results) == set(recorded)
    assert results["measures"]["species"].keys() == recorded["measures"]["species"].keys()
    assert set(report.blocks(results)) == set(report.blocks(recorded))
    picture.draw(found, results, pixels, tmp_path / "concepts.webp")
    assert Image.open(tmp_path / "concepts.webp").format == "WEBP"
