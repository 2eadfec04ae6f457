"""Whether maps depend on what they should: on what the model has learned, and on what is asked of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_count, check_function, check_integers, check_kind, check_seed, check_tensor
from ..scores import ClassScore, eval_mode
from ..surroundings import seeded
from .agreement import rank_correlation
from .order import check_maps

__all__ = ["Explain", "label_randomisation", "model_randomisation", "randomised"]

Explain = Callable[[nn.Module, Tensor, Any], Tensor]
"""From a model, images [N, C, H, W] and targets to maps [N, H, W], of any method."""


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a module whose parameters are drawn anew, as if it had not been trained.

    Layers that can do so initialise themselves (``reset_parameters``), batch normalisation with its statistics; all
    other parameters are drawn from a normal distribution of their own mean and standard deviation.

    Args:
        module: it is left as it is.
        seed: of the new parameters; PyTorch's own random state is not changed.

    Raises:
        TypeError: the argument is no module.
        ValueError: it has no parameters, as programs that are frozen.
    """
    check_kind("module", module, nn.Module, "a torch.nn.Module")
    seed = check_seed("seed", seed)
    if not any(parameter.is_floating_point() for parameter in module.parameters()):
        raise ValueError(f"module must have parameters to draw anew, got {type(module).__name__} without any")
    twin = copy.deepcopy(module)
    with seeded(seed, range(torch.cuda.device_count())), torch.no_grad():
        for part in twin.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in part.parameters(recurse=False):
                if parameter.is_floating_point() and parameter.numel():
                    spread = float(parameter.std(correction=0))
                    parameter.copy_(parameter.mean() + spread * torch.randn_like(parameter))
    return twin


def model_randomisation(
    explain: Explain,
    module: nn.Module,
    images: Tensor,
    targets: Any,
    *,
    maps: Tensor | None = None,
    other: nn.Module | None = None,
    seed: int = 0,
) -> Tensor:
    """Rank correlation of the maps with those of the same model with random weights: [N], -1..1, lower is better.

    A map that stays the same when the model knows nothing shows the image, not the model.

    Args:
        explain: a method, from a module, images and targets to maps [N, H, W].
        module: the model; it is left as it is.
        images: [N, C, H, W].
        targets: of the images; the same ones are asked of both models.
        maps: those of the model, where they are known.
        other: the model that knows nothing, by default ``randomised(module, seed)``; one that was trained on labels in
            random order makes this the data randomisation test.
        seed: of the random weights.

    Raises:
        TypeError, ValueError: an argument does not fit, or the maps are not [N, H, W].

    Example:
        >>> explain = lambda model, images, targets: sdfido.FIDO(model).explain(images, targets).joint
        >>> evaluate.model_randomisation(explain, model, images, targets).mean()

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv 1810.03292, sections 3 and 4.
    """
    check_function("explain", explain, "a method, from a module, images and targets to maps")
    check_function("module", module, "a torch.nn.Module")
    seed = check_seed("seed", seed)
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, finite=True, filled=1)
    other = randomised(module, seed) if other is None else other
    known = _explained(explain, module, images, targets) if maps is None else _checked("maps", maps, images)
    return rank_correlation(known, _explained(explain, other, images, targets))


def _explained(explain: Explain, module: nn.Module, images: Tensor, targets: Any) -> Tensor:
    return _checked("what explain returns", explain(module, images, targets), images)


def _checked(name: str, maps: Tensor, images: Tensor) -> Tensor:
    """Maps [N, H, W], one for each image."""
    found = check_maps(name, maps)
    if len(found) != len(images):
        raise ValueError(f"{name} must be [N, H, W] with a map for each of {len(images)} images, got {len(found)}")
    return found


def label_randomisation(
    explain: Explain,
    module: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    classes: int | None = None,
    maps: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Rank correlation of the maps with those for another class drawn at random: [N], -1..1, lower is better.

    A map that stays the same whatever is asked shows the image, or what all classes have in common. Classes that do
    look at the same pixels agree for a good reason, so that there is no value that a method must reach.

    Args:
        explain: a method, from a module, images and targets to maps [N, H, W].
        module: the model.
        images: [N, C, H, W].
        targets: class indices [N].
        classes: how many there are; by default the model is asked.
        maps: those for the targets, where they are known.
        seed: of the classes that are drawn.

    Raises:
        TypeError, ValueError: an argument does not fit, or the maps are not [N, H, W].

    Source: the random logit test of Sixt, Granz, Landgraf, "When explanations lie: why many modified BP attributions
    fail", ICML 2020, arXiv 1912.09818, section 4.
    """
    check_function("explain", explain, "a method, from a module, images and targets to maps")
    check_function("module", module, "a torch.nn.Module")
    check_tensor("images", images, "[N, C, H, W]", 4, floating=True, finite=True, filled=1)
    targets = check_integers("targets", targets, f"a class for each of {len(images)} images", images.device)
    if targets.shape != (len(images),):
        raise ValueError(f"targets must be a class for each of {len(images)} images, got {list(targets.shape)}")
    if classes is None:
        with torch.no_grad(), eval_mode(module):
            classes = ClassScore(module).logits(images[:1].clone()).shape[1]
    check_count("classes", classes, 2)
    generator = torch.Generator().manual_seed(check_seed("seed", seed))
    away = torch.randint(1, classes, (len(targets),), generator=generator, device="cpu").to(targets.device)
    known = _explained(explain, module, images, targets) if maps is None else _checked("maps", maps, images)
    return rank_correlation(known, _explained(explain, module, images, (targets + away) % classes))
