"""Batch normalisation folded into the layers before it: the same answers, from a copy, and only where that is safe."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sdfido
from sdfido import models
from sdfido.folding import fold_batch_norm, folded_score

QUICK = {"steps": 4, "mask_size": 6}


def images(n=1, size=16, channels=3):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def lively(model, seed=0):
    """The model in eval mode with normalisations as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.running_mean is not None:
                part.running_mean.normal_(generator=generator)
                part.running_var.uniform_(0.3, 3, generator=generator)
            if part.affine:
                nn.init.normal_(part.weight, generator=generator)
                nn.init.normal_(part.bias, generator=generator)
    return model.eval()


def fold(model, x=None):
    return fold_batch_norm(model, lambda module, x: module(x), images() if x is None else x)


def folded_norms(model):
    """How many normalisations of a copy do nothing any more; none where there is no copy."""
    return 0 if model is None else sum("forward" in vars(part) for part in model.modules())


def gradient(model, x):
    x = x.clone().requires_grad_()
    result = model(x.clone())
    return torch.autograd.grad((result * torch.linspace(-1, 2, result.numel()).view_as(result)).sum(), [x])[0]


def assert_folded(model, x=None, norms=1):
    x = images() if x is None else x
    folded = fold(model, x)
    assert folded_norms(folded) == norms
    other = 0.7 * x.flip(-1) + 0.1
    for found, expected in ((folded(other), model(other)), (gradient(folded, other), gradient(model, other))):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))
    return folded


class SamePadding(nn.Conv2d):
    """Pads on its own, as the convolutions of EfficientNet do."""

    def forward(self, x):
        return super().forward(F.pad(x, [0, 1, 0, 1]))


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm has it: an activation inside."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.SiLU(inplace=True)

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


def net(*layers):
    torch.manual_seed(0)
    return lively(nn.Sequential(*[layer() for layer in layers]))


FOLDABLE = {
    "convolution": [lambda: nn.Conv2d(3, 8, 3, bias=False), lambda: nn.BatchNorm2d(8), nn.ReLU],
    "bias": [lambda: nn.Conv2d(3, 8, 3, stride=2), lambda: nn.BatchNorm2d(8)],
    "in-place activation": [lambda: nn.Conv2d(3, 8, 3), lambda: nn.BatchNorm2d(8), lambda: nn.SiLU(inplace=True)],
    "depthwise": [lambda: nn.Conv2d(3, 6, 3, groups=3), lambda: nn.BatchNorm2d(6)],
    "without gamma and beta": [lambda: nn.Conv2d(3, 8, 3), lambda: nn.BatchNorm2d(8, affine=False)],
    "transposed": [lambda: nn.ConvTranspose2d(3, 8, 3, stride=2), lambda: nn.BatchNorm2d(8)],
    "transposed in groups": [
        lambda: nn.Conv2d(3, 4, 1),
        lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
        lambda: nn.BatchNorm2d(6),
    ],
    "linear": [nn.Flatten, lambda: nn.Linear(768, 8), lambda: nn.BatchNorm1d(8), nn.ReLU],
    "one axis": [lambda: nn.Flatten(2), lambda: nn.Conv1d(3, 8, 3), lambda: nn.BatchNorm1d(8)],
    "three axes": [lambda: nn.Unflatten(1, (1, 3)), lambda: nn.Conv3d(1, 4, 2), lambda: nn.BatchNorm3d(4)],
    "synchronised": [lambda: nn.Conv2d(3, 8, 3), lambda: nn.SyncBatchNorm(8)],
    "padding of its own": [lambda: SamePadding(3, 8, 3), lambda: nn.BatchNorm2d(8)],
    "activation inside": [lambda: nn.Conv2d(3, 8, 3), lambda: BatchNormAct2d(8)],
    "float64": [lambda: nn.Conv2d(3, 8, 3).double(), lambda: nn.BatchNorm2d(8).double()],
}


@pytest.mark.parametrize("layers", FOLDABLE.values(), ids=FOLDABLE)
def test_the_copy_answers_as_the_model_does(layers):
    model = net(*layers)
    assert_folded(model, images().to(next(model.parameters()).dtype))


def test_a_whole_network():
    classifier = models.load("efficientnet-lite0")
    model = classifier.model
    x = classifier.preprocess(models.demo_photo())[None]
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    folded = fold(model, x)
    assert folded_norms(folded) == norms == 49
    other = x.flip(-1)
    with torch.no_grad():
        torch.testing.assert_close(folded(other), model(other), rtol=0, atol=1e-4)
    # In float64, as rounding takes the activation of a few features across its kink, where the gradient jumps.
    expected = gradient(model.double(), other.double())
    assert float((gradient(fold(model, x.double()), other.double()) - expected).norm() / expected.norm()) < 1e-9


class Block(nn.Module):
    """A convolution and its normalisation, used in the way that a function says."""

    def __init__(self, use, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.use = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), use
        self.other = nn.BatchNorm2d(3)
        for name, part in parts.items():
            setattr(self, name, part)
        lively(self)

    def forward(self, x):
        return self.use(self, x)


def _twice(block, x):
    z = block.conv(x)
    return block.norm(z) + z


def _twice_to_no_effect(block, x):
    """Nothing that the numbers of one image could tell."""
    z = block.conv(x)
    return block.norm(z) + 0 * z.square()


def _twice_to_no_effect_in_another_order(block, x):
    z = block.conv(x)
    return 0 * z.square() + block.norm(z)


def _detached(block, x):
    z = block.conv(x)
    return block.norm(z) * torch.sigmoid(z.detach())


def _two_norms(block, x):
    z = block.conv(x)
    return block.norm(z) + block.other(z)


def _changed(block, x):
    return block.norm(block.conv(x).mul_(2))


def _changed_to_no_effect(block, x):
    return block.norm(block.conv(x).mul_(1))


def _changed_out_of_sight(block, x):
    z = block.conv(x)
    z.data.mul_(2)
    return block.norm(z)


def _weight_used(block, x):
    return block.norm(block.conv(x)) + F.conv2d(x, block.conv.weight, padding=1)


def _norm_without_use(block, x):
    z = block.conv(x)
    block.norm(z)
    return z


def _norm_without_use_to_no_effect(block, x):
    z = block.conv(x)
    block.norm(z)
    return x + 0 * z


LEFT_ALONE = {
    "output used again": _twice,
    "output used again, to no effect": _twice_to_no_effect,
    "to no effect, in another order": _twice_to_no_effect_in_another_order,
    "output used without a gradient": _detached,
    "output for two": _two_norms,
    "output changed in place": _changed,
    "output changed, to no effect": _changed_to_no_effect,
    "output changed out of sight": _changed_out_of_sight,
    "weight used elsewhere": _weight_used,
    "normalisation used twice": lambda b, x: b.norm(b.norm(b.conv(x))),
    "normalisation of two": lambda b, x: b.norm(b.conv(x)) + b.norm(x),
    "convolution of two": lambda b, x: b.norm(b.conv(x)) + b.other(b.conv(x)),
    "normalisation without use": _norm_without_use,
    "without use, to no effect": _norm_without_use_to_no_effect,
    "activation between": lambda b, x: b.norm(b.conv(x).relu()),
    "normalisation first": lambda b, x: b.conv(b.norm(x)),
    "no tensor": lambda b, x: (b.norm(b.conv(x)),),
    "without a gradient": lambda b, x: torch.no_grad()(lambda: b.norm(b.conv(x)))(),
    "infinite": lambda b, x: b.norm(b.conv(x)) / 0,
    "random": lambda b, x: b.norm(b.conv(x)) + torch.randn_like(x),
}


@pytest.mark.parametrize("use", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_else_depends_on_the_parts_is_seen(use):
    assert fold(Block(use)) is None


def test_a_residual_connection_around_the_normalisation_is_kept():
    """The usual kind: the sum takes the normalised features, and the block's input."""
    assert_folded(Block(lambda b, x: (b.norm(b.conv(x)) + x).relu_()))


def test_a_weight_of_two_convolutions_is_folded_into_one():
    tied = Block(lambda b, x: b.norm(b.conv(x)) + b.second(x), second=nn.Conv2d(3, 3, 3, padding=1))
    tied.second.weight = tied.conv.weight
    folded = assert_folded(tied)
    assert folded.second.weight is tied.conv.weight


class Scaled(nn.Conv2d):
    """Standardises its weight, so that a factor on the weight has no effect."""

    def forward(self, x):
        return F.conv2d(x, F.normalize(self.weight, dim=(1, 2, 3)), self.bias)


class Activated(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize(
    "block",
    [
        *(Block(LEFT_ALONE[name]) for name in LEFT_ALONE if name.split()[0] in ("activation", "convolution")),
        *(Block(LEFT_ALONE[name]) for name in LEFT_ALONE if name.startswith(("normalisation", "output used again"))),
        Block(lambda b, x: b.norm(b.conv(x)), conv=Scaled(3, 3, 3)),
        Block(lambda b, x: b.norm(b.conv(x)), conv=Activated(3, 3, 3)),
    ],
)
def test_the_other_pairs_are_folded_nevertheless(block):
    torch.manual_seed(0)
    assert_folded(lively(nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), block)))


PLAIN = Block(lambda b, x: b.norm(b.conv(x)))


def _wrapped(forward):
    return lambda x: forward(x)


def _changed_part(change):
    block = copy.deepcopy(PLAIN)
    change(block)
    return block


CANNOT = {
    "train mode": lambda b: b.norm.train(),
    "no statistics": lambda b: setattr(b, "norm", nn.BatchNorm2d(3, track_running_stats=False).eval()),
    "forward hook on the layer": lambda b: b.conv.register_forward_hook(lambda *_: None),
    "hook before the normalisation": lambda b: b.norm.register_forward_pre_hook(lambda *_: None),
    "backward hook": lambda b: b.norm.register_full_backward_hook(lambda *_: None),
    "parametrised": lambda b: nn.utils.parametrizations.weight_norm(b.conv),
    "weight norm": lambda b: nn.utils.weight_norm(b.conv),
    "bfloat16": lambda b: b.bfloat16(),
    "weights scaled": lambda b: setattr(b, "conv", Scaled(3, 3, 3)),
    "activation in the layer": lambda b: setattr(b, "conv", Activated(3, 3, 3)),
    "normalisation wrapped": lambda b: setattr(b.norm, "forward", _wrapped(b.norm.forward)),
    "layer wrapped": lambda b: setattr(b.conv, "forward", _wrapped(b.conv.forward)),
    "lazy": lambda b: setattr(b, "conv", nn.LazyConv2d(3, 3)),
    "compiled": lambda b: b.norm.compile(backend="eager"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("change", CANNOT.values(), ids=CANNOT)
def test_parts_that_cannot_be_folded(change):
    model = _changed_part(change)
    dtype = next(model.parameters()).dtype
    assert fold(model, images().to(dtype)) is None
    assert fold(PLAIN) is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_modules_that_do_not_run_their_parts():
    plain = net(*FOLDABLE["convolution"])
    assert fold(torch.fx.symbolic_trace(plain)) is None
    assert fold(torch.jit.trace(plain, images())) is None
    assert fold(nn.Sequential(torch.jit.script(plain))) is None
    assert fold(nn.DataParallel(plain)) is None


class Uncopied(nn.BatchNorm2d):
    def __new__(cls, *arguments):
        if not arguments:
            raise TypeError("cannot be made without channels")
        return super().__new__(cls)


def test_what_cannot_be_copied_or_run():
    assert fold(lively(nn.Sequential(nn.Conv2d(3, 3, 3), Uncopied(3)))) is None
    assert fold(net(lambda: nn.Conv2d(5, 8, 3), lambda: nn.BatchNorm2d(8))) is None  # of other channels
    assert fold(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())) is None


def test_what_cannot_be_copied_deeply_is_folded():
    model = net(*FOLDABLE["convolution"])
    model.lock = threading.Lock()
    model.made = model[0].weight * 2  # no leaf of autograd's graph
    with pytest.raises((TypeError, RuntimeError)):
        copy.deepcopy(model)
    assert assert_folded(model).lock is model.lock


class Remembering(nn.Module):
    """Takes the features of a part from a hook."""

    def __init__(self, hook):
        super().__init__()
        self.part = net(*FOLDABLE["convolution"])
        self.features, self.kept = None, []
        self.part.register_forward_hook(self.remember if hook == "method" else lambda m, i, o: self.remember(m, i, o))

    def remember(self, module, inputs, output):
        self.features = output

    def forward(self, x):
        self.part(x)
        return self.features.mean((2, 3))


def test_features_that_a_hook_remembers():
    assert_folded(Remembering("method").eval())
    closure = Remembering("closure").eval()  # of the model, whatever copy the hook is called for
    explanation = sdfido.FIDO(closure, **QUICK).explain(images())
    assert explanation.execution["fold_batch_norm"] is False
    assert folded_score(sdfido.ClassScore(closure), images()).model is closure


class User:
    """Has a hook in the model that is none of the model's."""

    def __init__(self):
        self.seen = []

    def see(self, module, inputs, output):
        self.seen.append(output.shape)


def test_hooks_elsewhere_still_reach_their_owner():
    user, model = User(), net(*FOLDABLE["convolution"])
    model[2].register_forward_hook(user.see)
    folded = assert_folded(model)
    before = len(user.seen)
    folded(images())
    assert len(user.seen) == before + 1


def _state(model):
    tensors = [*model.parameters(), *model.buffers()]
    return (
        [(id(t), t._version, t.requires_grad, t.grad, t.clone()) for t in tensors],
        [(id(part), part.training, sorted(vars(part))) for part in model.modules()],
        [
            {name: list(table) for name, table in vars(part).items() if name.endswith("_hooks")}
            for part in model.modules()
        ],
    )


def test_the_model_is_left_as_it_is():
    model = net(*FOLDABLE["in-place activation"])
    model[0].weight.requires_grad_(False)
    model[2].register_forward_hook(lambda *_: None)
    x = images()
    (tensors, parts, hooks), before = _state(model), x.clone()
    folded = fold(model, x)
    after, parts_after, hooks_after = _state(model)
    assert (parts, hooks) == (parts_after, hooks_after)
    for (*facts, value), (*facts_after, value_after) in zip(tensors, after, strict=True):
        assert facts == facts_after
        assert torch.equal(value, value_after)
    assert torch.equal(x, before)
    assert x._version == 0
    assert folded[2] is not model[2]
    assert folded[1].running_mean is model[1].running_mean
    assert not any(folded[i]._forward_hooks for i in (0, 1))


class InPlace(nn.Sequential):
    def forward(self, x):
        return super().forward(x.mul_(0.5))


def test_models_that_work_in_place():
    model = InPlace(*net(*FOLDABLE["in-place activation"]))
    x = images()
    before = x.clone()
    assert folded_norms(fold(model.eval(), x)) == 1
    assert torch.equal(x, before)


def classifier(classes=4):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return lively(nn.Sequential(*layers, nn.Linear(32, classes)))


@pytest.mark.parametrize("settings", [{}, {"dtype": torch.bfloat16}, {"channels_last": False}])
def test_explanations_are_the_same_but_for_rounding(settings):
    model, x = classifier().train(), images(2, 24)
    # Without total variation: the signs of its slopes would magnify the rounding.
    settings = QUICK | {"smoothness_weight": 0.0, "learning_rate": 0.1} | settings
    folded, plain = (sdfido.FIDO(model, fold_batch_norm=flag, **settings).explain(x) for flag in (True, False))
    assert (folded.execution["fold_batch_norm"], plain.execution["fold_batch_norm"]) == (True, False)
    assert torch.equal(folded.targets, plain.targets)
    if "dtype" in settings:
        assert (folded.ssr - plain.ssr).abs().mean() < 0.02
    else:
        for name in ("ssr", "sdr", "prob_image", "prob_ssr", "mask_logits", "trace"):
            torch.testing.assert_close(getattr(folded, name), getattr(plain, name), rtol=1e-3, atol=1e-3, msg=name)
    assert all(part.training for part in model.modules())


def test_two_threads_with_one_model():
    model, x = classifier(), images(1, 24)
    explainer = sdfido.FIDO(model, **QUICK)
    expected = explainer.explain(x)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: explainer.explain(x), range(8)))
    assert all(one.execution["fold_batch_norm"] for one in found)
    assert all(torch.equal(one.mask_logits, expected.mask_logits) for one in found)
    assert not any(part._forward_hooks for part in model.modules())


class Similarity:
    """A score of one's own, 1 for an image and itself."""

    def __init__(self, encoder):
        self.model = encoder

    def __call__(self, images, targets):
        return F.cosine_similarity(self.model(images), targets)

    def resolve(self, images, targets=None):
        return self.model(images).detach() if targets is None else targets.expand(len(images), -1)

    def confidence(self, images, targets):
        return (1 + self(images, targets)) / 2


def test_a_score_at_its_maximum_does_not_hide_a_difference():
    model = nn.Sequential(Block(lambda b, x: b.norm(z := b.conv(x)) + 0.05 * z.detach()), nn.Flatten())
    score = Similarity(model.eval())
    assert folded_score(score, images()) is score


class OwnModule(nn.Module):
    """A score that is a module itself."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images, targets):
        return self.encoder(images).gather(1, targets[:, None])[:, 0]

    def resolve(self, images, targets=None):
        return self.encoder(images).argmax(1)

    confidence = forward


class Fixed(Similarity):
    """Takes no other model."""

    @property
    def model(self):
        return vars(self)["kept"]

    @model.setter
    def model(self, value):
        if "kept" in vars(self):
            raise AttributeError("model is fixed")
        vars(self)["kept"] = value


def test_scores():
    model, x = classifier(), images(2, 24)
    for score, norms in ((Similarity(model), 2), (OwnModule(model), 2), (sdfido.ClassScore(model), 2)):
        folded = folded_score(score, x)
        assert type(folded) is type(score)
        module = folded if isinstance(folded, nn.Module) else folded.model
        assert folded_norms(module) == norms
        targets = score.resolve(x)
        torch.testing.assert_close(folded(x.flip(-1), targets), score(x.flip(-1), targets), rtol=1e-4, atol=1e-4)
    for score in (Fixed(model), sdfido.ClassScore(lambda x: model(x)), sdfido.ClassScore(nn.Linear(3, 3))):
        assert folded_score(score, x) is score
    assert folded_norms(model) == 0
    score = sdfido.ClassScore(model)
    assert folded_score(score, x[:0]) is score
