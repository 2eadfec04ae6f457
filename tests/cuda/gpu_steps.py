"""What `make gpu-check` does on a GPU, one function a step; each returns figures, or raises.

    python -m tests.cuda.gpu_steps STEP

runs one and prints its figures as JSON. With SDFIDO_REHEARSAL=1, the steps that a CPU can take run there, on less: to
see that they work.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import sdfido

REHEARSAL = os.environ.get("SDFIDO_REHEARSAL") == "1"
DEVICE = torch.device("cpu" if REHEARSAL else "cuda")
SIZE = 32 if REHEARSAL else 224
LOW = SIZE // 8  # rows and columns of cells below full resolution

Figures = dict[str, Any]


class Step:
    """Operands of one optimisation step of N images, 2 masks and 8 samples."""

    def __init__(self, cells: int, images: int = 1, device: torch.device = DEVICE, **options: Any) -> None:
        generator = torch.Generator().manual_seed(cells + images)
        self.logits = (3 * torch.randn(images, 2, cells, cells, generator=generator)).to(device).requires_grad_()
        self.image = torch.rand(images, 3, SIZE, SIZE, generator=generator).to(device)
        self.infill = torch.rand(images, 3, SIZE, SIZE, generator=generator).to(device)
        self.rng = sdfido.make_rng(1, device=device)
        self.options = {"num_samples": 8} | options
        self.grads: list[Tensor] = []

    def forward(self) -> Any:
        return sdfido.sample_composites(self.logits, self.image, self.infill, self.rng, **self.options)

    def both(self) -> list[Tensor]:
        """Composites, penalties and the logits' gradient."""
        outputs = self.forward()
        if not self.grads:
            generator = torch.Generator().manual_seed(7)
            self.grads = [torch.randn(o.shape, generator=generator).to(o) for o in outputs]
        return [*outputs, *torch.autograd.grad(outputs, self.logits, self.grads)]


def differing(a: Tensor, b: Tensor) -> int:
    """Elements whose bits differ; NaN counts by its bits, too."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return int((a.detach().cpu().contiguous().view(integer) != b.detach().cpu().contiguous().view(integer)).sum())


def bits() -> Figures:
    """Composites must have the CPU's bits; gradients and penalties differ by rounding only."""
    found: Figures = {}
    for cells in (SIZE, LOW):
        for images in (1, 2 if REHEARSAL else 8):  # launches of few blocks are divided otherwise
            for options in ({}, {"dtype": torch.bfloat16}, {"dtype": torch.float16}, {"channels_last": True}):
                name = f"{cells} cells, {images} images, {' '.join(map(str, options.values())) or 'float32'}"
                options = {"temperature": 0.1} | options
                here, cpu = (
                    Step(cells, images, **options).both(),
                    Step(cells, images, torch.device("cpu"), **options).both(),
                )
                wrong = differing(here[0], cpu[0])
                assert wrong == 0, f"{name}: {wrong} elements of the composites differ from the CPU's"
                pairs = list(zip(here[1:], cpu[1:], strict=True))
                off = max(float((a.detach().cpu() - b.detach()).abs().max() / b.abs().max()) for a, b in pairs)
                assert off < 5e-6, f"{name}: penalties or gradients differ by {off:.1e} of the largest"
                found[name] = off
    return {"largest difference of penalties and gradients": found}


def words() -> Figures:
    """Masks of tens of millions of random words at each built temperature, and all ways to round to 16 bits."""
    side = 256 if REHEARSAL else 4096
    found = 0
    for temperature in (1.0, 0.5, 1 / 3, 0.25, 0.2, 0.1, 0.05, 0.37):
        masks = []
        for device in (DEVICE, torch.device("cpu")):
            logits = torch.linspace(-6, 6, side, device="cpu").expand(1, 1, side, side).contiguous().to(device)
            masks.append(
                sdfido.sample_masks(logits, sdfido.make_rng(3, device=device), num_samples=4, temperature=temperature)
            )
        wrong = differing(*masks)
        assert wrong == 0, (
            f"at a temperature of {temperature}, {wrong} of {masks[0].numel()} masks differ from the CPU's"
        )
        found += masks[0].numel()
    halves = torch.arange(2**16, dtype=torch.int64)
    tails = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x2FFF, 0x3001])
    patterns = ((halves[:, None] << 16) + tails).flatten()
    numbers = torch.where(patterns >= 2**31, patterns - 2**32, patterns).to(torch.int32).view(torch.float32)
    infill = numbers.view(1, 1, -1, 256)
    for dtype in (torch.bfloat16, torch.float16):
        rounded = []
        for device in (DEVICE, torch.device("cpu")):
            same = infill.to(device)
            rounded.append(
                sdfido.blend(torch.zeros(1, 1, 1, *infill.shape[2:], device=device), same, same, dtype=dtype)
            )
        wrong = differing(*rounded)
        assert wrong == 0, f"{wrong} of {numbers.numel()} numbers are rounded to {dtype} otherwise than on the CPU"
    return {"masks": found, "roundings": 2 * numbers.numel()}


def repeats() -> Figures:
    """Bits must not depend on the order in which blocks end."""
    times = 5 if REHEARSAL else 1000
    for cells in (SIZE, LOW):
        for images in (1, 8):
            step = Step(cells, images)
            first = step.both()
            for i in range(times if images == 1 else times // 5):
                assert all(map(torch.equal, first, step.both())), f"repetition {i} at {cells} cells has other bits"
    return {"repetitions": times}


def graph() -> Figures:
    """A CUDA graph of both passes and a step of the random state, replayed, against the same without a graph."""
    for cells in (SIZE, LOW):
        step, eager = Step(cells), Step(cells)
        step.both()
        torch.cuda.synchronize()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            step.both()
        torch.cuda.current_stream().wait_stream(side)
        step.rng.copy_(eager.rng)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            results = step.both()
            step.rng[1] += 1
        step.rng.copy_(eager.rng)
        eager.grads = step.grads
        for number in range(20):
            captured.replay()
            torch.cuda.synchronize()
            expected = eager.both()
            eager.rng[1] += 1
            assert all(map(torch.equal, results, expected)), f"replay {number} at {cells} cells differs"
    return {"replays": 20}


def streams() -> Figures:
    """Two streams at once, and each GPU that there is while the first is the current one."""
    steps = [Step(cells, images) for cells in (SIZE, LOW) for images in (1, 8)]
    expected = [step.both() for step in steps]
    torch.cuda.synchronize()
    sides = [torch.cuda.Stream() for _ in steps]
    for _ in range(50):
        found = []
        for step, side in zip(steps, sides, strict=True):
            with torch.cuda.stream(side):
                found.append(step.both())
        torch.cuda.synchronize()
        for a, b in zip(found, expected, strict=True):
            assert all(map(torch.equal, a, b)), "results on several streams differ"
    for index in range(1, torch.cuda.device_count()):
        other = Step(LOW, device=torch.device("cuda", index)).both()
        pairs = zip(other, Step(LOW).both(), strict=True)
        assert all(torch.equal(a.cpu(), b.cpu()) for a, b in pairs), f"cuda:{index} has other bits"
    return {"streams": len(sides), "GPUs": torch.cuda.device_count()}


def offsets() -> Figures:
    """Composites of more than 2^31 elements: the last image must have the bits that it has alone."""
    images = 3 if REHEARSAL else 2**31 // (2 * 8 * 3 * SIZE * SIZE) + 2
    step = Step(LOW, images, dtype=torch.bfloat16)
    composites = step.forward().composites
    alone = sdfido.sample_composites(
        *(tensor[-1:] for tensor in (step.logits, step.image, step.infill)),
        step.rng,
        streams=torch.tensor([images - 1], device=DEVICE),
        **step.options,
    ).composites
    assert torch.equal(composites[-1:], alone), "the last image differs from the same image alone"
    grad = torch.ones((), dtype=composites.dtype, device=DEVICE).expand(composites.shape).contiguous()
    (gradient,) = torch.autograd.grad(composites, step.logits, grad)
    (expected,) = torch.autograd.grad(alone, step.logits, grad[-1:])
    assert torch.equal(gradient[-1], expected[-1]), "the last image's gradient differs from that of the image alone"
    return {"elements": composites.numel()}


def small() -> Figures:
    """Each kernel once or twice on little: what NVIDIA's sanitizers watch."""
    for cells in ((40, 52), (7, 9)):
        for options in ({}, {"dtype": torch.bfloat16, "channels_last": True}, {"antithetic": True, "num_samples": 9}):
            for images in (1, 2):
                step = Step(LOW, images, **options)
                step.image, step.infill = (torch.rand(images, 3, 40, 52, device=DEVICE).requires_grad_() for _ in "ab")
                step.logits = torch.randn(images, 2, *cells, device=DEVICE).requires_grad_()
                outputs = step.forward()
                wanted = (step.logits, step.image, step.infill)
                torch.autograd.grad(outputs, wanted, [torch.ones_like(o) for o in outputs], retain_graph=True)
                torch.autograd.grad(outputs[0].float().sum(), step.logits)
                masks = sdfido.sample_masks(step.logits, step.rng, num_samples=4)
                blended = sdfido.blend(masks.detach().requires_grad_(), step.image, step.infill)
                blended.sum().backward()
                masks.sum().backward()
    return {}


def milliseconds(function: Callable[[], Any]) -> float:
    """Median of several runs, each of as many calls as take some milliseconds."""
    calls, seconds = 1 if REHEARSAL else 20, []
    for _ in range(3):
        function()
    for _ in range(3 if REHEARSAL else 15):
        if not REHEARSAL:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        if not REHEARSAL:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - begin) / calls)
    return 1000 * statistics.median(seconds)


def benchmark() -> Figures:
    """Milliseconds of both passes, of PyTorch eager and compiled, and of a plain copy of the composites."""
    found: Figures = {}
    for cells in (SIZE, LOW):
        for images in (1, 8):
            step = Step(cells, images)
            composites = step.forward().composites.detach()
            target = torch.empty_like(composites)
            figures = {
                "forward": milliseconds(lambda step=step: step.forward()),  # type: ignore[misc]
                "both passes": milliseconds(step.both),
                "copy of the composites": milliseconds(lambda to=target, of=composites: to.copy_(of)),  # type: ignore[misc]
            }
            with sdfido.backend("reference"):
                figures["both passes, PyTorch eager"] = milliseconds(step.both)
                if images > 1 and not REHEARSAL:
                    compiled = Step(cells, images)
                    compiled.forward = torch.compile(compiled.forward)  # type: ignore[method-assign]
                    try:
                        figures["both passes, PyTorch compiled"] = milliseconds(compiled.both)
                    except Exception as error:  # Triton, or a compiler, may be missing
                        print(f"torch.compile: {error}", file=sys.stderr)
            found[f"{cells} cells, {images} images"] = figures
    return found


STEPS = {step.__name__: step for step in (bits, words, repeats, graph, streams, offsets, small, benchmark)}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]]()))
