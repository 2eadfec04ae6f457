"""What a classifier says of the background alone and of the animal alone, and where in the frame that comes from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_count, check_images, check_integers, check_tensor, describe
from ..execution import Execution
from ..scores import ClassScore, Model, eval_mode
from .truth import check_truth

__all__ = ["PLACES", "Background", "answers", "background", "from_around", "places"]

STRIP, CORNER = 0.16, 0.34
"""How far strips and corners reach into the frame, in parts of its sides."""

PLACES = (
    *("top left corner", "top right corner", "bottom left corner", "bottom right corner"),
    *("top edge", "bottom edge", "left edge", "right edge"),
)
"""Parts of the frame in which cameras, archives and sites leave marks."""

LEAST = 0.02  # part of the image that must be background, for there to be anything to ask


@dataclass(frozen=True)
class Background:
    """What a classifier says of N images, of their backgrounds and of their animals: softmax probabilities.

    ``classes`` and ``without`` are NaN for images of which less than 2% is background.
    """

    image: Tensor  #: of the target for the image [N]
    animal: Tensor  #: of the target for the animal alone, on an even ground of the normalisation's mean [N]
    classes: Tensor  #: of every class for the background alone, the animal filled in from around it [N, classes]
    without: Tensor  #: of the target for the background alone without each of ``PLACES`` [N, places]


def from_around(images: Tensor, hidden: Tensor) -> Tensor:
    """Images with hidden pixels filled smoothly from the visible ones around them: [N, C, H, W].

    Nothing of what was hidden enters. Each level of a pyramid averages the visible pixels of the finer one, and each
    hole takes the bilinear value of the finest level that sees anything.

    Args:
        images: [N, C, H, W].
        hidden: bool [N, H, W]; where all of an image is hidden, it becomes 0.

    Source: the pull-push of Gortler et al., "The lumigraph", SIGGRAPH 1996, section 3.4.
    """
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, finite=True, filled=1)
    n, _, height, width = images.shape
    if check_tensor("hidden", hidden, "bool [N, H, W]").dtype != torch.bool or hidden.shape != (n, height, width):
        raise ValueError(f"hidden must be bool [{n}, {height}, {width}] like the images, got {describe(hidden)}")
    visible = (~hidden)[:, None].to(images)
    return torch.where(hidden[:, None], _pull_push(images * visible, visible), images)


def places(height: int, width: int) -> Tensor:
    """Where each of ``PLACES`` is in a frame: bool [places, H, W]."""
    y, x = (torch.arange(length, dtype=torch.float32, device="cpu") + 0.5 for length in (height, width))
    y, x = (y / height)[:, None], (x / width)[None]
    top, left, bottom, right = y < CORNER, x < CORNER, y > 1 - CORNER, x > 1 - CORNER
    strips = [side.expand(height, width) for side in (y < STRIP, y > 1 - STRIP, x < STRIP, x > 1 - STRIP)]
    return torch.stack([top & left, top & right, bottom & left, bottom & right, *strips])


def background(
    model: Model,
    images: Tensor,
    animals: Tensor,
    targets: Tensor,
    *,
    max_batch: int = 64,
) -> Background:
    """What a classifier says of the background alone and of the animal alone.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes]; it is put into eval mode.
        images: [N, C, H, W], as the model takes them: normalised, so that 0 is the mean, the even ground.
        animals: where they are, as a mask or boxes, see ``sdfido.evaluate.truth``.
        targets: the class that is asked for in each image [N], int64.
        max_batch: images given to the model at once.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
        RuntimeError: the model's answers are not finite.
    """
    images = check_images(images)
    targets = check_integers("targets", targets, f"one class for each of {len(images)} images", images.device)
    if targets.shape != (len(images),):
        raise ValueError(f"targets must be one class for each of {len(images)} images, got {list(targets.shape)}")
    _, known = check_truth(images[:, 0], animals)

    def of_target(composites: Tensor) -> Tensor:
        found = answers(model, composites, max_batch=max_batch)
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < found.shape[1]:
            raise ValueError(f"targets must be classes in 0..{found.shape[1] - 1}, got {targets.tolist()}")
        return found.gather(1, targets[:, None])[:, 0]

    image = of_target(images)
    animal = of_target(torch.where(known[:, None], images, 0.0))
    classes = answers(model, from_around(images, known), max_batch=max_batch)
    parts = places(*images.shape[2:]).to(images.device)
    without = torch.stack([of_target(from_around(images, known | part)) for part in parts], 1)
    filled = (~known).float().mean((1, 2)) < LEAST
    classes, without = (answers.masked_fill(filled[:, None], torch.nan) for answers in (classes, without))
    return Background(image, animal, classes, without)


def answers(model: Model, images: Tensor, *, max_batch: int = 64) -> Tensor:
    """Softmax probabilities of all classes for images [N, C, H, W]: [N, classes].

    Raises:
        TypeError, ValueError: the model does not return class logits.
        RuntimeError: its answers are not finite.
    """
    score, images = ClassScore(model), check_images(images)
    check_count("max_batch", max_batch)
    execution = Execution(max_batch=max_batch, channels_last=False)
    with eval_mode(score):
        found = execution.map(lambda batch: score.logits(batch).softmax(1), images, chunk=max_batch)
    if not found.isfinite().all():
        raise RuntimeError("model must give finite logits for images, backgrounds and animals, got NaN or infinity")
    return found


def _pull_push(sums: Tensor, weights: Tensor) -> Tensor:
    """Averages where there is weight, and those of coarser levels elsewhere: [N, C, H, W]."""
    height, width = sums.shape[2:]
    means = sums / weights.clamp(min=torch.finfo(weights.dtype).tiny)
    if height * width == 1 or bool((weights > 0).all()):
        return means
    smaller = ((height + 1) // 2, (width + 1) // 2)
    coarse = _pull_push(*(F.adaptive_avg_pool2d(values, smaller) for values in (sums, weights)))
    return torch.where(weights > 0, means, F.interpolate(coarse, size=(height, width), mode="bilinear"))
