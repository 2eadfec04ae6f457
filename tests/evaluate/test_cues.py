"""Pixel average precision and cue localisation: by definition, on cases with known answers, and in any order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sdfido import evaluate


def by_definition(values: Tensor, truth: Tensor) -> float:
    """Threshold by threshold."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(values.flatten().tolist()), reverse=True):
        selected = values >= threshold
        recall = float((selected & truth).sum() / truth.sum())
        total += (recall - before) * float((selected & truth).sum() / selected.sum())
        before = recall
    return total


def test_average_precision_is_what_its_definition_says():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 9, (6, 7, 5), generator=generator).float() / 8  # with ties
    truth = torch.rand(6, 7, 5, generator=generator) < 0.3
    truth[:, 0, 0] = True
    found = evaluate.average_precision(maps, truth)
    assert found.tolist() == pytest.approx([by_definition(*each) for each in zip(maps, truth, strict=True)], abs=1e-6)
    assert torch.equal(evaluate.average_precision(1000 * maps - 5, truth), found)  # of any scale
    assert torch.equal(evaluate.average_precision(maps[:, :, [4, 2, 0, 1, 3]], truth[:, :, [4, 2, 0, 1, 3]]), found)


def test_average_precision_of_known_maps():
    truth = torch.zeros(4, 10, 10, dtype=torch.bool)
    truth[:, :2, :5] = True  # a tenth
    rows = torch.arange(100.0).view(10, 10)
    maps = torch.stack([truth[0].float(), torch.full((10, 10), 3.0), 1 - truth[0].float(), rows])
    best, constant, worst, last = evaluate.average_precision(maps, truth).tolist()
    assert (best, constant) == (1, pytest.approx(0.1))
    assert worst == pytest.approx(0.1)  # its zeros are selected last, together
    # The truth's ten pixels come at the places 86 to 90 and 96 to 100 of the order.
    expected = sum(k / place for k, place in enumerate([*range(86, 91), *range(96, 101)], 1)) / 10
    assert last == pytest.approx(expected, rel=1e-5)
    assert evaluate.average_precision(maps[:1], (0, 0, 2, 5)).item() == 1
    assert evaluate.average_precision(maps[:0], truth[:0]).shape == (0,)


def test_cues_of_each_pair_are_found_over_all_its_images():
    """By values across images: what is higher in one image than the cue of another counts against it."""
    truth = torch.zeros(4, 4, 4, dtype=torch.bool)
    truth[:, 0, 0] = True
    maps = 0.1 * truth.float()
    maps[1] *= 5
    maps[3, 2, 2] = 0.3  # of the other pair
    pairs = torch.tensor([[2, 0], [0, 2], [1, 2], [2, 1]])
    found = evaluate.cue_localisation(maps, truth, pairs)
    assert found.pairs.tolist() == [[0, 2], [1, 2]]
    assert found.area.tolist() == [1 / 16, 1 / 16]
    assert found.precision.tolist() == pytest.approx([1, 2 / 3])
    assert found.mean == pytest.approx(5 / 6)
    # Each pair starts anew: its figure does not depend on others.
    again = evaluate.cue_localisation(maps.flip(0), truth.flip(0), pairs.flip(0))
    assert torch.equal(again.precision, found.precision)
    assert torch.equal(evaluate.cue_localisation(maps[2:], truth[2:], pairs[2:]).precision, found.precision[1:])
    flat = evaluate.cue_localisation(torch.ones(4, 4, 4), truth, pairs)
    assert flat.precision.tolist() == pytest.approx(flat.area.tolist())


def test_pairs_that_do_not_fit_are_refused():
    maps, truth = torch.rand(2, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool)
    for pairs, message in (
        (torch.tensor([[0, 1]]), r"pairs must be int64 \[2, 2\], got torch.int64 \[1, 2\]"),
        (torch.ones(2, 2), r"pairs must be int64 \[2, 2\], got torch.float32"),
        (torch.tensor([[0, 1], [3, 3]]), r"pairs must be of two classes, got \[3, 3\]"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.cue_localisation(maps, truth, pairs)
    with pytest.raises(ValueError, match="truth must hold a pixel of each image"):
        evaluate.average_precision(maps, torch.zeros(2, 4, 4, dtype=torch.bool))
