"""The score of a text against other texts, for models that embed both images and texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_list, check_number
from .base import Model, ModelScore, eval_mode
from .classes import checked_indices
from .links import log_odds, probability
from .scale import Scale

EncodeText = Callable[[Sequence[str]], Tensor]
_ENCODERS = ("encode_image", "get_image_features")  # of open_clip and CLIP, and of transformers


class TextScore(ModelScore):
    """How much better a text fits an image than other texts do, by a CLIP-like model.

    With unit embeddings f of the image and t_j of the texts, ``z_j = s * <f, t_j>`` and
    ``score = z_c - log sum_{j != c} exp z_j``: the log-odds of text c among the texts. The confidence is its softmax
    probability among them. What is found depends on the other texts as a class depends on the other classes: name those
    that matter, such as the species it might be, and one that means anything else.

    Targets are indices of texts, int64 [B].

    Args:
        model: the image's encoder: a module with ``encode_image`` (open_clip) or ``get_image_features`` (transformers),
            or any callable from images [B, C, H, W] to embeddings [B, D].
        texts: at least two, all different.
        encode_text: from a list of texts to their embeddings [T, D]: a tokenizer and the text's encoder. It is called
            here, once, without gradients, and the model is in eval mode meanwhile.
        logit_scale: s, the inverse temperature that the model was trained with; CLIP's is 100.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.

    Example:
        >>> encode = lambda texts: clip.encode_text(tokenizer(texts))
        >>> score = sdfido.scores.TextScore(clip, ["a photo of a heron", "a photo of a stork"], encode)
        >>> sdfido.FIDO(score).explain(images, "a photo of a heron")

    Source: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
    """

    def __init__(
        self, model: Model, texts: Sequence[str], encode_text: EncodeText, *, logit_scale: float = 100.0
    ) -> None:
        super().__init__(model)
        texts = check_list("texts", texts, str, "texts")
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise ValueError(
                f"texts must be at least two different ones, which the target is set against, got {list(texts)}"
            )
        if not callable(encode_text):
            raise TypeError(f"encode_text must be a callable texts -> embeddings, got {type(encode_text).__name__}")
        self.texts = tuple(texts)
        self.logit_scale: float = check_number("logit_scale", logit_scale, above=0, most=1e6)
        self.encode_text = encode_text
        self.embeddings = self.embed(self.texts)
        self.scale = Scale(
            name="probability",
            meaning=f"softmax probability of the text among {len(texts)} texts",
        )

    def __str__(self) -> str:
        return f"text among {list(self.texts)}"

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [T, D], float32, of texts.

        Raises:
            TypeError, ValueError: the text's encoder does not return one embedding for each text.
        """
        with torch.inference_mode(False), torch.no_grad(), eval_mode(self):
            found = _embeddings(self.encode_text(list(texts)), "text_embeds")
        if not isinstance(found, Tensor):
            raise TypeError(f"encode_text must return a tensor [T, D], got {type(found).__name__}")
        if found.dim() != 2 or len(found) != len(texts):
            raise ValueError(f"encode_text must return embeddings [{len(texts)}, D], got {list(found.shape)}")
        return F.normalize(found.detach().float(), dim=1)

    def similarities(self, images: Tensor, embeddings: Tensor | None = None) -> Tensor:
        """Cosines [B, T] of images [B, C, H, W] with the texts, or with other unit embeddings [T, D].

        Raises:
            TypeError, ValueError: the model does not return embeddings [B, D] of the texts' size.
        """
        names = [name for name in _ENCODERS if callable(getattr(self.model, name, None))]
        found = self.output(images, getattr(self.model, names[0]) if names else None)
        found = _embeddings(found, "image_embeds")
        wanted = self.embeddings.shape[1]
        if not isinstance(found, Tensor):
            raise TypeError(f"model must return embeddings [B, {wanted}] of images, got {type(found).__name__}")
        if found.shape != (len(images), wanted):
            raise ValueError(
                f"model must return embeddings [B, {wanted}], as the texts have, got {list(found.shape)} for "
                f"{len(images)} images"
            )
        texts = self.embeddings if embeddings is None else embeddings
        return F.normalize(found.float(), dim=1) @ texts.to(found.device).T

    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, T] of the texts for images [B, C, H, W]: ``s * cosine``."""
        return self.logit_scale * self.similarities(images)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Scores [B] of images [B, C, H, W] for the texts ``targets`` [B]."""
        return log_odds(self.logits(images), targets)

    def resolve(self, images: Tensor, targets: Any = None) -> Tensor:
        """Indices of texts [B], int64: of texts or indices given, one for all or one for each image; else the best.

        Raises:
            TypeError, ValueError: the targets are none of the texts.
        """
        if len(images) == 0:
            return images.new_zeros(0, dtype=torch.int64)
        if targets is None:
            return self.logits(images).argmax(1)
        if isinstance(targets, str):
            targets = self.index(targets)
        elif isinstance(targets, Sequence):
            targets = [self.index(each) if isinstance(each, str) else each for each in targets]
        return checked_indices(targets, len(images), len(self.texts), images.device, "text")

    def index(self, text: str) -> int:
        """The place of a text among the score's.

        Raises:
            ValueError: it is none of them.
        """
        if text not in self.texts:
            raise ValueError(f"targets must be texts of the score, {list(self.texts)}, got {text!r}")
        return self.texts.index(text)

    def at_confidence(self, confidence: Tensor) -> Tensor:
        """The score that means a probability [B]: its log-odds."""
        return torch.logit(confidence)

    def confidence(self, images: Tensor, targets: Tensor) -> Tensor:
        """Softmax probability of the texts ``targets`` [B] among all texts: [B], 0..1."""
        return probability(self.logits(images), targets)


def _embeddings(returned: Any, name: str) -> Any:
    """The embeddings in what transformers returns for images or texts; all else as it is."""
    return getattr(returned, name, getattr(returned, "pooler_output", returned))
