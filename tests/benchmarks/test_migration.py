"""The code of docs/guides/migration.md: both sides of each change compute the same."""

import ast

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.common.existing import ScoredClassifier
from benchmarks.speed import migration

SIZE, CELLS = 24, 8


def classifier() -> ScoredClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = nn.Conv2d(3, 12, 5), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(300, 4)
        network = nn.Sequential(*layers)
    for parameter, scale in zip(network.parameters(), (1.5, 0.0, 5.0, 0.0), strict=True):
        parameter.data *= scale
    return migration.scored(network)


def run(change: str, side: str, **sizes: int) -> dict:
    names = migration.setting(
        **{"size": SIZE, "samples": 6, "cells": CELLS, "clf": classifier(), "iterations": 10} | sizes
    )
    migration.runner(migration.code()[change, side], names, migration.OUTPUTS[change])()
    return names


def test_both_sides_of_every_change_are_on_the_page():
    assert set(migration.code()) == {(change, side) for change in migration.OUTPUTS for side in migration.SIDES}


@pytest.mark.parametrize("change", ["sampling", "blending"])
def test_changed_calls_have_the_same_distribution(change: str):
    n = 4000
    torch.manual_seed(0)
    output = migration.OUTPUTS[change][0]
    before, after = (run(change, side, samples=n)[output].detach() for side in migration.SIDES)
    assert before.shape == after.shape
    for a, b in ((before, after), (before.square(), after.square())):
        error = ((a.var(2) + b.var(2)) / n).sqrt()
        assert ((a.mean(2) - b.mean(2)).abs() <= 5 * error + 1e-6).all()


def test_changed_penalties_are_the_same():
    results = []
    for side in migration.SIDES:
        names = migration.setting(SIZE, 6, CELLS, classifier(), 0)
        torch.manual_seed(0)
        exec(migration.code()["penalties", side], names)
        (gradient,) = torch.autograd.grad(names["l1"].sum() + 3 * names["tv"].sum(), names["logits"])
        results.append([names[output] for output in migration.OUTPUTS["penalties"]] + [gradient])
    for before, after in zip(*results, strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.studies
def test_the_class_differs_by_its_import_and_learns_the_same():
    blocks = [migration.code()["class", side].splitlines() for side in migration.SIDES]
    different = [pair for pair in zip(*blocks, strict=True) if pair[0] != pair[1]]
    assert len(different) == 1
    assert all(isinstance(ast.parse(line).body[0], ast.ImportFrom) for line in different[0])
    torch.manual_seed(0)
    learned = []
    for side in migration.SIDES:
        runs = (run("class", side) for _ in range(8))
        learned.append(torch.stack([torch.stack([n["sufficient"], n["destroying"]]) for n in runs]).detach().mean(0))
    for before, after in zip(*learned, strict=True):
        assert np.corrcoef(before.flatten(), after.flatten())[0, 1] > 0.95
