"""Why this species rather than its twin? Drawn birds that differ in one part, so that the answer is known.

python examples/contrastive.py --out out
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, reports

SIZE = 40
SPECIES = ("plain", "crested", "bibbed", "crested and bibbed")  # the crest counts 1, the bib counts 2


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Birds [N, 3, 40, 40], their species [N], and where crest and bib are, or would be [N, 2, 40, 40]."""
    species = torch.randint(len(SPECIES), (count,), generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    middle = torch.randint(-4, 5, (2, count, 1, 1), generator=generator)
    dy, dx = y - 24 - middle[0], x - 18 - middle[1]
    body, head = (dx / 11) ** 2 + (dy / 8) ** 2 <= 1, (dx - 9) ** 2 + (dy + 9) ** 2 <= 25
    crest = ((dx - 9).abs() <= -12 - dy) & (dy >= -20) & ((dx - 9).abs() <= 4)
    bib = ((dx - 8) / 3.5) ** 2 + (dy / 4) ** 2 <= 1
    colours = 0.25 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
    pixels = 0.2 * torch.rand(count, 3, 1, 1, generator=generator)
    pixels = pixels + 0.1 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    pixels = torch.where((body | head)[:, None], colours, pixels)
    pixels = torch.where((crest & (species % 2 == 1)[:, None, None])[:, None], 0.6 * colours, pixels)
    pixels = torch.where((bib & (species >= 2)[:, None, None])[:, None], 0.3 * colours, pixels)
    return pixels, species, torch.stack([crest, bib], 1)


def erase(images: Tensor, species: Tensor, parts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images of which a square has the mean colour, as infilled ones; a part that is mostly in it does not count."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    at = torch.randint(0, SIZE, (2, len(images), 1, 1), generator=generator)
    side = torch.randint(0, 14, (len(images), 1, 1), generator=generator)
    inside = ((y - at[0]).abs() <= side) & ((x - at[1]).abs() <= side)
    seen = (parts & ~inside[:, None]).sum((2, 3)) > parts.sum((2, 3)) / 2
    species = (species % 2) * seen[:, 0] + 2 * (species // 2) * seen[:, 1]
    return torch.where(inside[:, None], images.mean((2, 3), keepdim=True), images), species


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--training", type=int, default=300, help="training steps of the classifier")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
    *(nn.Flatten(), nn.Linear(32, len(SPECIES))),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(arguments.training):
    images, species, parts = draw(64, generator)
    images, species = erase(images, species, parts, generator)
    optimizer.zero_grad()
    F.cross_entropy(model(images), species).backward()
    optimizer.step()

images, species, parts = draw(64, generator)
print(f"{(model(images).argmax(1) == species).float().mean():.0%} of new birds are classified correctly")
images, parts = images[species == 3][:6], parts[species == 3][:6]

settings = {"infill": "mean", "mask_size": 20, "steps": arguments.steps}
both = sdfido.FIDO(model, **settings).explain(images, 3)
against = {
    part: sdfido.FIDO(sdfido.ContrastScore(model), **settings).explain(images, (3, rival))
    for part, rival in (("crest", 2), ("bib", 1))
}
print("overlap of the map with the part that tells the two species apart:")
for place, (part, explanation) in enumerate(against.items()):
    truth = parts[:, place]
    found, plain = (evaluate.intersection_over_union(each.joint, truth).mean() for each in (explanation, both))
    print(f"{part:5}  crested and bibbed rather than without the {part}: {found:.2f}; crested and bibbed: {plain:.2f}")

explainer = sdfido.FIDO(sdfido.ContrastScore(model), **settings)
label = against["bib"].scale.called(against["bib"].targets[0], lambda index: SPECIES[index])
arguments.out.mkdir(parents=True, exist_ok=True)
figure = reports.overview(against["bib"], images, explainer.infill(images), label=label)
reports.save(figure, arguments.out / "contrastive.png")
print(f"See {arguments.out / 'contrastive.png'}")
