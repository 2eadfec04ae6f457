"""A small CLIP-like model of drawn birds and captions.

The image tower is locked, as in locked-image tuning: it has the convolutions of ``classifiers.strong``. A linear layer
after it and the text tower are trained contrastively. The text tower averages embeddings of the text's character
trigrams, so that any text has an embedding of its own, also one without meaning.

Source: Zhai et al., "LiT: zero-shot transfer with locked-image text tuning", CVPR 2022; the loss with several matching
captions in a batch is that of Yang et al., "Unified contrastive learning in image-text-label space", CVPR 2022.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import classifiers, drawing

PARTS = (
    "no special part",
    "a crest",
    "a ring around the eye",
    "a long bill",
    "a bib",
    "bars on the wing",
    "a forked tail",
)
TEMPLATES = ("a bird with {}", "a drawing of a bird with {}", "here is a bird that has {}")
TEXTS = tuple(TEMPLATES[0].format(part) for part in PARTS)  #: a text for each species
FEATURES, SIZE, BUCKETS = 64, 32, 1024
SCALE = 10.0  # of the logits
TRAINED, STEPS, BATCH, TRAINING_SEED = 1050, 400, 64, 7


class TextTower(nn.Module):
    """Embeddings [T, 32] of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, SIZE, mode="mean")

    def forward(self, texts: Sequence[str]) -> Tensor:
        found = [trigrams(text) for text in texts]
        offsets = torch.tensor([0, *map(len, found[:-1])]).cumsum(0)
        embeddings: Tensor = self.table(torch.tensor([each for one in found for each in one]), offsets)
        return embeddings


class Toy(nn.Module):
    """Images [B, 3, 112, 112] and texts to embeddings [., 32], by the methods that CLIP has."""

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features, self.project, self.text = features, nn.Linear(FEATURES, SIZE), TextTower()

    def encode_image(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.project(self.features(images))
        return embeddings

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        embeddings: Tensor = self.text(texts)
        return embeddings

    def forward(self, images: Tensor) -> Tensor:
        return self.encode_image(images)


def trigrams(text: str) -> list[int]:
    """The buckets of a text's character trigrams."""
    padded = f" {text} "
    return [zlib.crc32(padded[place : place + 3].encode()) % BUCKETS for place in range(len(padded) - 2)]


def train(count: int = TRAINED, steps: int = STEPS) -> Toy:
    """The model, trained on the first birds of the training seed; random numbers of others are not changed."""
    strong = classifiers.strong().model
    assert isinstance(strong, nn.Sequential)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TRAINING_SEED)
        model = Toy(strong[:-1])
    inputs, labels = [], []
    with torch.no_grad():
        for begin in range(0, count, 70):
            drawn = drawing.birds(range(begin, min(begin + 70, count)), seed=TRAINING_SEED)
            inputs.append(model.features(classifiers.NORMALIZATION.normalize(drawn.pixels)))
            labels.append(drawn.labels)
    fit(model, torch.cat(inputs), torch.cat(labels), steps)
    return model.eval()


def fit(model: Toy, inputs: Tensor, labels: Tensor, steps: int) -> None:
    """Train projection and text tower on features [N, 64] of species [N], each with a caption at random."""
    draws = torch.Generator().manual_seed(TRAINING_SEED)
    optimizer = torch.optim.Adam([*model.project.parameters(), *model.text.parameters()], lr=1e-2)
    for _ in range(steps):
        index = torch.randint(len(inputs), (BATCH,), generator=draws)
        which = torch.randint(len(TEMPLATES), (BATCH,), generator=draws).tolist()
        chosen = labels[index]
        texts = [TEMPLATES[form].format(PARTS[label]) for form, label in zip(which, chosen.tolist(), strict=True)]
        images, words = F.normalize(model.project(inputs[index]), dim=1), F.normalize(model.text(texts), dim=1)
        logits = SCALE * images @ words.T
        matches = (chosen[:, None] == chosen).float()
        wanted = matches / matches.sum(1, keepdim=True)  # symmetric, as matches are
        loss = F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
