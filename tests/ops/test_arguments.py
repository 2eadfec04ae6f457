"""Wrong arguments of the operators: one clear error each, before any work."""

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
    ({"logits": torch.zeros(2, 4, 4)}, ValueError, r"logits must be \[N, K, h, w\], got \[2, 4, 4\]"),
    ({"logits": torch.zeros(2, 2, 4, 4).half()}, TypeError, "logits must be float32 or float64, got torch.float16"),
    ({"logits": torch.zeros(2, 0, 4, 4)}, ValueError, "logits must have no empty axis but the first"),
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
    ({"image": torch.zeros(3, 8, 8)}, ValueError, r"image must be \[N, C, H, W\], got \[3, 8, 8\]"),
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
    ({"num_samples": 0}, ValueError, "num_samples must be at least 1 and below 2147483648, got 0"),
    ({"num_samples": 2.0}, TypeError, "num_samples must be an integer, got 2.0"),
    ({"temperature": 0}, ValueError, "temperature must be a positive, finite number, got 0"),
    ({"temperature": -0.1}, ValueError, "temperature must be a positive, finite number, got -0.1"),
    ({"temperature": float("nan")}, ValueError, "temperature must be a positive, finite number, got nan"),
    ({"temperature": float("inf")}, ValueError, "temperature must be a positive, finite number, got inf"),
    ({"temperature": "0.1"}, TypeError, "temperature must be a positive, finite number, got '0.1'"),
    ({"streams": [0, 1]}, TypeError, r"streams must be a tensor int64 \[N\], got list"),
    ({"streams": torch.zeros(3, dtype=torch.int64)}, ValueError, r"streams must be int64 \[2\]"),
    ({"streams": torch.zeros(2)}, ValueError, r"streams must be int64 \[2\].*got torch.float32"),
    ({"dtype": torch.float64}, TypeError, "dtype must be float32 or bfloat16 or float16"),
    ({"antithetic": "yes"}, TypeError, "antithetic must be True or False, got 'yes'"),
    ({"channels_last": None}, TypeError, "channels_last must be True or False, got None"),
    (
        {"logits": torch.zeros(2, 2, 4, 4).to_sparse()},
        TypeError,
        "logits must be a dense tensor, got .* sparse_coo;",
    ),
    ({"image": torch.zeros(2, 3, 8, 8).to_mkldnn()}, TypeError, r"image must be a dense tensor, .* image.to_dense\(\)"),
    ({"infill": torch.zeros(2, 3, 8, 8).to_sparse()}, TypeError, "infill must be a dense tensor"),
    (
        {"infill": torch.nested.nested_tensor([torch.zeros(3, 8, 8)] * 2)},
        TypeError,
        "infill must be a dense tensor, got a nested one",
    ),
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
        ((torch.zeros(2), torch.zeros(2), 0.0), ValueError, "temperature must be a positive, finite number, got 0.0"),
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


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (1.5, TypeError, "steps must be an integer, got 1.5"),
        (torch.tensor(2), TypeError, "steps must be an integer"),
        (2**70, ValueError, "steps must be in -"),
    ],
)
def test_advance_refuses(steps, error, message):
    with pytest.raises(error, match=message):
        sdfido.advance(sdfido.make_rng(0), steps)
