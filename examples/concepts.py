"""Learn what the logits of a small network are made of, and show where each feature is.

python examples/concepts.py --out out
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

import sdfido
from sdfido import reports

SIZE = 32
CLASSES = ("disc or square", "neither")


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy pictures [N, 3, 32, 32] and their classes [N].

    The first class shows a red disc or a blue square, the other a green disc or nothing.
    """
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    centres = torch.randint(6, SIZE - 6, (2, count, 1, 1), generator=generator)
    disc = (y - centres[0]) ** 2 + (x - centres[1]) ** 2 <= 20
    square = torch.maximum((y - centres[0]).abs(), (x - centres[1]).abs()) <= 4
    kinds = torch.randint(4, (count, 1, 1), generator=generator)
    images = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    for channel, kind, shape in ((0, 0, disc), (2, 1, square), (1, 2, disc)):
        images[:, channel] += 0.7 * (shape & (kinds == kind))
    return images, kinds.flatten() // 2


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
    *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, len(CLASSES))),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(250):
    images, classes = draw(64, generator)
    optimizer.zero_grad()
    F.cross_entropy(model(images), classes).backward()
    optimizer.step()

concepts = sdfido.Concepts(model, "3", pooling="max", count=4, rounds=2).fit(draw(1000, generator)[0])
held_out = draw(500, generator)[0]
measures = concepts.measure(held_out)
for c, name in enumerate(CLASSES):
    print(
        f"{name:14}  R² {measures.r2[c]:.2f}, mean |cos| {measures.cosine[c]:.2f}, {int(measures.live[c].sum())} live"
    )
for number, each in enumerate(concepts.rounds):
    print(f"round {number + 1}: class {each.label}, {'accepted' if each.accepted else 'not accepted'}")

added = concepts.contributions(held_out)[:, 0]  # to the logit of the first class
most = added.abs().argmax(0)
explanation = concepts.explain(
    held_out[most], 0, method=sdfido.IGOS, mask_size=16, path_points=5, steps=arguments.steps
)
maps = explanation.igos.unflatten(0, (len(most), -1))  # of each image and feature

figure = Figure(figsize=(8, 4.4))
for k, index in enumerate(most.tolist()):
    image, shown = held_out[index].clamp(0, 1), maps[k, k] / maps[k, k].max().clamp(min=1e-12)
    for row, picture in enumerate((image.permute(1, 2, 0), reports.heatmap(shown, image))):
        axes = figure.add_subplot(2, len(most), row * len(most) + k + 1)
        axes.imshow(picture)
        axes.set_axis_off()
        if row == 0:
            axes.set_title(f"feature {k + 1}: {added[index, k]:+.1f}")
arguments.out.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.out / "concepts.png")
concepts.save(arguments.out / "concepts.npz")
print(f"See {arguments.out / 'concepts.png'}")
