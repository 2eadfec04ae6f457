"""The study of contrasts: drawings in which one part differs, models of a difference, results that fit their page."""

import importlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.common import classifiers, drawing, markers, paths, records
from benchmarks.studies.contrast import birds, methods, picture, report
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.contrast.__main__")


@pytest.fixture
def untrained(monkeypatch):
    """A classifier of random weights that is right about everything."""
    torch.manual_seed(0)
    layers = list(classifiers.network())[:-1]
    model = nn.Sequential(*layers, nn.Linear(birds.FEATURES, len(birds.SPECIES))).eval()
    size = (drawing.SIZE, drawing.SIZE)
    made = Classifier("birds-combined", model, classifiers.NORMALIZATION, size, birds.SPECIES)
    monkeypatch.setattr(birds, "load", lambda: made)
    monkeypatch.setattr(
        classifiers, "predictions", lambda model, pixels: torch.arange(len(pixels)) % len(birds.SPECIES)
    )
    return model


def test_the_truth_is_where_two_species_differ():
    for index in (birds.TWO[0], 9 + birds.TWO[3]):
        whole = birds.birds([index], seed=2)
        species = int(whole.labels)
        assert species in birds.TWO
        for part in (0, 1):
            name = birds.PARTS[species][part]
            common, other = drawing.render(index, seed=2, kind="birds", species=(0, drawing.SPECIES.index(name)))
            differs = torch.from_numpy((other != common).any(2))
            assert (whole.truth[0, part] | ~differs).all()
            assert torch.equal(
                whole.pixels[0][:, differs], torch.from_numpy(other.transpose(2, 0, 1) / 255).float()[:, differs]
            )
            less = birds.PARTS[birds.without(species, part)]
            assert less[part] is None
            assert less[1 - part] == birds.PARTS[species][1 - part]
    assert not birds.birds([0], seed=2).truth.any()


def test_a_model_of_the_difference_has_one_output(untrained):
    images = torch.rand(2, 3, drawing.SIZE, drawing.SIZE)
    logits = untrained(images)
    found = methods.difference(untrained, torch.tensor([4, 1]))(images)
    torch.testing.assert_close(found, logits[:, 4:5] - logits[:, 1:2])


def test_a_run_writes_what_the_page_shows(untrained, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(methods, "FIDO", methods.FIDO | {"steps": 2, "mask_size": 7, "repeats": 1, "pruning": False})
    results, found, maps = study.compare(4, 0, drawn=9)
    assert found.labels.tolist() == list(birds.TWO)
    results = records.write(tmp_path / "contrast.json", results)
    assert results["methods"].keys() == report.LABELS.keys()
    assert all(0 <= row["iou"]["value"] <= 1 for row in results["methods"].values())
    text = (paths.ROOT / "docs/studies/contrast.md").read_text()
    assert set(report.blocks(results)) == set(markers.names(text))
    picture.draw(found, maps, tmp_path / "contrast.webp")
    assert Image.open(tmp_path / "contrast.webp").width > 400
    with pytest.raises(SystemExit, match="multiple of 4, at most 4"):
        study.compare(8, 0, drawn=9)
