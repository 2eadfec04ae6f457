"""Why this detection? A small detector is trained on drawn birds and fish, and two of its detections are explained.

python examples/detector.py --out out
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, reports, scores

SIZE, STRIDE = 64, 8  # of images and of the detector's cells, in pixels
CLASSES = ("bird", "fish")
Y, X = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")


def outline(kind: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of an animal at a place, bool [64, 64], and its box [4]."""
    dx, dy = X - x, Y - y
    if kind == 0:  # a body, and a head with a bill
        body = (dx / 9) ** 2 + (dy / 6) ** 2 <= 1
        more = ((dx - 8) ** 2 + (dy + 6) ** 2 <= 16) | ((dx > 8) & (dx <= 15) & ((dy + 6).abs() <= 1))
    else:  # a body, and a tail
        body = (dx / 10) ** 2 + (dy / 5) ** 2 <= 1
        more = (dx < -6) & (dx >= -14) & (dy.abs() <= -(dx + 6))
    inside = body | more
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    return inside, torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [N, 3, 64, 64] with a bird and a fish each, and their boxes [N, 2, 4]."""
    images = 0.35 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    boxes = torch.zeros(count, 2, 4)
    for image, both in zip(images, boxes, strict=True):
        first = int(torch.randint(2, (), generator=generator))  # which is on top
        for kind in range(2):
            x = torch.randint(18, 46, (), generator=generator)
            y = torch.randint(12, 20, (), generator=generator) + (30 if kind == first else 2)
            inside, both[kind] = outline(kind, x, y)
            image[:, inside] = 0.4 + 0.5 * torch.rand(3, 1, generator=generator)
    return images, boxes


class Detector(nn.Module):
    """Says for each cell of 8 x 8 pixels how surely an animal has its centre there, and how far its box reaches.

    Its answers are as those of torchvision's detectors: a list of dicts with boxes, labels and scores.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 48, 1), (48, 48, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Conv2d(48, len(CLASSES) + 4, 1))
        self.register_buffer("centres", STRIDE * (torch.arange(SIZE // STRIDE) + 0.5))

    def cells(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, classes, 8, 8] and boxes [B, 4, 8, 8]."""
        found = self.network(images)
        reach = STRIDE * F.softplus(found[:, len(CLASSES) :])  # left, up, right, down
        x, y = self.centres[None, :], self.centres[:, None]
        boxes = torch.stack([x - reach[:, 0], y - reach[:, 1], x + reach[:, 2], y + reach[:, 3]], 1)
        return found[:, : len(CLASSES)], boxes

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        logits, boxes = self.cells(images)
        surest, labels = logits.flatten(2).sigmoid().max(1)
        return [
            {"boxes": each.T, "labels": label, "scores": sure}
            for each, label, sure in zip(boxes.flatten(2), labels, surest, strict=True)
        ]


def loss_of(detector: Detector, images: Tensor, boxes: Tensor) -> Tensor:
    """Cross-entropy of the cells' classes, and the distance of the boxes in the cells that have an animal's centre."""
    logits, found = detector.cells(images)
    middle = (((boxes[:, :, :2] + boxes[:, :, 2:]) / 2) // STRIDE).long().clamp(0, SIZE // STRIDE - 1)
    image = torch.arange(len(images))
    wanted, distance = torch.zeros_like(logits), torch.tensor(0.0)
    for kind in range(len(CLASSES)):
        x, y = middle[:, kind].T
        wanted[image, kind, y, x] = 1
        distance = distance + (found[image, :, y, x] - boxes[:, kind]).abs().mean()
    classes = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=torch.tensor(4.0))
    return classes + 0.02 * distance


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--training", type=int, default=250, help="training steps of the detector")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
detector = Detector()
optimizer = torch.optim.Adam(detector.parameters(), lr=3e-3)
for _ in range(arguments.training):
    optimizer.zero_grad()
    loss_of(detector, *draw(32, generator)).backward()
    optimizer.step()
detector.eval()

images, boxes = draw(16, generator)
score = scores.DetectionScore(detector)
for kind, name in enumerate(CLASSES):
    overlap = score.confidence(images, torch.cat([torch.full((16, 1), float(kind)), boxes[:, kind]], 1)).mean()
    print(f"{name} of new images: score times overlap with its box is {overlap:.2f} on average")

images, boxes = images[:4], boxes[:4]
explainer = sdfido.FIDO(score, infill="mean", mask_size=16, steps=arguments.steps)
arguments.out.mkdir(parents=True, exist_ok=True)
for kind, name in enumerate(CLASSES):
    explanation = explainer.explain(images, [kind] * len(images))  # the surest detection of the class in each image
    own, other = (boxes[:, each, [1, 0, 3, 2]].long() for each in (kind, 1 - kind))  # y0, x0, y1, x1
    hits, misses = (int(evaluate.pointing_game(explanation.joint, truth).sum()) for truth in (own, other))
    inside = 1 - evaluate.energy_outside(explanation.joint, own).mean()
    area = (own[:, 2:] - own[:, :2]).prod(1).float().mean() / SIZE**2
    print(
        f"{name}: the most important pixel lies in its box in {hits} of {len(images)} images, in the other animal's in "
        f"{misses}; {inside:.0%} of the map lies in its box, which is {area:.0%} of the image"
    )
    figure = reports.overview(explanation, images, explainer.infill(images), label=f"{name} in the box")
    x, y, right, below = explanation.targets[0, 1:].tolist()
    figure.axes[0].add_patch(Rectangle((x - 0.5, y - 0.5), right - x, below - y, fill=False, color="white"))
    reports.save(figure, arguments.out / f"detector_{name}.png")
print(f"See {arguments.out}/detector_bird.png and detector_fish.png")
