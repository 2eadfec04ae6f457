"""Layer-wise relevance propagation, with the rules of zennit."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from .. import outputs
from ..checks import check_choice, check_flag, set_number
from ..execution import chunks
from ..explanation import Explanation, MapInfo
from ..normalization import Normalization
from ..scores import ClassScore, LabelScore, Model, Score, module_of, probability
from .base import Explainer, OnImage, OnStep, Scene
from .layer_graph import LayerGraph

__all__ = ["PRESETS", "Preset", "Relevance", "RelevanceSettings"]

_NEEDED = 'pip install "sdfido[relevance]"'
_LEGEND = {"relevance": MapInfo("Relevance", "for (warm), against (cold)", signed=True)}
_NEAR = 1e-2  # difference of a probability that rounding can make


class Preset(NamedTuple):
    """Which rule each kind of layer has."""

    convolution: Literal["epsilon", "z+", "alpha-beta", "gamma"]
    first: Literal["", "flat"] = ""  #: of the first layer; "": as the others of its kind
    dense: Literal["epsilon"] = "epsilon"


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "epsilon": Preset("epsilon"),
        "epsilon-plus": Preset("z+"),
        "epsilon-plus-flat": Preset("z+", "flat"),
        "epsilon-alpha2-beta1": Preset("alpha-beta"),
        "epsilon-alpha2-beta1-flat": Preset("alpha-beta", "flat"),
        "epsilon-gamma": Preset("gamma"),
        "epsilon-gamma-flat": Preset("gamma", "flat"),
    }
)
"""Rules by the names that they have in the literature: epsilon in linear layers, another in convolutions."""


@dataclass(frozen=True, kw_only=True)
class RelevanceSettings:
    """How relevance is passed on.

    Raises:
        TypeError, ValueError: a setting has a wrong type or value; the message says which.
    """

    preset: str = "epsilon-plus-flat"  #: rules by kind of layer, a name of ``PRESETS``
    epsilon: float = 1e-6  #: what keeps denominators from 0, above 0
    gamma: float = 0.25  #: how far the gamma rule favours positive contributions, at least 0
    zero_bias: bool = False  #: whether biases take no relevance, so that none is lost to them

    def __post_init__(self) -> None:
        check_choice("preset", self.preset, list(PRESETS))
        set_number(self, "epsilon", float, above=0)
        set_number(self, "gamma", float, 0)
        check_flag("zero_bias", self.zero_bias)


class Relevance(Explainer):
    """Layer-wise relevance propagation (LRP): passes the logit of a class back to the pixels, layer by layer.

    The relevance of the output is the logit of the class; of a single logit z, which stands for two classes, it is z
    for class 1 and -z for class 0. Each layer hands its relevance R_k to its inputs a_j by what they contribute to its
    output, with weights w' that the rule says::

        R_j = sum_k a_j w'_jk / (sum_j' a_j' w'_j'k) * R_k

    - epsilon: w' = w, and the denominator gets ``epsilon`` of its own sign.
    - z+: only positive contributions, w' = max(w, 0) for inputs a >= 0.
    - alpha-beta: twice the share of positive contributions less once that of negative ones.
    - gamma: w' = w + gamma * max(w, 0).
    - flat: a = 1 and w' = 1, which spreads the relevance evenly over all that a unit of the first layer sees.

    ``preset`` says which layer has which rule. Activations pass relevance, maxima give it to the largest input, sums
    and averages share it by the epsilon rule. Batch normalisation is folded into the layer before it; that of the image
    itself passes relevance. Residual sums may be functional: the model is traced by ``torch.fx``.

    The map ``relevance`` is signed: the sum over the colours, divided by its largest absolute value, so -1..1. Positive
    relevance speaks for the class. ``explanation.divisor`` [N] is that value, ``logit`` the output's relevance
    and ``arrived`` the sum of the pixels' relevance: equal to ``logit`` where no rule and no bias took any.

    Args:
        model: a classifier, from images [B, C, H, W] to class logits [B, classes]: a module that ``torch.fx`` can
            trace, or its ``sdfido.ClassScore``, of which only the model and ``output`` count.
        infill: what replaces removed pixels where the explanation is measured; the relevance does not depend on it.
        normalization: how the model's input was normalised; infills that are defined by pixel values need it.
        settings: any field of ``RelevanceSettings``, such as ``preset="epsilon"``, and of ``sdfido.Execution``; the
            dtype must be float32.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value; the message says which.
        ImportError: zennit is not installed.

    Example:
        >>> explanation = sdfido.Relevance(model, preset="epsilon-plus").explain(images)
        >>> explanation.relevance * explanation.divisor[:, None, None]  # in units of the logit

    Source: Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
    propagation", PLOS ONE 2015; Montavon et al., "Layer-wise relevance propagation: an overview", 2019; presets by
    Kohlbrenner et al., "Towards best practice in explaining neural network decisions with LRP", IJCNN 2020,
    arXiv 1910.09840. The rules are those of zennit, Anders et al., arXiv 2106.13200.
    """

    name = "lrp"
    legend = _LEGEND
    settings_type = RelevanceSettings
    settings: RelevanceSettings

    def __init__(
        self,
        model: Model | Score,
        *,
        infill: str | Tensor | Callable[..., Tensor] = "blur",
        normalization: Normalization | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(model, infill=infill, normalization=normalization, **settings)
        if module_of(self.score) is None or not isinstance(self.score, ClassScore):
            labels = ", of several labels: give sdfido.ClassScore(model)" if isinstance(self.score, LabelScore) else ""
            raise TypeError(
                "model must be a torch.nn.Module that returns class logits, or a ClassScore of one: relevance passes "
                f"through its layers; got {type(model).__name__}{labels}"
            )
        if self.execution.dtype != torch.float32:
            raise ValueError(f"dtype must be torch.float32 for relevance, got {self.execution.dtype}")
        _zennit_rules()  # where it is missing, that shows here

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"score": "logit"}

    def explain(
        self,
        images: Tensor,
        targets: Any = None,
        *,
        streams: Any = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> Explanation:
        start = time.perf_counter()
        with self.scene(images, targets, streams, on_step=on_step, on_image=on_image) as scene:
            found, logits = self._propagate(scene) if len(scene) else (scene.images[:, 0], scene.confidence)
            scale = found.abs().amax((1, 2)).clamp(min=torch.finfo(found.dtype).tiny)
            scores = {"logit": logits, "arrived": found.sum((1, 2)), "divisor": scale}
            maps = {"relevance": found / scale[:, None, None]}
            seconds = time.perf_counter() - start
            return self.conclude(scene, maps, scores=scores, seconds=seconds, on_image=on_image)

    def _propagate(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Relevance of the pixels [N, H, W], and the logits [N] that it begins with."""
        module = module_of(scene.score)
        assert module is not None
        assert isinstance(self.score, ClassScore)
        images, found, said = scene.execution.prepare(scene.images), [], []
        graph = LayerGraph(module, images[:1], self.settings.epsilon)
        with self._hooked(graph), torch.enable_grad():
            for part in chunks(len(scene), scene.images_at_once):
                pixels = images[part].clone().requires_grad_()
                given, chosen = outputs.tensor_of(graph(pixels), self.score.part), scene.targets[part][:, None]
                logits = outputs.class_logits(given, len(pixels))
                agrees = (probability(logits.detach(), chosen[:, 0]) - scene.confidence[part]).abs() <= _NEAR
                if not agrees.all():
                    raise ValueError(
                        "model must do the same for every image to be traced by torch.fx; its copy, traced with the "
                        f"first image, answers otherwise for image {part.start + int((~agrees).nonzero()[0])}"
                    )
                if given.numel() == len(pixels):  # a single logit z stands for class 1, and -z for class 0
                    logits, sign, chosen = logits[:, 1:], 2 * chosen - 1, torch.zeros_like(chosen)
                else:
                    sign = torch.ones_like(chosen)
                one = sign * logits.detach().gather(1, chosen)
                first = torch.zeros_like(logits).scatter(1, chosen, one)
                (relevance,) = torch.autograd.grad(logits, pixels, first)
                found.append(relevance.sum(1))
                said.append(one[:, 0])
        maps = torch.cat(found)
        if not maps.isfinite().all():
            raise RuntimeError(
                "relevance must be finite, got NaN or infinity: with these rules it grows from layer to layer; take "
                f"another preset than {self.settings.preset!r}, or a larger epsilon than {self.settings.epsilon}"
            )
        return maps, torch.cat(said)

    @contextmanager
    def _hooked(self, graph: LayerGraph) -> Any:
        """The rules on the layers of a graph."""
        preset, hooks, handles = PRESETS[self.settings.preset], [], []
        try:
            for place, layer in enumerate(graph.layers):
                kind = preset.convolution if isinstance(layer, _ConvNd) else preset.dense
                hook = self._rule(preset.first or kind if place == 0 else kind)
                hooks.append(hook)  # zennit holds it weakly
                handles.append(hook.register(layer))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _rule(self, name: str) -> Any:
        """A new hook of zennit's by a name of ours."""
        rules, settings = _zennit_rules(), self.settings
        zero = ["bias"] if settings.zero_bias else None
        if name == "epsilon":
            return rules.Epsilon(epsilon=settings.epsilon, zero_params=zero)
        if name == "gamma":
            return rules.Gamma(gamma=settings.gamma, stabilizer=settings.epsilon, zero_params=zero)
        if name == "alpha-beta":
            return rules.AlphaBeta(alpha=2.0, beta=1.0, stabilizer=settings.epsilon, zero_params=zero)
        kind = rules.Flat if name == "flat" else rules.ZPlus
        return kind(stabilizer=settings.epsilon, zero_params=zero)


def _zennit_rules() -> Any:
    """zennit's module of rules.

    Its package also imports torchvision, which the rules do not need and which does not load beside every build of
    torch. So the rules are loaded as part of a package of another name, and zennit itself stays as it was.

    Raises:
        ImportError: zennit is not installed.
    """
    alias = f"{__package__}._zennit"
    if alias not in sys.modules:
        spec = importlib.util.find_spec("zennit")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"method 'lrp' needs the package zennit; install it with: {_NEEDED}")
        package = ModuleType(alias)
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[alias] = package
    return importlib.import_module(f"{alias}.rules")
