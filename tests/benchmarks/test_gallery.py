"""The study of galleries: where pieces lie, measures of groups, results that fit."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.common import classifiers, drawing, records, redundant
from benchmarks.studies.gallery import groups, picture, report
from sdfido.evaluate.parts import Clusters
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.gallery.__main__")


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Classifier:
    torch.manual_seed(0)
    size = (drawing.SIZE, drawing.SIZE)
    found = Classifier("untrained", redundant.network().eval(), classifiers.NORMALIZATION, size, redundant.SPECIES)
    monkeypatch.setattr(redundant, "load", lambda: found)
    monkeypatch.setattr(redundant, "probabilities", lambda _, drawn: torch.ones(len(drawn.labels)))
    return found


def test_pieces_lie_where_the_parts_are_drawn(untrained: Classifier) -> None:
    drawn = groups.draw(untrained, 2, seed=3)
    assert drawn.birds.labels.tolist() == [1, 1, 2, 2, 3, 3]
    for species, (first, second) in ((1, ("crest", "bib")), (2, ("eye ring", "wing bars")), (3, ("bill", "tail"))):
        found = drawn.birds.truth.any(1, keepdim=True)  # one region of both parts
        whole, taken = (groups.pieces(found, drawn, species, whole=each) for each in (True, False))
        assert bool(groups.several(whole, drawn).all())
        names = [groups.LABELS[place] for place in groups.where(taken, drawn).tolist()]
        assert {(int(n), name) for n, name in zip(taken.birds, names, strict=True)} == {
            (n, name) for n in (2 * species - 2, 2 * species - 1) for name in (first, second)
        }
    corner = torch.zeros(6, 1, drawing.SIZE, drawing.SIZE, dtype=torch.bool)
    corner[:, :, :2, :2] = True
    assert groups.where(groups.pieces(corner, drawn, 1), drawn).tolist() == [len(groups.PLACES)] * 2


def test_measures_of_groups() -> None:
    labels = torch.tensor([0] * 6 + [1] * 4)
    clusters = Clusters(labels, (tuple(range(6)), tuple(range(6, 10))), 1.0)
    truth = torch.tensor([3] * 5 + [6] + [0] * 4)
    facing = torch.tensor([True, False] * 5)
    found = groups.measured(clusters, truth, facing)
    assert found["purity"] == 0.9
    assert found["groups"] == 2
    assert found["rand"] > 0.6
    assert abs(found["facing"]) < 0.15
    assert 0.5 <= found["chance"] < 0.75
    assert groups.measured(clusters, labels, labels > 0) == pytest.approx(
        {"purity": 1, "rand": 1, "mutual": 1, "facing": 1, "groups": 2}
        | {"chance": groups.measured(clusters, labels, facing)["chance"]}
    )


@pytest.mark.studies
def test_the_study_runs_as_a_whole(untrained: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an untrained network and few steps, to results of the form that tables and picture read."""
    of_method = groups.regions

    def regions(method: str, model: Classifier, drawn: groups.Drawn, folder: Path, **settings: Any) -> torch.Tensor:
        """An untrained network says nearly the same of everything, and has few regions: the parts stand in for them."""
        return of_method(method, model, drawn, folder, **settings) | drawn.birds.truth.any(1, keepdim=True)

    monkeypatch.setattr(groups, "regions", regions)
    quick = {"steps": 2, "mask_size": 8}
    results, shown = study.run(4, [3], tmp_path, **quick)
    again, _ = study.run(4, [3], tmp_path, **quick)
    assert {**again, "machine": None} == {**results, "machine": None}
    results = records.write(tmp_path / "gallery.json", results)
    recorded = records.read(report.RESULTS)
    assert set(results) == set(recorded)
    for method in groups.METHODS:
        assert results["methods"][method].keys() == recorded["methods"][method].keys()
        assert results["methods"][method]["ways"].keys() == recorded["methods"][method]["ways"].keys()
    assert set(report.blocks(results)) == set(report.blocks(recorded))
    picture.draw(shown, tmp_path / "gallery.webp")
    assert np.asarray(Image.open(tmp_path / "gallery.webp")).std() > 10
