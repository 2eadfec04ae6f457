"""What a caller has set in PyTorch, and kinds of models: an explanation has the bits of a plain call."""

import ast
import copy
import functools
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import sdfido
from sdfido import evaluate
from sdfido.methods.latent import LatentClassifier
from tests.explainers import METHODS, QUICK, assert_same, explainer, images, net, setting

CONTEXTS = {
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "float64": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "meta": lambda: setting(torch.set_default_device, "meta", None),
}


def forget() -> None:
    """Clear what functions of the package remember, so that it is made anew in a context."""
    for name, module in list(sys.modules.items()):
        if name.startswith("sdfido."):
            for each in vars(module).values():
                if isinstance(each, functools._lru_cache_wrapper):
                    each.cache_clear()


@pytest.fixture(autouse=True)
def _forgotten():
    forget()
    yield
    forget()


@pytest.mark.parametrize("method", METHODS)
def test_what_a_caller_has_set_does_not_matter(method):
    found, x = explainer(method), images()
    expected = found.explain(x)
    for name, context in CONTEXTS.items():
        forget()
        with context():
            again = explainer(method, found.score.model).explain(x)
        try:
            assert_same(again, expected)
        except AssertionError as error:
            pytest.fail(f"{name}: {error}")


def test_what_is_trained_does_not_depend_on_what_a_caller_has_set():
    def run():
        concepts = sdfido.Concepts(model, "4", count=2, hidden=(4,), epochs=2, rounds=1).fit(x)
        calm = sdfido.CALM(latent).explain(x[:2])
        return [*concepts._tensors.values(), concepts.explain(x[:1], **QUICK)["ssr"], *calm.maps.values()]

    model, x = net(), images(12)
    latent = LatentClassifier(nn.Conv2d(3, 4, 3), 4, 3, seed=2)
    expected = [*run(), *LatentClassifier(latent.features, 4, 3, seed=2).state_dict().values()]
    for name, context in CONTEXTS.items():
        forget()
        with context():
            found = [*run(), *LatentClassifier(latent.features, 4, 3, seed=2).state_dict().values()]
        for place, (actual, tensor) in enumerate(zip(found, expected, strict=True)):
            torch.testing.assert_close(actual, tensor, rtol=0, atol=0, msg=f"{name}: {place}")


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_operators_do_not_depend_on_what_a_caller_has_set(backend):
    def run():
        logits = torch.linspace(-2, 2, 32, dtype=torch.float32, device="cpu").view(1, 2, 4, 4).requires_grad_()
        rng = sdfido.make_rng(5, device="cpu")
        samples = sdfido.sample_composites(logits, x, x.mean((2, 3), keepdim=True), rng, num_samples=2)
        masks = sdfido.sample_masks(logits, sdfido.advance(rng), num_samples=2, temperature=0.5)
        outputs = [*samples, masks, sdfido.blend(masks, x, x.flip(3))]
        if not torch.is_grad_enabled():
            return outputs
        return [*outputs, *torch.autograd.grad([each.sum() for each in outputs], [logits])]

    x = images()
    with sdfido.backend(backend):
        expected = run()
        for name, context in CONTEXTS.items():
            with context():
                found = run()
            assert len(found) == (5 if name in ("inference mode", "no grad") else 6)
            for actual, tensor in zip(found, expected, strict=False):
                assert actual.dtype == tensor.dtype, name
                assert torch.equal(actual, tensor.detach()), name


def test_measures_do_not_depend_on_what_a_caller_has_set():
    model, x, box = net(), images(2), torch.tensor([1, 2, 12, 13])
    maps = images(2)[:, 0].abs()
    mask = maps > 1

    def run():
        probe = evaluate.Probe(model, x)
        found = [probe.keep(maps).values, probe.remove(maps, [0.1, 0.5]).relative]
        for measure in ("pointing_game", "intersection_over_union", "outside", "false_positive_rate"):
            found.append(getattr(evaluate, measure)(maps, box))
        found += [evaluate.energy_outside(maps, mask), evaluate.average_precision(maps, mask)]
        found += [evaluate.rank_correlation(maps, maps.flip(1)), evaluate.total_variation(maps)]
        found += list(evaluate.randomised(model).state_dict().values())
        background = evaluate.background(model, x, mask, torch.zeros_like(box[:2]))
        return [*found, background.animal, background.classes, evaluate.over_seeds(fido, x)["joint"]]

    fido = sdfido.FIDO(model, pruning=False, **QUICK)
    expected = run()
    for name, context in CONTEXTS.items():
        forget()
        with context():
            found = run()
        for place, (actual, tensor) in enumerate(zip(found, expected, strict=True)):
            torch.testing.assert_close(actual, tensor, rtol=0, atol=0, equal_nan=True, msg=f"{name}: {place}")


def test_whatever_is_made_says_on_which_device():
    """``torch.zeros(3)`` would be on the caller's default device."""
    makers = {"zeros", "ones", "full", "empty", "tensor", "as_tensor", "arange", "linspace", "eye", "rand", "randn"}
    makers |= {"randint", "randperm", "scalar_tensor", "logspace"}
    package, wrong = Path(sdfido.__file__).parent, []
    for path in package.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in makers:
                of_torch = isinstance(call.func.value, ast.Name) and call.func.value.id == "torch"
                names = [keyword.arg for keyword in call.keywords]  # None: of **options
                if of_torch and not {"device", None} & set(names):
                    wrong.append(f"{path.relative_to(package)}:{call.lineno} torch.{call.func.attr}")
    assert wrong == []


def test_what_was_made_under_inference_mode_can_be_used():
    with torch.inference_mode():
        x, targets, streams, infill = images(2), torch.tensor([1, 2]), torch.tensor([5, 6]), torch.zeros(3, 1, 1)
    model = net()
    found = sdfido.FIDO(model, infill=infill, **QUICK).explain(x, targets, streams=streams)
    expected = sdfido.FIDO(model, infill=torch.zeros(3, 1, 1), **QUICK).explain(images(2), [1, 2], streams=[5, 6])
    assert_same(found, expected)


@pytest.mark.parametrize("make", [net, lambda: net().requires_grad_(False)])
def test_models_made_under_inference_mode_are_refused(make):
    with torch.inference_mode():
        model = make()
    with pytest.raises(ValueError, match=r"model must not be made under torch\.inference_mode.*load it before"):
        sdfido.FIDO(model, **QUICK).explain(images())
    assert sdfido.FIDO(copy.deepcopy(model), **QUICK).explain(images()).ssr.shape == (1, 16, 16)


def test_autocast_of_the_explainers_own():
    model, x = net(), images()
    expected = sdfido.FIDO(model, dtype=torch.bfloat16, **QUICK).explain(x)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            model.eval()(x)  # the weights that autocast casts here have no gradient
            assert_same(sdfido.FIDO(model, dtype=torch.bfloat16, **QUICK).explain(x), expected)
        loss = model(x).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# Models.


def _hooked(model):
    model[0].register_forward_hook(lambda module, given, output: None)
    model.register_full_backward_hook(lambda module, given, output: None)
    return model


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.train(),
        lambda model: model.requires_grad_(False),
        _hooked,
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
    ],
    ids=["in train mode", "without gradients", "with hooks", "parallel", "compiled"],
)
def test_kinds_of_models(change):
    x, settings = images(), {**QUICK, "fold_batch_norm": False}
    expected = sdfido.FIDO(net().eval(), **settings).explain(x)
    model = change(net())
    modes = [part.training for part in model.modules()]
    assert_same(sdfido.FIDO(model, **settings).explain(x), expected)
    assert [part.training for part in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
