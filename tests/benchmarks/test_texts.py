"""The study of texts: a text tower for any text, training that matches captions, results that fit their page."""

import importlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.common import classifiers, drawing, markers, paths, records
from benchmarks.studies.texts import model, picture, report
from sdfido.models import Classifier

study = importlib.import_module("benchmarks.studies.texts.__main__")


@pytest.fixture
def untrained(monkeypatch):
    """A classifier of random weights, whose convolutions are the image tower."""
    torch.manual_seed(0)
    made = classifiers.network().eval()
    size = (drawing.SIZE, drawing.SIZE)
    found = Classifier("untrained", made, classifiers.NORMALIZATION, size, drawing.SPECIES)
    monkeypatch.setattr(classifiers, "strong", lambda: found)
    return made


def test_every_text_has_an_embedding_of_its_own():
    torch.manual_seed(0)
    found = model.TextTower()(["a bird", "x", "qwxz vv"])
    assert found.shape == (3, model.SIZE)
    assert len({tuple(each.tolist()) for each in found}) == 3


def test_captions_are_matched_to_the_features_that_they_are_of():
    torch.manual_seed(0)
    toy = model.Toy(nn.Sequential(nn.Identity()))
    labels = torch.arange(70) % len(model.PARTS)
    inputs = torch.eye(model.FEATURES)[labels]
    model.fit(toy, inputs, labels, 60)
    with torch.no_grad():
        words = nn.functional.normalize(toy.encode_text(model.TEXTS), dim=1)
        assert torch.equal((toy.project(inputs) @ words.T).argmax(1), labels)


def test_a_run_writes_what_the_page_shows(untrained, monkeypatch, tmp_path: Path):
    toy = model.train(7, 2)
    monkeypatch.setattr(study, "NONSENSE", 1)
    monkeypatch.setattr(study, "fits", lambda score, images, labels: torch.ones(len(labels), dtype=torch.bool))
    results, birds, maps, nonsense = study.run(6, 0, toy)
    results = records.write(tmp_path / "texts.json", results)
    assert set(results["methods"]) == set(report.LABELS)
    text = (paths.ROOT / "docs/studies/texts.md").read_text()
    assert set(report.blocks(results)) == set(markers.names(text))
    assert set(records.read(report.RESULTS)) == set(results)
    picture.draw(birds, maps, nonsense, tmp_path / "texts.webp")
    assert [birds.labels[each.bird].item() for each in nonsense] == [1]  # as there is one text of random letters
    assert Image.open(tmp_path / "texts.webp").width > 400
