"""Smoke test of an installed sdfido: `make wheel-test` runs it with the Python of each environment.

    python -I tests/packaging/smoke.py

Uses nothing but what the wheel brings along. Ends with a line of JSON that says what was tested, or with an error.
"""

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import sdfido
from sdfido import _C

torch.ones(1).log()  # two threads that call it first at the same time may get 10 correct bits (torch 2.13 with MKL)


def check(fact: object, otherwise: str) -> None:
    if not fact:
        raise SystemExit(f"smoke test: {otherwise}")


def files_are_installed() -> None:
    package = Path(sdfido.__file__).parent
    check(package.is_relative_to(sys.prefix), f"sdfido comes from {package}, outside the environment {sys.prefix}")
    check(Path(_C.__file__).name == "_C.abi3.so", f"{_C.__file__} is not for all versions of Python")
    listed = [str(file) for file in metadata.files("sdfido") or ()]
    headers = (f"sdfido/include/sdfido/{name}" for name in ("problem.h", "math/concrete.h"))
    for name in ("sdfido/py.typed", "sdfido/reports/page/page.html", *headers):
        check(name in listed and package.parent.joinpath(name).is_file(), f"{name} is missing")
    check(any(name.endswith("licenses/LICENSE") for name in listed), "the license is missing")


def backend_is_native() -> None:
    info = sdfido.build_info()
    check(info["native"] and info["native_error"] is None, f"no compiled operators: {info['native_error']}")
    check(info["version"] == metadata.version("sdfido"), f"version {info['version']}")


def compute(backend: str, device: str, options: dict[str, Any], cells: tuple[int, int]) -> Iterator[torch.Tensor]:
    """Outputs of sample_composites, and the gradients of a weighting of them, on given operands."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(2, 2, *cells), (2, 3, 24, 32), (2, 3, 1, 1)]  # logits, image, infill
    operands = [torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes]
    with sdfido.backend(backend):  # type: ignore[arg-type]
        outputs = sdfido.sample_composites(*operands, sdfido.make_rng(7, device=device), num_samples=5, **options)
        weights = [torch.randn(o.shape, generator=generator).to(o) for o in outputs]
        yield from outputs
        yield from torch.autograd.grad(outputs, operands, weights)


def operators_match_the_reference(device: str) -> None:
    cases: list[tuple[dict[str, Any], tuple[int, int], float]] = [
        ({}, (24, 32), 2e-5),
        ({"antithetic": True, "temperature": 0.3}, (6, 8), 2e-5),
        ({"channels_last": True, "dtype": torch.bfloat16}, (6, 8), 2e-2),
    ]
    for options, cells, tolerance in cases:
        native, reference = (list(compute(name, device, options, cells)) for name in ("native", "reference"))
        for actual, expected in zip(native, reference, strict=True):
            difference = (actual - expected).abs().max() / expected.abs().max()
            check(difference < tolerance, f"differs from the reference by {difference:.1e} with {options} on {device}")


def explanations_are_saved_without_pickle(device: str) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    images = torch.rand(2, 3, 32, 32, device=device)
    with sdfido.backend("native"):
        explanation = sdfido.FIDO(model.to(device), steps=3, mask_size=8).explain(images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explanation.npz"
        with mock.patch.multiple(pickle, dump=None, dumps=None, Pickler=None, load=None, loads=None, Unpickler=None):
            explanation.save(path)
            loaded = sdfido.Explanation.load(path)
    check(torch.equal(loaded.joint.cpu(), explanation.joint.cpu()), "an explanation changed on its way through a file")


def command_line_works() -> None:
    command = [str(Path(sys.executable).with_name("sdfido")), "info", "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    check(result.returncode == 0, f"sdfido info failed: {result.stderr}")
    check(json.loads(result.stdout) == sdfido.build_info(), "sdfido info says something else than build_info()")


def main() -> None:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() and sdfido.build_info()["cuda"] else [])]
    files_are_installed()
    backend_is_native()
    for device in devices:
        operators_match_the_reference(device)
        explanations_are_saved_without_pickle(device)
    command_line_works()
    info = sdfido.build_info()
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "backend": f"native, {info['cpu_isa']}" + (", CUDA kernels" if info["cuda"] else ""),
                "devices": devices,
            }
        )
    )


if __name__ == "__main__":
    main()
