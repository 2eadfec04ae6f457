"""Runs of the emulated kernels, and their comparison with the CPU backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sdfido
from tests.support import Case

# Masks and composites have the CPU backend's bits. Sums need not have them: largest difference, relative to the largest
# value. Gradients run over up to a few hundred terms in another order, each rounded by 6e-8 of the sum so far, or a
# format's last place where they are stored in 16 bits. Penalties are summed in float64, by the CPU backend over short
# runs in float32, so that they may round to the neighbour.
GRADIENTS = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}
PENALTIES = {torch.float64: 1e-14, torch.float32: 2**-22}


class Mismatch(AssertionError):
    """The emulated kernel computed something else than the CPU backend."""


def as_array(tensor: Tensor | None) -> Any:
    """The same memory for NumPy, which has no bfloat16."""
    if tensor is None:
        return None
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def bits_of(tensor: Tensor) -> Tensor:
    return tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])


def unwritten(shape: tuple[int, ...], dtype: torch.dtype, offset: int = 0) -> Tensor:
    """An output full of a NaN that no arithmetic makes, `offset` elements after a multiple of 64 bytes."""
    size = int(np.prod(shape))
    memory = torch.empty(size + offset, dtype=dtype)
    bits_of(memory).fill_(-1)
    return memory[offset:].view(shape)


def moved(tensor: Tensor, offset: int) -> Tensor:
    if not tensor.is_contiguous():
        return tensor
    return unwritten(tuple(tensor.shape), tensor.dtype, offset).copy_(tensor)


def assert_written(name: str, value: Tensor) -> None:
    missing = int((bits_of(value) == -1).sum())
    if missing:
        raise Mismatch(f"{name}: {missing} of {value.numel()} elements are not written")


def differing(actual: Tensor, expected: Tensor) -> Tensor:
    """Where the bits differ; any NaN is as good as another."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    return (bits_of(actual) != bits_of(expected)) & ~(actual.isnan() & expected.isnan())


def assert_same(name: str, actual: Tensor, expected: Tensor) -> None:
    wrong = differing(actual, expected).nonzero()
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise Mismatch(
            f"{name}: {len(wrong)} of {actual.numel()} elements differ, first {at}: {actual[at]} for {expected[at]}"
        )


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    if expected.numel() == 0:
        return 0.0
    actual, expected = actual.double(), expected.double()
    if not torch.equal(actual.isnan(), expected.isnan()):
        return float("nan")
    scale = expected.nan_to_num().abs().max().clamp(min=1e-6)
    return float((actual - expected).nan_to_num().abs().max() / scale)


def assert_sums(name: str, actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    allowed = (GRADIENTS if "grad" in name else PENALTIES)[expected.dtype]
    difference = relative_difference(actual, expected)
    if not difference <= allowed:
        raise Mismatch(f"{name}: relative difference {difference:.1e}, at most {allowed:.1e} allowed")


@dataclass
class EmulatedCase(Case):
    """One forward and one backward pass."""

    offset: int = 0  # elements between a multiple of 64 bytes and the begin of every contiguous array
    extremes: bool = False  # NaN and huge logits
    streams: tuple[int, ...] | None = None
    given: tuple[str, ...] = ("composites", "sparsity", "smoothness")  # gradients that there are
    wanted: tuple[str, ...] = ("image", "infill")  # gradients besides the logits'

    def __post_init__(self) -> None:
        self.rng = sdfido.make_rng(-1234567890123, step=5)
        logits, image, infill = super().operands()
        logits = logits.contiguous()
        if self.extremes:
            flat = logits.view(-1)
            for i, value in enumerate((float("nan"), 1e4, -1e4, float("inf"), -float("inf"), 90.0, -90.0)):
                flat[(i * 37 + 5) % flat.numel()] = value
        logits, image, infill = (moved(t, self.offset) for t in (logits, image, infill))
        self.tensors = {"logits": logits, "image": image, "infill": infill.expand(image.shape)}
        generator = torch.Generator().manual_seed(self.seed + 1)
        self.weights = {
            name: moved(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype), self.offset)
            for name, shape, dtype in (
                ("composites", self.composites_shape, self.out_dtype or self.dtype),
                ("sparsity", (self.n, self.k), self.logits_dtype),
                ("smoothness", (self.n, self.k), self.logits_dtype),
            )
            if name in self.given
        }
        for name in {"sparsity", "smoothness"} & self.weights.keys():
            self.weights[name] *= logits.shape[2] * logits.shape[3]  # so that they count beside the composites

    @property
    def composites_shape(self) -> tuple[int, ...]:
        """In memory."""
        height, width = self.size
        image = (height, width, self.c) if self.channels_last else (self.c, height, width)
        return (self.n, self.k, self.s, *image)

    def in_order(self, composites: Tensor | None) -> Tensor | None:
        return composites.movedim(-1, 3) if self.channels_last and composites is not None else composites

    @property
    def streams_tensor(self) -> Tensor | None:
        return None if self.streams is None else torch.tensor(self.streams)

    def native(self) -> dict[str, Tensor]:
        """What the CPU backend computes."""
        with sdfido.backend("native"):
            outputs = sdfido.sample_composites(
                *self.tensors.values(),
                self.rng,
                num_samples=self.s,
                temperature=self.temperature,
                antithetic=self.antithetic,
                streams=self.streams_tensor,
                dtype=self.out_dtype,
                channels_last=self.channels_last,
            )
        gradients = torch.ops.sdfido.sample_composites_backward(
            self.in_order(self.weights.get("composites")),
            self.weights.get("sparsity"),
            self.weights.get("smoothness"),
            *self.tensors.values(),
            self.rng,
            self.streams_tensor,
            self.s,
            self.temperature,
            self.antithetic,
            *(name in self.wanted for name in ("image", "infill")),
        )
        named = dict(zip(("logits", "image", "infill"), gradients, strict=True))
        wanted = {f"grad_{name}": named[name] for name in ("logits", *self.wanted)}
        return dict(zip(outputs._fields, outputs, strict=True)) | wanted

    def forward(self, kernels: Any) -> dict[str, Tensor]:
        """What the forward kernel computes; its accesses are in ``kernels.counters()``."""
        shapes = {
            "composites": (self.composites_shape, self.out_dtype or self.dtype),
            "sparsity": ((self.n, self.k), self.logits_dtype),
            "smoothness": ((self.n, self.k), self.logits_dtype),
        }
        outputs = {name: unwritten(*form, self.offset) for name, form in shapes.items()}
        operands = (*self.tensors.values(), self.rng, self.streams_tensor)
        kernels.composite_forward(
            *map(as_array, operands),
            self.temperature,
            self.antithetic,
            self.channels_last,
            *map(as_array, outputs.values()),
        )
        for name, value in outputs.items():
            assert_written(name, value)
        return outputs | {"composites": self.in_order(outputs["composites"])}

    def backward(self, kernels: Any, blocks: int = 3) -> dict[str, Tensor]:
        """What the backward kernels compute; a second launch has so many blocks."""
        likes = {name: self.tensors[name] for name in ("logits", *self.wanted)}
        outputs = {name: unwritten(tuple(like.shape), like.dtype, self.offset) for name, like in likes.items()}
        given = (self.weights.get(name) for name in ("composites", "sparsity", "smoothness"))
        operands = (*self.tensors.values(), self.rng, self.streams_tensor)
        kernels.composite_backward(
            *map(as_array, given),
            *map(as_array, operands),
            self.s,
            self.temperature,
            self.antithetic,
            self.channels_last,
            *(as_array(outputs.get(name)) for name in ("logits", "image", "infill")),
            blocks,
        )
        for name, value in outputs.items():
            assert_written(f"grad_{name}", value)
        return {f"grad_{name}": value for name, value in outputs.items()}


@dataclass
class BlendCase(EmulatedCase):
    """One forward and one backward pass of blend: masks are given in place of logits."""

    masks_layout: str = "contiguous"  # sliced, expanded
    wanted: tuple[str, ...] = ("masks", "image", "infill")

    def __post_init__(self) -> None:
        super().__post_init__()
        masks = 2 * random(self.n, self.k, self.s, *(self.cells or self.size), seed=7, dtype=self.logits_dtype)
        if self.extremes:
            flat = masks.view(-1)
            for i, value in enumerate((0.0, -0.0, 1.0, 1e30, -1e30, float("inf"), float("nan"))):
                flat[(i * 37 + 5) % flat.numel()] = value
        if self.masks_layout == "sliced":
            masks = masks.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)[..., ::2, ::2]
        elif self.masks_layout == "expanded":
            masks = masks[:, :1, :, :1].expand(masks.shape)
        self.tensors = {"masks": moved(masks, self.offset)} | {n: self.tensors[n] for n in ("image", "infill")}

    def native(self) -> dict[str, Tensor]:
        tensors = tuple(self.tensors.values())
        composites = torch.ops.sdfido.blend(*tensors, self.out_dtype or self.dtype, self.channels_last)
        grad = self.in_order(self.weights["composites"])
        wanted = [name in self.wanted for name in self.tensors]
        gradients = torch.ops.sdfido.blend_backward(grad, *tensors, *wanted)
        named = {f"grad_{name}": g for name, g in zip(self.tensors, gradients, strict=True) if name in self.wanted}
        return {"composites": composites} | named

    def forward(self, kernels: Any) -> dict[str, Tensor]:
        composites = unwritten(self.composites_shape, self.out_dtype or self.dtype, self.offset)
        kernels.blend_forward(*map(as_array, self.tensors.values()), self.channels_last, as_array(composites))
        assert_written("composites", composites)
        return {"composites": self.in_order(composites)}

    def backward(self, kernels: Any, blocks: int = 3) -> dict[str, Tensor]:
        outputs = {
            name: unwritten(tuple(self.tensors[name].shape), self.tensors[name].dtype, self.offset)
            for name in self.wanted
        }
        kernels.blend_backward(
            as_array(self.weights["composites"]),
            *map(as_array, self.tensors.values()),
            self.channels_last,
            *(as_array(outputs.get(name)) for name in self.tensors),
            blocks,
        )
        for name, value in outputs.items():
            assert_written(f"grad_{name}", value)
        return {f"grad_{name}": value for name, value in outputs.items()}


def check(kernels: Any, case: EmulatedCase, expected: dict[str, Tensor] | None = None) -> None:
    """Both passes against the CPU backend."""
    expected = expected or case.native()
    actual = case.forward(kernels) | case.backward(kernels)
    assert actual.keys() == expected.keys()
    assert_same("composites", actual.pop("composites"), expected["composites"])
    for name, value in actual.items():
        assert_sums(name, value, expected[name])


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def check_masks(kernels: Any, dtype: torch.dtype, s: int, streams: list[int] | None = None, **options: Any) -> None:
    """Masks alone, and their gradient, against the CPU backend; ``options`` are of sample_masks."""
    n, k, h, w = 2, 3, 15, 31
    logits, grad = 2 * random(n, k, h, w, dtype=dtype), random(n, k, s, h, w, seed=1, dtype=dtype)
    logits.view(-1)[:5] = torch.tensor([float("nan"), 1e4, -1e4, float("inf"), -float("inf")])
    rng, numbers = sdfido.make_rng(3, step=2**35 + 1), None if streams is None else torch.tensor(streams)
    with sdfido.backend("native"):
        leaf = logits.clone().requires_grad_()
        expected = sdfido.sample_masks(leaf, rng, num_samples=s, streams=numbers, **options)
        (expected_grad,) = torch.autograd.grad(expected, leaf, grad)
    sampling = (as_array(rng), as_array(numbers), options["temperature"], options["antithetic"])
    for blocks in (1 + logits.numel() // kernels.MASK_THREADS, 2):  # a cell to a thread, and several
        masks, gradient = unwritten((n, k, s, h, w), dtype), unwritten((n, k, h, w), dtype)
        kernels.masks_forward(as_array(logits), *sampling, as_array(masks), blocks)
        assert_written("masks", masks)
        assert_same("masks", masks, expected.detach())
        kernels.masks_backward(as_array(grad), as_array(logits), *sampling, as_array(gradient), blocks)
        assert_written("grad_logits", gradient)
        assert_sums("grad_logits", gradient, expected_grad)
