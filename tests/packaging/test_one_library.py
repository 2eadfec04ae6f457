"""One wheel with CUDA inside serves every torch: a CPU-only one, and one with CUDA where there is no driver."""

import json
import os
import re
import sys

import pytest
import torch

import sdfido
from tests.cuda.build import ROOT, run
from tests.packaging.environments import Unavailable, environment, examine

pytestmark = pytest.mark.packaging

CUDA_TORCH = "torch==2.14.1"

# Imports the package, holds it against the reference, and prints what it is and the bits that it computes.
WORK = """
import ctypes, hashlib, json
import torch
import sdfido
from sdfido import _C
from tests.support import Case, compare

torch.ones(1).log()  # two threads that call it first at the same time may get 10 correct bits (torch 2.13 with MKL)
compare(Case(s=5, antithetic=True))
compare(Case(cells=(3, 5), channels_last=True, out_dtype=torch.bfloat16))

logits = (torch.arange(2 * 2 * 6 * 8).reshape(2, 2, 6, 8) % 17 - 8) / 4
image = torch.arange(2 * 3 * 12 * 16).reshape(2, 3, 12, 16) / 8
infill = torch.ones(())
rng = sdfido.make_rng(7)
samples = sdfido.sample_composites(logits, image, infill, rng, num_samples=5)
masks = sdfido.sample_masks(logits, rng, num_samples=5, temperature=0.3)
names = ("sample_masks", "sample_composites", "simplified_concrete")
names += tuple(name + "_backward" for name in names)
print(json.dumps({
    "file": sdfido.__file__,
    "info": sdfido.build_info(),
    "torch_cuda": torch.version.cuda,
    "gpu": torch.cuda.is_available(),
    "bits": [hashlib.sha256(t.numpy().tobytes()).hexdigest() for t in (samples.composites, masks)],
    "registered": [torch._C._dispatch_has_kernel_for_dispatch_key(f"sdfido::{name}", "CUDA") for name in names],
    # As the loader does for the library itself: searches it and what it needs.
    "stream": hasattr(ctypes.CDLL(_C.__file__), "aoti_torch_get_current_cuda_stream"),
}))
"""


@pytest.fixture(scope="module")
def site(built):
    """A folder with the wheel's contents, to import from."""
    folder = built.wheel.parent / "site"
    options = ("--quiet", "--no-deps", "--no-index", "--upgrade", "--target", folder)
    run(sys.executable, "-m", "pip", "install", *options, built.wheel)
    return folder


@pytest.fixture(scope="module")
def cuda_python():
    """The interpreter of an environment of its own, kept for later runs, whose torch was built with CUDA."""
    try:
        python = environment(examine(sys.executable), CUDA_TORCH)
    except Unavailable as reason:
        pytest.skip(str(reason))
    if run(python, "-c", "import torch; print(torch.version.cuda)").strip() == "None":
        pytest.skip(f"pip installs {CUDA_TORCH} without CUDA here")
    return python


def work(python, site):
    path = os.pathsep.join(str(folder) for folder in (site, ROOT) if folder)
    # Binding at once, so that a symbol that this torch lacks is an error here and not at some later call.
    return json.loads(run(python, "-c", WORK, PYTHONPATH=path, LD_BIND_NOW="1").splitlines()[-1])


@pytest.fixture(scope="module")
def under_this_torch(site):
    return work(sys.executable, site)


@pytest.fixture(scope="module")
def under_cuda_torch(site, cuda_python):
    return work(cuda_python, site)


def test_it_works_on_a_torch_without_cuda(under_this_torch, site):
    if under_this_torch["torch_cuda"]:
        pytest.skip(f"this torch, {torch.__version__}, has CUDA")
    assert under_this_torch["file"] == str(site / "sdfido/__init__.py")
    assert not under_this_torch["stream"]


def test_it_works_on_a_torch_with_cuda(under_cuda_torch, under_this_torch, site):
    assert under_cuda_torch["file"] == str(site / "sdfido/__init__.py")
    assert under_cuda_torch["torch_cuda"]
    assert under_cuda_torch["stream"], "libtorch_cuda is not within reach of the library"
    assert under_cuda_torch["bits"] == under_this_torch["bits"]
    if under_cuda_torch["gpu"]:
        pytest.skip("there is a driver here; all else holds")


def test_it_computes_what_the_installed_build_computes(under_this_torch):
    assert under_this_torch["bits"] == work(sys.executable, None)["bits"]


@pytest.mark.parametrize("where", ["under_this_torch", "under_cuda_torch"])
def test_it_says_what_it_is(request, where):
    told = request.getfixturevalue(where)
    archs = [*(f"sm_{arch}" for arch in (75, 80, 86, 89, 90, 100, 120)), "compute_100"]
    expected = {"version": sdfido.build_info()["version"], "native": True, "native_error": None, "cuda": True}
    assert told["info"].items() >= (expected | {"cuda_archs": archs}).items()
    assert all(told["registered"])


def test_only_its_init_symbol_is_exported(built):
    listed = run("nm", "-D", "--defined-only", "--format=posix", built.library)
    assert [line.split()[0] for line in listed.splitlines()] == ["PyInit__C"]


def test_it_needs_no_cuda_library(built):
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", built.library))
    assert "libtorch.so" in needed  # which brings in libtorch_cuda where there is one
    assert not [name for name in needed if "cuda" in name]


def test_what_only_a_torch_with_cuda_has_is_weak(built):
    undefined = [line.split() for line in run("nm", "-D", "--undefined-only", built.library).splitlines()]
    assert ["w", "aoti_torch_get_current_cuda_stream"] in undefined
