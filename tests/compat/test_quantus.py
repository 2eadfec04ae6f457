"""The explanation function of Quantus, by its documented call; Quantus itself is asked where it is installed."""

import numpy as np
import pytest
import torch

import sdfido
from sdfido.compat import quantus
from tests.scores.support import Quarters, images

QUICK = {"steps": 4, "mask_size": 4, "repeats": 1, "pruning": False}


def test_arrays_in_and_out():
    found = quantus.explain(model=Quarters(), inputs=images().numpy(), targets=np.array([1, 1]), device="cpu", **QUICK)
    assert isinstance(found, np.ndarray)
    assert found.shape == (2, 1, 16, 16)
    expected = sdfido.FIDO(Quarters(), **QUICK).explain(images(), [1, 1], streams=[0, 0])
    assert np.array_equal(found[:, 0], expected.joint.numpy())
    ssr = quantus.explain(Quarters(), images().numpy(), np.array([[1], [1]]), map="ssr", **QUICK)
    assert np.array_equal(ssr[:, 0], expected.ssr.numpy())
    with pytest.raises(ValueError, match=r"inputs must be \[N, C, H, W\], got \[3, 16, 16\]"):
        quantus.explain(Quarters(), images()[0].numpy(), np.array([1]))


def test_a_metric_takes_it():
    metrics = pytest.importorskip("quantus", reason="Quantus is not installed")
    metric = metrics.Sparseness(disable_warnings=True)
    x, y = images().numpy(), np.array([1, 1])
    model = torch.nn.Sequential(Quarters())
    said = metric(model=model, x_batch=x, y_batch=y, explain_func=quantus.explain, explain_func_kwargs=QUICK)
    assert len(said) == 2
