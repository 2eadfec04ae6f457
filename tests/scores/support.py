"""Models of known truth: each output is the brightness of one quarter of the image."""

import torch
from torch import nn
from torch.nn import functional as F

from sdfido import scores

GAIN = 12.0


class Quarters(nn.Module):
    """Logits [B, 4]: what each quarter of the image is brighter than 1/2, in order of rows, times a gain."""

    def forward(self, images):
        return GAIN * (F.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1) - 0.5)


class Pixels(nn.Module):
    """Class logits of pixels [B, 2, H, W]: class 1 where it is bright."""

    def forward(self, images):
        bright = GAIN * (images.mean(1) - 0.5)
        return {"out": torch.stack([-bright, bright], 1)}


class Detector(nn.Module):
    """A box for each quarter, by its number as the class, as sure as it is bright."""

    def forward(self, images):
        height, width = images[0].shape[1:]
        y, x = torch.tensor([0, 0, 1, 1]) * height / 2, torch.tensor([0, 1, 0, 1]) * width / 2
        boxes = torch.stack([x, y, x + width / 2, y + height / 2], 1)
        sure = torch.sigmoid(Quarters()(images))
        return [{"boxes": boxes, "labels": torch.arange(4), "scores": each} for each in sure]


def encode_text(texts):
    """Embeddings [T, 4]: the quarter that a text names, and something of all."""
    names = ("one", "two", "three", "four")
    return torch.tensor([[0.1 + float(name in text) for name in names] for text in texts])


class Encoder(nn.Module):
    """Embeddings [B, 4] of images, by ``encode_image``."""

    def encode_image(self, images):
        return Quarters()(images).exp()


def images():
    """Two images [2, 3, 16, 16]: in the first the quarters 0 and 1 are bright, in the second 1 and 2."""
    found = torch.full((2, 3, 16, 16), 0.1)
    for place, quarters in enumerate(((0, 1), (1, 2))):
        for quarter in quarters:
            row, column = divmod(quarter, 2)
            found[place, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 0.9 - 0.05 * quarter
    return found


EVERY = {
    "class": (lambda: scores.ClassScore(Quarters()), 1),
    "contrast": (lambda: scores.ContrastScore(Quarters()), (1, 3)),
    "label": (lambda: scores.LabelScore(Quarters()), 1),
    "no label": (lambda: scores.LabelScore(Quarters(), present=False), 3),
    "up": (lambda: scores.RegressionScore(Quarters()), 1),
    "down": (lambda: scores.RegressionScore(Quarters(), "down"), 3),
    "embedding": (lambda: scores.EmbeddingScore(Encoder().encode_image), torch.tensor([0.0, 1.0, 0.0, 0.0])),
    "text": (lambda: scores.TextScore(Encoder(), ["one", "two", "four"], encode_text, logit_scale=10.0), "two"),
    "detection": (lambda: scores.DetectionScore(Detector()), 1),
    "segment": (lambda: scores.SegmentScore(Pixels()), 1),
    "target": (lambda: scores.TargetScore(Quarters()), lambda output: output[1]),
}
"""By name: what makes a score, and a target that both images have."""
