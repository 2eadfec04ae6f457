"""Classifiers whose classes are texts: models of images and texts, such as CLIP, with the texts' embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class TextClassifier(nn.Module):
    """Class logits of images by how similar they are to texts.

    With the image's embedding e and the texts' embeddings t_k, all of length 1::

        z_k = scale * <e, t_k> + bias

    Args:
        network: a model of images and texts.
        method: the name of its method from images [B, 3, H, W] to embeddings [B, D].
        texts: embeddings of the texts [K, D].
        scale, bias: of the similarities, as the model has learned them.

    Source: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, section
    3.1.2.
    """

    embeddings: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, method: str, texts: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self.method = method
        scale = scale.detach().float().reshape(())
        self.register_buffer("embeddings", F.normalize(texts.detach().float(), dim=1))
        self.register_buffer("scale", scale.clone())
        self.register_buffer("bias", scale.new_zeros(()) if bias is None else bias.detach().float().reshape(()).clone())

    def forward(self, images: Tensor) -> Tensor:
        found = embeddings_of(getattr(self.network, self.method)(images))
        return self.scale * F.normalize(found.float(), dim=1) @ self.embeddings.T + self.bias


def embeddings_of(returned: Any) -> Tensor:
    """The embeddings [B, D] that a model returns as such, or pooled beside others."""
    found: Tensor = returned if isinstance(returned, Tensor) else returned.pooler_output
    return found


def check_texts(texts: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """The texts of at least two classes.

    Raises:
        TypeError, ValueError: there are none, too few, or something else.
    """
    how = f"sdfido.models.load({name!r}, texts=[...]), or {name + '?texts=first text|second text'!r}"
    if texts is None:
        raise ValueError(f"texts must be given for {name!r}, whose classes are texts: {how}")
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"texts must be a sequence of texts, one for each class, got {texts!r}")
    if len(set(texts)) < len(texts):
        raise ValueError(f"texts must be different, one of each class, got {list(texts)}")
    if len(texts) < 2:
        raise ValueError(f"texts must be at least two, one of each class to tell apart, got {list(texts)}: {how}")
    return tuple(texts)


def written(texts: Sequence[str], template: str) -> list[str]:
    """What is read for each text: the template, with the text in place of ``{}``.

    Raises:
        ValueError: the template has no such place.
    """
    if "{}" not in template:
        raise ValueError(
            f"template must have {{}} where the text stands, such as 'a photo of a {{}}', got {template!r}"
        )
    return [template.replace("{}", text) for text in texts]
