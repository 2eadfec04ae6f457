"""Small classifiers of the drawn scenes, as files that `sdfido explain` can load."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.common.classifiers import NORMALIZATION
from benchmarks.studies.audit.scenes import SIZE, SPECIES, Scenes

EPOCHS, BATCH, RATE = 8, 32, 4e-3


def network() -> nn.Sequential:
    """Four convolutions and the highest of their last features: [B, 3, 56, 56] to logits [B, 3]."""
    layers: list[nn.Module] = []
    channels = 3
    for width, kernel, stride in ((16, 5, 2), (32, 3, 2), (32, 3, 1), (48, 3, 2)):
        layers += [
            nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, len(SPECIES)))


def train(scenes: Scenes, seed: int) -> nn.Sequential:
    """A network trained on photos; other random numbers are neither used nor changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    steps = EPOCHS * (len(scenes.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    for _ in range(EPOCHS):
        shuffled = torch.randperm(len(scenes.labels), generator=order)
        for part in shuffled[: len(shuffled) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(model(prepared(scenes, part)), scenes.labels[part], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def prepared(scenes: Scenes, part: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    """Photos as the network takes them: [B, 3, 56, 56]."""
    return NORMALIZATION.normalize(scenes.pixels[part].float() / 255)


@torch.no_grad()
def accuracy(model: nn.Module, scenes: Scenes) -> float:
    return float((model(prepared(scenes)).argmax(1) == scenes.labels).float().mean())


def save(model: nn.Module, path: Path) -> str:
    """Write the network as a program; what ``sdfido explain --model`` calls it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(model, torch.zeros(1, 3, SIZE, SIZE)).save(str(path))
    mean, std = (",".join(map(str, values)) for values in (NORMALIZATION.mean, NORMALIZATION.std))
    return f"{path}?labels={'|'.join(SPECIES)}&size={SIZE}&mean={mean}&std={std}"
