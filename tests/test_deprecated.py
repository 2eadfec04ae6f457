"""Old names work for one more release, and warn."""

import importlib

import pytest
import torch
from torch import nn

import sdfido
from sdfido import _deprecated

MODEL = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
QUICK = {"steps": 3, "mask_size": 4}


@pytest.mark.parametrize("old", _deprecated.MODULES)
def test_old_modules_lead_to_the_new_ones(old):
    module = importlib.import_module(f"sdfido.{old}")
    new = importlib.import_module(f"sdfido.{_deprecated.MODULES[old]}")
    name = new.__all__[0] if hasattr(new, "__all__") else next(n for n in vars(new) if not n.startswith("_"))
    with pytest.warns(DeprecationWarning, match=f"sdfido.{_deprecated.MODULES[old]}"):
        assert getattr(module, name) is getattr(new, name)


def test_old_keywords_and_attributes():
    images, steps, ready = torch.rand(2, 3, 12, 12), [], []
    with pytest.warns(DeprecationWarning, match="link"):
        explainer = sdfido.FIDO(MODEL, objective=sdfido.scores.log_probability, **QUICK)
    with pytest.warns(DeprecationWarning, match="on_step|on_image"):
        explainer.explain(images, callback=steps.append, finished=lambda index, one: ready.append(index))
    assert len(steps) == 3
    assert sorted(ready) == [0, 1]
    with pytest.warns(DeprecationWarning, match="loss"):
        assert steps[0].objective == steps[0].loss
    with pytest.warns(DeprecationWarning, match="temperature_at"):
        assert sdfido.Settings().heat(0) == 1.0


def test_unknown_names_stay_unknown():
    images = torch.rand(1, 3, 12, 12)
    with pytest.raises(TypeError, match="on_stop"):
        sdfido.FIDO(MODEL, **QUICK).explain(images, on_stop=print)
    with pytest.raises(TypeError, match="old name of on_step, got both"):
        sdfido.FIDO(MODEL, **QUICK).explain(images, callback=print, on_step=print)
    with pytest.raises(AttributeError, match="heating"):
        sdfido.Settings().heating  # noqa: B018
    with pytest.raises(TypeError, match="got colour"):
        sdfido.FIDO(MODEL, colour=1)
