"""Batch normalisation folded into the convolution or linear layer before it, in a private copy of a model."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from .scores import ClassScore, Score, module_of

Run = Callable[[nn.Module, Tensor], Tensor]

# How far results may be apart, relative to the largest: float32 rounds a thousand times finer, but the convolutions of
# GPUs round their operands to 10 bits (TF32). What is folded wrongly differs by as much as the results themselves.
_TOLERANCE = {"cpu": 1e-3}
_ELSEWHERE = 1e-2
_DTYPES = (torch.float32, torch.float64)  # rounding the folded weights of shorter ones would show
_TABLES = [name for name, value in vars(nn.Module()).items() if isinstance(value, dict)]  # what every module keeps
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OPAQUE = (torch.jit.ScriptModule, torch.fx.GraphModule, nn.DataParallel, nn.parallel.DistributedDataParallel)
_PLAIN = (_BatchNorm.forward, nn.SyncBatchNorm.forward)  # of what does nothing but normalise in eval mode


def folded_score(score: Score, images: Tensor) -> Score:
    """The same score of a model with its batch normalisation folded; the score itself where that cannot be.

    Args:
        score: of a module in eval mode: an ``nn.Module`` itself, or with an attribute ``model`` that is one.
        images: some of those that will be scored [N, C, H, W], float32, as the model is given them; not changed.

    Returns:
        A copy of the score, of a copy of the module that shares all else with it; both are left as they are.
    """
    module = module_of(score)
    if module is None or len(images) == 0 or not _has_batch_norm(module):
        return score
    # Nothing that the model has seen: what it may keep of its last images would pass for an answer.
    example = 0.9 * images[:1].flip(-1)
    try:
        if type(score) is ClassScore:  # others may ask for more than logits
            folded = fold_batch_norm(module, lambda part, images: _logits(_with(score, part), images), example)
        else:
            example = torch.cat([example, -example])
            with torch.no_grad():
                targets = score.resolve(example.clone()).roll(1, 0)  # an image's score for itself may be a constant
            folded = fold_batch_norm(module, lambda part, images: _with(score, part)(images, targets), example)
        return score if folded is None else _with(score, folded)
    except Exception:  # a user's own score can raise anything; what is wrong shows again in use
        return score


def fold_batch_norm(module: nn.Module, run: Run, images: Tensor) -> nn.Module | None:
    """A copy of a module in eval mode in which batch normalisation is part of the layer before it.

    A convolution or linear layer ``z = W x + b`` followed by ``y = gamma * (z - mean) / sqrt(var + eps) + beta``
    becomes one with ``W' = s * W`` and ``b' = beta + s * (b - mean)``, where ``s = gamma / sqrt(var + eps)``,
    computed in float64.

    Pairs are found in one run of the example: both parts run once, the second on the output of the first, and by the
    graph of autograd nothing else that leads to the result uses that output. What uses it without a gradient is not
    seen: such a model is refused where it answers differently to the example, but not if that use happens to change
    nothing there. Layers and batch normalisations with hooks of the user's own, in train mode, without running
    statistics, with parametrised weights or in other dtypes than float32 and float64 are left as they are, and so are
    modules that are scripted, traced, compiled or parallel.

    Args:
        module: it gets no hooks and keeps parameters, buffers and flags; the copy shares what does not change. What a
            module notes about its runs in attributes of its own, the copy notes in its own.
        run: asks the module, or a copy, about images; its result must depend on all that will be asked of the copy.
        images: the example [B, C, H, W]; not changed.

    Returns:
        The copy; None where there is nothing to fold, where the module cannot be run or copied, or where the copy's
        results for the example are not the module's up to rounding.
    """
    if not _has_batch_norm(module) or any(map(_is_opaque, module.modules())):
        return None
    try:
        twin = copy_module(module)
        pairs = _pairs(twin, run, images)
        if not pairs:
            return None
        for pair in pairs:
            pair.layer._parameters.update(pair.folded._parameters)
            vars(pair.norm)["forward"] = pair.rest  # the module stays, for code that asks it for something else
        with torch.no_grad():
            return twin if _near(run(twin, images.clone()), run(module, images.clone())) else None
    except Exception:  # a user's own model can raise anything; what is wrong shows again in use
        return None


class _Output(NamedTuple):
    """What a layer returned, kept so that no other tensor gets its place in memory."""

    layer: nn.Module
    given: Any
    tensor: Tensor
    node: Node  # in the graph


class _Pair(NamedTuple):
    """A layer and the batch normalisation after it."""

    layer: nn.Module
    norm: nn.Module
    folded: Any  # a copy of the layer that does what both do
    rest: Callable[[Tensor], Tensor]  # what the normalisation does besides
    node: Node  # of the layer's output in the graph


class _Watch:
    """Forward hooks on the copy of a module that find pairs and fold them as they run."""

    def __init__(self, module: nn.Module) -> None:
        self.runs: Counter[int] = Counter()  # by module
        self.pairs: list[_Pair] = []
        self._outputs: dict[int, _Output] = {}  # by the tensor
        self._handles = [
            part.register_forward_hook(hook)
            for kinds, hook in (((_ConvNd, nn.Linear), self._after_layer), (_BatchNorm, self._after_norm))
            for part in module.modules()
            if isinstance(part, kinds) and _can_be_folded(part)
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _after_layer(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.runs[id(layer)] += 1
        if len(inputs) == 1 and isinstance(output, Tensor) and output.grad_fn is not None:
            self._outputs[id(output)] = _Output(layer, inputs[0], output, output.grad_fn)

    def _after_norm(self, norm: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.runs[id(norm)] += 1
        found = self._outputs.get(id(inputs[0])) if inputs else None
        rest = _rest(norm)
        if found is None or rest is None:
            return
        with torch.no_grad():
            folded = _folded(found.layer, norm)
            # Layers of the user's own may scale their weights, or do something with the output.
            if folded is not None and _near(rest(folded.forward(found.given)), output):
                self.pairs.append(_Pair(found.layer, norm, folded, rest, found.node))


def _pairs(module: nn.Module, run: Run, images: Tensor) -> list[_Pair]:
    """The pairs in a module, which gets hooks for that time."""
    watch = _Watch(module)
    try:
        with torch.enable_grad():
            result = run(module, images.clone().requires_grad_().clone())
    finally:
        watch.remove()
    users = _users(result)
    return [
        pair
        for pair in watch.pairs
        if watch.runs[id(pair.layer)] == watch.runs[id(pair.norm)] == 1
        and len(users[pair.node]) == 1
        and "BatchNorm" in users[pair.node][0].name()  # neither a change in place nor a use of the layer alone
    ]


def _users(result: Tensor) -> defaultdict[Node, list[Node]]:
    """The nodes of the graph that leads to a result, by the node whose output they use."""
    users: defaultdict[Node, list[Node]] = defaultdict(list)
    waiting = [] if result.grad_fn is None else [result.grad_fn]
    seen = set(waiting)
    while waiting:
        user = waiting.pop()
        for node, _ in user.next_functions:
            if node is not None:
                users[node].append(user)
                if node not in seen:
                    seen.add(node)
                    waiting.append(node)
    return users


def _has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def _is_opaque(part: nn.Module) -> bool:
    """Whether a module does not run the Python code of its parts, or is not there yet."""
    lazy = any(isinstance(value, nn.UninitializedParameter) for value in part._parameters.values())
    compiled = "_orig_mod" in part._modules or vars(part).get("_compiled_call_impl") is not None
    return isinstance(part, _OPAQUE) or lazy or compiled


def _can_be_folded(part: nn.Module) -> bool:
    """Whether a layer or batch normalisation has all that is needed, and nobody else watches it."""
    tensors: list[Tensor | None] = [part._parameters.get("weight"), part._parameters.get("bias")]
    if isinstance(part, _BatchNorm):
        tensors += [part.running_mean, part.running_var]
        complete = not part.training and part.running_mean is not None and part.running_var is not None
        complete = complete and "forward" not in vars(part)
    else:
        complete = tensors[0] is not None and "bias" in part._parameters
    plain = all(type(t) in (Tensor, nn.Parameter) and t.dtype in _DTYPES for t in tensors if t is not None)
    return complete and plain and not any(getattr(part, name) for name in _HOOKS)


def _rest(norm: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """What a batch normalisation does after it has normalised; None where that is not known."""
    if type(norm).forward in _PLAIN:
        return _identity
    if type(norm).__name__ == "BatchNormAct2d":  # timm's
        drop, activation = getattr(norm, "drop", _identity), getattr(norm, "act", _identity)
        return lambda images: activation(drop(images))
    return None


def _identity(images: Tensor) -> Tensor:
    return images


def _folded(layer: Any, norm: Any) -> Any:
    """A copy of a layer that also does what a batch normalisation does after it; None where their channels differ."""
    channels = getattr(layer, "out_channels", getattr(layer, "out_features", None))
    mean, var = norm.running_mean.double(), norm.running_var.double()
    gamma, beta, bias = (None if value is None else value.double() for value in (norm.weight, norm.bias, layer.bias))
    if mean.shape != (channels,):
        return None
    scale = (var + norm.eps).rsqrt()
    if gamma is not None:
        scale = scale * gamma
    shift = (mean.neg() if bias is None else bias - mean) * scale
    if beta is not None:
        shift = shift + beta
    weight = layer.weight.double()
    if getattr(layer, "transposed", False):  # [in, out / groups, ...]
        groups = layer.groups
        factors = scale.view(groups, 1, -1, *(1,) * (weight.dim() - 2))
        weight = (weight.unflatten(0, (groups, -1)) * factors).flatten(0, 1)
    else:
        weight = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
    folded = copy_module(layer)
    folded._parameters["weight"] = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    folded._parameters["bias"] = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=False)
    return folded


def is_folded(part: nn.Module) -> bool:
    """Whether a part of a folded copy is a batch normalisation that has become part of the layer before it."""
    return isinstance(part, _BatchNorm) and "forward" in vars(part)


def copy_module(module: nn.Module) -> nn.Module:
    """New modules throughout that share parameters, buffers and all other attributes with the old ones."""
    copies = {id(part): type(part).__new__(type(part)) for part in module.modules()}

    def moved(value: Any) -> Any:
        """A value in a copy: modules, and methods bound to them, become those of the copy."""
        if isinstance(value, MethodType) and id(value.__self__) in copies:
            return MethodType(value.__func__, copies[id(value.__self__)])
        return copies.get(id(value), value)

    for part in module.modules():
        attributes = {name: moved(value) for name, value in vars(part).items()}
        for name in _TABLES:
            table = attributes[name] = attributes[name].copy()
            table.update({key: moved(value) for key, value in table.items()})
        vars(copies[id(part)]).update(attributes)
    return copies[id(module)]


def _with(score: Score, module: nn.Module) -> Score:
    """A score of another module: the module itself where the score is one."""
    other: Any = module
    if not isinstance(score, nn.Module):
        other = copy.copy(score)
        other.model = module
    return cast(Score, other)


def _logits(score: Any, images: Tensor) -> Tensor:
    """Class logits without what they have in common, which no class gains by."""
    logits: Tensor = score.logits(images)
    return logits - logits.mean(1, keepdim=True)


def _near(actual: Tensor, expected: Tensor) -> bool:
    """Whether two results are finite and equal up to rounding."""
    tolerance = _TOLERANCE.get(expected.device.type, _ELSEWHERE)
    return actual.shape == expected.shape and bool(
        (actual - expected).abs().max() <= tolerance * expected.abs().max()  # never where one is not finite
    )
