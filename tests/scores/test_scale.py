"""What a confidence means, and how it is written."""

import pytest
import torch

from sdfido import Explanation, scores
from sdfido.scores import PROBABILITY, Scale, scale_of


def test_probabilities_are_written_in_percent_and_others_as_numbers():
    assert [PROBABILITY.text(value) for value in (0.931, 0.0, 0.0004, 1.0)] == ["93.1%", "0.0%", "< 0.1%", "100.0%"]
    value = Scale(percent=False, zero=False, sign=-1)
    assert [value.text(number) for number in (-3.14159, 0.5, -12345.0)] == ["3.14", "−0.5", "1.23e+04"]
    assert PROBABILITY.share(0.9, 0.8, 0.1) == "90% of the image's 80.0%"
    assert value.share(0.9, 2.0, -1.0) == "90% of the way from the infill's 1 to the image's −2"
    assert PROBABILITY.level(0.9, 0.8, 0.0) == 0.9 * 0.8
    assert value.level(0.9, 2.0, -1.0) == pytest.approx(1.7)


def test_targets_are_called_by_their_labels():
    names = ("cat", "dog", "owl")
    assert PROBABILITY.called(torch.tensor(1), names.__getitem__) == "dog"
    assert PROBABILITY.called(torch.tensor(1)) == "class 1"
    assert scores.ContrastScore.scale.called(torch.tensor([2, 0]), names.__getitem__) == "owl rather than cat"
    assert PROBABILITY.called(torch.rand(4)) == "the target"
    assert scores.EmbeddingScore.scale.called(torch.rand(4)) == "the embedding"


def test_a_scale_is_read_from_what_it_writes():
    scale = scores.RegressionScore(lambda images: images, "down").scale
    assert Scale.read(scale.described()) == scale
    assert Scale.read(scale.described() | {"colour": "red"}) == scale
    assert Scale.read(None) == PROBABILITY
    with pytest.raises(ValueError, match="sign must be 1 or -1, got 2"):
        Scale(sign=2)


def test_a_score_without_a_scale_is_read_as_a_probability():
    assert scale_of(object()) == PROBABILITY
    assert Explanation("mine", {"map": torch.zeros(1, 2, 2)}, {}, torch.zeros(1)).scale == PROBABILITY
