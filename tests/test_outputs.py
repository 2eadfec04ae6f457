"""What models return, and wrong uses of models: each a clear error before any work."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdfido
from sdfido import models, outputs, scores

LOGITS = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]])
FEATURES = torch.zeros(2, 5)
Named = namedtuple("Named", "logits aux")


@dataclass
class Output:
    logits: Tensor
    hidden_states: Tensor | None = None


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


@pytest.mark.parametrize(
    "returned",
    [
        LOGITS,
        LOGITS.double(),
        LOGITS[:, :, None, None],
        (LOGITS,),
        [LOGITS],
        (LOGITS, None),
        {"out": LOGITS},
        {"logits": LOGITS, "features": FEATURES},
        OrderedDict(loss=torch.tensor(1.0), logits=LOGITS),
        Output(LOGITS, FEATURES),
        Named(LOGITS, FEATURES),
        Holder(logits=LOGITS, other=3),
        Holder(logits_per_image=LOGITS, logits_per_text=LOGITS.T),
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_logits_are_found(returned):
    assert torch.equal(outputs.class_logits(returned, 2), LOGITS)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1, 1)])
def test_one_logit_is_that_of_two_classes(shape):
    found = outputs.class_logits(torch.tensor([0.5, -1.0]).view(shape), 2)
    torch.testing.assert_close(found.softmax(1)[:, 1], torch.tensor([0.5, -1.0]).sigmoid())


def test_one_logit_is_explained():
    model = nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    explanation = sdfido.FIDO(model, steps=2, mask_size=4).explain(images, 1)
    torch.testing.assert_close(explanation.prob_image, model(images).sigmoid().detach())


@pytest.mark.parametrize(
    "output",
    ["species", "more.species", "more.1", 1, lambda returned: returned["species"]],
    ids=lambda output: "function" if callable(output) else str(output),
)
def test_an_output_is_chosen(output):
    returned = {"species": LOGITS, "genus": FEATURES, "more": OrderedDict(species=LOGITS)}
    if output == "more.1":
        returned["more"] = (FEATURES, LOGITS)
    if output == 1:
        returned = (FEATURES, LOGITS)
    assert torch.equal(outputs.class_logits(returned, 2, output), LOGITS)
    score = sdfido.ClassScore(lambda images: returned, output=output)
    assert torch.equal(score.logits(torch.zeros(2, 3, 4, 4)), LOGITS)


WHERE = r"sdfido\.ClassScore\(model, output=\.\.\.\)"


@pytest.mark.parametrize(
    ("returned", "error", "says"),
    [
        (None, TypeError, r"must return a tensor of logits \[B, classes\], got None"),
        (3.5, TypeError, "got 3.5; the score needs its gradient"),
        ("cat", TypeError, "got 'cat'"),
        (LOGITS.numpy(), TypeError, "got ndarray; .* must not leave PyTorch"),
        (nn.Linear(2, 2), TypeError, "got Linear"),
        ((), TypeError, "got tuple of 0"),
        ({}, TypeError, "got dict of 0"),
        ((None, None), TypeError, "got tuple with nothing in it"),
        ((LOGITS, FEATURES), TypeError, rf"got tuple with 0 \[2, 3\], 1 \[2, 5\]; choose one with {WHERE}"),
        ([LOGITS[0], LOGITS[1]], TypeError, r"got list with 0 \[3\], 1 \[3\]"),
        ({"a": LOGITS, "b": FEATURES}, TypeError, rf"got dict with a \[2, 3\], b \[2, 5\]; choose one with {WHERE}"),
        ({str(i): LOGITS for i in range(12)}, TypeError, "and 4 more"),
        ({"logits": [LOGITS]}, TypeError, "got dict with logits list of 1"),
        (Output("x", FEATURES), TypeError, "got Output with logits 'x'"),
        ([{"boxes": FEATURES, "labels": LOGITS}] * 2, TypeError, "got detections: .*DetectionScore"),
        (torch.zeros(2, 21, 8, 8), ValueError, r"got \[2, 21, 8, 8\] for 2 images: .*segmentation.*SegmentScore"),
        ({"out": torch.zeros(2, 21, 8, 8)}, ValueError, "SegmentScore"),
        (torch.zeros(2, 17, 8), ValueError, r"got \[2, 17, 8\] for 2 images: one row for each token"),
        (torch.tensor(1.0), ValueError, r"got \[\] for 2 images: one number for all images, such as a loss"),
        (torch.zeros(3), ValueError, r"got \[3\] for 2 images: the first axis must be the images"),
        (LOGITS[:1], ValueError, r"got \[1, 3\] for 2 images: the first axis must be the images"),
        (LOGITS.T, ValueError, r"got \[3, 2\] for 2 images: the first axis"),
        (LOGITS[:, :0], ValueError, r"of one or more classes, got \[2, 0\]"),
        (LOGITS.argmax(1), TypeError, "in floating point, got torch.int64: classes that are chosen already"),
        (LOGITS > 1, TypeError, "in floating point, got torch.bool"),
        (LOGITS.to(torch.complex64), TypeError, "in floating point, got torch.complex64"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nonsense_is_refused(returned, error, says):
    with pytest.raises(error, match=says):
        outputs.class_logits(returned, 2)
    model, steps = Counting(lambda images: returned), []
    with pytest.raises(error, match="model must return"):
        sdfido.FIDO(model, steps=2, mask_size=4).explain(torch.zeros(2, 3, 8, 8), 0, on_step=steps.append)
    assert steps == []
    assert model.asked <= 4  # image, infill and layouts that are tried, and the first composites


class Counting:
    """A callable that counts its calls."""

    def __init__(self, function):
        self.function, self.asked = function, 0

    def __call__(self, images):
        self.asked += 1
        return self.function(images)


@pytest.mark.parametrize(
    ("output", "error", "says"),
    [
        ("order", ValueError, r"output must be a part of what the model returns, got 'order'; .* has species \[2, 3\]"),
        ("species.a", ValueError, r"got 'species\.a'; it returns \[2, 3\]"),
        (7, ValueError, "got 7"),
        (1.5, TypeError, "output must be a name, a place or a function, got 1.5"),
        (True, TypeError, "output must be a name"),
        ("note", TypeError, "output='note' must be a tensor in what the model returns, got 'x'"),
        (lambda returned: 3, TypeError, "must be a tensor in what the model returns, got 3"),
        ("genus", ValueError, r"must return logits \[B, classes\].*got \[2, 5, 4, 4\]"),
    ],
)
def test_wrong_outputs_are_refused(output, error, says):
    returned = {"species": LOGITS, "genus": torch.zeros(2, 5, 4, 4), "note": "x"}
    with pytest.raises(error, match=says):
        sdfido.ClassScore(lambda images: returned, output=output).logits(torch.zeros(2, 3, 4, 4))


class Detached(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)).detach()


class Frozen(nn.Module):
    def forward(self, images):
        with torch.no_grad():
            return images.mean((2, 3))


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(3))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


class ThroughNumpy(nn.Module):
    def forward(self, images):
        return torch.from_numpy(images.numpy().mean((2, 3)))


class Rounded(nn.Module):
    def forward(self, images):
        return (255 * images).byte().float().mean((2, 3))


@pytest.mark.parametrize("kind", [Detached, Frozen, Constant, ThroughNumpy, Rounded])
def test_a_model_without_a_gradient_is_refused_before_the_second_step(kind):
    steps = []
    says = "differentiable in the images|must stay in PyTorch"
    with pytest.raises(ValueError, match=says):
        sdfido.FIDO(kind(), steps=3, mask_size=4).explain(
            torch.rand(1, 3, 8, 8), 0, on_step=lambda progress: steps.append(progress.step)
        )
    assert steps == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(wrong):
    with pytest.raises(ValueError, match="must be finite"):
        sdfido.FIDO(lambda x: x.mean((2, 3)) * wrong, steps=3, mask_size=4).explain(torch.rand(1, 3, 8, 8), 0)


NET = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


class Old(nn.Module):
    def forward(self, images):
        assert images.shape[-1] == 224, f"Input height ({images.shape[-1]}) doesn't match model (224)"
        return images


class Clip(nn.Module):
    def encode_text(self, tokens):
        return tokens

    def forward(self, image, text=None):
        return image @ text.T


class Tokens(nn.Module):  # as ImageGPT
    def forward(self, input_ids, inputs_embeds=None):
        return nn.functional.embedding(input_ids, torch.zeros(9, 4))


class Patches(nn.Module):  # as SigLIP 2 with flexible sizes
    def forward(self, pixel_values, pixel_attention_mask=None, spatial_shapes=None):
        return pixel_values @ torch.zeros(12, 3)


class Silent(nn.Module):  # as HaloNet
    def forward(self, images):
        if images.shape[-1] % 32:
            raise AssertionError
        return images


@pytest.mark.parametrize(
    ("model", "images", "says"),
    [
        (NET, torch.zeros(1, 3, 9, 9), "give images of the size that it is made for"),
        (Old(), torch.zeros(1, 3, 8, 8), r"Input height \(8\).*size that it is made for"),
        (NET, torch.zeros(1, 8, 8, 3), r"ChannelsLast\(model\)"),
        (NET, torch.zeros(1, 1, 8, 8), r"to have 3 channels, but got 1 .*; give images \[B, C, H, W\]"),
        (NET, torch.zeros(1, 3, 2, 2), "give larger images"),
        (nn.Sequential(nn.Conv2d(3, 4, 3).double()), torch.zeros(1, 3, 8, 8), r"float32 by model\.float\(\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3).half()), torch.zeros(1, 3, 8, 8), r"float32 by model\.float\(\)"),
        (lambda image, text: image, torch.zeros(1, 3, 8, 8), "a function of the images alone"),
        (Clip(), torch.zeros(1, 3, 8, 8), "load it with the texts of classes"),
        (Tokens(), torch.zeros(1, 3, 8, 8), r"lambda images: model\(inputs_embeds=\.\.\.\)"),
        (Patches(), torch.zeros(1, 3, 8, 8), r"lambda images: model\(pixel_values=.*spatial_shapes=\.\.\.\)"),
        (Silent(), torch.zeros(1, 3, 8, 8), "AssertionError; give images of the size that it is made for"),
    ],
)
def test_images_that_a_model_cannot_take(model, images, says):
    with pytest.raises((RuntimeError, TypeError, ValueError), match=f"model cannot take images.*{says}"):
        sdfido.FIDO(model, steps=2, mask_size=2).explain(images, 0)


def test_other_errors_of_a_model_stay_as_they_are():
    def model(images):
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match=r"^the disk is full$"):
        sdfido.FIDO(model, steps=2, mask_size=2).explain(torch.zeros(1, 3, 8, 8), 0)


@pytest.mark.parametrize(
    ("images", "error", "says"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, r"floating-point.*torch.uint8; use images.float\(\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), TypeError, "floating-point.*torch.int64"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bool), TypeError, "floating-point.*torch.bool"),
        (np.zeros((1, 3, 8, 8), dtype=np.float32), TypeError, "images must be a .*tensor.*ndarray"),
        ([torch.zeros(3, 8, 8)], TypeError, "images must be a .*tensor.*list"),
        ("cat.jpg", TypeError, "images must be a .*tensor.*str"),
        (None, TypeError, "images must be a .*tensor.*NoneType"),
        (torch.zeros(8, 8), ValueError, r"images must be \[N, C, H, W\] or \[C, H, W\], got \[8, 8\]"),
        (torch.zeros(1, 1, 3, 8, 8), ValueError, r"got \[1, 1, 3, 8, 8\]"),
        (torch.zeros(1, 3, 0, 8), ValueError, r"got \[1, 3, 0, 8\]"),
        (torch.zeros(1, 0, 8, 8), ValueError, r"got \[1, 0, 8, 8\]"),
        (torch.full((1, 3, 8, 8), torch.nan), ValueError, "images must be finite"),
        (torch.full((1, 3, 8, 8), torch.inf), ValueError, "images must be finite"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_images(images, error, says):
    model = Counting(lambda images: images.mean((2, 3)))
    with pytest.raises(error, match=says):
        sdfido.FIDO(model, steps=2, mask_size=4).explain(images)
    assert model.asked == 0


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        ("timm:resnet18", r"got 'timm:resnet18'; load it with sdfido\.models\.load"),
        (nn.Linear, "got the class Linear; call it to make a model"),
        (LOGITS, "got Tensor"),
        ({"weights": LOGITS}, "got dict"),
        (OrderedDict(), "got OrderedDict"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("taker", [sdfido.FIDO, sdfido.AttentionGraph, sdfido.ClassScore, scores.as_score])
def test_what_is_no_model_is_refused_at_once(model, says, taker):
    with pytest.raises(TypeError, match=f"model must be a module or a callable, {says}"):
        taker(model)


def test_models_given_as_classifiers():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    normalization = models.Normalization((0.5,), (0.25,))
    classifier = models.Classifier("net", network, normalization, (8, 8))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    given = {"infill": "zeros", "steps": 2, "mask_size": 4}
    by_classifier = sdfido.FIDO(classifier, **given).explain(images)
    by_network = sdfido.FIDO(network, normalization=normalization, **given).explain(images)
    assert torch.equal(by_classifier.ssr, by_network.ssr)
    curve = sdfido.evaluate.deletion(classifier, images, by_network.ssr, infill="zeros", num_fractions=3)
    torch.testing.assert_close(curve.values[:, 0], by_network.prob_image)
    assert sdfido.enhance(classifier, images, by_network).predictions.shape == (2,)


def test_channels_last_input():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    wrapped = models.ChannelsLast(network)
    torch.testing.assert_close(wrapped(images), network(images.permute(0, 2, 3, 1)))
    assert sdfido.FIDO(wrapped, steps=2, mask_size=4).explain(images).ssr.isfinite().all()
