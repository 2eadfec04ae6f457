"""Final regions: they reach their share, need what they have, and say where that cannot be."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

import sdfido
from sdfido.methods import regions
from sdfido.scores import Scale
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


class Peaked(nn.Module):
    """Two classes; the pixels in one box speak for the first one, and those in another box against it."""

    def __init__(self, for_it, against_it):
        super().__init__()
        self.weights = (box(4, 4, 12, 12) * for_it - box(16, 16, 24, 24) * against_it) / 64

    def forward(self, x):
        z = (x[:, 0] * self.weights).sum((1, 2)) - 3
        return torch.stack([z, torch.zeros_like(z)], 1)


@pytest.mark.parametrize(
    ("against_it", "image", "faint"), [(6.5, "18.2%", True), (4.0, "73.1%", False), (2.5, "92.4%", None)]
)
def test_a_mask_that_raises_the_class_beyond_the_models_decision(against_it, image, faint):
    found = explained(Peaked(8, against_it), box(4, 4, 12, 12))
    notes = [f"the target only {image} for the image"] if faint else []
    if faint is not None:
        notes.append(
            f"Given: with nothing but its soft mask the model says 99.3%, of the whole image {image}: it raises"
        )
    assert len(found.notes[0]) == len(notes), found.notes
    for note, part in zip(found.notes[0], notes, strict=True):
        assert part in note


def test_a_final_region_that_raises_the_class():
    found = explained(Peaked(8, 5.0), box(4, 4, 12, 12))
    scores = {**found.scores, "prob_given_binary": found.prob_image + 0.3}
    (note,) = replace(found, scores=scores).notes[0]
    assert note.startswith(
        "Given: with nothing but the region the model says 80.0%, of the whole image 50.0%: it raises"
    )


def test_confidences_that_are_no_probabilities_are_raised_beyond_twice_the_distance():
    scale = Scale(name="lead", percent=False, zero=False)
    found = replace(explained(Peaked(8, 5.0), box(4, 4, 12, 12)), scale=scale)
    for said, noted in ((2.9, 0), (3.1, 1)):
        numbers = {"prob_image": 1.0, "prob_infill": -1.0, "prob_given": 1.0, "prob_given_binary": said}
        scores = {name: torch.tensor([value]) for name, value in numbers.items()}
        assert sum("raises the target" in note for note in replace(found, scores=scores).notes[0]) == noted


def test_where_nothing_depends_on_the_image_there_are_no_regions():
    found = explained(Weighed(torch.zeros(SIZE, SIZE), 3.0), box(0, 0, 9, 9))
    assert found.missing == [("given",)]
    assert len(found.notes[0]) == 1
    assert "nearly the same (95.3%) of the image, of the infill and of every region" in found.notes[0][0]
    nearly = explained(Weighed(torch.full((SIZE, SIZE), 1e-4 / SIZE**2), 0.0), box(0, 0, 9, 9))
    assert nearly.missing == [("given",)]


def test_maps_without_regions_of_a_model_that_does_not_depend_on_the_image():
    for weight, noted in ((0.0, True), (5.0, False)):
        found = explained(Weighed(torch.full((SIZE, SIZE), weight / SIZE**2)), box(4, 4, 12, 12), "both")
        assert not found.regions
        assert [len(notes) for notes in found.notes] == [int(noted)]
        assert not noted or "this infill removes nothing that matters" in found.notes[0][0]


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
