"""Enhancement: boxes and blends are those that one draws by hand, and both predictions are averaged."""

import math

import pytest
import torch
from torch import nn

import sdfido
from sdfido.enhance import enhance
from tests.support import DEVICES

PLAIN = {"smoothing": 0, "padding": 0, "min_size": 1, "square": False, "blend": "original"}


class TinyNet(nn.Module):
    """A small random classifier of any image size, with dropout so that train mode would show."""

    def __init__(self, classes=5):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return 9 * self.head(self.layers(x).flatten(1))


class OneByOne(TinyNet):
    """The same, each image on its own, so that its rounding does not depend on the batch."""

    def forward(self, x):
        return torch.cat([super(OneByOne, self).forward(image) for image in x.split(1)])


def _images(n=2, height=40, width=60, seed=0, device="cpu"):
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed)).to(device)


def _drawn(*regions, height=40, width=60, device="cpu"):
    """Maps [N, H, W] that are 1 inside y0, x0, y1, x1 and 0 elsewhere."""
    maps = torch.zeros(len(regions), height, width, device=device)
    for one, (y0, x0, y1, x1) in zip(maps, regions, strict=True):
        one[y0:y1, x0:x1] = 1
    return maps


def _box(region, **settings):
    result = enhance(TinyNet(), _images(1), _drawn(region), **PLAIN | settings)
    return tuple(result.boxes[0].tolist())


BOXES = [
    # drawn region, settings, box in an image of 40 x 60 pixels
    ((10, 20, 18, 30), {}, (10, 20, 18, 30)),
    ((0, 0, 40, 60), {}, (0, 0, 40, 60)),
    ((39, 59, 40, 60), {}, (39, 59, 40, 60)),
    ((10, 20, 18, 30), {"padding": 3}, (7, 17, 21, 33)),
    ((1, 57, 4, 60), {"padding": 3}, (0, 54, 7, 60)),  # cut at the border
    ((10, 20, 18, 30), {"min_size": 9}, (9, 20, 18, 30)),
    ((10, 20, 18, 30), {"min_size": 16}, (6, 17, 22, 33)),
    ((0, 0, 2, 2), {"min_size": 16}, (0, 0, 16, 16)),  # shifted inside, at the beginning
    ((38, 58, 40, 60), {"min_size": 16}, (24, 44, 40, 60)),  # … and at the end
    ((10, 20, 18, 30), {"min_size": 50}, (0, 0, 40, 50)),  # no more than the image has
    ((10, 20, 18, 30), {"min_size": 99}, (0, 0, 40, 60)),
    ((10, 20, 18, 30), {"square": True}, (9, 20, 19, 30)),
    ((10, 20, 30, 24), {"square": True}, (10, 12, 30, 32)),
    ((0, 20, 4, 32), {"square": True}, (0, 20, 12, 32)),
    ((10, 0, 30, 4), {"square": True}, (10, 0, 30, 20)),
    ((10, 56, 30, 60), {"square": True}, (10, 40, 30, 60)),
    ((10, 5, 18, 55), {"square": True}, (0, 5, 40, 55)),  # as square as the image can
    ((10, 20, 18, 30), {"padding": 2, "min_size": 17, "square": True}, (5, 16, 22, 33)),
]


@pytest.mark.parametrize(("region", "settings", "box"), BOXES)
def test_boxes_of_drawn_regions(region, settings, box):
    assert _box(region, **settings) == box


def test_a_box_holds_all_parts_of_a_region():
    maps = _drawn((4, 10, 6, 12)) + _drawn((30, 50, 31, 51))
    assert enhance(TinyNet(), _images(1), maps, **PLAIN).boxes.tolist() == [[4, 10, 31, 51]]


def test_threshold_is_exceeded():
    maps = 0.5 * _drawn((0, 0, 40, 60)) + 0.25 * _drawn((10, 20, 18, 30))
    for threshold, box in ((0.4, [0, 0, 40, 60]), (0.5, [10, 20, 18, 30]), (0.7, [10, 20, 18, 30])):
        assert enhance(TinyNet(), _images(1), maps, **PLAIN, threshold=threshold).boxes.tolist() == [box]


def test_smoothing_moves_the_box_as_a_gaussian_does():
    """A wide stripe's smoothed edge stays at one half; a stripe's middle keeps erf(w / (2 sqrt 2 sigma)) of it."""
    rows = 9
    maps = _drawn((0, 30, 40, 60))
    smoothed = PLAIN | {"smoothing": 3.0}
    assert enhance(TinyNet(), _images(1), maps, **smoothed).boxes.tolist() == [[0, 30, 40, 60]]
    middle = math.erf(rows / (2 * math.sqrt(2) * 3))
    stripe = _drawn((16, 0, 16 + rows, 60))
    below = enhance(TinyNet(), _images(1), stripe, **smoothed, threshold=middle - 0.02)
    above = enhance(TinyNet(), _images(1), stripe, **smoothed, threshold=middle + 0.02)
    assert below.found
    assert not above.found
    assert below.boxes[0, 0] >= 19
    assert below.boxes[0, 2] <= 22


def test_nothing_above_the_threshold_leaves_the_whole_image():
    images, model = _images(2), OneByOne()
    maps = torch.stack([torch.full((40, 60), 0.3), _drawn((10, 20, 18, 30))[0]])
    result = enhance(model, images, maps, **PLAIN | {"blend": "infill", "infill": torch.zeros(3, 1, 1)})
    assert result.found.tolist() == [False, True]
    assert result.boxes[0].tolist() == [0, 0, 40, 60]
    assert torch.equal(result.crops[0], images[0])
    assert torch.equal(result.logits_crop[0], result.logits_image[0])
    assert result.boxes[1].tolist() == [10, 20, 18, 30]


@pytest.mark.parametrize("device", DEVICES)
def test_blends_are_exact(device):
    """A crop of the fed size is not resized, so its pixels are known."""
    images = _images(device=device)
    maps = (0.6 + 0.4 * torch.rand(2, 40, 60, generator=torch.Generator().manual_seed(1))).to(device)
    maps[:, 20:] = 0
    fed = {"size": (20, 60)}
    model = TinyNet().to(device)
    original = enhance(model, images, maps, **PLAIN | fed)
    assert original.boxes.tolist() == [[0, 0, 20, 60]] * 2
    assert torch.equal(original.crops, images[:, :, :20])
    infill = sdfido.infills.Blur(10)(images)
    for given in ("blur", infill, lambda x: infill):
        blended = enhance(model, images, maps, **PLAIN | fed | {"blend": "infill", "infill": given})
        expected = infill + maps[:, None] * (images - infill)
        assert torch.equal(blended.boxes, original.boxes)
        assert torch.equal(blended.crops, expected[:, :, :20])
    assert blended.crops.device == blended.boxes.device == blended.logits_crop.device == images.device
    assert torch.equal(blended.logits_image, model.eval()(images))
    assert torch.equal(blended.logits_crop, model(blended.crops))


def test_crops_show_the_box():
    """A linear ramp, enlarged, is the same ramp; away from the crop's border, where bicubic filters are cut."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    images = torch.stack([y, x, y + x])[None]
    result = enhance(TinyNet(), images, _drawn((8, 12, 18, 27)), **PLAIN, size=(40, 60))
    ys, xs = 8 + (torch.arange(40) + 0.5) / 4 - 0.5, 12 + (torch.arange(60) + 0.5) / 4 - 0.5
    inner = (slice(8, -8), slice(8, -8))
    torch.testing.assert_close(result.crops[0, 0][inner], ys[:, None].expand(40, 60)[inner])
    torch.testing.assert_close(result.crops[0, 1][inner], xs.expand(40, 60)[inner])


def test_shrunk_crops_are_antialiased():
    images = torch.zeros(1, 3, 40, 60)
    images[..., ::2] = 1  # stripes of one pixel: sampled without a filter, one of both colours is lost
    result = enhance(TinyNet(), images, _drawn((0, 0, 40, 60)), **PLAIN, size=(10, 15))
    assert (result.crops[..., 2:-2] - 0.5).abs().max() < 0.03


def test_crops_come_from_the_originals():
    originals = _images(height=80, width=120)
    images = torch.nn.functional.avg_pool2d(originals, 2)
    maps = _drawn((10, 20, 18, 30), (0, 0, 8, 10))
    result = enhance(TinyNet(), images, maps, originals=originals, **PLAIN, size=(16, 20))
    assert result.boxes.tolist() == [[20, 40, 36, 60], [0, 0, 16, 20]]
    assert torch.equal(result.crops, torch.stack([originals[0, :, 20:36, 40:60], originals[1, :, :16, :20]]))
    sized = [originals[0], torch.nn.functional.interpolate(originals[1:], size=(50, 60))[0]]
    listed = enhance(TinyNet(), images, maps, originals=sized, **PLAIN, size=(16, 20))
    assert torch.equal(listed.crops[0], result.crops[0])
    assert listed.boxes[1].tolist() == [0, 0, 10, 10]  # 1.25 and 1 times the image's


def test_originals_are_blended_with_the_enlarged_infill():
    originals = _images(height=80, width=120)
    images = torch.nn.functional.avg_pool2d(originals, 2)
    settings = PLAIN | {"blend": "infill", "size": (80, 120)}
    full = _drawn((0, 0, 40, 60), (0, 0, 40, 60))
    kept = enhance(TinyNet(), images, full, originals=originals, **settings)
    torch.testing.assert_close(kept.crops, originals)
    half = enhance(TinyNet(), images, 0.75 * full, originals=originals, **settings)
    infill = torch.nn.functional.interpolate(sdfido.infills.Blur(10)(images), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(half.crops, 0.25 * infill + 0.75 * originals)


def _brightness(x):
    return x.mean((1, 2, 3))[:, None] * torch.tensor([1.0, -1.0])


def test_probabilities_are_averaged_by_weight():
    """A bright image with a dark spot: the model says bright of the whole, dark of the crop."""
    maps = _drawn((10, 20, 18, 30))
    images = (1 - 4 * maps)[:, None].expand(1, 3, 40, 60)
    bright, dark = (1 - 4 * 80 / 2400), -3.0
    for weight, prediction in ((0, 0), (0.25, 0), (0.5, 1), (1, 1)):
        result = enhance(_brightness, images, maps, **PLAIN, weight=weight)
        first, second = (1 / (1 + math.exp(-2 * value)) for value in (bright, dark))
        average = (1 - weight) * first + weight * second
        torch.testing.assert_close(result.probabilities, torch.tensor([[average, 1 - average]]))
        assert result.predictions.tolist() == [prediction]
        assert result.predictions_image.tolist() == [0]
        assert result.predictions_crop.tolist() == [1]


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_gives_each_image_what_it_gets_alone(device):
    images = _images(3, device=device)
    model = OneByOne().to(device)
    maps = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(2)).to(device) * _drawn(
        (0, 0, 20, 20), (10, 30, 30, 60), (5, 5, 35, 15), device=device
    )
    settings = {
        "infill": "uniform",
        "normalization": sdfido.Normalization((0.5,), (0.5,)),
        "threshold": 0.2,
        "min_size": 16,
        "max_batch": 2,
    }
    batch = enhance(model, images, maps, streams=[5, 6, 7], **settings)
    assert len({tuple(box) for box in batch.boxes.tolist()}) == 3
    for i in range(3):
        alone = enhance(model, images[i], maps[i], streams=[5 + i], **settings)
        for name in ("boxes", "found", "crops", "logits_image", "logits_crop", "probabilities"):
            assert torch.equal(getattr(alone, name)[0], getattr(batch, name)[i]), name


def test_maps_of_an_explanation():
    images, model = _images(2, 32, 32), TinyNet()
    explanation = sdfido.FIDO(model, steps=6, mask_size=8, warmup=0).explain(images)
    for mask in ("ssr", "sdr", "joint"):
        maps = getattr(explanation, mask)
        settings = {"threshold": float(maps.median()), "min_size": 8, "padding": 1, "smoothing": 1}
        by_name = enhance(model, images, explanation, mask=mask, **settings)
        by_map = enhance(model, images, maps, **settings)
        assert torch.equal(by_name.boxes, by_map.boxes)
        assert torch.equal(by_name.logits_crop, by_map.logits_crop)
    assert model.training  # as it was before
    assert not by_map.crops.requires_grad


def test_empty_batch():
    result = enhance(TinyNet(), torch.zeros(0, 3, 40, 60), torch.zeros(0, 40, 60), size=(20, 30))
    assert result.boxes.shape == (0, 4)
    assert result.crops.shape == (0, 3, 20, 30)
    assert result.predictions.shape == result.found.shape == (0,)
    assert result.boxes.dtype == torch.int64


EXPLANATION = sdfido.Explanation("toy", {"map": torch.ones(2, 40, 60)}, {}, torch.zeros(2, dtype=torch.int64))
GOOD = {"model": TinyNet(), "images": _images(), "importance": torch.ones(2, 40, 60)}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"model": "net"}, TypeError, "model must be"),
        ({"images": torch.ones(2, 3, 40, 60, dtype=torch.uint8)}, TypeError, "images must be"),
        ({"images": torch.ones(3, 40, 60)}, ValueError, r"importance must be \[1, 40, 60\] .* got \[2, 40, 60\]"),
        ({"importance": "joint"}, TypeError, "importance must be .* or an Explanation, got str"),
        ({"importance": torch.ones(2, 40, 60, dtype=torch.bool)}, TypeError, "importance must be .* got torch.bool"),
        ({"importance": torch.ones(2, 20, 30)}, ValueError, r"importance must be \[2, 40, 60\]"),
        ({"importance": torch.full((2, 40, 60), 1.5)}, ValueError, r"importance must be in 0..1 .* got 1.5..1.5"),
        ({"importance": torch.full((2, 40, 60), math.nan)}, ValueError, "importance must be in 0..1"),
        ({"importance": EXPLANATION, "mask": "both"}, ValueError, "mask must be one of .* got 'both'"),
        ({"blend": "blur"}, ValueError, "blend must be .* got 'blur'"),
        ({"infill": "zeros"}, ValueError, "normalization"),
        ({"threshold": 1.1}, ValueError, r"threshold must be in 0..1, got 1.1"),
        ({"threshold": "half"}, TypeError, "threshold must be a number, got 'half'"),
        ({"weight": -0.1}, ValueError, "weight must be .*, got -0.1"),
        ({"weight": 2}, ValueError, "weight must be in 0..1, got 2"),
        ({"smoothing": 0.01}, ValueError, "smoothing must be 0, or at least 0.1 pixels, got 0.01"),
        ({"padding": -1}, ValueError, "padding must be .*, got -1"),
        ({"min_size": 0}, ValueError, "min_size must be .*, got 0"),
        ({"min_size": 6.5}, TypeError, "min_size must be an integer, got 6.5"),
        ({"square": 1}, TypeError, "square must be True or False, got 1"),
        ({"size": 0}, ValueError, "size must be .*, got 0"),
        ({"size": (20, 20, 20)}, TypeError, "size must be an integer, a pair"),
        ({"streams": [1]}, ValueError, "streams must be one integer for each of 2 images"),
        ({"max_batch": 0}, ValueError, "max_batch"),
        ({"originals": _images(3)}, ValueError, "originals must be one for each of 2 images, got 3"),
        ({"originals": [torch.ones(1, 80, 80)] * 2}, ValueError, r"originals must have \[3, H2, W2\] each"),
        ({"originals": ["a", "b"]}, TypeError, "originals must be a list of tensors, got 'a' in it"),
        ({"originals": torch.full((2, 3, 80, 120), math.inf)}, ValueError, "originals must be finite"),
        ({"model": lambda x: x}, ValueError, r"model must return logits \[B, classes\]"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        enhance(**GOOD | wrong)
