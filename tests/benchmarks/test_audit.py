"""The study of audits: drawings that are what they are said to be, and results that fit."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.common import records
from benchmarks.studies.audit import bursts, models, picture, report
from benchmarks.studies.audit.scenes import KINDS, SIZE, SPECIES, Draw, draw

study = importlib.import_module("benchmarks.studies.audit.__main__")


def test_the_box_holds_the_bird_and_the_mark_is_where_it_is_said_to_be() -> None:
    """Draws of two kinds have the same photos but for the marks."""
    plain, clean = draw(Draw("timestamp", 5), 12, part=0), draw(Draw("watermark", 5), 12, part=0)
    assert torch.equal(plain.labels, clean.labels)
    differs = (plain.pixels != clean.pixels).any(1)
    for n in range(12):
        rows, columns = np.nonzero(differs[n].numpy())
        assert plain.marked[n] == clean.marked[n] == (len(rows) > 0)
        if len(rows):
            strip = rows >= SIZE - 6
            assert strip.any()
            assert Draw("watermark", 5).place == "top right corner"
            assert rows[~strip].max() < 0.34 * SIZE
            assert columns[~strip].min() >= 0.66 * SIZE - 1
        x0, y0, x1, y1 = plain.boxes[n]
        assert 0 <= x0 < x1 <= SIZE
        assert 0.3 * SIZE < max(x1 - x0, y1 - y0) < 0.6 * SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_confounded_draws(kind: Any) -> None:
    what = Draw(kind, 4)
    for swapped in (False, True):
        scenes = draw(what, 30, part=1, swapped=swapped)
        own = (scenes.labels == what.species) == scenes.marked
        assert own.float().mean() > 0.9 if not swapped else own.float().mean() < 0.1
        if kind == "site":
            assert torch.equal(scenes.marked, scenes.sites == what.site)


def test_what_counts_as_found_and_named() -> None:
    row = {"kind": "timestamp", "class": "crested", "site": None, "place": "bottom edge"}
    flag = {"kind": "background", "class": "crested", "site": None, "place": "bottom edge"}
    assert report.found(row | {"flags": [flag]})
    assert report.named(row | {"flags": [flag]})
    assert not report.others(row | {"flags": [flag]})
    assert not report.named(row | {"flags": [flag | {"place": "top edge"}]})
    assert not report.found(row | {"flags": [flag | {"class": "redhead"}]})
    assert not report.found(row | {"flags": [flag | {"kind": "outside"}]})
    assert report.others(row | {"flags": [flag | {"class": "redhead"}]})
    at = {"kind": "site", "class": "crested", "site": "dunes", "place": None}
    assert report.named(at | {"flags": [flag | {"kind": "site", "site": "dunes"}]})
    assert not report.named(at | {"flags": [flag, flag | {"kind": "site", "site": "rocks"}]})


def test_intervals_over_bursts_hold_the_truth_more_often() -> None:
    known = bursts.covered(32, (5, 5), 60)
    assert known["sequences"] > 0.85 > 0.75 > known["photos"]
    alone = bursts.covered(32, (1, 1), 10)
    assert alone["sequences"] == alone["photos"]


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "TRAINING", 32)
    monkeypatch.setattr(study, "AUDITED", 6)
    monkeypatch.setattr(study, "TESTED", 3)
    monkeypatch.setattr(study, "FAST", {"steps": 2, "mask_size": 7})
    monkeypatch.setattr(models, "EPOCHS", 1)
    arguments = ["study", "--draws", "1", "--seed", "200", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(picture, "_worst", lambda record, name: 0)  # so poor a model may not predict every species
    study.main()
    results = records.read(tmp_path / report.RESULTS.name)
    assert [row["kind"] for row in results["rows"]] == ["clean", *KINDS]
    assert {row["class"] for row in results["rows"]} == {None, SPECIES[200 % 3]}
    for block in report.blocks(results, bursts.measured(2)).values():
        assert block.startswith("| ")
    with Image.open(tmp_path / report.PICTURE.name) as drawn:
        assert drawn.width > 400
    assert json.dumps(results)
