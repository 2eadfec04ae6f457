"""Wrong arguments of the operators: one clear error each, before any work; and the choice of backend."""

import os
import subprocess
import sys

import pytest
import torch

import sdfido


def _valid():
    return {
        "logits": torch.zeros(2, 2, 4, 4),
        "image": torch.zeros(2, 3, 8, 8),
        "infill": torch.zeros(2, 3, 8, 8),
        "rng": sdfido.make_rng(0),
        "num_samples": 2,
    }


WRONG = [
    ({"logits": [[0.0]]}, TypeError, r"logits must be a tensor \[N, K, h, w\], got list"),
    ({"logits": torch.zeros(2, 4, 4)}, ValueError, r"logits must be \[N, K, h, w\], got 3 dimensions"),
    ({"logits": torch.zeros(2, 2, 4, 4).half()}, TypeError, "logits must be float32 or float64, got torch.float16"),
    ({"logits": torch.zeros(2, 0, 4, 4)}, ValueError, "logits must have at least one mask and one cell"),
    (
        {"logits": torch.zeros(2, 2, 9, 4)},
        ValueError,
        "at most as many cells as image has pixels, got 9x4 cells for 8x8",
    ),
    (
        {"logits": torch.zeros(2, 2, 4, 9)},
        ValueError,
        "at most as many cells as image has pixels, got 4x9 cells for 8x8",
    ),
    ({"image": torch.zeros(3, 8, 8)}, ValueError, r"image must be \[N, C, H, W\], got 3 dimensions"),
    ({"image": torch.zeros(3, 3, 8, 8)}, ValueError, "image must have the batch size of logits, 2, got 3"),
    ({"image": torch.zeros(2, 0, 8, 8)}, ValueError, "image must have at least one channel"),
    ({"image": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, TypeError, "image must be float32 or bfloat16 or float16"),
    ({"image": torch.zeros(2, 3, 8, 8).double()}, TypeError, "image must be float32 .* got torch.float64"),
    ({"infill": 0.0}, TypeError, "infill must be a tensor that broadcasts against image, got float"),
    ({"infill": torch.zeros(2, 3, 8, 7)}, ValueError, "infill must broadcast against image"),
    ({"infill": torch.zeros(1, 2, 3, 8, 8)}, ValueError, "infill must broadcast against image"),
    ({"infill": torch.zeros(2, 3, 8, 8).half()}, TypeError, "infill must have the dtype of image, torch.float32"),
    ({"infill": torch.zeros(2, 3, 8, 8, device="meta")}, ValueError, "infill must be on the device of logits, cpu"),
    ({"image": torch.zeros(2, 3, 8, 8, device="meta")}, ValueError, "image must be on the device of logits, cpu"),
    ({"rng": 0}, TypeError, r"rng must be a tensor int64 \[2\], got int"),
    ({"rng": torch.zeros(3, dtype=torch.int64)}, ValueError, r"rng must be int64 \[2\], got torch.int64 \[3\]"),
    ({"rng": torch.zeros(2)}, ValueError, r"rng must be int64 \[2\], got torch.float32 .*make_rng"),
    ({"rng": torch.zeros(2, dtype=torch.int64, device="meta")}, ValueError, "rng must be on the device of logits"),
    ({"num_samples": 0}, ValueError, "num_samples must be at least 1 and below 2\\*\\*31, got 0"),
    ({"num_samples": 2.0}, TypeError, "num_samples must be an integer, got float"),
    ({"temperature": 0}, ValueError, "temperature must be positive and finite, got 0"),
    ({"temperature": -0.1}, ValueError, "temperature must be positive and finite, got -0.1"),
    ({"temperature": float("nan")}, ValueError, "temperature must be positive and finite, got nan"),
    ({"temperature": float("inf")}, ValueError, "temperature must be positive and finite, got inf"),
    ({"temperature": "0.1"}, TypeError, "temperature must be a number, got str"),
    ({"streams": [0, 1]}, TypeError, r"streams must be a tensor int64 \[N\], got list"),
    ({"streams": torch.zeros(3, dtype=torch.int64)}, ValueError, r"streams must be int64 \[2\]"),
    ({"streams": torch.zeros(2)}, ValueError, r"streams must be int64 \[2\].*got torch.float32"),
    ({"dtype": torch.float64}, TypeError, "dtype must be float32 or bfloat16 or float16"),
]


@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_sample_composites_refuses(name, change, error, message):
    with sdfido.backend(name), pytest.raises(error, match=message):
        sdfido.sample_composites(**(_valid() | change))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(2), torch.zeros(3), 0.1), ValueError, r"u must have the shape of logits, \[2\], got \[3\]"),
        ((torch.zeros(2), torch.zeros(2).double(), 0.1), TypeError, "u must have the dtype of logits"),
        ((torch.zeros(2).half(), torch.zeros(2).half(), 0.1), TypeError, "logits must be float32 or float64"),
        ((torch.zeros(2), 0.5, 0.1), TypeError, "u must be a tensor of the shape of logits, got float"),
        ((torch.zeros(2), torch.zeros(2, device="meta"), 0.1), ValueError, "u must be on the device of logits"),
        ((torch.zeros(2), torch.zeros(2), 0.0), ValueError, "temperature must be positive"),
    ],
)
def test_simplified_concrete_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        sdfido.simplified_concrete(*arguments)


def test_operators_check_what_python_did_not():
    """Called past the public functions, an operator raises as well; it never reads out of bounds."""
    logits, image, infill, rng = (_valid()[name] for name in ("logits", "image", "infill", "rng"))
    op = torch.ops.sdfido.sample_composites
    good = (logits, image, infill, rng, None, 2, 0.1, False, torch.float32, False)
    assert len(op(*good)) == 3
    for position, value, message in [
        (0, logits[0], "logits must be"),
        (1, image[:, :, :3], "infill must have the sizes of image"),
        (3, rng[:1], "rng must be"),
        (3, torch.zeros(4, dtype=torch.int64)[::2], "rng must be"),
        (4, torch.zeros(3, dtype=torch.int64), "streams must be"),
        (5, 0, "num_samples must be"),
        (6, 0.0, "temperature must be"),
        (8, torch.float64, "dtype must be float64"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            op(*good[:position], value, *good[position + 1 :])
    backward = torch.ops.sdfido.sample_composites_backward
    with pytest.raises(RuntimeError, match="gradient must have their sizes"):
        backward(torch.zeros(1), None, None, logits, image, infill, rng, None, 2, 0.1, False, False, False)
    for wrong in (torch.zeros(1), torch.zeros(2, 2, 2, 16), torch.zeros(4, 2, 2, 2, 4)):
        with pytest.raises(RuntimeError, match="masks' gradient must have their sizes"):
            torch.ops.sdfido.sample_masks_backward(wrong, logits, rng, None, 2, 0.1, False)
    for samples in (2**58, 2**60, 2**62):  # products of sizes that wrap around
        with pytest.raises(RuntimeError, match=r"must have fewer than 2\^48 elements"):
            backward(None, None, None, logits, image, infill, rng, None, samples, 0.1, False, False, False)
        with pytest.raises(RuntimeError, match=r"must have fewer than 2\^48 elements"):
            torch.ops.sdfido.sample_masks_backward(torch.zeros(0), logits, rng, None, samples, 0.1, False)


def test_backend_is_chosen_and_restored():
    assert sdfido.build_info()["backend"] == "auto"
    with sdfido.backend("reference"):
        assert sdfido.build_info()["backend"] == "reference"
        with sdfido.backend("native"):
            assert sdfido.build_info()["backend"] == "native"
        assert sdfido.build_info()["backend"] == "reference"
    assert sdfido.build_info()["backend"] == "auto"
    with (
        pytest.raises(ValueError, match="backend must be one of auto, native, reference; got 'fast'"),
        sdfido.backend("fast"),
    ):
        pass


def _python(program, **environment):
    return subprocess.run([sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True)


def test_backend_from_the_environment():
    program = "import sdfido; print(sdfido.build_info()['backend'])"
    assert _python(program, SDFIDO_BACKEND="reference").stdout.strip() == "reference"
    wrong = _python(program, SDFIDO_BACKEND="gpu")
    assert wrong.returncode != 0
    assert "SDFIDO_BACKEND must be one of auto, native, reference; got 'gpu'" in wrong.stderr


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


def test_import_needs_only_torch_and_numpy():
    program = (
        "import sys\n"
        "for name in ('matplotlib', 'PIL', 'typer', 'rich', 'skimage', 'scipy'): sys.modules[name] = None\n"
        "import sdfido; print(sdfido.make_rng(1).tolist())"
    )
    result = _python(program)
    assert result.stdout.strip() == "[1, 0]", result.stderr
