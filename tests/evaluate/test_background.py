"""What a classifier says of the background alone and the animal alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sdfido import evaluate
from sdfido.evaluate.background import PLACES, places


def test_nothing_hidden_is_left() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 21, 30, generator=generator)
    hidden = torch.zeros(2, 21, 30, dtype=torch.bool)
    hidden[0, 4:15, 6:22] = hidden[1, :, 10:] = True
    filled = evaluate.from_around(images, hidden)
    others = torch.where(hidden[:, None], 100 * torch.rand(images.shape, generator=generator), images)
    assert torch.equal(evaluate.from_around(others, hidden), filled)
    assert torch.equal(filled[~hidden[:, None].expand_as(filled)], images[~hidden[:, None].expand_as(images)])
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_an_even_ground_stays_even() -> None:
    images = torch.full((1, 1, 16, 16), 0.3)
    hidden = torch.zeros(1, 16, 16, dtype=torch.bool)
    hidden[0, 2:13, 3:14] = True
    images[0, 0, 2:13, 3:14] = 5
    assert torch.allclose(evaluate.from_around(images, hidden), torch.tensor(0.3))


def test_what_lies_near_counts_most() -> None:
    images = torch.zeros(1, 1, 16, 16)
    images[..., 8:] = 1
    hidden = torch.zeros(1, 16, 16, dtype=torch.bool)
    hidden[0, 4:12, 2:14] = True
    row = evaluate.from_around(images, hidden)[0, 0, 8]
    assert row[2] < 0.25
    assert row[13] > 0.75


def test_places_are_where_they_are_called() -> None:
    found = dict(zip(PLACES, places(50, 100), strict=True))
    assert found["bottom edge"][42:].all()
    assert not found["bottom edge"][:42].any()
    assert found["left edge"][:, :16].all()
    assert not found["left edge"][:, 16:].any()
    assert found["top right corner"][:17, 66:].all()
    assert found["top right corner"].sum() == 17 * 34


def corner(images: Tensor) -> Tensor:
    """Logits of two classes: whether the upper left corner is bright, or the middle."""
    return torch.stack([images[:, 0, :2, :2].mean((1, 2)), images[:, 0, 6:10, 6:10].mean((1, 2))], 1)


def test_each_part_alone() -> None:
    images = torch.zeros(2, 1, 16, 16)
    images[:, :, :2, :2] = 4
    images[:, :, 6:10, 6:10] = 3
    animals = torch.zeros(2, 16, 16, dtype=torch.bool)
    animals[0, 6:10, 6:10] = animals[1] = True
    said = evaluate.background(corner, images, animals, torch.tensor([0, 0]), max_batch=3)

    def first(bright: float, middle: float) -> float:
        return float(torch.tensor([float(bright), float(middle)]).softmax(0)[0])

    assert said.image.tolist() == pytest.approx([first(4, 3)] * 2)
    assert said.animal.tolist() == pytest.approx([first(0, 3), first(4, 3)])
    assert said.classes[0].tolist() == pytest.approx([first(4, 0), first(0, 4)], abs=1e-3)
    without = dict(zip(PLACES, said.without[0].tolist(), strict=True))
    assert without["top left corner"] == without["top edge"] == pytest.approx(0.5, abs=1e-3)
    assert without["bottom edge"] == without["bottom right corner"] == pytest.approx(first(4, 0), abs=1e-3)
    assert said.classes[1].isnan().all()
    assert said.without[1].isnan().all()
