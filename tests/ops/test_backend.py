"""What computes the operators: the choice, where it holds, and installations without compiled kernels."""

import importlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import sdfido

chosen = importlib.import_module("sdfido.ops.backend")  # sdfido.ops.backend is the function


def test_backend_is_chosen_and_restored():
    assert sdfido.build_info()["backend"] == "auto"
    with sdfido.backend("reference"):
        assert sdfido.build_info()["backend"] == "reference"
        with sdfido.backend("native"):
            assert sdfido.build_info()["backend"] == "native"
        assert sdfido.build_info()["backend"] == "reference"
    assert sdfido.build_info()["backend"] == "auto"
    with (
        pytest.raises(ValueError, match="backend must be one of 'auto', 'native', 'reference', got 'fast'"),
        sdfido.backend("fast"),
    ):
        pass


def _in_a_thread(function):
    """What the function returns in a thread of its own."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_each_thread_has_its_own_choice():
    def name():
        return sdfido.build_info()["backend"]

    with sdfido.backend("reference"):
        assert _in_a_thread(name) == "auto"
    entered, left = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)

    def other():
        with sdfido.backend("reference"):
            entered.wait()
            left.wait()
            return name()

    results = []
    thread = threading.Thread(target=lambda: results.append(other()))
    with sdfido.backend("native"):
        thread.start()
        entered.wait()
        assert name() == "native"
    assert name() == "auto"  # blocks that overlap in time do not restore each other's choice
    left.wait()
    thread.join()
    assert results == ["reference"]


def test_a_compiled_function_follows_the_choice():
    """It is compiled anew for another backend, instead of keeping the one that it was compiled with."""
    backends = []

    def note(graph, inputs):
        backends.append("sdfido" in str([node.target for node in graph.graph.nodes]))
        return graph

    torch._dynamo.reset()
    sample = torch.compile(lambda x, rng: sdfido.sample_masks(x, rng, num_samples=2), fullgraph=True, backend=note)
    logits, rng = torch.zeros(1, 1, 2, 2), sdfido.make_rng(0)
    sample(logits, rng)
    with sdfido.backend("reference"):
        sample(logits, rng)
    sample(logits, rng)
    assert backends == [True, False]


def _python(program, **environment):
    return subprocess.run([sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True)


def test_backend_from_the_environment():
    program = "import sdfido; print(sdfido.build_info()['backend'])"
    assert _python(program, SDFIDO_BACKEND="reference").stdout.strip() == "reference"
    wrong = _python(program, SDFIDO_BACKEND="gpu")
    assert wrong.returncode != 0
    assert "SDFIDO_BACKEND must be one of 'auto', 'native', 'reference', got 'gpu'" in wrong.stderr


WITHOUT_EXTENSION = """
import sys, warnings
warnings.simplefilter("error")
sys.modules["sdfido._C"] = None  # as if it had not been built
import torch, sdfido
info = sdfido.build_info()
assert info["native"] is False and info["cpu_isa"] is None and info["native_error"], info
logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
out = sdfido.sample_composites(logits, torch.rand(1, 3, 8, 8), torch.zeros(()), sdfido.make_rng(0), num_samples=2)
out.composites.sum().backward()
assert logits.grad.abs().sum() > 0
explanation = sdfido.FIDO(lambda x: x.mean((2, 3)), steps=2, mask_size=4).explain(torch.rand(1, 3, 8, 8))
assert explanation.ssr.shape == (1, 8, 8)
try:
    with sdfido.backend("native"):
        sdfido.sample_masks(logits, sdfido.make_rng(0), num_samples=1)
except RuntimeError as error:
    assert "backend 'native' is not available" in str(error)
else:
    raise AssertionError("native without an extension")
print("fine")
"""


def test_works_without_the_extension():
    result = _python(WITHOUT_EXTENSION)
    assert result.stdout.strip() == "fine", result.stderr


def test_sources_that_hide_the_installed_package_are_named():
    info = json.loads(_python(WITHOUT_EXTENSION.split("logits =")[0] + "import json; print(json.dumps(info))").stdout)
    root = Path(sdfido.__file__).parents[1]
    assert f"Python has found the sources in {root}" in info["native_error"]
    assert "start it in another folder" in info["native_error"]


def test_import_needs_only_torch_and_numpy():
    program = (
        "import sys\n"
        "for name in ('matplotlib', 'PIL', 'typer', 'rich', 'skimage', 'scipy'): sys.modules[name] = None\n"
        "import sdfido; print(sdfido.make_rng(1).tolist())"
    )
    result = _python(program)
    assert result.stdout.strip() == "[1, 0]", result.stderr


def test_without_cuda_kernels_the_reference_serves_cuda_tensors(monkeypatch):
    monkeypatch.setattr(chosen, "_cuda_archs", [])
    assert not chosen.use_native(torch.device("cuda"))
    assert sdfido.build_info()["cuda"] is False
    with (
        sdfido.backend("native"),
        pytest.raises(RuntimeError, match="this build has no kernels for 'cuda' tensors; use backend 'auto' or"),
    ):
        chosen.use_native(torch.device("cuda"))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of compute capability 9.0, for what is asked before a launch; the smallest launch goes well."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(chosen.gpus, "why_no_launch", lambda index: "")
    monkeypatch.setattr(chosen.gpus, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(chosen, "_cuda_errors", {})
    monkeypatch.setattr(chosen, "_cuda_toolkit", "13.0")
    monkeypatch.setattr(chosen, "_cuda_archs", ["sm_80", "compute_80"])


def test_with_cuda_kernels_they_serve_cuda_tensors(monkeypatch, gpu):
    assert chosen.use_native(torch.device("cuda")) is sdfido.build_info()["native"]
    assert sdfido.build_info()["cuda_archs"] == ["sm_80", "compute_80"]
    assert sdfido.build_info()["cuda_errors"] == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("capability", (7, 0), r"this GPU has compute capability 7.0, .* SDFIDO_CUDA_ARCHS=70"),
        (
            "driver",
            (12, 4),
            r"built with CUDA 13.0, and this driver serves CUDA 12.4; update the driver, or build with",
        ),
        ("launch", "no kernel image is available", "no kernel image is available"),
    ],
)
def test_a_gpu_that_cannot_run_the_kernels_is_served_by_the_reference(monkeypatch, gpu, name, value, reason):
    asked = []
    if name == "capability":
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: value)
    else:
        function = {"driver": "driver_version", "launch": "why_no_launch"}[name]
        monkeypatch.setattr(chosen.gpus, function, lambda *index: asked.append(1) or value)
    with pytest.warns(UserWarning, match=f"sdfido computes on cuda:1 with PyTorch's operators: .*{reason}"):
        assert not chosen.use_native(torch.device("cuda:1"))
    assert not chosen.use_native(torch.device("cuda:1"))  # without a second warning, or question
    assert len(asked) <= 1
    with sdfido.backend("native"), pytest.raises(RuntimeError, match=f"'native' is not available: .*{reason}"):
        chosen.use_native(torch.device("cuda:1"))
    assert re.search(reason, sdfido.build_info()["cuda_errors"]["cuda:1"])


@pytest.mark.parametrize(
    ("capability", "archs", "runs"),
    [
        ((9, 0), "sm_90", True),
        ((8, 9), "sm_80", True),
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80", False),
        ((9, 0), "sm_80 compute_80", True),
        ((12, 0), "sm_75 sm_90 compute_100", True),
        ((7, 0), "sm_75 sm_90 compute_100", False),
        ((10, 3), "sm_100", True),
    ],
)
def test_which_gpus_code_serves(capability, archs, runs):
    assert (chosen.gpus.why_not_capability(capability, archs.split()) == "") is runs
