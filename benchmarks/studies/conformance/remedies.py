"""What is passed once the error has said so: a model made of the model, and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import sdfido


class _OfColours(nn.Module):
    """A model of tokens, one for each pixel's colour, as one of images: the colours' embeddings are mixed smoothly."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        count = model.get_input_embeddings().weight.shape[0]
        # The colours that an image processor knows are not random; those of a model with random weights may be.
        self.register_buffer("colours", torch.randn(count, 3, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(2).transpose(1, 2)  # [B, pixels, 3]
        near = torch.softmax(-4 * torch.cdist(pixels, self.colours[None]) ** 2, -1)
        logits: Tensor = self.model(inputs_embeds=near @ self.model.get_input_embeddings().weight).logits
        return logits


class _OfPatches(nn.Module):
    """A model of patches and their places, as one of images."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.side = model, model.config.vision_config.patch_size

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = images.shape[2] // self.side, images.shape[3] // self.side
        patches = images.unfold(2, self.side, self.side).unfold(3, self.side, self.side)  # [B, 3, rows, columns, p, p]
        patches = patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
        logits: Tensor = self.model(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int64),
            spatial_shapes=torch.tensor([[rows, columns]] * len(images)),
        ).logits
        return logits


REMEDIES: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {  # by family
    "dict of two heads": (lambda model: sdfido.ClassScore(model, output="species"), {}),
    "exported, batches of 1": (lambda model: model, {"max_batch": 1}),
    "graph as of SpeciesNet, bare": (sdfido.models.ChannelsLast, {}),
    "ImageGPT": (_OfColours, {}),
    "Siglip2": (_OfPatches, {}),
}
