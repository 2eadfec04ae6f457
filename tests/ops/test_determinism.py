"""Bits: masks and composites are the same across instruction sets, threads, batches, and recomputation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sdfido
from tests.support import DEVICES, Case

CASES = [
    Case(2, 2, 9, 3, (40, 57)),
    Case(2, 2, 5, 3, (40, 57), temperature=0.37, antithetic=True),
    Case(1, 2, 4, 4, (64, 48), (16, 9), channels_last=True),
    Case(2, 1, 4, 3, (33, 32), (8, 8), temperature=1.0, dtype=torch.bfloat16),
    Case(1, 1, 3, 1, (21, 34), dtype=torch.float16),
]

PRINT_BITS = """
import hashlib, torch
from tests.ops.test_determinism import CASES
import sdfido
print(sdfido.build_info()["cpu_isa"])
for case in CASES:
    results = case.run("native")
    results |= {f"blend {name}": value for name, value in case.blend("native").items()}
    logits = case.operands()[0]
    results["masks"] = sdfido.sample_masks(logits, sdfido.make_rng(1), num_samples=5, temperature=case.temperature)
    results["concrete"] = sdfido.simplified_concrete(logits, torch.sigmoid(-logits), case.temperature)
    for name, value in results.items():
        flat = value.detach().contiguous().view(torch.uint8)
        print(name, hashlib.sha256(flat.numpy().tobytes()).hexdigest())
"""


def _levels():
    """Instruction-set levels that this machine has, by the kernel's own list of its processor's features."""
    info = Path("/proc/cpuinfo")
    flags = set(re.search(r"^flags\s*:(.*)$", info.read_text(), re.MULTILINE)[1].split()) if info.exists() else set()
    needs = {
        "baseline": set(),
        "avx2": {"avx2"},
        "avx512": {"avx2", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    }
    return [level for level, features in needs.items() if features <= flags]


def test_the_highest_level_is_chosen():
    environment = {name: value for name, value in os.environ.items() if name != "SDFIDO_CPU_ISA"}
    program = "import sdfido; print(sdfido.build_info()['cpu_isa'])"
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == _levels()[-1]


def test_same_bits_at_every_instruction_set_level():
    outputs = {}
    for level in _levels():
        result = subprocess.run(
            [sys.executable, "-c", PRINT_BITS],
            env=os.environ | {"SDFIDO_CPU_ISA": level},
            capture_output=True,
            text=True,
            check=True,
        )
        found, *outputs[level] = result.stdout.splitlines()
        assert found == level
    assert "baseline" in outputs
    assert all(lines == outputs["baseline"] for lines in outputs.values())
    assert len(outputs["baseline"]) == 12 * len(CASES)


def test_unknown_instruction_set_is_refused():
    result = subprocess.run(
        [sys.executable, "-c", "import sdfido"],
        env=os.environ | {"SDFIDO_CPU_ISA": "avx1024"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "SDFIDO_CPU_ISA must be a level that this machine has" in result.stderr


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_for_every_number_of_threads(case):
    """All results, the sums of gradients and penalties included."""
    big = Case(**{**vars(case), "size": tuple(4 * x for x in case.size)})
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            results.append(big.run("native") | {f"blend {k}": v for k, v in big.blend("native").items()})
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for name, value in results[0].items():
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (7, 10)])
def test_same_bits_alone_and_in_a_batch(device, cells):
    case = Case(4, 2, 5, 3, (30, 41), cells)
    logits, image, infill = case.operands(device)
    rng, streams = sdfido.make_rng(3, step=9, device=device), torch.tensor([5, 0, 2**40, 7], device=device)

    def run(part):
        leaf = logits[part].clone().requires_grad_()
        outputs = sdfido.sample_composites(leaf, image[part], infill[part], rng, num_samples=5, streams=streams[part])
        total = outputs.composites.square().sum() + (3 * outputs.sparsity + outputs.smoothness).sum()
        return *outputs, *torch.autograd.grad(total, leaf)

    batch = run(slice(None))
    for i in range(4):
        for whole, alone in zip(batch, run(slice(i, i + 1)), strict=True):
            assert torch.equal(whole[i : i + 1], alone)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (7, 10)])
def test_blended_same_bits_alone_and_in_a_batch(device, cells):
    case = Case(4, 2, 5, 3, (30, 41), cells)
    _, image, infill = case.operands(device)
    masks = case.masks(device)

    def run(part):
        leaves = [t[part].clone().requires_grad_() for t in (masks, image, infill)]
        composites = sdfido.blend(*leaves)
        return composites, *torch.autograd.grad(composites.square().sum(), leaves)

    batch = run(slice(None))
    for i in range(4):
        for whole, alone in zip(batch, run(slice(i, i + 1)), strict=True):
            assert torch.equal(whole[i : i + 1], alone)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [None, (5, 7)])
def test_backward_recomputes_the_very_masks_of_forward(device, cells):
    """With image 1 and infill 0 the composites are the masks; with gradient 1 the image's gradient is their sum."""
    case = Case(2, 1, 1, 1, (23, 31), cells)
    logits = case.operands(device)[0]
    image = torch.ones(2, 1, 23, 31, device=device, requires_grad=True)
    outputs = sdfido.sample_composites(
        logits, image, image.detach() * 0, sdfido.make_rng(8, device=device), num_samples=1
    )
    (gradient,) = torch.autograd.grad(outputs.composites.sum(), image)
    assert torch.equal(gradient, outputs.composites[:, 0, 0])


@pytest.mark.parametrize("device", DEVICES)
def test_composites_are_made_of_sample_masks(device):
    """Full resolution: both operators sample the same masks."""
    logits = Case(2, 2, size=(19, 27)).operands(device)[0]
    rng = sdfido.make_rng(4, device=device)
    masks = sdfido.sample_masks(logits, rng, num_samples=6, temperature=0.2)
    ones = torch.ones(2, 1, 19, 27, device=device)
    composites = sdfido.sample_composites(logits, ones, ones * 0, rng, num_samples=6, temperature=0.2).composites
    assert torch.equal(composites[:, :, :, 0], masks)


def test_steps_and_seeds_differ():
    logits = torch.zeros(1, 1, 30, 30)
    masks = [
        sdfido.sample_masks(logits, sdfido.make_rng(seed, step=step), num_samples=1)
        for seed, step in [(0, 0), (0, 1), (1, 0), (2**32, 0)]
    ]
    for i in range(4):
        for j in range(i):
            assert (masks[i] != masks[j]).float().mean() > 0.9
