"""What in the image fits the text? A tiny CLIP of drawn birds, trained here, and a prompt check.

python examples/clip_text.py --out out
"""

import argparse
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sdfido
from sdfido import evaluate, reports, scores

SIZE, SCALE = 40, 10.0
TEXTS = ("a bird with a red crest", "a bird with a yellow bib", "a plain bird")


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Birds [N, 3, 40, 40], which text fits each [N], and where crest and bib are, or would be [N, 2, 40, 40]."""
    kinds = torch.randint(len(TEXTS), (count,), generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    middle = torch.randint(-4, 5, (2, count, 1, 1), generator=generator)
    dy, dx = y - 24 - middle[0], x - 18 - middle[1]
    body, head = (dx / 11) ** 2 + (dy / 8) ** 2 <= 1, (dx - 9) ** 2 + (dy + 9) ** 2 <= 25
    parts = [
        ((dx - 9).abs() <= -12 - dy) & (dy >= -20) & ((dx - 9).abs() <= 4),
        ((dx - 8) / 3.5) ** 2 + (dy / 4) ** 2 <= 1,
    ]
    colours = 0.25 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
    pixels = 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    pixels = torch.where((body | head)[:, None], colours, pixels)
    for kind, (part, colour) in enumerate(zip(parts, ((0.9, 0.1, 0.1), (0.9, 0.9, 0.1)), strict=True)):
        shows = (part & (kinds == kind)[:, None, None])[:, None]
        pixels = torch.where(shows, torch.tensor(colour)[:, None, None], pixels)
    return pixels, kinds, torch.stack(parts, 1)


class TinyClip(nn.Module):
    """Embeddings [., 16] of images, and of texts by their character trigrams."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            *(nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 16)),
        )
        self.table = nn.EmbeddingBag(512, 16)

    def encode_image(self, images: Tensor) -> Tensor:
        return self.image(images)

    def encode_text(self, texts: list[str]) -> Tensor:
        found = [[zlib.crc32(text[i : i + 3].encode()) % 512 for i in range(max(1, len(text) - 2))] for text in texts]
        starts = torch.tensor([0, *map(len, found[:-1])]).cumsum(0)
        return self.table(torch.tensor([each for one in found for each in one]), starts)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
clip = TinyClip()
optimizer = torch.optim.Adam(clip.parameters(), lr=2e-3)
for _ in range(200):
    images, kinds, _ = draw(64, generator)
    embeddings = F.normalize(clip.encode_image(images), dim=1)
    words = F.normalize(clip.encode_text([TEXTS[kind] for kind in kinds.tolist()]), dim=1)
    matches = (kinds[:, None] == kinds).float()
    wanted, logits = matches / matches.sum(1, keepdim=True), SCALE * embeddings @ words.T
    optimizer.zero_grad()
    (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)).backward()
    optimizer.step()
clip.eval()

score = scores.TextScore(clip, TEXTS, clip.encode_text, logit_scale=SCALE)
# Of a real CLIP:
# clip, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained="openai")
# score = scores.TextScore(clip, TEXTS, lambda texts: clip.encode_text(open_clip.get_tokenizer("ViT-B-32")(texts)))

images, kinds, parts = draw(64, generator)
for kind, text in enumerate(TEXTS[:2]):
    shown, truth = images[kinds == kind][:6], parts[kinds == kind, kind][:6]
    explainer = sdfido.FIDO(score, mask_size=20, steps=arguments.steps)
    explanation = explainer.explain(shown, text)
    hits = evaluate.pointing_game(explanation.joint, truth).mean()
    print(f"{text}: the map points at the part in {hits:.0%} of {len(shown)} birds")
for text in (TEXTS[1], TEXTS[0], "q xkcd vuzz p wom"):
    print(evaluate.prompt_check(score, shown, text))

arguments.out.mkdir(parents=True, exist_ok=True)
figure = reports.overview(explanation, shown, explainer.infill(shown), label=TEXTS[1])
reports.save(figure, arguments.out / "clip_text.png")
print(f"See {arguments.out / 'clip_text.png'}")
