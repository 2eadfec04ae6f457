"""The transfer matrix, on models that look at known places."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import sdfido
from sdfido import evaluate, models

SIZE = 8
PLACES = {"left": (slice(2, 4), slice(0, 2)), "right": (slice(2, 4), slice(6, 8))}


def looks_at(name: str):
    """A classifier with two classes that depends on four pixels: bright ones are class 1."""
    rows, columns = PLACES[name]

    def model(images: Tensor) -> Tensor:
        part = SIZE // 8 if images.shape[-1] == SIZE else images.shape[-1] // 8
        seen = torch.nn.functional.avg_pool2d(images, part)[:, :, rows, columns].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(seen), 8 * seen - 4], 1)

    return model


def maps(name: str, count: int = 4) -> Tensor:
    found = torch.zeros(count, SIZE, SIZE)
    found[(slice(None), *PLACES[name])] = 1
    return found


MODELS = {name: looks_at(name) for name in PLACES}
FRACTIONS = (4 / 64, 0.25)


def found(**options: object) -> evaluate.Transfer:
    given = {"infill": torch.zeros(()), **options}
    return evaluate.transfer({name: maps(name) for name in PLACES}, MODELS, torch.ones(4, 3, 8, 8), FRACTIONS, **given)


def test_a_model_needs_what_it_looks_at() -> None:
    result = found()
    assert (result.maps, result.models) == (("left", "right", "random", "centre"), ("left", "right"))
    assert result.controls == ("random", "centre")
    assert result.kept.confidence.shape == (4, 2, 2, 4)
    assert result.accuracy.tolist() == [1.0, 1.0]
    none, whole = torch.sigmoid(torch.tensor([-4.0, 4.0])).tolist()
    small = result.kept.probability[:2, :, 0]
    torch.testing.assert_close(small, torch.tensor([[1.0, none / whole], [none / whole, 1.0]]))
    assert result.kept.accuracy[:2, :, 0].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    torch.testing.assert_close(result.removed.probability[:2, :, 0], small.flip(0))
    assert result.removed.accuracy[:2, :, 0].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert (result.kept.accuracy[3, :, 0] == 0).all()  # the centre has neither place


def test_it_is_what_probes_say() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    values = {"left": torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(1))}
    result = evaluate.transfer(values, MODELS, images, FRACTIONS, targets=1)
    probe = evaluate.Probe(MODELS["right"], images, 1)
    torch.testing.assert_close(result.kept.confidence[0, 1].T, probe.keep(values["left"], FRACTIONS).values)
    torch.testing.assert_close(result.removed.confidence[0, 1].T, probe.remove(values["left"], FRACTIONS).values)
    torch.testing.assert_close(result.kept.unmasked[1], probe.confidence)
    assert torch.equal(result.kept.correct[0, 1].T, probe.keep(values["left"], FRACTIONS).values > 0.5)


def test_models_may_have_images_and_targets_of_their_own() -> None:
    images = {"left": torch.ones(4, 3, 8, 8), "right": torch.ones(4, 3, 16, 16)}
    rows = {name: maps(name) for name in PLACES}
    targets = {"left": 1, "right": torch.zeros(4, dtype=torch.int64)}
    result = evaluate.transfer(rows, MODELS, images, FRACTIONS, targets=targets, infill=torch.zeros(()))
    assert result.accuracy.tolist() == [1.0, 0.0]
    assert result.kept.accuracy[:2, :, 1].tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_the_output_that_a_score_names_is_asked() -> None:
    def both(images: Tensor) -> dict[str, Tensor]:
        return {"logits": MODELS["left"](images), "aux": MODELS["right"](images)}

    scored = {name: sdfido.ClassScore(both, output=name) for name in ("logits", "aux")}
    given = {name: maps(name) for name in PLACES}
    transferred = evaluate.transfer(given, scored, torch.ones(4, 3, 8, 8), FRACTIONS, infill=torch.zeros(()))
    assert torch.equal(transferred.kept.confidence, found().kept.confidence)


def test_classifiers_bring_their_normalisation() -> None:
    class Module(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return MODELS["left"](images)

    own = sdfido.Normalization((0.5,), (0.25,))
    classifier = models.Classifier("left", Module(), own, size=(8, 8))
    images, given = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), {"left": maps("left")}
    result = evaluate.transfer(given, {"left": classifier}, images, FRACTIONS, infill="zeros")
    expected = evaluate.transfer(given, {"left": MODELS["left"]}, images, FRACTIONS, infill="zeros", normalization=own)
    assert torch.equal(result.kept.confidence, expected.kept.confidence)


def test_signed_maps_count_by_value() -> None:
    rows = {"left": maps("left") - 3 * maps("right")}
    result = evaluate.transfer(rows, MODELS, torch.ones(4, 3, 8, 8), FRACTIONS, infill=torch.zeros(()))
    assert result.kept.accuracy[0, :, 0].tolist() == [1.0, 0.0]


def test_controls_repeat_by_seed() -> None:
    first, again, other = (found(seed=seed).kept.confidence[2] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_tables_have_a_row_for_each_map() -> None:
    lines = found().table(0.25, of="removed", measure="accuracy").splitlines()
    assert lines[0].split() == ["accuracy,", "25%", "removed", "left", "right"]
    assert lines[1].split() == ["left", "0.00", "1.00"]
    assert [line.split()[0] for line in lines[1:]] == ["left", "right", "random", "centre"]
    assert len({len(line) for line in lines}) == 1
    assert str(found()).count("probability") == 4
    with pytest.raises(ValueError, match=r"fraction must be one of 0.0625, 0.25, got 0.5"):
        found().table(0.5)


def test_what_does_not_fit_is_named() -> None:
    rows, images = {"left": maps("left")}, torch.ones(4, 3, 8, 8)
    with pytest.raises(ValueError, match="controls' names, got random"):
        evaluate.transfer({"random": maps("left")}, MODELS, images)
    with pytest.raises(ValueError, match="equally many images"):
        evaluate.transfer(rows | {"right": maps("right", 3)}, MODELS, images)
    with pytest.raises(ValueError, match="as many as maps, 4, got 3"):
        evaluate.transfer(rows, MODELS, images[:3])
    with pytest.raises(ValueError, match="images must have all models, got none for right"):
        evaluate.transfer(rows, MODELS, {"left": images})
    with pytest.raises(TypeError, match="got a score for 'left'"):
        evaluate.transfer(rows, {"left": Odd(MODELS["left"])}, images)
    with pytest.raises(TypeError, match="maps_by_model must be a mapping"):
        evaluate.transfer({}, MODELS, images)


class Odd(sdfido.ClassScore):
    """A score of one's own."""
