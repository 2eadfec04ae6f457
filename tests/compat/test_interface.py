"""Names, defaults, pictures and errors of the drop-ins."""

import inspect

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sdfido
from sdfido import compat
from sdfido.compat import FIDO, FIDOConfig, MaskConfig
from tests.compat.support import (
    SIZE,
    Net,
    image,
    prepared,
)


def test_signatures_are_those_of_existing_code():
    def signature(function):
        return [
            (name, "required" if p.default is p.empty else p.default, "*" if p.kind is p.KEYWORD_ONLY else "")
            for name, p in inspect.signature(function).parameters.items()
            if name != "self"
        ]

    assert signature(MaskConfig) == [("optimized", True, ""), ("mask_size", None, ""), ("infill_strategy", "blur", "")]
    defaults = dict(
        learning_rate=10,
        batch_size=8,
        iterations=100,
        approx_steps=None,
        l1=1e-3,
        l2=0,
        tv=1e-2,
        reg_warmup=5,
        thresh=0.5,
    )
    assert signature(FIDOConfig) == [(name, value, "") for name, value in defaults.items()]
    assert signature(compat.concrete_dropout) == [
        ("dropout_rate", "required", ""),
        ("temp", 0.1, ""),
        ("eps", 2.2e-16, ""),
    ]
    assert signature(compat.sigmoid_concrete_dropout) == [("X", "required", ""), ("temp", 1.0, ""), ("u", None, "")]
    assert signature(FIDO.new) == [("im", "required", ""), ("mask_config", "required", ""), ("device", "required", "*")]
    assert signature(FIDO) == [
        ("size", "required", ""),
        ("infill", "required", "*"),
        ("optimized", True, "*"),
        ("device", None, "*"),
    ]
    sampled = [("X", "required", ""), ("batch_size", 1, ""), ("deterministic", False, "")]
    assert signature(FIDO.ssr) == signature(FIDO.sdr) == signature(FIDO.forward) == sampled
    given = [(name, "required", "") for name in ("X", "y", "clf")]
    assert signature(FIDO.objective) == [*given, ("batch_size", 1, "")]
    optional = [(name, None, "") for name in ("config", "metrics", "update_callback")]
    assert signature(FIDO.fit) == [("im", "required", ""), *given[1:], *optional]
    assert [name for name, *_ in signature(FIDO.plot)] == ["im", "y", "clf", "label"]


def test_a_new_fido_has_zeros_and_its_attributes():
    fido = FIDO.new(image(), MaskConfig(), device="cpu")
    assert isinstance(fido, torch.nn.Module)
    assert [name for name, _ in fido.named_parameters()] == ["ssr_logit_p", "sdr_logit_p"]
    assert fido.params[0] is fido.ssr_logit_p
    assert fido.params[1] is fido.sdr_logit_p
    for parameter in fido.params:
        assert torch.equal(parameter, torch.zeros(SIZE, SIZE))
    assert set(fido.state_dict()) == {"infill", "ssr_logit_p", "sdr_logit_p"}
    torch.testing.assert_close(fido.infill, sdfido.infills.Blur()(image()[None])[0])
    with torch.no_grad():
        fido.ssr_logit_p.fill_(-1.0)
        fido.sdr_logit_p.fill_(2.0)
    ssr, sdr = 1 / (1 + np.exp(1.0)), 1 / (1 + np.exp(-2.0))
    for name, value in (("ssr", ssr), ("sdr", sdr), ("joint", np.sqrt((1 - ssr) * sdr))):
        rate = getattr(fido, f"{name}_dropout_rate")
        torch.testing.assert_close(rate.detach(), torch.full((SIZE, SIZE), value, dtype=torch.float32))
    assert FIDOConfig(l1=1, l2=2, tv=3).reg_params == {"l1": 1, "l2": 2, "tv": 3}


@pytest.mark.parametrize(("mask_size", "cells"), [(None, (20, 24)), (7, (7, 7)), ((5, 9), (5, 9)), ([5, 9], (5, 9))])
def test_mask_size(mask_size, cells):
    assert FIDO.new(image()[:, :20], MaskConfig(mask_size=mask_size), device="cpu").ssr_logit_p.shape == cells


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("zeros", torch.full((3, SIZE, SIZE), -1.0)),  # black, normalised with mean 0.5 and std 0.5
        ("mean", image().mean((1, 2), keepdim=True).expand(3, SIZE, SIZE)),
        (torch.full((3, 1, 1), 0.25), torch.full((3, SIZE, SIZE), 0.25)),
        (lambda images: -images, -image()),
    ],
)
def test_infill_strategies(strategy, expected):
    torch.testing.assert_close(FIDO.new(image(), MaskConfig(infill_strategy=strategy), device="cpu").infill, expected)


def test_one_home_of_each_name():
    from sdfido.compat import fido_pytorch

    assert sorted(fido_pytorch.__all__) == sorted(compat.__all__)
    assert all(getattr(fido_pytorch, name) is getattr(compat, name) for name in compat.__all__)


def test_plot_shows_regions_and_probabilities():
    reports = pytest.importorskip("sdfido.reports")
    im, infill, clf, fido = prepared(torch.float32)
    figure = fido.plot(im, 2, clf, label="a cat")
    text = "\n".join(t.get_text() for part in (figure, *figure.axes) for t in part.texts)

    def upsampled(mask):
        return F.interpolate(mask.detach()[None, None], size=(SIZE, SIZE), mode="bilinear")[0, 0]

    ssr, sdr = upsampled(1 - fido.ssr_dropout_rate), upsampled(fido.sdr_dropout_rate)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    pixels = im * 0.5 + 0.5
    for importance in (ssr, sdr, (ssr * sdr).sqrt()):
        assert any(p.shape == (SIZE, SIZE, 3) and np.allclose(p, reports.heatmap(importance, pixels)) for p in shown)
    kept, gone = upsampled((fido.ssr_logit_p < 0).float()), upsampled((fido.sdr_logit_p > 0).float())
    for composite in (im, infill, kept * im + (1 - kept) * infill, gone * infill + (1 - gone) * im):
        picture = (composite * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
        assert any(p.shape == picture.shape and np.allclose(p, picture, atol=1e-5) for p in shown)
        probability = clf.log_odds(composite[None], 2)[0].item()
        assert f"a cat  {probability:.1%}" in text or probability < 0.001


# Errors


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: FIDOConfig(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: FIDOConfig(iterations=2.5), TypeError, r"iterations must be an integer, got 2\.5"),
        (lambda: FIDOConfig(approx_steps=0), ValueError, "approx_steps must be at least 1, got 0"),
        (lambda: FIDOConfig(reg_warmup=-1), ValueError, "reg_warmup must be at least 0, got -1"),
        (lambda: FIDOConfig(learning_rate=0), ValueError, "learning_rate must be finite and positive, got 0"),
        (lambda: FIDOConfig(tv=float("nan")), ValueError, "tv must be finite and at least 0, got nan"),
        (lambda: FIDOConfig(l1="1"), TypeError, "l1 must be a number, got '1'"),
        (lambda: setattr(FIDOConfig(), "l2", -1), ValueError, "l2 must be finite and at least 0, got -1"),
        (
            lambda: FIDO.new(image()[None], MaskConfig(), device=None),
            ValueError,
            r"im must be \[C, H, W\], got \[",
        ),
        (
            lambda: FIDO.new(image().numpy(), MaskConfig(), device=None),
            TypeError,
            r"im must be a floating-point tensor \[C, H, W\], got ndarray",
        ),
        (
            lambda: FIDO.new(image().long(), MaskConfig(), device=None),
            TypeError,
            r"im must be a floating-point tensor .*got torch\.int64",
        ),
        (lambda: FIDO.new(image() / 0, MaskConfig(), device=None), ValueError, "im must be finite"),
        (lambda: FIDO.new(image(), {}, device=None), TypeError, "mask_config must be a MaskConfig, got dict"),
        (
            lambda: FIDO.new(image(), MaskConfig(mask_size=25), device=None),
            ValueError,
            "mask_size must not exceed .* 24x24",
        ),
        (
            lambda: FIDO.new(image(), MaskConfig(mask_size=(1, 2, 3)), device=None),
            ValueError,
            "mask_size must be an integer or a pair",
        ),
        (lambda: FIDO.new(image(), MaskConfig(infill_strategy="x"), device=None), ValueError, "infill must be one of"),
        (lambda: FIDO(0, infill=image()), ValueError, "size must be at least 1, got 0"),
        (lambda: FIDO("8", infill=image()), TypeError, "size must be an integer, got '8'"),
        (lambda: FIDO(8, infill=0.5), TypeError, "infill must be a floating-point tensor, got float"),
        (lambda: FIDO(8, infill=image(), optimized=1), TypeError, "optimized must be True or False, got 1"),
        (lambda: FIDO(8, infill=image()).ssr(image(), 0), ValueError, "batch_size must be at least 1, got 0"),
        (
            lambda: FIDO(8, infill=image()).ssr(image()[:, :20]),
            ValueError,
            r"X must have the shape of the infill, \[3, 24, 24\]",
        ),
        (
            lambda: FIDO(8, infill=torch.zeros(3, 1, 1)).ssr(image()[:, :7]),
            ValueError,
            "X must have a pixel for each .* 8x8 cells",
        ),
        (lambda: compat.sigmoid_concrete_dropout(1.0), TypeError, "X must be a floating-point tensor, got float"),
        (
            lambda: compat.sigmoid_concrete_dropout(torch.ones(2), 0),
            ValueError,
            "temp must be finite and positive, got 0",
        ),
        (
            lambda: compat.sigmoid_concrete_dropout(torch.ones(2), u=torch.ones(3)),
            ValueError,
            r"u must be like X, .*\[2\].* got .*\[3\]",
        ),
        (
            lambda: compat.concrete_dropout(torch.ones(2, dtype=torch.int64)),
            TypeError,
            "dropout_rate must be a floating-point",
        ),
        (lambda: compat.concrete_dropout(torch.ones(2), eps=0), ValueError, "eps must be finite and positive, got 0"),
    ],
)
def test_wrong_arguments_are_named(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


def returning(*values):
    """A classifier that returns something else."""
    clf = Net()
    clf.log_odds = lambda x, c: tuple(v(x) if callable(v) else v for v in values)
    return clf


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"config": {}}, TypeError, "config must be a FIDOConfig, got dict"),
        ({"config": FIDOConfig(approx_steps=9)}, ValueError, "approx_steps must be at most batch_size, 8, got 9"),
        ({"metrics": []}, TypeError, "metrics must be a dictionary to fill, got list"),
        ({"update_callback": 1}, TypeError, "update_callback must be callable, got 1"),
        ({"im": image()[:, :20]}, ValueError, "im must have the shape of the infill"),
        (
            {"clf": returning(lambda x: x[:, 0, 0, 0], lambda x: x)},
            ValueError,
            r"must return two tensors \[8\], .* got \[8, 3",
        ),
        ({"clf": returning(0.5, lambda x: x[:, 0, 0, 0])}, ValueError, r"must return two tensors \[8\], .* got float"),
        ({"clf": returning(*2 * [lambda x: x[:, 0, 0, 0].detach()])}, ValueError, "log_odds must be differentiable"),
        (
            {"clf": returning(*2 * [lambda x: x[:, 0, 0, 0] / 0])},
            ValueError,
            "score must be finite",
        ),
    ],
)
def test_fit_refuses_before_it_changes_anything(arguments, kind, says):
    im, _, clf, fido = prepared(torch.float32)
    before = torch.stack(fido.params).detach()
    calls = []
    with pytest.raises(kind, match=says):
        fido.fit(**{"im": im, "y": 1, "clf": clf, "update_callback": lambda *a: calls.append(a)} | arguments)
    assert torch.equal(torch.stack(fido.params), before)
    assert not calls
    assert not clf.batches
