"""One probe measures many maps, as the single functions do."""

import pytest
import torch

import sdfido
from sdfido import evaluate
from tests.methods.test_fido import OneByOne


@pytest.fixture(scope="module")
def scene():
    generator = torch.Generator().manual_seed(0)
    return OneByOne(), torch.randn(3, 3, 24, 24, generator=generator), torch.rand(3, 24, 24, generator=generator)


def test_a_probe_gives_the_four_curves(scene):
    model, images, maps = scene
    probe = evaluate.Probe(model, images)
    for found, function in (
        (probe.keep(maps), evaluate.insertion),
        (probe.remove(maps), evaluate.deletion),
        (probe.keep(maps, evaluate.AREAS), evaluate.sufficiency),
        (probe.remove(maps, evaluate.AREAS), evaluate.necessity),
    ):
        expected = function(model, images, maps)
        assert found.measure == expected.measure == function.__name__
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.prob_image, expected.prob_image)


def test_all_measures_of_a_map(scene):
    model, images, maps = scene
    probe = evaluate.Probe(model, images)
    truth = torch.zeros(3, 24, 24, dtype=torch.bool)
    truth[:, 4:9, 4:12] = True
    found = evaluate.measure(maps, probe, truth)
    assert torch.equal(found.numbers["insertion"], evaluate.insertion(model, images, maps).area)
    kept = evaluate.sufficiency(model, images, maps, areas=[0.3])
    assert torch.equal(found.numbers["sufficiency"], kept.relative[:, 0])
    assert torch.equal(found.numbers["pointing_game"], evaluate.pointing_game(maps, truth))
    assert set(found.curves) == {"insertion", "deletion", "sufficiency", "necessity"}
    some = evaluate.measure(maps, probe, [truth[0], None, truth[2]]).numbers["intersection_over_union"]
    assert some.isnan().tolist() == [False, True, False]
    assert torch.equal(some[::2], evaluate.intersection_over_union(maps, truth)[::2])
    arrays = evaluate.measure(maps, probe, [truth[0].numpy(), None, truth[2].numpy()])
    assert torch.equal(arrays.numbers["outside"][::2], evaluate.outside(maps, truth)[::2])
    assert "outside" not in evaluate.measure(maps, probe).numbers
    assert evaluate.measure(maps, probe, [None] * 3).numbers["outside"].isnan().all()


@pytest.mark.parametrize("count", [1, 4])
def test_a_list_of_truths_has_one_for_each_image(scene, count):
    model, images, maps = scene
    masks = [torch.ones(24, 24, dtype=torch.bool)] * count
    with pytest.raises(ValueError, match=f"truth must have a mask, or None, for each of 3 images, got {count}"):
        evaluate.measure(maps, evaluate.Probe(model, images), masks)


def test_the_model_is_in_eval_mode_only_while_it_is_asked(scene):
    model, images, maps = scene
    model.train()
    probe = evaluate.Probe(sdfido.ClassScore(model), images)
    assert model.training
    first = probe.keep(maps, [0.5])
    assert model.training
    assert torch.equal(first.values, probe.keep(maps, [0.5]).values)  # no dropout


@pytest.mark.parametrize("fractions", [1, [], [0.5, 0.2], [0.1, 1.2], [0.5, 0.5001], "0.5"])
def test_wrong_fractions(scene, fractions):
    model, images, maps = scene
    with pytest.raises((TypeError, ValueError), match="fractions must"):
        evaluate.Probe(model, images).keep(maps, fractions)
