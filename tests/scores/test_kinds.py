"""Every kind of score: what it asks, what it means, and that masks can be learned for it."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, reports, scores
from tests.scores.support import EVERY, GAIN, Detector, Encoder, Pixels, Quarters, encode_text, images

QUICK = {"infill": "zeros", "normalization": sdfido.Normalization((0.0,), (1.0,)), "mask_size": 4, "repeats": 1}


def quarters(explanation):
    """The quarters that the first image's smallest sufficient region has cells in."""
    cells = explanation.final_cells[0, 0]
    return [2 * row + column for row in (0, 1) for column in (0, 1) if cells[2 * row :, 2 * column :][:2, :2].any()]


@pytest.mark.parametrize("name", EVERY)
def test_every_score_is_one_differentiable_number_an_image(name):
    make, target = EVERY[name]
    score, given = make(), images().requires_grad_()
    assert isinstance(score, scores.Score)
    with torch.no_grad():
        targets = score.resolve(images(), target)
    found = score(given, targets)
    assert found.shape == (2,)
    assert found.dtype == torch.float32
    (gradient,) = torch.autograd.grad(found.sum(), [given])
    assert gradient.flatten(1).any(1).all()
    # One image's score does not depend on the others.
    torch.testing.assert_close(score(images()[1:], targets[1:]), found[1:].detach())
    # Higher is more of it, for both numbers, and the one follows from the other.
    confidence = score.confidence(images(), targets)
    torch.testing.assert_close(score.at_confidence(confidence), found.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_every_score_can_be_explained_drawn_saved_and_measured(name, tmp_path):
    make, target = EVERY[name]
    score = make()
    explainer = sdfido.FIDO(score, steps=12, **QUICK)
    explanation = explainer.explain(images(), target)
    assert explanation.scale == scores.scale_of(score)
    assert all(each.isfinite().all() for each in explanation.maps.values())
    level = explanation.scale.level(0.9, explanation.prob_image, explanation.prob_infill * (not score.scale.zero))
    assert (explanation.prob_ssr_binary >= level - 1e-5).all()  # the final region keeps its share
    explanation.save(tmp_path / "e.npz")
    assert sdfido.Explanation.load(tmp_path / "e.npz").scale == score.scale
    assert sdfido.Explanation.stack([explanation[0], explanation[1]]).scale == score.scale
    probe = evaluate.Probe(score, images(), explanation.targets, infill=explainer.infill)
    curve = probe.keep(explanation.ssr, [0.25, 0.5, 1.0])
    torch.testing.assert_close(curve.relative[:, -1], torch.ones(2), rtol=1e-3, atol=1e-3)
    figure = reports.overview(explanation, images(), torch.zeros(1, 3, 1, 1))
    said = " ".join(text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))
    assert score.scale.heading in said
    assert score.scale.text(float(explanation.prob_image[0])) in said


def test_a_contrast_shows_what_only_one_of_the_two_has():
    model = nn.Sequential(Quarters(), nn.Linear(4, 3, bias=False))
    with torch.no_grad():  # class 0 has quarters 0 and 1, class 1 quarter 1 alone, class 2 neither
        model[1].weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [-1.0, -1.0, 0.0, 0.0]]))
    whole = sdfido.FIDO(scores.ContrastScore(model), steps=30, **QUICK).explain(images()[:1], (0, 2))
    against = sdfido.FIDO(scores.ContrastScore(model), steps=30, **QUICK).explain(images()[:1], (0, 1))
    assert quarters(whole) == [0, 1]
    assert quarters(against) == [0]


def test_what_destroys_a_contrast_need_not_make_the_other_class_win():
    model = nn.Sequential(Quarters(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():  # quarter 0 speaks for class 0, and nothing for class 1
        model[1].weight.copy_(torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    grey = QUICK | {"infill": 0.5 * torch.ones(1)}
    explanation = sdfido.FIDO(scores.ContrastScore(model), steps=30, **grey).explain(images()[:1], (0, 1))
    image, infill = float(explanation.prob_image), float(explanation.prob_infill)
    assert image > 0.9
    assert infill == pytest.approx(0.5)  # neither of the two
    assert explanation.final_cells[0, 1, :2, :2].all()  # quarter 0
    assert float(explanation.area_sdr) < 0.5  # and not the whole image
    assert float(explanation.prob_sdr_binary) <= infill + 0.1 * (image - infill)
    assert explanation.notes == [[]]


def test_a_class_that_loses_a_contrast_is_noted():
    found = sdfido.FIDO(scores.ContrastScore(Quarters()), steps=4, **QUICK).explain(images()[:1], (3, 0))
    assert any("gives the target only < 0.1% for the image" in note for note in found.notes[0])


def test_a_contrast_sets_a_class_against_its_strongest_rival():
    score = scores.ContrastScore(Quarters())
    assert score.resolve(images()).tolist() == [[0, 1], [1, 2]]
    assert score.resolve(images(), 3).tolist() == [[3, 0], [3, 1]]
    assert score.resolve(images(), [3, 2]).tolist() == [[3, 0], [2, 1]]
    assert score.resolve(images(), (3, 2)).tolist() == [[3, 2], [3, 2]]
    assert score.resolve(images(), torch.tensor([[3, 2], [0, 1]])).tolist() == [[3, 2], [0, 1]]
    assert scores.ContrastScore(Quarters(), rather_than=3).resolve(images()).tolist() == [[0, 3], [1, 3]]
    confidence = score.confidence(images(), torch.tensor([[0, 1], [1, 2]]))
    torch.testing.assert_close(confidence, torch.sigmoid(torch.full((2,), 0.05 * GAIN)))


def test_a_pair_of_classes_may_be_numbers_of_any_library():
    score = scores.ContrastScore(Quarters())
    expected = [[3, 1], [3, 1]]
    assert score.resolve(images(), (3, 1)).tolist() == expected
    assert score.resolve(images(), (np.int64(3), np.int64(1))).tolist() == expected
    assert score.resolve(images(), (torch.tensor(3), torch.tensor(1))).tolist() == expected
    with pytest.raises(TypeError, match="class indices"):
        score.resolve(images(), (True, False))


def test_a_regression_says_values_and_counts_shares_from_the_infill():
    score = scores.RegressionScore(Quarters(), "down")
    explanation = sdfido.FIDO(score, steps=30, **QUICK | {"infill": 0.9 * torch.ones(1)}).explain(images(), 2)
    assert explanation.scale.text(float(explanation.prob_image[0])) == "−4.8"
    # In the first image quarter 2 is dark, so that is what makes its value low.
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[8:, :8] = True
    assert float(explanation.ssr[0][inside].mean()) > 3 * float(explanation.ssr[0][~inside].mean())
    for n, (image, infill) in enumerate(zip(explanation.prob_image, explanation.prob_infill, strict=True)):
        level = float(infill + 0.9 * (image - infill))
        assert explanation.scale.wanted(0.9, float(image), float(infill)) == pytest.approx(level)
        assert float(explanation.prob_ssr_binary[n]) >= level
        assert float(explanation.area_ssr[n]) < 0.5
    outputs = nn.Sequential(Quarters(), nn.Flatten(0))  # one value for an image of one
    assert scores.RegressionScore(outputs).resolve(images()[:0]).shape == (0,)


def test_the_size_of_a_value_does_not_change_its_map():
    found = []
    for gain in (1.0, 1e3):
        score = scores.RegressionScore(lambda images, gain=gain: gain * Quarters()(images)[:, 1])
        found.append(sdfido.FIDO(score, steps=12, **QUICK).explain(images()).joint)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_a_detection_is_found_by_class_or_as_the_surest():
    score = scores.DetectionScore(Detector())
    surest = score.resolve(images())
    assert surest.tolist() == [[0, 0, 0, 8, 8], [1, 8, 0, 16, 8]]
    chosen = score.resolve(images(), {"label": 1, "box": [8, 0, 16, 8]})
    assert torch.equal(chosen, score.resolve(images(), 1))
    assert torch.equal(chosen, score.resolve(images(), chosen))
    moved = score.resolve(images(), {"label": 1, "box": [12, 0, 20, 8]})  # a third of both boxes is shared
    torch.testing.assert_close(score.confidence(images(), moved), score.confidence(images(), chosen) / 3)
    nothing = score.resolve(images(), {"label": 9, "box": [8, 0, 16, 8]})
    found = score(images().requires_grad_(), nothing)
    assert found.requires_grad  # of no use, but a mask can be learned for other images
    torch.testing.assert_close(found.detach(), torch.logit(torch.full((2,), 1e-4)))


def test_a_segment_is_of_a_class_a_mask_or_every_pixel():
    score = scores.SegmentScore(Pixels())
    mask = images()[:, 0] > 0.5
    of_class, of_mask = score.resolve(images(), 1), score.resolve(images(), (1, mask))
    assert torch.equal(of_class, of_mask)
    assert torch.equal(of_class, torch.where(mask, 1, -1))
    assert torch.equal(score.resolve(images()), mask.long())
    expected = torch.sigmoid(2 * GAIN * (images()[:, 0] - 0.5))
    means = torch.stack([each[inside].mean() for each, inside in zip(expected, mask, strict=True)])
    torch.testing.assert_close(score.confidence(images(), of_class), means)
    small = scores.SegmentScore(lambda images: torch.stack([Quarters()(images)] * 2, 1).view(-1, 2, 2, 2))
    assert small.logits(images()).shape == (2, 2, 16, 16)


def test_classes_may_be_numbers_of_numpy():
    detection, segment = scores.DetectionScore(Detector()), scores.SegmentScore(Pixels())
    assert torch.equal(detection.resolve(images(), np.int64(1)), detection.resolve(images(), 1))
    assert torch.equal(detection.resolve(images(), np.array([1, 1])), detection.resolve(images(), 1))
    row = {"label": 1, "box": [8, 0, 16, 8]}
    assert torch.equal(detection.resolve(images(), [np.int64(1), row]), detection.resolve(images(), [1, row]))
    assert torch.equal(segment.resolve(images(), np.int64(1)), segment.resolve(images(), 1))
    mask = np.ones((16, 16), bool)
    assert torch.equal(segment.resolve(images(), (np.int64(1), mask)), segment.resolve(images(), (1, mask)))


@pytest.mark.parametrize(
    ("kind", "model", "target"),
    [
        (scores.ClassScore, Quarters(), [1, 2]),
        (scores.ContrastScore, Quarters(), [1, 2]),
        (scores.LabelScore, Quarters(), [1, 2]),
        (scores.RegressionScore, Quarters(), [1, 2]),
        (scores.DetectionScore, Detector(), 1),
        (scores.SegmentScore, Pixels(), 1),
    ],
)
def test_questions_about_many_images_are_asked_one_image_at_a_time(kind, model, target):
    """As programs need it that were exported for one image."""

    def one_at_a_time(batch):
        assert len(batch) == 1
        return model(batch)

    explainer = sdfido.FIDO(kind(one_at_a_time), steps=2, max_batch=1, **QUICK)
    expected = kind(model).resolve(images(), target)
    assert torch.equal(explainer.explain(images(), target).targets, expected)


def test_a_text_is_set_against_the_others():
    score = scores.TextScore(Encoder(), ["one", "two", "four"], encode_text, logit_scale=10.0)
    assert score.resolve(images()).tolist() == [0, 1]
    assert score.resolve(images(), ["two", "four"]).tolist() == score.resolve(images(), [1, 2]).tolist() == [1, 2]
    total = sum(score.confidence(images(), torch.full((2,), text)) for text in range(3))
    torch.testing.assert_close(total, torch.ones(2))


def test_targets_of_grad_cam_are_scores():
    target = pytest.importorskip("pytorch_grad_cam.utils.model_targets", reason="pytorch-grad-cam is not installed")
    score = scores.TargetScore(Quarters())
    chosen = score.resolve(images(), [target.ClassifierOutputTarget(1), target.ClassifierOutputTarget(2)])
    torch.testing.assert_close(score(images(), chosen), Quarters()(images())[[0, 1], [1, 2]])


def test_texts_are_embedded_in_eval_mode():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def encode_image(self, given):
            return Encoder()(given)

    model = Both().train()
    score = scores.TextScore(model, ["one", "two"], lambda texts: model.drop(encode_text(texts)))
    torch.testing.assert_close(score.embeddings, torch.nn.functional.normalize(encode_text(["one", "two"]), dim=1))
    assert model.training
    assert model.drop.training


class ClassifierOutputTarget:
    """As pytorch-grad-cam has it, by its documentation."""

    def __init__(self, category):
        self.category = category

    def __call__(self, model_output):
        return model_output[self.category] if model_output.dim() == 1 else model_output[:, self.category]


class SegmentationTarget:
    """Sums the logits of a class in a mask."""

    def __init__(self, category, mask):
        self.category, self.mask = category, torch.from_numpy(mask)

    def __call__(self, model_output):
        return (model_output[self.category] * self.mask).sum()


def test_callables_on_one_images_output_are_scores():
    score = scores.TargetScore(Quarters())
    chosen = score.resolve(images(), [ClassifierOutputTarget(1), ClassifierOutputTarget(2)])
    torch.testing.assert_close(score(images(), chosen), Quarters()(images())[[0, 1], [1, 2]])
    assert torch.equal(score.resolve(images(), chosen), chosen)
    explanation = sdfido.FIDO(score, steps=3, **QUICK).explain(images(), ClassifierOutputTarget(1))
    torch.testing.assert_close(explanation.prob_image, Quarters()(images())[:, 1])
    mask = np.ones((16, 16), np.float32)
    pixels = scores.TargetScore(lambda images: Pixels()(images)["out"])
    chosen = pixels.resolve(images(), SegmentationTarget(1, mask))
    torch.testing.assert_close(pixels(images(), chosen), Pixels()(images())["out"][:, 1].sum((1, 2)))
    detections = scores.TargetScore(Detector())
    chosen = detections.resolve(images(), lambda found: found["scores"][found["labels"] == 1].sum())
    torch.testing.assert_close(detections(images(), chosen), torch.sigmoid(Quarters()(images())[:, 1]))
    dicts = scores.TargetScore(Pixels())
    chosen = dicts.resolve(images(), lambda found: found["out"][1].mean())
    assert dicts(images(), chosen).shape == (2,)


class Heads(NamedTuple):
    logits: torch.Tensor
    features: torch.Tensor


@pytest.mark.parametrize("kind", [tuple, Heads._make])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_of_an_output_are_parts_in_every_batch(kind, count):
    def model(given):
        return kind([Quarters()(given), -Quarters()(given)])

    given = torch.cat([images(), images()])[:count]
    score = scores.TargetScore(model)
    chosen = score.resolve(given, lambda output: output[1][2])
    torch.testing.assert_close(score(given, chosen), -Quarters()(given)[:, 2])
    entries = scores.TargetScore(lambda given: tuple({"logits": each} for each in Quarters()(given)))
    chosen = entries.resolve(given, lambda output: output["logits"][2])
    torch.testing.assert_close(entries(given, chosen), Quarters()(given)[:, 2])


@pytest.mark.parametrize("name", EVERY)
def test_no_images_have_targets_of_the_same_form(name):
    make, target = EVERY[name]
    score = make()
    some, none = score.resolve(images(), target), score.resolve(images()[:0], [] if name == "target" else None)
    assert none.shape == (0, *some.shape[1:])
    assert none.dtype == some.dtype


def test_a_target_may_find_nothing():
    """As a detector's that returns 0 where the object is gone, in all composites of a batch."""

    def found(output):
        return output[1] if output[1] > 0 else torch.tensor(0.0)

    explainer = sdfido.FIDO(scores.TargetScore(Quarters()), steps=12, max_batch=1, **QUICK)
    explanation = explainer.explain(images(), found)
    torch.testing.assert_close(explanation.prob_image, Quarters()(images())[:, 1])
    assert explanation.final_cells[0, 0, :2, 2:].all()  # the quarter that it is about
    with pytest.raises(ValueError, match="differentiable in the images"):
        explainer.explain(images(), lambda output: output.argmax().float())
    detached = scores.TargetScore(lambda batch: Quarters()(batch).detach())
    with pytest.raises(ValueError, match="differentiable in the images"):
        sdfido.FIDO(detached, steps=2, **QUICK).explain(images(), lambda output: output[1] * 0)


@pytest.mark.parametrize(
    "pack", [lambda found: {"value": found}, lambda found: (found,), lambda found: found[..., None]]
)
def test_numbers_may_be_wrapped(pack):
    for kind in (scores.LabelScore, scores.RegressionScore, scores.ClassScore):
        score, plain = kind(lambda batch: pack(Quarters()(batch))), kind(Quarters())
        chosen = score.resolve(images(), 1)
        assert torch.equal(score(images(), chosen), plain(images(), chosen))
    both = scores.RegressionScore(lambda batch: {"a": Quarters()(batch), "b": batch})
    with pytest.raises(TypeError, match=r"got dict with a \[1, 4\], b \[1, 3, 16, 16\]; wrap it: lambda images: model"):
        both.resolve(images(), 1)


def test_segments_of_one_logit_a_pixel_are_of_two_classes():
    score = scores.SegmentScore(lambda batch: GAIN * (batch.mean(1, keepdim=True) - 0.5))
    targets = score.resolve(images(), 1)
    expected = torch.sigmoid(GAIN * (images().mean(1) - 0.5))
    assert torch.equal(targets >= 0, expected > 0.5)
    found = torch.stack([each[inside >= 0].mean() for each, inside in zip(expected, targets, strict=True)])
    torch.testing.assert_close(score.confidence(images(), targets), found)
    alone = scores.SegmentScore(lambda batch: (Pixels()(batch)["out"],))
    assert torch.equal(alone.resolve(images(), 1), scores.SegmentScore(Pixels()).resolve(images(), 1))


class Outputs(NamedTuple):
    logits: Tensor
    features: Tensor


@pytest.mark.parametrize("pack", [lambda *parts: parts, lambda first, second: (first, [second, second]), Outputs])
def test_several_outputs_are_cut_by_image_whatever_the_batch(pack):
    score = scores.TargetScore(lambda batch: pack(Quarters()(batch), batch.flatten(1)))
    three = torch.cat([images(), images()[:1]])
    chosen = score.resolve(three, lambda output: output[0][2])
    expected = Quarters()(three)[:, 2]
    found = scores.TargetScore(lambda batch: [each[None] for each in Quarters()(batch)])  # one detection in each image
    found.resolve(three, lambda output: output[0][2])
    for count in (1, 2, 3):  # two is the number of outputs, too
        torch.testing.assert_close(score(three[:count], chosen[:count]), expected[:count])
        torch.testing.assert_close(found(three[:count], chosen[:count]), expected[:count])


@pytest.mark.parametrize(
    ("make", "target", "message"),
    [
        (lambda: scores.ContrastScore(Quarters()), (1, 1), "two different classes, got 1 rather than 1"),
        (lambda: scores.ContrastScore(Quarters()), (1, 4), r"0\.\.3, got 4"),
        (lambda: scores.ContrastScore(Quarters()), torch.ones(3, 2, dtype=torch.int64), r"\[3, 2\]"),
        (lambda: scores.ContrastScore(Quarters()), "tabby", "got 'tabby'"),
        (lambda: scores.ContrastScore(Quarters()), (2**70, 1), r"each below 2\*\*63"),
        (lambda: scores.ContrastScore(Quarters(), rather_than=-1), None, "rather_than .* got -1"),
        (lambda: scores.LabelScore(Quarters()), 4, r"label indices in 0\.\.3, got 4"),
        (lambda: scores.LabelScore(Quarters(), present=1), None, "present must be True or False"),
        (lambda: scores.LabelScore(Pixels()), 0, r"logits \[B, labels\] or \[B\], got \[1, 2, 16, 16\]"),
        (lambda: scores.RegressionScore(Quarters()), None, r"name the output to explain, 0\.\.3"),
        (lambda: scores.RegressionScore(Quarters(), "left"), 0, "direction must be one of 'up', 'down', got 'left'"),
        (lambda: scores.EmbeddingScore(Quarters()), torch.ones(5), r"one embedding \[4\], or \[2, 4\], got \[5\]"),
        (lambda: scores.EmbeddingScore(Quarters()), torch.zeros(4), "not zero everywhere"),
        (lambda: scores.EmbeddingScore(Quarters()), 3, r"a floating-point tensor \[D\] or \[B, D\] of embeddings"),
        (lambda: scores.TextScore(Encoder(), ["one"], encode_text), None, "at least two different"),
        (lambda: scores.TextScore(Encoder(), "one", encode_text), None, "a list of texts, got 'one'"),
        (lambda: scores.TextScore(Encoder(), ["one", "two"], lambda texts: torch.ones(1, 4)), None, r"\[2, D\]"),
        (lambda: scores.TextScore(Encoder(), ["one", "two"], encode_text), "three", "texts of the score.*'three'"),
        (lambda: scores.TextScore(nn.Flatten(), ["one", "two"], encode_text), 0, r"\[B, 4\], as the texts have"),
        (lambda: scores.DetectionScore(Detector()), 7, "finds only classes"),
        (lambda: scores.DetectionScore(Detector()), {"label": 1}, "without box"),
        (lambda: scores.DetectionScore(Detector()), {"label": 1, "box": [4, 4, 2, 8]}, "x1 < x2"),
        (lambda: scores.DetectionScore(Quarters()), 1, "list of dicts with boxes"),
        (lambda: scores.SegmentScore(Pixels()), 2, r"a class in 0\.\.1, got 2"),
        (lambda: scores.SegmentScore(Pixels()), (1, torch.ones(16, 16)), "use mask > 0"),
        (lambda: scores.SegmentScore(Pixels()), (1, torch.zeros(16, 16).bool()), "segment that is empty"),
        (lambda: scores.SegmentScore(Quarters()), 1, "class logits of pixels"),
        (lambda: scores.TargetScore(Quarters()), 3, "a callable on the model's output"),
        (lambda: scores.TargetScore(Quarters()), lambda output: output, "return one number"),
        (
            lambda: scores.TargetScore(lambda given: [Quarters()(given)] * 2),
            lambda output: output[0].sum(),
            "a list with an entry for each image, got 2 entries for 1 images; parts .* belong into a tuple",
        ),
        (lambda: scores.ClassScore(Quarters()), [lambda output: output], r"TargetScore\(model\)"),
    ],
)
def test_wrong_questions_are_told_before_any_work(make, target, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sdfido.FIDO(make(), steps=3, **QUICK).explain(images(), target)
