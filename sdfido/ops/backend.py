"""What computes the operators: the compiled library or the reference. And what this installation is."""

import contextlib
import importlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .._version import __version__
from ..checks import check_choice
from ..surroundings import mind_fork
from . import gpus

MIN_TORCH = "2.10"  #: the oldest supported version

BackendName = Literal["auto", "native", "reference"]
_BACKENDS = ("auto", "native", "reference")


def _load() -> str | None:
    """Load the library, which registers ``torch.ops.sdfido.*``; say why that failed, if it did."""
    try:
        importlib.import_module("sdfido._C")
    except ImportError as error:
        folder = Path(__file__).parents[2]
        if (folder / "setup.py").exists():
            return (
                f"{error}: Python has found the sources in {folder}, before any installed package; start it in another "
                f"folder, or build the library there by pip install --editable {folder}"
            )
        return str(error)
    return None


_native_error = _load()
# Architectures that the CUDA kernels were compiled for; none: this build has no CUDA.
_cuda_archs: list[str] = torch.ops.sdfido.cuda_archs().split() if _native_error is None else []
_cuda_toolkit: str = torch.ops.sdfido.cuda_toolkit() if _native_error is None else ""
# By the GPU's number: why it cannot run the kernels, "" if it can; of GPUs that were asked about.
_cuda_errors: dict[int, str] = {}


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _cuda_error(index: int | None) -> str:
    """Why a GPU cannot run the kernels; empty if it can. Looked at once for each GPU."""
    if not _cuda_archs:
        return "this build has no kernels for 'cuda' tensors"
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    index = torch.cuda.current_device() if index is None else index
    if index not in _cuda_errors:
        error = gpus.why_not_driver(_cuda_toolkit, gpus.driver_version())
        error = error or gpus.why_not_capability(torch.cuda.get_device_capability(index), _cuda_archs)
        _cuda_errors[index] = error = error or gpus.why_no_launch(index)
        if error:
            warnings.warn(f"sdfido computes on cuda:{index} with PyTorch's operators: {error}", stacklevel=2)
    return _cuda_errors[index]


def _check_isa() -> None:
    wanted = os.environ.get("SDFIDO_CPU_ISA")
    if wanted and _native_error is None and wanted != torch.ops.sdfido.cpu_isa():
        raise ValueError(
            f"SDFIDO_CPU_ISA must be a level that this machine has, of baseline, avx2 and avx512; got {wanted!r}; "
            "unset it for the highest one"
        )


_check_isa()
_default = check_choice("SDFIDO_BACKEND", os.environ.get("SDFIDO_BACKEND") or "auto", _BACKENDS)


class _Choice(threading.local):
    """Each thread's choice. torch.compile follows thread-local attributes, which it does not with ``ContextVar``."""

    def __init__(self) -> None:
        self.name = _default


_choice = _Choice()


@contextlib.contextmanager
def backend(name: BackendName) -> Iterator[None]:
    """Choose what computes the operators inside a ``with`` block; ``SDFIDO_BACKEND`` sets the default.

    ``"native"`` takes the compiled kernels or raises, ``"reference"`` plain PyTorch, ``"auto"`` the compiled kernels
    where this build has them for the operands' device. The choice holds in the thread that makes it; other threads
    keep theirs, and new threads start with the default.

    Raises:
        ValueError: ``name`` is none of the three.
    """
    previous, _choice.name = _choice.name, check_choice("backend", name, _BACKENDS)
    try:
        yield
    finally:
        _choice.name = previous


def build_info() -> dict[str, Any]:
    """What this installation is and computes with.

    Keys: ``version``; ``native`` (compiled kernels are there) and ``native_error`` (why not, or None); ``cuda`` (those
    for GPUs are among them; without them CUDA tensors are computed by the reference) and ``cuda_archs`` (what they were
    compiled for); ``cuda_toolkit`` and ``cuda_driver`` (versions of CUDA that they were built with and that the driver
    serves, or None); ``cuda_errors`` (for each GPU that was used and cannot run them: why the reference computes in
    their place); ``cpu_isa`` (instruction-set level in use, or None); ``backend`` (the default or chosen one);
    ``min_torch`` and ``torch`` (oldest supported and present version).
    """
    native, driver = _native_error is None, gpus.driver_version()
    return {
        "version": __version__,
        "native": native,
        "native_error": _native_error,
        "cuda": bool(_cuda_archs),
        "cuda_archs": list(_cuda_archs),
        "cuda_toolkit": _cuda_toolkit or None,
        "cuda_driver": ".".join(map(str, driver)) if driver else None,
        "cuda_errors": {f"cuda:{index}": error for index, error in _cuda_errors.items() if error},
        "cpu_isa": torch.ops.sdfido.cpu_isa() if native else None,
        "backend": _choice.name,
        "min_torch": MIN_TORCH,
        "torch": torch.__version__,
    }


def get_include() -> str:
    """Folder with the headers of the mathematics, for C++ and CUDA: ``#include <sdfido/math/concrete.h>``."""
    return str(Path(__file__).parents[1] / "include")


def use_native(device: torch.device) -> bool:
    """Whether the compiled kernels compute operands on this device.

    Raises:
        RuntimeError: backend ``"native"`` is chosen, and there are no kernels for the device.
    """
    mind_fork()
    if _choice.name == "reference":
        return False
    why = _native_error or ""
    if not why and device.type == "cuda":
        why = _cuda_error(device.index)
    elif not why and device.type != "cpu":
        why = f"this build has no kernels for {device.type!r} tensors"
    if _choice.name == "native" and why:
        raise RuntimeError(f"backend 'native' is not available: {why}; use backend 'auto' or 'reference'")
    return not why


def refuse_tangents(*tensors: Tensor) -> None:
    """Raise where an operand has a tangent: the forward-mode derivative would silently be zero."""
    for tensor in tensors:
        if forward_ad.unpack_dual(tensor).tangent is not None:  # type: ignore[no-untyped-call]
            raise RuntimeError("sdfido's compiled operators have no forward-mode derivative; use backend 'reference'")


def register(
    name: str,
    *,
    fake: Callable[..., Any],
    backward_fake: Callable[..., Any],
    setup: Callable[..., None],
    backward: Callable[..., Any],
) -> Callable[..., Any]:
    """Register fake kernels and autograd of the compiled operators ``NAME`` and ``NAME_backward``, where there are any.

    Args:
        name: of the operator.
        fake: makes empty results of the operator, by its arguments.
        backward_fake: makes empty results of ``NAME_backward``, by its arguments.
        setup: saves in ``ctx`` what the backward pass needs, by ``(ctx, inputs, output)``.
        backward: the gradients of the operator's arguments, by ``(ctx, *grads)``.

    Returns:
        The operator. Where a gradient is wanted, the call goes to the same ``setup`` and ``backward`` past the
        dispatcher's autograd, whose Python takes longer than the kernels on small masks.
    """
    if _native_error is not None:
        return _unavailable

    def gradients(ctx: Any, *grads: Any) -> Any:
        found = backward(ctx, *grads)
        if not torch.is_grad_enabled():
            return found
        # A derivative of the gradient may follow. `NAME_backward` has no autograd of its own, whose Python would
        # take longer than the kernels on small masks.
        origins = [t for t in (*grads, *ctx.saved_tensors) if isinstance(t, Tensor) and t.requires_grad]
        every = found if isinstance(found, tuple) else (found,)
        return tuple(_Once.apply(t, *origins) if isinstance(t, Tensor) else t for t in every)  # type: ignore[no-untyped-call]

    torch.library.register_fake(f"sdfido::{name}", fake)
    torch.library.register_fake(f"sdfido::{name}_backward", backward_fake)
    torch.library.register_autograd(f"sdfido::{name}", gradients, setup_context=setup)
    operator: Callable[..., Any] = getattr(torch.ops.sdfido, name).default

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = operator(*inputs)
            setup(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return gradients(ctx, *grads)

    def call(*arguments: Any) -> Any:
        wanted = torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in arguments[:3])
        if not wanted or torch.compiler.is_compiling():
            return operator(*arguments)
        return Differentiable.apply(*arguments)  # type: ignore[no-untyped-call]

    return call


def _unavailable(*arguments: Any) -> NoReturn:
    raise RuntimeError(f"the compiled operators are not available: {_native_error}")


class _Once(torch.autograd.Function):
    """A gradient that depends on other tensors, in a way that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *origins: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> NoReturn:
        raise RuntimeError(
            "the gradient of sdfido's compiled operators cannot be differentiated; use backend 'reference'"
        )


if _native_error is None:
    torch.library.register_fake("sdfido::cpu_isa", lambda: "")
    torch.library.register_fake("sdfido::cuda_archs", lambda: "")
    torch.library.register_fake("sdfido::cuda_toolkit", lambda: "")
