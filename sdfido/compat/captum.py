"""The methods of this package as an attribution of captum.

``MaskAttribution`` is a subclass of captum's ``Attribution``; it is made when it is first asked for, so that captum is
needed only by those who use it: ``pip install captum``.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..checks import check_broadcast, check_count, check_number, check_tensor, describe
from .forward import ForwardScore, as_sequence, mapped, only

__all__ = ["MaskAttribution"]

if TYPE_CHECKING:
    MaskAttribution: type[Any]


def __getattr__(name: str) -> Any:
    if name == "MaskAttribution":
        return _made()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]


@functools.cache
def _made() -> type[Any]:
    try:
        from captum.attr import Attribution
        from captum.log import log_usage
    except ImportError as error:
        raise ImportError("sdfido.compat.captum needs captum: pip install captum") from error

    from ..methods import Explainer, load

    class MaskAttribution(Attribution):  # type: ignore[misc]  # captum has no types here
        """Importance of pixels by learned masks, called as captum's attributions are.

        Args:
            forward_func: a module or any callable, from images [N, C, H, W] and further arguments to an output.
            method: a name of ``sdfido.methods.METHODS``, such as "fido", or a class of such a method.
            map: the map that is returned; by default the joint one, or the method's first.
            settings: of the method and of ``sdfido.Execution``, such as ``steps=50``; ``infill`` and
                ``normalization`` as the method takes them.

        Raises:
            TypeError, ValueError: an argument has a wrong type or value.

        Example:
            >>> attribution = sdfido.compat.captum.MaskAttribution(model)
            >>> maps = attribution.attribute(images, target=3)  # [N, C, H, W]
            >>> captum.metrics.infidelity(model, perturb, images, maps, target=3)
        """

        def __init__(
            self, forward_func: Callable[..., Any], method: Any = "fido", map: str | None = None, **settings: Any
        ) -> None:
            super().__init__(forward_func)
            self.kind = load(method) if isinstance(method, str) else method
            if not isinstance(self.kind, type) or not issubclass(self.kind, Explainer):
                raise TypeError(f"method must be a name, or a class of explainers, got {describe(method)}")
            self.map, self.settings = map, settings
            self.kind(ForwardScore(forward_func, (), 1), **settings)  # a wrong setting should not wait for the images

        @property
        def multiplies_by_inputs(self) -> bool:
            """False: a map says where something counts, not by how much each input changes the output."""
            return False

        def has_convergence_delta(self) -> bool:
            """False: the map does not add up to a difference of outputs."""
            return False

        @log_usage()  # type: ignore[untyped-decorator]  # NoiseTunnel calls what is wrapped by it
        def attribute(
            self,
            inputs: Tensor | tuple[Tensor, ...],
            baselines: Any = None,
            target: Any = None,
            additional_forward_args: Any = None,
            *,
            perturbations_per_eval: int | None = None,
            show_progress: bool = False,
        ) -> Tensor | tuple[Tensor, ...]:
            """Importance of each input: of the shape of ``inputs``, the same for all channels, 0..1.

            Every image gets the noise of stream 0, so that the same image gets the same map wherever it stands.

            Args:
                inputs: images [N, C, H, W], or a tuple with them alone.
                baselines: what replaces removed pixels: a number, a tensor that broadcasts against the images, or a
                    tuple with one; None: the infill of the settings, by default a blur and not captum's zeros.
                target: as captum selects an output: an index or one for each image, a tuple of indices or a list of
                    them for outputs of more axes, None for one number an image.
                additional_forward_args: further arguments of the forward function.
                perturbations_per_eval: composites that the model is given at once, ``max_batch``.
                show_progress: whether to print the steps.

            Raises:
                TypeError, ValueError: an argument does not fit; the message says which.
            """
            images, several = only(inputs, "inputs")
            baseline, _ = only(baselines, "baselines")
            check_tensor("inputs", images, "[N, C, H, W]", 4, floating=True)
            settings = dict(self.settings)
            if isinstance(baseline, numbers.Real):
                baseline = torch.tensor(check_number("baselines", baseline), device=images.device)
            if baseline is not None:
                check_tensor("baselines", baseline, "that broadcasts against inputs", values=True)
                check_broadcast("baselines", baseline, "inputs", images)
                settings["infill"] = baseline.to(images)
            if perturbations_per_eval is not None:
                settings["max_batch"] = check_count("perturbations_per_eval", perturbations_per_eval)
            score = ForwardScore(self.forward_func, as_sequence(additional_forward_args), len(images))
            explanation = self.kind(score, **settings).explain(
                images.detach(),
                () if target is None else target,  # None would be asked of some images at a time, by their places there
                streams=[0] * len(images),
                on_step=_print if show_progress else None,
            )
            found = mapped(explanation, self.map)[:, None].expand(images.shape).to(images.dtype).clone()
            return (found,) if several else found

    return MaskAttribution


def _print(progress: Any) -> None:
    print(f"step {progress.step} of {progress.steps}, loss {progress.loss:.4g}", flush=True)
