"""Train a classifier whose map is part of its model, and see where it finds that two shapes differ.

python examples/train_calm.py --out out
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sdfido
from sdfido import evaluate, reports

SIZE = 32
SHAPES = ("disc", "square", "cross")


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures [N, 3, 32, 32] of one shape each, their classes [N], where each shape would be [N, 3, 32, 32]."""
    classes = torch.randint(len(SHAPES), (count,), generator=generator)
    centres = torch.randint(8, SIZE - 8, (count, 2, 1, 1), generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    dy, dx = (y - centres[:, 0]).abs(), (x - centres[:, 1]).abs()
    square = torch.maximum(dy, dx) <= 5
    shapes = torch.stack([dy**2 + dx**2 <= 30, square, square & (torch.minimum(dy, dx) <= 1)], 1)
    colours = 0.3 + 0.7 * torch.rand(count, 3, 1, 1, generator=generator)
    noise = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    return torch.where(shapes[torch.arange(count), classes, None], colours, noise), classes, shapes


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--refresh", type=int, default=25, help="steps that the posterior of em is kept for")
parser.add_argument("--objective", choices=("em", "ml"), default="em")
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
network = nn.Sequential(  # any convolutional classifier; CALM takes it up to its pooling
    *(nn.Conv2d(3, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
    *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, len(SHAPES))),
)
loader = DataLoader(TensorDataset(*draw(1600, generator)[:2]), 32, shuffle=True)
validation = DataLoader(TensorDataset(*draw(200, generator)[:2]), 100)
calm = sdfido.CALM(network)
calm.fit(
    loader,
    validation=validation,
    objective=arguments.objective,
    refresh=arguments.refresh,
    epochs=arguments.epochs,
    optimizer="adamw",
    learning_rate=5e-3,
    head_factor=1,
    on_epoch=lambda epoch: print(
        f"epoch {epoch.epoch}: loss {epoch.loss:.2f}, {epoch.validation_accuracy:.0%} of other pictures correct"
    ),
)

images, classes, shapes = draw(40, generator)
index = torch.arange(len(images))
explanation = calm.explain(images, classes)
for name, maps in explanation.maps.items():
    print(f"{name:9}  average precision {evaluate.average_precision(maps, shapes[index, classes]).mean():.2f}")

kept = classes > 0  # squares and crosses differ in the four corners
corners = shapes[kept, 1] ^ shapes[kept, 2]
difference = calm.difference(images[kept], 1, 2)
found = evaluate.cue_localisation(difference, corners, torch.tensor([[1, 2]]).expand(len(corners), 2))
print(f"square or cross: average precision {found.mean:.2f} in the corners, {float(found.area.mean()):.2f} by chance")

arguments.out.mkdir(parents=True, exist_ok=True)
figure = reports.overview(explanation[0], images[:1], calm.infill(images[:1]), label=SHAPES[int(classes[0])])
reports.save(figure, arguments.out / "calm.png")
print(f"See {arguments.out / 'calm.png'}")
