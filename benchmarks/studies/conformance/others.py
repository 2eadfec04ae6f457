"""Models that are no image classifier of a library: of images and texts, converted, scripted and exported ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdfido import models
from sdfido.models import huggingface, open_clip, programs

Made = tuple[Any, tuple[int, ...]]
_TOWER: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_WORDS = {"vocab_size": 99, "max_position_embeddings": 16, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_TEXTS = ("a heron", "a stork", "a crane")


def _tokens(texts: list[str], **_: Any) -> dict[str, Tensor]:
    """Made-up tokens, for towers that have learned none."""
    ids = [[0, *(3 + ord(character) % 90 for character in text[:8].ljust(8)), 2] for text in texts]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), 10, dtype=torch.int64)}


def _network() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )


class _Converted(nn.Module):
    """As converters from TensorFlow make it: pixels [B, H, W, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(2 * pixels.permute(0, 3, 1, 2) - 1)


class _Dict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.inner(images)
        return {"species": logits, "genus": logits[:, :4]}


def _clip(kind: str) -> Made:
    import transformers

    config, model = getattr(transformers, f"{kind}Config"), getattr(transformers, f"{kind}Model")
    projection = {"projection_dim": 16} if kind == "CLIP" else {}
    vision = _TOWER | {"image_size": 64, "patch_size": 16}
    network = model(config(text_config=_TOWER | _WORDS, vision_config=vision, **projection)).eval()
    size = {"height": 64, "width": 64}
    processor = getattr(transformers, f"{kind}ImageProcessor")(size=size, do_center_crop=False)
    return huggingface.with_texts(network, processor, _tokens, _TEXTS, _TEXTS, kind), (64,)


def _open_clip(**options: Any) -> Made:
    import open_clip as library

    tower = {"width": 32, "layers": 2, "head_width": 16}
    if options:
        tower = options
    network = library.CLIP(
        16,
        vision_cfg={"image_size": 64, "patch_size": 16, **tower},
        text_cfg={"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    ).eval()
    tokenizer = library.SimpleTokenizer(context_length=16)
    about = library.get_model_preprocess_cfg(network) or {}
    about = {"size": 64, "mean": library.OPENAI_DATASET_MEAN, "std": library.OPENAI_DATASET_STD} | about
    return open_clip.with_texts(network, tokenizer, _TEXTS, _TEXTS, "open_clip", about), (64,)


def _graph() -> nn.Module:
    return torch.fx.symbolic_trace(_Converted().eval())


def _saved(suffix: str, save: Callable[[nn.Module, str], Any]) -> Made:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"net{suffix}")
        save(_network().eval(), path)
        return programs.load(path), (64,)


def _export(network: nn.Module, path: str, dynamic: bool) -> None:
    shapes = ({0: torch.export.Dim.DYNAMIC},) if dynamic else None
    torch.export.save(torch.export.export(network, (torch.rand(1 + dynamic, 3, 64, 64),), dynamic_shapes=shapes), path)


def _pipeline() -> Made:
    import transformers

    config = transformers.ViTConfig(**_TOWER, image_size=64, patch_size=16, num_labels=10)
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64})
    model = transformers.ViTForImageClassification(config)
    return transformers.pipeline("image-classification", model=model, image_processor=processor, device="cpu"), (64,)


ALL: dict[tuple[str, str], Callable[[], Made]] = {
    ("CLIP", "CLIP of transformers"): lambda: _clip("CLIP"),
    ("CLIP", "SigLIP of transformers"): lambda: _clip("Siglip"),
    ("CLIP", "ViT of open_clip"): _open_clip,
    ("CLIP", "ResNet of open_clip"): lambda: _open_clip(layers=(1, 1, 1, 1), width=16),
    ("others", "graph as of SpeciesNet, wrapped"): lambda: (models.ChannelsLast(_graph()), (64,)),
    ("others", "graph as of SpeciesNet, bare"): lambda: (_graph(), (64,)),
    ("others", "pipeline of transformers"): _pipeline,
    ("others", "Classifier of sdfido"): lambda: (models.Classifier("net", _network(), size=(64, 64)), (64,)),
    ("others", "one logit"): lambda: (nn.Sequential(_network(), nn.Linear(10, 1)), (64,)),
    ("others", "dict of two heads"): lambda: (_Dict(), (64,)),
    ("others", "TorchScript file"): lambda: _saved(".pt", lambda net, path: torch.jit.script(net).save(path)),
    ("others", "exported, any batch"): lambda: _saved(".pt2", lambda net, path: _export(net, path, True)),
    ("others", "exported, batches of 1"): lambda: _saved(".pt2", lambda net, path: _export(net, path, False)),
    ("others", "compiled"): lambda: (torch.compile(_network(), backend="eager"), (64,)),
}
