"""Final regions: they reach their share, need what they have, and say where that cannot be."""

import math
import re

import pytest
import torch
from torch import nn

import sdfido
from sdfido.methods import regions
from tests.methods.toy_method import Toy

SIZE = 28


class Weighed(nn.Module):
    """Two classes; the first one's logit is the sum of the pixels by weights [H, W], plus an offset."""

    def __init__(self, weights, offset=0.0):
        super().__init__()
        self.weights, self.offset = weights, offset

    def forward(self, x):
        z = (x[:, 0] * self.weights).sum((1, 2)) + self.offset
        return torch.stack([z, torch.zeros_like(z)], 1)


class Given(Toy):
    """Explains by one map that is given."""

    role = "keep"

    def explain(self, images, targets=None, **_):
        self.legend = {"given": sdfido.MapInfo("Given: a map", role=self.role)}
        with self.scene(images, targets, None) as scene:
            masks = self.importance[:, None]
            return self.conclude(scene, {"given": self.importance}, {"masks": masks})


def explained(model, importance, role="keep", image=None):
    explainer = Given(model, infill=torch.zeros(()))
    explainer.importance, explainer.role = importance[None], role
    image = torch.ones(1, 1, SIZE, SIZE) if image is None else image
    return explainer.explain(image, 0)


def box(*edges):
    mask = torch.zeros(SIZE, SIZE)
    top, left, bottom, right = edges
    mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("role", ["keep", "remove"])
def test_the_evidence_is_found_and_nothing_else(role):
    """Without the box nothing is left, and with it alone all: what the map adds by mistake is left out again."""
    truth, mistaken = box(4, 4, 12, 12), box(16, 16, 24, 24)
    model = Weighed(truth / truth.sum() * 20, -10.0)
    found = explained(model, truth + 1.1 * mistaken, role)
    inside = found.kept_cells[0, 0] if role == "keep" else ~found.kept_cells[0, 0]
    assert not (inside & ~truth.bool()).any()
    assert 0 < inside.sum() <= truth.sum()
    said = float(found.prob_given_binary)
    assert said >= 0.9 * float(found.prob_image) if role == "keep" else said <= 0.1 * float(found.prob_image)
    assert float(found.area_given) == pytest.approx(float(inside.float().mean()))
    assert found.notes == [[]]


def test_what_the_model_is_asked_is_what_is_told():
    truth = box(4, 4, 12, 12)
    model, image = Weighed(truth / truth.sum() * 20, -10.0), torch.ones(1, 1, SIZE, SIZE)
    found = explained(model, truth + torch.linspace(0, 0.5, SIZE))
    composite = found.composites(image, torch.zeros(()))[0]
    torch.testing.assert_close(found.prob_given_binary, model(composite).softmax(1)[:, 0])


@pytest.mark.parametrize(
    ("model", "role", "says"),
    [
        (Weighed(torch.zeros(SIZE, SIZE), 3.0), "keep", "nearly the same .* the target does not depend"),
        (Weighed(torch.full((SIZE, SIZE), -1 / SIZE**2), 3.0), "keep", "infill alone is as convincing"),
        (Weighed(torch.full((SIZE, SIZE), 2 / SIZE**2), 1.0), "remove", "no region leaves at most 10%"),
        (Weighed(torch.full((SIZE, SIZE), 20 / SIZE**2), -10.0), "keep", "no small region suffices"),
        (Weighed(torch.full((SIZE, SIZE), 3 / SIZE**2), -5.5), "keep", "only 7.6% for the image"),
    ],
)
def test_what_is_not_to_be_believed_is_said(model, role, says):
    truth = box(0, 0, 9, 9)
    found = explained(model, truth + torch.linspace(0, 0.5, SIZE), role)
    assert len(found.notes) == 1
    assert any(re.search(says, note) for note in found.notes[0]), found.notes


def test_notes_belong_to_images_and_survive_files(tmp_path):
    image = torch.cat([torch.ones(1, 1, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE)])
    truth = box(4, 4, 12, 12)
    both = Given(Weighed(truth / truth.sum() * 20, -10.0), infill=torch.zeros(()))
    both.importance = truth.expand(2, -1, -1)
    found = both.explain(image, 0)
    assert [len(notes) > 0 for notes in found.notes] == [False, True]
    assert found[1].notes == found.notes[1:]
    found.save(tmp_path / "e.npz")
    assert sdfido.Explanation.load(tmp_path / "e.npz").notes == found.notes


def test_agreement():
    first = torch.zeros(1, 10, 10)
    first[0, 0] = 0.5
    second = torch.zeros(1, 10, 10)
    second[0, :, 0] = 0.5
    assert regions.agreement(torch.stack([first, first], 1)).tolist() == [1.0]
    assert regions.agreement(torch.stack([first, second], 1)).tolist() == [pytest.approx(1 / 19)]
    three = regions.agreement(torch.stack([first, first, second], 1))
    assert math.isclose(float(three), (1 + 2 / 19) / 3, rel_tol=1e-6)


def test_repeats_are_told_and_averaged():
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    model = Weighed(torch.rand(24, 24, generator=torch.Generator().manual_seed(1)) - 0.5)
    settings = {"steps": 5, "mask_size": 6, "num_samples": 1}
    found = sdfido.FIDO(model, repeats=3, **settings).explain(images)
    assert found.mask_logits.shape == found.disagreement.shape == (2, 2, 6, 6)
    assert (found.disagreement > 0).all()
    for name in ("ssr", "sdr", "joint"):
        assert ((found.scores[f"agreement_{name}"] > 0) & (found.scores[f"agreement_{name}"] <= 1)).all()
    alone = sdfido.FIDO(model, repeats=1, **settings).explain(images)
    assert "disagreement" not in alone.parts
    assert "agreement_ssr" not in alone.scores
