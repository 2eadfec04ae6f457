"""Threads, processes and copies: an explanation has the bits of a plain call."""

import copy
import importlib.util
import io
import multiprocessing
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import sdfido
from sdfido import evaluate, infills
from tests.explainers import METHODS, NORMALIZATION, QUICK, assert_same, explainer, images, net, setting

LONG = 240  # seconds after which something hangs

# Threads.


def test_threads_with_explainers_of_their_own_and_in_common():
    names = [name for name in METHODS if name != "lrp" or importlib.util.find_spec("zennit")]
    model, x = net().train(), images()
    common = {name: explainer(name, model) for name in names}
    expected = {name: found.explain(x) for name, found in common.items()}
    weights = list(evaluate.randomised(model).state_dict().values())
    before = copy.deepcopy(model.state_dict())

    def work(place):
        name = names[place % len(names)]
        with sdfido.backend("native" if place % 3 else "auto"):
            assert_same((common[name] if place % 2 else explainer(name, model)).explain(x), expected[name])
        again = evaluate.randomised(model).state_dict().values()
        assert all(map(torch.equal, again, weights))

    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(work, place) for place in range(3 * len(names))]:
            result.result(timeout=LONG)
    assert all(part.training for part in model.modules())
    assert all(map(torch.equal, model.state_dict().values(), before.values()))


def test_models_that_share_parts():
    """A thread that leaves one model does not put parts of another one back into train mode."""
    shared = net()
    first, second = nn.Sequential(shared), nn.Sequential(shared, nn.Identity())
    begun, entered, left = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def until_entered(progress):
        begun.set()
        entered.wait(LONG)

    def until_left(progress):
        entered.set()
        left.wait(LONG)
        seen.append(any(part.training for part in shared.modules()))

    with ThreadPoolExecutor(2) as pool:
        earlier = pool.submit(sdfido.FIDO(first, **QUICK).explain, images(), on_step=until_entered)
        assert begun.wait(LONG)
        later = pool.submit(sdfido.FIDO(second, **QUICK).explain, images(), on_step=until_left)
        earlier.result(timeout=LONG)
        left.set()
        later.result(timeout=LONG)
    assert seen == [False, False]
    assert all(part.training for part in shared.modules())


# Processes.


def _send(connection, found, x):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        explanation = found.explain(x)
        masks = sdfido.sample_masks(torch.zeros(1, 2, 64, 64), sdfido.make_rng(0), num_samples=4)
    texts = [str(each.message) for each in told]
    connection.send(pickle.dumps((explanation, masks, torch.get_num_threads(), texts)))


def _child(method, *arguments):
    """What a process of its own sends."""
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=_send, args=(there, *arguments))
    process.start()
    try:
        assert here.poll(LONG), f"it hangs, exit code {process.exitcode}"
        return pickle.loads(here.recv())
    finally:
        process.kill()
        process.join()


@pytest.fixture
def two_threads():
    with setting(torch.set_num_threads, 2, torch.get_num_threads()):
        torch.rand(2**20).exp()  # starts them
        yield


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.usefixtures("two_threads")
def test_after_a_fork():
    """The threads of OpenMP are not there any more."""
    found, x = sdfido.FIDO(net(), **QUICK), images()
    expected, holding = found.explain(x), threading.Event()
    begun = threading.Event()

    def hold(progress):
        begun.set()
        holding.wait(LONG)

    with ThreadPoolExecutor(1) as pool:  # another thread holds the model in eval mode
        other = pool.submit(found.explain, x, on_step=hold)
        assert begun.wait(LONG)
        explanation, masks, threads, told = _child("fork", found, x)
        holding.set()
        other.result(timeout=LONG)
    assert_same(explanation, expected)
    assert torch.equal(masks, sdfido.sample_masks(torch.zeros(1, 2, 64, 64), sdfido.make_rng(0), num_samples=4))
    assert threads == 1
    assert [each for each in told if "forked" in each and 'get_context("spawn")' in each] == told[:1] != []


class Explained(Dataset):
    """A data set that explains, as one that fills in backgrounds or draws masks does."""

    def __init__(self, found):
        self.found, self.images = found, images(2)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        x = self.images[place : place + 1]
        masks = sdfido.sample_masks(torch.zeros(1, 1, 4, 4), sdfido.make_rng(place), num_samples=1)
        return self.found.explain(x)["joint"][0], sdfido.blend(masks, x, x.flip(3))[0, 0, 0]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_workers_of_a_loader(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    data = Explained(sdfido.FIDO(net(), **QUICK))
    expected = [data[place] for place in range(len(data))]
    loader = DataLoader(data, None, num_workers=1, multiprocessing_context=method, timeout=LONG)
    for found, known in zip(loader, expected, strict=True):
        assert all(map(torch.equal, found, known))


# Copies.


@pytest.mark.parametrize("method", METHODS)
def test_copies_of_explainers_and_explanations(method):
    original, x = explainer(method), images()
    expected = original.explain(x)
    for make in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        assert_same(make(original).explain(x), expected)
        twin = make(expected)
        assert_same(twin, expected)
        assert (twin.legend, twin.notes, twin.scale) == (expected.legend, expected.notes, expected.scale)
    assert all(part.training for part in original.score.model.modules())
    assert all(part._forward_hooks == {} for part in original.score.model.modules())
    file = io.BytesIO()
    torch.save(expected, file)
    file.seek(0)
    assert_same(torch.load(file), expected)


def test_copies_of_the_rest():
    model = net()
    every = [
        *(sdfido.ClassScore(model), sdfido.ContrastScore(model), sdfido.Settings(), sdfido.Execution(), NORMALIZATION),
        *(infills.Blur(), infills.Mean(), infills.UniformNoise(NORMALIZATION), infills.PatchShuffle(4)),
        *(infills.Fixed(torch.zeros(3, 1, 1)), evaluate.Probe(model, images())),
    ]
    seen = []
    sdfido.FIDO(model, **QUICK).explain(images(), on_step=seen.append)
    for original in (*every, *seen):
        for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert type(twin) is type(original)
            if isinstance(original, infills.Infill):
                assert torch.equal(twin(images()), original(images()))
            elif isinstance(original, sdfido.Settings | sdfido.Execution | sdfido.Normalization):
                assert twin == original
