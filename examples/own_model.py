"""Train a small network on drawn shapes, explain its answers, and compare the maps with where the shapes are.

python examples/own_model.py --out out
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, reports

SIZE = 32
SHAPES = ("disc", "square", "cross")


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures [N, 3, 32, 32] of one shape each, their classes [N], and where the shapes are [N, 32, 32]."""
    classes = torch.randint(len(SHAPES), (count,), generator=generator)
    centres = torch.randint(8, SIZE - 8, (count, 2, 1, 1), generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    dy, dx = (y - centres[:, 0]).abs(), (x - centres[:, 1]).abs()
    square = torch.maximum(dy, dx) <= 5
    shapes = torch.stack([dy**2 + dx**2 <= 30, square, square & (torch.minimum(dy, dx) <= 1)], 1)
    truth = shapes[torch.arange(count), classes]
    colours = 0.3 + 0.7 * torch.rand(count, 3, 1, 1, generator=generator)
    noise = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    return torch.where(truth[:, None], colours, noise), classes, truth


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
    *(nn.Flatten(), nn.Linear(32, len(SHAPES))),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(250):
    images, classes, _ = draw(64, generator)
    optimizer.zero_grad()
    F.cross_entropy(model(images), classes).backward()
    optimizer.step()

images, classes, truth = draw(8, generator)
print(f"{(model(images).argmax(1) == classes).float().mean():.0%} of 8 new pictures are classified correctly")

explainer = sdfido.FIDO(model, mask_size=16, steps=arguments.steps)
explanation = explainer.explain(images)
for name, maps in explanation.maps.items():
    overlap = evaluate.intersection_over_union(maps, truth).mean()
    hits = evaluate.pointing_game(maps, truth).float().mean()
    print(f"{name:5}  overlap with the shape {overlap:.2f}, most important pixel inside it {hits:.0%}")

arguments.out.mkdir(parents=True, exist_ok=True)
figure = reports.overview(explanation, images, explainer.infill(images), label=SHAPES[int(explanation.targets[0])])
reports.save(figure, arguments.out / "own_model.png")
print(f"See {arguments.out / 'own_model.png'}")
