"""What the operator tests share: devices, one table of tolerances, random operands, one way to run an operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import sdfido

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() and sdfido.build_info()["cuda"] else [])

SIZES = [  # pixels, cells (None: full resolution)
    ((1, 1), None),
    ((5, 7), None),
    ((33, 17), None),
    ((40, 41), None),  # several chunks and bands
    ((5, 7), (1, 1)),
    ((16, 24), (4, 8)),
    ((33, 17), (7, 5)),
    ((13, 29), (13, 7)),
    ((31, 19), (4, 19)),
    ((3, 600), (2, 550)),
    ((1, 21), (1, 3)),
    ((63, 64), (3, 2)),
]

# The first threaded float32 log of a process has come out wrong by 4e-5 in torch's CPU build, in 3 of 180 processes;
# after a small one it never did. The reference, which the compiled operators are held against, takes logarithms.
torch.ones(1).log()

# Largest difference between compiled operator and reference, relative to the largest value of the reference.
# float32: both round in float32, along different formulas, and 1/temperature = 10 multiplies a logit's rounding.
# 16-bit formats: one unit in the last place of what is stored, since a rounding may go either way.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}


def assert_near(actual: Tensor, expected: Tensor, what: str, dtype: torch.dtype | None = None) -> None:
    """Equal up to the tolerance of ``dtype`` (by default the tensors' own), NaN where NaN is expected."""
    assert actual.shape == expected.shape, f"{what}: {actual.shape} instead of {expected.shape}"
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype} instead of {expected.dtype}"
    if expected.numel() == 0:
        return
    tolerance = TOLERANCE[dtype or expected.dtype]
    actual, expected = actual.detach().double().cpu(), expected.detach().double().cpu()
    assert torch.equal(actual.isnan(), expected.isnan()), f"{what}: NaN in other places"
    # Operands are of order 1: where all results are small, what counts is their rounding, some 1e-7.
    scale = expected.nan_to_num().abs().max().clamp(min=0.05)
    worst = float((actual - expected).nan_to_num().abs().max() / scale)
    assert worst <= tolerance, f"{what}: relative difference {worst:.2e}, at most {tolerance:.2e} allowed"


@dataclass
class Case:
    """One call of sample_composites or blend: sizes, options and layouts."""

    n: int = 2
    k: int = 2
    s: int = 4
    c: int = 3
    size: tuple[int, int] = (9, 12)
    cells: tuple[int, int] | None = None
    temperature: float = 0.1  # this and the next of sample_composites alone
    antithetic: bool = False
    channels_last: bool = False
    dtype: torch.dtype = torch.float32
    out_dtype: torch.dtype | None = None
    layout: str = "contiguous"  # of the image: contiguous, channels-last, sliced, expanded
    infill: str = "full"  # full, pixel (one colour an image), scalar
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def logits_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def operands(self, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        height, width = self.size
        h, w = self.cells or self.size
        logits = (2 * random(self.n, self.k, h, w)).to(device, self.logits_dtype)
        image = random(self.n, self.c, height, width).to(device, self.dtype)
        if self.layout == "channels-last":
            image = image.contiguous(memory_format=torch.channels_last)
        elif self.layout == "sliced":
            padded = random(self.n, self.c + 1, height + 2, 2 * width).to(device, self.dtype)
            padded[:, 1:, 1:-1, ::2] = image
            image = padded[:, 1:, 1:-1, ::2]
            logits = logits.transpose(2, 3).contiguous().transpose(2, 3)
        elif self.layout == "expanded":
            image = random(1, self.c, 1, width).to(device, self.dtype).expand(self.n, self.c, height, width)
        shape = {"full": (self.n, self.c, height, width), "pixel": (self.n, self.c, 1, 1), "scalar": ()}[self.infill]
        return logits, image, random(*shape).to(device, self.dtype)

    def masks(self, device: str = "cpu") -> Tensor:
        """Masks [N, K, S, h, w] for blend, of any values: some 0, some 1, others far outside 0..1."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        h, w = self.cells or self.size
        values = 3 * torch.randn(self.n, self.k, self.s, h, w, generator=generator, dtype=torch.float64)
        values[torch.rand(values.shape, generator=generator) < 0.2] = 0
        values[torch.rand(values.shape, generator=generator) < 0.2] = 1
        masks = values.to(device, self.logits_dtype)
        if self.layout == "sliced":
            masks = torch.stack([masks, masks + 1], -1)[..., 0]
        elif self.layout == "expanded":
            masks = masks[:, :1, :, :, :1].expand(masks.shape)
        return masks

    def run(self, backend: str, device: str = "cpu", image_gradients: bool = True) -> dict[str, Tensor]:
        """Outputs of sample_composites, and the gradients of a random weighting of all of them, by name."""
        logits, image, infill = self.operands(device)

        def sample(logits: Tensor, image: Tensor, infill: Tensor) -> dict[str, Tensor]:
            outputs = sdfido.sample_composites(
                logits,
                image,
                infill,
                sdfido.make_rng(1234567890123, step=5, device=device),
                num_samples=self.s,
                temperature=self.temperature,
                antithetic=self.antithetic,
                channels_last=self.channels_last,
                dtype=self.out_dtype,
                **self.options,
            )
            return outputs._asdict()

        operands = {"logits": logits, "image": image, "infill": infill}
        return self._run(sample, operands, backend, ("logits", "image", "infill") if image_gradients else ("logits",))

    def blend(
        self, backend: str, device: str = "cpu", wanted: tuple[str, ...] = ("masks", "image", "infill")
    ) -> dict[str, Tensor]:
        """Composites of blend, and the gradients of a random weighting of them, by name."""
        _, image, infill = self.operands(device)

        def blend(masks: Tensor, image: Tensor, infill: Tensor) -> dict[str, Tensor]:
            composites = sdfido.blend(masks, image, infill, channels_last=self.channels_last, dtype=self.out_dtype)
            return {"composites": composites}

        return self._run(blend, {"masks": self.masks(device), "image": image, "infill": infill}, backend, wanted)

    def _run(
        self,
        function: Callable[..., dict[str, Tensor]],
        operands: dict[str, Tensor],
        backend: str,
        wanted: tuple[str, ...],
    ) -> dict[str, Tensor]:
        operands = {name: tensor.detach().requires_grad_(name in wanted) for name, tensor in operands.items()}
        with sdfido.backend(backend):  # type: ignore[arg-type]
            outputs = function(**operands)
            generator = torch.Generator().manual_seed(self.seed + 1)
            weights = [torch.randn(o.shape, generator=generator).to(o) for o in outputs.values()]
            leaves = [operands[name] for name in wanted]
            gradients = torch.autograd.grad(list(outputs.values()), leaves, weights)
        return outputs | {f"grad_{name}": g for name, g in zip(wanted, gradients, strict=True)}


def compare(case: Case, device: str = "cpu") -> None:
    """Compiled sample_composites against the reference: every output and gradient."""
    _compare(case, case.run("native", device), case.run("reference", device))


def compare_blend(case: Case, device: str = "cpu") -> None:
    """Compiled blend against the reference: composites and every gradient."""
    _compare(case, case.blend("native", device), case.blend("reference", device))


def _compare(case: Case, native: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        # What a 16-bit gradient or composite is made of rounds in that format once.
        dtype = case.out_dtype if name != "sparsity" and case.out_dtype else None
        loosest = max((t for t in (dtype, case.dtype, value.dtype) if t), key=lambda t: TOLERANCE[t])
        assert_near(native[name], value, f"{name} of {case}", loosest if name.startswith("grad") else value.dtype)
        if name == "composites":
            strides = [
                (a, b)
                for a, b, size in zip(native[name].stride(), value.stride(), value.shape, strict=True)
                if size > 1
            ]
            assert value.numel() == 0 or all(a == b for a, b in strides)
