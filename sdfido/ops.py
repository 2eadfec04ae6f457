"""The public operators: checks, choice of backend, and for each compiled operator its fake kernel and autograd."""

import contextlib
import importlib
import numbers
import os
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import reference

BackendName = Literal["auto", "native", "reference"]
_BACKENDS = ("auto", "native", "reference")
_STORED = (torch.float32, torch.bfloat16, torch.float16)

try:
    importlib.import_module("sdfido._C")  # loading the library registers torch.ops.sdfido.*

    _why_no_native = ""
except ImportError as error:
    _why_no_native = str(error)


def _check_choice(source: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{source} must be one of {', '.join(choices)}; got {value!r}")
    return value


_backend = _check_choice("SDFIDO_BACKEND", os.environ.get("SDFIDO_BACKEND") or "auto", _BACKENDS)


def _check_isa() -> None:
    wanted = os.environ.get("SDFIDO_CPU_ISA")
    if wanted and not _why_no_native and wanted != torch.ops.sdfido.cpu_isa():
        raise ValueError(
            f"SDFIDO_CPU_ISA must be a level that this machine has, of baseline, avx2 and avx512; got {wanted!r}; "
            "unset it for the highest one"
        )


_check_isa()
# Architectures that the CUDA kernels were compiled for; none: this build has no CUDA.
_cuda_archs: list[str] = [] if _why_no_native else torch.ops.sdfido.cuda_archs().split()


@contextlib.contextmanager
def backend(name: BackendName) -> Iterator[None]:
    """Choose what computes the operators inside a ``with`` block; ``SDFIDO_BACKEND`` sets the default.

    ``"native"`` takes the compiled kernels or raises, ``"reference"`` plain PyTorch, ``"auto"`` the compiled kernels
    where this build has them for the operands' device. The choice holds for the whole process, all threads included.

    Raises:
        ValueError: ``name`` is none of the three.
    """
    global _backend
    previous, _backend = _backend, _check_choice("backend", name, _BACKENDS)
    try:
        yield
    finally:
        _backend = previous


def build_info() -> dict[str, Any]:
    """What this installation is and computes with.

    Keys: ``version``; ``native`` (compiled kernels are there) and ``native_error`` (why not, or None); ``cuda`` (those
    for GPUs are among them; without them CUDA tensors are computed by the reference) and ``cuda_archs`` (what they were
    compiled for); ``cpu_isa`` (instruction-set level in use, or None); ``backend`` (the default or forced one);
    ``min_torch`` and ``torch`` (oldest supported and present version).
    """
    native = not _why_no_native
    return {
        "version": metadata.version("sdfido"),
        "native": native,
        "native_error": _why_no_native or None,
        "cuda": bool(_cuda_archs),
        "cuda_archs": list(_cuda_archs),
        "cpu_isa": torch.ops.sdfido.cpu_isa() if native else None,
        "backend": _backend,
        "min_torch": "2.10",
        "torch": torch.__version__,
    }


def get_include() -> str:
    """Folder with the headers of the mathematics, for C++ and CUDA: ``#include <sdfido/math/concrete.h>``."""
    return str(Path(__file__).parent / "include")


def _refuse_second_order(ctx: Any, *grads: Any) -> NoReturn:
    raise RuntimeError("the gradient of sdfido's compiled operators cannot be differentiated; use backend 'reference'")


def _refuse_tangents(*tensors: Tensor) -> None:
    """Forward-mode derivatives would silently be zero."""
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:
        return
    unpack: Callable[[Tensor], Any] = forward_ad.unpack_dual
    if any(unpack(tensor).tangent is not None for tensor in tensors):
        raise RuntimeError("sdfido's compiled operators have no forward-mode derivative; use backend 'reference'")


def _use_native(device: torch.device) -> bool:
    if _backend == "reference":
        return False
    available = not _why_no_native and (device.type == "cpu" or (device.type == "cuda" and bool(_cuda_archs)))
    if _backend == "native" and not available:
        why = _why_no_native or f"this build has no kernels for {device.type!r} tensors"
        raise RuntimeError(f"backend 'native' is not available: {why}; use backend 'auto' or 'reference'")
    return available


# Checks, all on metadata: nothing is read from the device.


def _check_tensor(name: str, value: object, form: str, dims: int | None) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor {form}, got {type(value).__name__}")
    if dims is not None and value.dim() != dims:
        raise ValueError(f"{name} must be {form}, got {value.dim()} dimensions: {list(value.shape)}")


def _check_temperature(temperature: float) -> float:
    if isinstance(temperature, bool) or not isinstance(temperature, numbers.Real):
        raise TypeError(f"temperature must be a number, got {type(temperature).__name__}")
    if not 1e-30 < temperature < 1e30:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    return float(temperature)


def _check_sampling(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float
) -> tuple[Tensor | None, float]:
    _check_tensor("logits", logits, "[N, K, h, w]", 4)
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"logits must be float32 or float64, got {logits.dtype}; use logits.float()")
    if 0 in logits.shape[1:]:
        raise ValueError(f"logits must have at least one mask and one cell, got {list(logits.shape)}")
    _check_tensor("rng", rng, "int64 [2]", 1)
    if rng.dtype != torch.int64 or rng.shape[0] != 2:
        raise ValueError(f"rng must be int64 [2], got {rng.dtype} {list(rng.shape)}; use sdfido.make_rng(seed)")
    if rng.device != logits.device:
        raise ValueError(f"rng must be on the device of logits, {logits.device}, got {rng.device}; use rng.to(...)")
    if isinstance(num_samples, bool) or not isinstance(num_samples, (numbers.Integral, torch.SymInt)):
        raise TypeError(f"num_samples must be an integer, got {type(num_samples).__name__}")
    if not 1 <= num_samples < 2**31:
        raise ValueError(f"num_samples must be at least 1 and below 2**31, got {num_samples}")
    if streams is not None:
        _check_tensor("streams", streams, "int64 [N]", 1)
        if streams.dtype != torch.int64 or streams.shape[0] != logits.shape[0]:
            raise ValueError(
                f"streams must be int64 [{logits.shape[0]}], one number an image, got {streams.dtype} "
                f"{list(streams.shape)}"
            )
        if streams.device != logits.device:
            raise ValueError(f"streams must be on the device of logits, {logits.device}, got {streams.device}")
        streams = streams.contiguous()
    return streams, _check_temperature(temperature)


def _check_images(
    logits: Tensor, image: Tensor, infill: Tensor, dtype: torch.dtype | None
) -> tuple[Tensor, torch.dtype]:
    _check_tensor("image", image, "[N, C, H, W]", 4)
    if not isinstance(infill, Tensor):
        raise TypeError(f"infill must be a tensor that broadcasts against image, got {type(infill).__name__}")
    allowed = (torch.float64,) if logits.dtype == torch.float64 else _STORED
    for name, value in (("image", image.dtype), ("infill", infill.dtype), ("dtype", dtype or image.dtype)):
        if value not in allowed:
            names = " or ".join(str(d).removeprefix("torch.") for d in allowed)
            raise TypeError(f"{name} must be {names} with {logits.dtype} logits, got {value}")
    if infill.dtype != image.dtype:
        raise TypeError(f"infill must have the dtype of image, {image.dtype}, got {infill.dtype}; use infill.to(...)")
    for name, tensor in (("image", image), ("infill", infill)):
        if tensor.device != logits.device:
            raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")
    n, _, h, w = logits.shape
    if image.shape[0] != n:
        raise ValueError(f"image must have the batch size of logits, {n}, got {image.shape[0]}")
    if image.shape[1] == 0:
        raise ValueError(f"image must have at least one channel, got {list(image.shape)}")
    if h > image.shape[2] or w > image.shape[3]:
        raise ValueError(
            f"logits must have at most as many cells as image has pixels, got {h}x{w} cells for "
            f"{image.shape[2]}x{image.shape[3]} pixels"
        )
    if infill.dim() > 4 or any(
        size not in (1, full) for size, full in zip(reversed(infill.shape), reversed(image.shape), strict=False)
    ):
        raise ValueError(f"infill must broadcast against image {list(image.shape)}, got {list(infill.shape)}")
    return infill.expand(image.shape), dtype or image.dtype


# sample_masks


def sample_masks(
    logits: Tensor,
    rng: Tensor,
    *,
    num_samples: int,
    temperature: float = 0.1,
    antithetic: bool = False,
    streams: Tensor | None = None,
) -> Tensor:
    """Sample relaxed masks by simplified concrete dropout.

    ``m = sigmoid((logits + log u - log(1-u)) / temperature)`` with ``dm/dlogits = m(1-m) / temperature``; 1 keeps a
    cell, 0 infills it. The noise depends on the seed, the step, the stream, the mask, the sample and the cell alone:
    not on the batch, the device or the number of threads. It is recomputed in the backward pass, not stored.

    Args:
        logits: keep logits [N, K, h, w], float32 or float64; sigmoid(logits) is the probability of keeping a cell.
        rng: random state from :func:`make_rng`, int64 [2] on the device of ``logits``.
        num_samples: samples S of each mask, at least 1.
        temperature: positive; towards 0 masks become binary. Fastest where 1/temperature is 1, ..., 10 or 20.
        antithetic: samples 2j and 2j+1 share their noise, with opposite signs.
        streams: int64 [N], which noise each image gets; 0, ..., N-1 by default.

    Returns:
        Masks [N, K, S, h, w] in 0..1, with the dtype of ``logits``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    streams, temperature = _check_sampling(logits, rng, streams, num_samples, temperature)
    if not _use_native(logits.device):
        return reference.sample_masks(logits, rng, streams, num_samples, temperature, antithetic)
    _refuse_tangents(logits)
    masks: Tensor = torch.ops.sdfido.sample_masks(
        logits, rng.contiguous(), streams, num_samples, temperature, antithetic
    )
    return masks


def _sample_masks_fake(
    logits: Tensor, rng: Tensor, streams: Tensor | None, num_samples: int, temperature: float, antithetic: bool
) -> Tensor:
    n, k, h, w = logits.shape
    return logits.new_empty((n, k, num_samples, h, w))


def _sample_masks_backward_fake(grad: Tensor, logits: Tensor, *_: Any) -> Tensor:
    return logits.new_empty(logits.shape)


def _sample_masks_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, rng, streams, *ctx.options = inputs
    ctx.save_for_backward(logits, rng, streams)


def _sample_masks_autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return torch.ops.sdfido.sample_masks_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None, None, None


# sample_composites


class CompositeSamples(NamedTuple):
    """What :func:`sample_composites` returns."""

    composites: Tensor  #: [N, K, S, C, H, W]
    sparsity: Tensor  #: [N, K], mean keep rate, 0..1
    smoothness: Tensor  #: [N, K], total variation of the keep rates a cell, 0..2


def sample_composites(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    *,
    num_samples: int,
    temperature: float = 0.1,
    antithetic: bool = False,
    streams: Tensor | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> CompositeSamples:
    """Sample masks, upsample them, blend image and infill, and compute both penalties, in one pass.

    ``composites = infill + M * (image - infill)`` with ``M`` the bilinearly upsampled masks of :func:`sample_masks`;
    for keep rates ``r = sigmoid(logits)``, ``sparsity = mean r`` and ``smoothness = (sum |r[y,x+1] - r[y,x]| +
    sum |r[y+1,x] - r[y,x]|) / (h*w)``. Differentiable in logits, image and infill; the backward pass is one more pass,
    which recomputes the masks.

    Args:
        logits: keep logits [N, K, h, w], float32; h <= H and w <= W.
        image: [N, C, H, W], float32, bfloat16 or float16, in any memory layout.
        infill: what replaces dropped pixels; broadcasts against ``image``, same dtype.
        rng, num_samples, temperature, antithetic, streams: as in :func:`sample_masks`.
        dtype: of the composites, float32, bfloat16 or float16; that of ``image`` by default.
        channels_last: ``composites.flatten(0, 2)`` is then, without a copy, a batch in channels-last memory format.

    With float64 logits everything is float64.

    Returns:
        Composites [N, K, S, C, H, W], sparsity [N, K] and smoothness [N, K].

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Example:
        >>> samples = sdfido.sample_composites(logits, image, infill, sdfido.make_rng(0), num_samples=8)
        >>> scores = model(samples.composites.flatten(0, 2))

    Source: Chang et al., "Explaining image classifiers by counterfactual generation", ICLR 2019, arXiv 1807.08024.
    """
    streams, temperature = _check_sampling(logits, rng, streams, num_samples, temperature)
    infill, dtype = _check_images(logits, image, infill, dtype)
    arguments = (streams, num_samples, temperature, antithetic, dtype, channels_last)
    if _use_native(logits.device):
        _refuse_tangents(logits, image, infill)
        traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
        sample: Callable[..., Any] = torch.ops.sdfido.sample_composites if traced else _SampleComposites.apply
        outputs = sample(logits, image, infill, rng.contiguous(), *arguments)
    else:
        outputs = reference.sample_composites(logits, image, infill, rng, *arguments)
    return CompositeSamples(*outputs)


def _sample_composites_fake(
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    streams: Tensor | None,
    num_samples: int,
    temperature: float,
    antithetic: bool,
    dtype: torch.dtype,
    channels_last: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    n, k = logits.shape[:2]
    _, c, height, width = image.shape
    if channels_last:
        composites = image.new_empty((n, k, num_samples, height, width, c), dtype=dtype).movedim(-1, 3)
    else:
        composites = image.new_empty((n, k, num_samples, c, height, width), dtype=dtype)
    return composites, logits.new_empty((n, k)), logits.new_empty((n, k))


def _sample_composites_backward_fake(
    grad_composites: Tensor | None,
    grad_sparsity: Tensor | None,
    grad_smoothness: Tensor | None,
    logits: Tensor,
    image: Tensor,
    infill: Tensor,
    rng: Tensor,
    streams: Tensor | None,
    num_samples: int,
    temperature: float,
    antithetic: bool,
    image_gradient: bool,
    infill_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        logits.new_empty(logits.shape),
        image.new_empty(image.shape if image_gradient else (0,)),
        image.new_empty(image.shape if infill_gradient else (0,)),
    )


def _sample_composites_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, image, infill, rng, streams, *options = inputs
    ctx.options = options[:3]  # samples, temperature, antithetic; the rest shapes outputs only
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(logits, image, infill, rng, streams)


def _sample_composites_autograd(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    _, image_gradient, infill_gradient = ctx.needs_input_grad[:3]
    logits, image, infill = torch.ops.sdfido.sample_composites_backward(
        *grads, *ctx.saved_tensors, *ctx.options, image_gradient, infill_gradient
    )
    return logits, image if image_gradient else None, infill if infill_gradient else None, *[None] * 7


class _SampleComposites(torch.autograd.Function):
    """The operator with the autograd that is registered below, on a way that saves 0.06 ms of Python a step."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            outputs = torch.ops.sdfido.sample_composites(*inputs)
        _sample_composites_setup(ctx, inputs, outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():  # a derivative of the gradient is wanted, which the operator refuses
            return _sample_composites_autograd(ctx, *grads)
        with torch._C._AutoDispatchBelowAutograd():
            return _sample_composites_autograd(ctx, *grads)


# simplified_concrete


def simplified_concrete(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Relaxed Bernoulli samples from logits and given uniform numbers, elementwise.

    ``m = sigmoid((logits + log u - log(1-u)) / temperature)``, ``dm/dlogits = m(1-m) / temperature``.

    Args:
        logits: keep logits of any shape, float32 or float64.
        u: uniform numbers in [0, 1], same shape, dtype and device; not differentiated. NaN results outside [0, 1].
        temperature: positive.

    Returns:
        Samples in 0..1 with the shape and dtype of ``logits``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, dtype, device, shape or range; the message says which.

    Source: Korsch, Shadaydeh, Denzler, "Simplified concrete dropout", GCPR 2023, arXiv 2307.14825.
    """
    _check_tensor("logits", logits, "of any shape", None)
    _check_tensor("u", u, "of the shape of logits", None)
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"logits must be float32 or float64, got {logits.dtype}; use logits.float()")
    if u.dtype != logits.dtype:
        raise TypeError(f"u must have the dtype of logits, {logits.dtype}, got {u.dtype}")
    if u.shape != logits.shape:
        raise ValueError(f"u must have the shape of logits, {list(logits.shape)}, got {list(u.shape)}")
    if u.device != logits.device:
        raise ValueError(f"u must be on the device of logits, {logits.device}, got {u.device}")
    temperature = _check_temperature(temperature)
    if not _use_native(logits.device):
        return reference.simplified_concrete(logits, u.detach(), temperature)
    _refuse_tangents(logits, u)
    masks: Tensor = torch.ops.sdfido.simplified_concrete(logits, u.detach(), temperature)
    return masks


def _simplified_concrete_fake(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    return logits.new_empty(logits.shape)


def _simplified_concrete_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, ctx.temperature = inputs
    ctx.save_for_backward(output)


def _simplified_concrete_autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (masks,) = ctx.saved_tensors
    return torch.ops.sdfido.simplified_concrete_backward(grad, masks, ctx.temperature), None, None


if not _why_no_native:
    for _name in ("sample_masks", "sample_composites", "simplified_concrete"):
        torch.library.register_autograd(f"sdfido::{_name}_backward", _refuse_second_order)
    torch.library.register_fake("sdfido::cpu_isa", lambda: "")
    torch.library.register_fake("sdfido::cuda_archs", lambda: "")
    torch.library.register_fake("sdfido::sample_masks", _sample_masks_fake)
    torch.library.register_fake("sdfido::sample_masks_backward", _sample_masks_backward_fake)
    torch.library.register_autograd("sdfido::sample_masks", _sample_masks_autograd, setup_context=_sample_masks_setup)
    torch.library.register_fake("sdfido::sample_composites", _sample_composites_fake)
    torch.library.register_fake("sdfido::sample_composites_backward", _sample_composites_backward_fake)
    torch.library.register_autograd(
        "sdfido::sample_composites", _sample_composites_autograd, setup_context=_sample_composites_setup
    )
    torch.library.register_fake("sdfido::simplified_concrete", _simplified_concrete_fake)
    torch.library.register_fake(
        "sdfido::simplified_concrete_backward", lambda grad, masks, temperature: masks.new_empty(masks.shape)
    )
    torch.library.register_autograd(
        "sdfido::simplified_concrete", _simplified_concrete_autograd, setup_context=_simplified_concrete_setup
    )
