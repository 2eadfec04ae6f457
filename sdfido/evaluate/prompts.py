"""Whether a text means anything to a model of images and texts."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_count, check_seed, check_tensor
from ..scores import TextScore, eval_mode

__all__ = ["PromptCheck", "prompt_check"]


@dataclass(frozen=True, eq=False)
class PromptCheck:
    """How a text fits images, against texts without meaning."""

    text: str
    similarity: Tensor  #: cosine of the text with each image [N]
    nonsense: Tensor  #: cosines of texts without meaning [N, draws]
    texts: tuple[str, ...]  #: these texts

    @property
    def passed(self) -> Tensor:
        """Whether the text fits an image better than every text without meaning: bool [N]."""
        return self.similarity > self.nonsense.amax(1)

    @property
    def lead(self) -> Tensor:
        """By how many standard deviations the text fits better than the average text without meaning [N]."""
        return (self.similarity - self.nonsense.mean(1)) / self.nonsense.std(1).clamp(min=1e-8)

    def __str__(self) -> str:
        if self.passed.all():
            return f"{self.text!r} fits every image better than {self.nonsense.shape[1]} texts without meaning"
        wrong = int((~self.passed).sum())
        return (
            f"{self.text!r} fits {wrong} of {len(self.passed)} images no better than texts without meaning do: its map "
            "says nothing about the text"
        )


def prompt_check(score: TextScore, images: Tensor, text: str, *, draws: int = 20, seed: int = 0) -> PromptCheck:
    """Compare how a text fits images with how texts of random letters do.

    A map for a text is learned whether or not the model knows the text. A text that fits an image no better than
    random letters explains nothing there. Of texts without meaning about 1 in ``draws + 1`` passes by chance, for an
    image.

    Args:
        score: of the model; the text need not be one of its texts.
        images: [N, C, H, W], as the model takes them.
        text: the text.
        draws: how many texts of random letters, each with as many words of the same length as the text.
        seed: of the letters.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    Example:
        >>> print(evaluate.prompt_check(score, images, "a photo of a heron"))
    """
    if not isinstance(score, TextScore):
        raise TypeError(f"score must be a sdfido.scores.TextScore, got {type(score).__name__}")
    if not isinstance(text, str) or not text.strip():
        raise TypeError(f"text must be a text with letters, got {text!r}")
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, finite=True, filled=1)
    count, letters = check_count("draws", draws, 2), random.Random(check_seed("seed", seed))
    texts = tuple(
        " ".join("".join(letters.choices(string.ascii_lowercase, k=len(word))) for word in text.split())
        for _ in range(count)
    )
    embeddings = score.embed((text, *texts))
    with torch.no_grad(), eval_mode(score):
        found = score.similarities(images, embeddings)
    return PromptCheck(text, found[:, 0], found[:, 1:], texts)
