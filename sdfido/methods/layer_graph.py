"""A model as a graph of single operations, between which relevance can be passed on."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ..folding import copy_module, is_folded
from ..surroundings import Turn

__all__ = ["LayerGraph"]

_ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Hardtanh, nn.Hardswish, nn.Tanh, nn.Sigmoid, nn.Hardsigmoid, nn.Threshold),
)
_AVERAGES = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_MOVES = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.PixelShuffle),
)

# Functions, and methods by their names, without the underscore of those that work in place.
_ELEMENTWISE = {
    *(F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus),
    *(F.hardtanh, F.hardswish, F.tanh, torch.tanh, F.sigmoid, torch.sigmoid, F.hardsigmoid, torch.clamp),
    *("relu", "tanh", "sigmoid", "clamp", "float", "to", "neg", operator.neg, torch.neg),
}
_AVERAGING = {
    *(F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
    *(torch.mean, torch.sum, "mean", "sum", F.batch_norm),
}
_SUMS = {operator.add, operator.sub, torch.add, torch.sub, "add", "sub"}
_SCALES = {operator.mul, operator.truediv, torch.mul, torch.div, "mul", "div"}
_MOVING = {
    *(F.max_pool1d, F.max_pool2d, F.max_pool3d, F.adaptive_max_pool1d, F.adaptive_max_pool2d, torch.amax, "amax"),
    *(F.dropout, F.dropout2d, F.pad, F.pixel_shuffle, operator.getitem, torch.flatten, torch.reshape, torch.permute),
    *(torch.transpose, torch.squeeze, torch.unsqueeze, torch.cat, torch.concat, torch.stack, torch.chunk, torch.split),
    *("flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "chunk", "split"),
    *("clone", "expand", "unflatten", torch.max_pool1d, torch.max_pool2d, F.max_pool2d_with_indices),
}
_IN_PLACE: dict[Any, Any] = {
    **{operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul},
    **{operator.itruediv: operator.truediv, torch.relu_: torch.relu, F.relu_: F.relu},
}


class LayerGraph:
    """A copy of a model, each operation of which stands alone, with gradients that are relevance.

    Where the gradient reaches

    - an elementwise operation (an activation, a constant factor or summand, or a batch normalisation of the image
      itself, before any layer), it passes unchanged;
    - a sum, a difference, an average or another batch normalisation ``y = sum_j w_j a_j``, each input gets
      ``a_j w_j / (y + e sign(y))`` of it, as by the epsilon rule;
    - a maximum, the largest input gets all of it; a reshape, a slice or a concatenation moves it.

    Convolutions and linear layers are in ``layers``, each for one use of it: what they do to gradients is the caller's
    choice. Nothing of the model is changed; the copy shares its tensors.

    Args:
        model: a module in eval mode, from images to logits.
        image: an example [1, C, H, W].
        epsilon: e above.

    Raises:
        ValueError: the model cannot be traced, or there is an operation that relevance does not pass; the message says
            which, and what helps.
    """

    def __init__(self, model: nn.Module, image: Tensor, epsilon: float = 1e-6) -> None:
        self.layers: list[nn.Module] = []
        self._epsilon = epsilon
        try:
            tracer = _Tracer()
            graph = tracer.trace(model)
            self.module = fx.GraphModule(tracer.root, graph)
            self._of_image = _Values(self.module).of_image(image)
        except Exception as error:  # code of the user's own, run with placeholders
            first = str(error).strip().partition("\n")[0]
            raise ValueError(
                "model must be a module whose operations torch.fx can trace, without conditions on the values of "
                f"tensors and without functions of its own for autograd; got {type(error).__name__}: {first}"
            ) from error
        self._before_layers = {node for node in graph.nodes if node.op == "placeholder"}
        for node in list(graph.nodes):
            if node in self._of_image and node.op.startswith("call"):
                self._prepare(node)
        graph.lint()
        self.module.recompile()

    def __call__(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module(images)
        return logits

    def _prepare(self, node: fx.Node) -> None:
        """Give one operation of the image the gradients that it is to have."""
        given = [each for each in node.all_input_nodes if each in self._of_image]
        if self._before_layers.issuperset(given) and not self._is_layer(node):
            self._before_layers.add(node)
        if node.op == "call_module":
            self._prepare_module(node, given)
            return
        target = node.target = _out_of_place(node.target)
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)
        constant = target in _SUMS | _SCALES and len(given) == 1
        if target in _ELEMENTWISE or constant or (target is F.batch_norm and node in self._before_layers):
            self._pass(node, given[0])
        elif target in _SUMS or target in _AVERAGING:
            self._share(node, given)
        elif target not in _MOVING:
            raise _refusal(node, getattr(target, "__name__", str(target)))

    def _prepare_module(self, node: fx.Node, given: list[fx.Node]) -> None:
        name, part = f"_part_{len(self.module._modules)}", self.module.get_submodule(str(node.target))
        part = copy_module(part)  # one for each use
        if getattr(part, "inplace", False):
            vars(part)["inplace"] = False
        self.module.add_submodule(name, part)
        node.target = name
        if isinstance(part, _ConvNd | nn.Linear):
            if "weight" not in part._parameters:
                raise ValueError(
                    f"model must have plain weights where relevance passes, but {type(part).__name__}{_place(node)} "
                    "is parametrised: torch.nn.utils.parametrize.remove_parametrizations makes it plain"
                )
            self.layers.append(part)
        elif isinstance(part, _ACTIVATIONS) or is_folded(part):
            self._pass(node, given[0])
        elif isinstance(part, _BatchNorm) and node in self._before_layers:
            # The epsilon rule would divide by the output, which may be near 0 where the flat rule hands on relevance.
            self._pass(node, given[0])
        elif isinstance(part, (*_AVERAGES, _BatchNorm)):
            self._share(node, given)
        elif not isinstance(part, _MOVES):
            raise _refusal(node, type(part).__name__)

    def _is_layer(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(self.module.get_submodule(str(node.target)), _ConvNd | nn.Linear)

    def _pass(self, node: fx.Node, given: fx.Node) -> None:
        """Have the gradient of an operation's output be that of its input."""
        self._after(node, _passed, given)

    def _share(self, node: fx.Node, given: list[fx.Node]) -> None:
        """Have the inputs of a linear operation share the gradient of its output by what they contribute."""
        with node.graph.inserting_before(node):
            for each in given:
                node.replace_input_with(each, node.graph.call_function(_weighted, (each,)))
        self._after(node, _relative, self._epsilon)

    def _after(self, node: fx.Node, function: Callable[..., Tensor], other: Any) -> None:
        """Put a function between an operation and all that uses it."""
        users = list(node.users)
        with node.graph.inserting_after(node):
            result = node.graph.call_function(function, (node, other))
        for user in users:
            user.replace_input_with(node, result)
        self._of_image.add(result)
        if node in self._before_layers:
            self._before_layers.add(result)


def _out_of_place(target: Any) -> Any:
    if isinstance(target, str):
        return target.rstrip("_")
    return _IN_PLACE.get(target, target)


def _passed(output: Tensor, given: Tensor) -> Tensor:
    result: Tensor = _Pass.apply(output, given)  # type: ignore[no-untyped-call]
    return result


def _weighted(given: Tensor) -> Tensor:
    result: Tensor = _Weighted.apply(given)  # type: ignore[no-untyped-call]
    return result


def _relative(output: Tensor, epsilon: float) -> Tensor:
    result: Tensor = _Relative.apply(output, epsilon)  # type: ignore[no-untyped-call]
    return result


def _place(node: fx.Node) -> str:
    """Where in the model an operation is, in words."""
    names = [name for name, _ in (node.meta.get("nn_module_stack") or {}).values() if name]
    return f" in its part {names[-1]!r}" if names else ""


def _refusal(node: fx.Node, name: str) -> ValueError:
    return ValueError(
        "model must consist of operations that relevance passes (convolutions, linear layers, activations, pooling, "
        f"sums, batch normalisation); it has {name!r}{_place(node)}. Write it with such layers where that can be, or "
        "take another method, such as FIDO, which needs only gradients"
    )


_tracing = Turn()


class _Tracer(fx.Tracer):
    """Traces down to layers, with the classes that are derived from them.

    While ``torch.fx`` traces, the calls of all modules of the process come here: other threads' are left as they are.
    """

    def trace(self, *arguments: Any, **options: Any) -> fx.Graph:
        with _tracing:
            self._thread = threading.get_ident()
            return super().trace(*arguments, **options)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _BatchNorm) and not m.__module__.startswith("torch.nn"):
            return is_folded(m)  # others may do more than normalise
        known = (_ConvNd, nn.Linear, *_ACTIVATIONS, *_AVERAGES, *_MOVES)
        return isinstance(m, known) or super().is_leaf_module(m, module_qualified_name)


class _Values(fx.Interpreter):
    """Runs a graph on an example, and notes which nodes are tensors that depend on the image."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self._found: set[fx.Node] = set()

    def of_image(self, image: Tensor) -> set[fx.Node]:
        with torch.no_grad():
            self.run(image.clone())
        return self._found

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        depends = n.op == "placeholder" or any(each in self._found for each in n.all_input_nodes)
        several = isinstance(value, tuple | list) and not isinstance(value, torch.Size)
        if depends and any(isinstance(each, Tensor) for each in (value if several else [value])):
            self._found.add(n)
        return value


class _Pass(torch.autograd.Function):
    """The output of an elementwise operation, whose gradient is handed to the operation's input."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, given: Tensor) -> Tensor:
        if output.shape != given.shape:
            raise ValueError(
                f"relevance passes only elementwise operations that keep the shape, got {list(given.shape)} to "
                f"{list(output.shape)}"
            )
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class _Weighted(torch.autograd.Function):
    """The input of a linear operation, whose gradient is multiplied by it."""

    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        ctx.save_for_backward(given)
        return given.view_as(given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        product: Tensor = ctx.saved_tensors[0] * gradient
        return product


class _Relative(torch.autograd.Function):
    """The output y of a linear operation, whose gradient is divided by ``y + e sign(y)``."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(output)
        ctx.epsilon = epsilon
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        output = ctx.saved_tensors[0]
        return gradient / (output + torch.full_like(output, ctx.epsilon).where(~(output < 0), -ctx.epsilon)), None
