"""Arguments that no function takes, found by generated calls (``tests/fuzz``): one of each class of fault."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import sdfido
from sdfido import evaluate, infills, models, reports, runs, scores
from sdfido.compat import fido_pytorch, quantus
from sdfido.evaluate import audit, parts

HUGE = 2**70
MAPS = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
IMAGES = MAPS[:, None].repeat(1, 3, 1, 1)
NESTED = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
SPARSE, META, FLOAT8 = MAPS.to_sparse(), MAPS.to("meta"), MAPS.to(torch.float8_e4m3fn)
GRAPH = sdfido.PatchGraph((2, 2), ((0,), (0, 1)), (0.2, 0.9))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


COUNTS = [  # some took for ever, others asked for more memory than there is
    (lambda count: sdfido.Settings(steps=count), "steps"),
    (lambda count: sdfido.SufficientRegions(nn.Identity(), count=count), "count"),
    (lambda count: sdfido.IGOS(nn.Identity(), path_points=count), "path_points"),
    (lambda count: evaluate.insertion(nn.Flatten(), IMAGES, MAPS, num_fractions=count), "num_fractions"),
    (lambda count: evaluate.over_seeds(sdfido.FIDO(nn.Identity()), IMAGES, seeds=count), "seeds"),
    (lambda count: fido_pytorch.FIDOConfig(iterations=count), "iterations"),
]


@pytest.mark.parametrize("count", [2**31, 2**63 - 1, HUGE])
@pytest.mark.parametrize(("make", "name"), COUNTS)
def test_counts_that_no_machine_gets_through(make, name, count):
    with pytest.raises(ValueError, match=f"^{name} must be at most 1000000, got {count}"):
        make(count)


MAPS_OF = [evaluate.ranks, evaluate.total_variation, lambda maps: evaluate.stability([maps, maps])]
ODD_MAPS = [(NESTED, "a nested one"), (SPARSE, "sparse_coo"), (META, "device meta"), (FLOAT8, "float8")]


@pytest.mark.parametrize(("maps", "says"), [*ODD_MAPS, (np.array(["a"]), "array of numbers")])
@pytest.mark.parametrize("measure", MAPS_OF)
def test_maps_that_are_no_dense_numbers(measure, maps, says):
    with pytest.raises(TypeError, match=f"(importance|maps) must.*{says}"):
        measure(maps)


def test_arrays_of_either_byte_order():
    swapped = MAPS.numpy().astype(">f4")
    assert torch.equal(evaluate.ranks(swapped), evaluate.ranks(MAPS))


LOGITS, CLASSES = torch.zeros(2, 5), torch.tensor([0, 4])
CALLS = [
    # flags, dtypes and choices that are tensors or arrays
    (lambda: sdfido.blend(MAPS[:, None, None], IMAGES, IMAGES, dtype=MAPS), TypeError, "dtype must be float32 or"),
    (lambda: sdfido.Execution(dtype=MAPS), TypeError, "dtype must be a torch.dtype"),
    (lambda: reports.heatmap(MAPS[0], IMAGES[0], signed=MAPS), TypeError, "signed must be True or False"),
    (lambda: models.demo_photo(np.array(["a"])), ValueError, "name must be one of"),
    (lambda: sdfido.make_rng(0, device="nowhere"), ValueError, "device must be one that this PyTorch can use"),
    # infills
    (lambda: infills.apply(3, IMAGES), TypeError, "infill must be a function of images"),
    (lambda: infills.apply(infills.Blur(), IMAGES.to("meta")), TypeError, "images must hold values"),
    (lambda: infills.apply(infills.Blur(), torch.zeros(0, 3, 0, 8)), ValueError, "images must be"),
    (lambda: infills.Fixed(META), TypeError, "infill must hold values"),
    (lambda: infills.apply(lambda images: NESTED, IMAGES), TypeError, "infill must return"),
    (lambda: infills.from_spec("blur", normalization=MAPS), TypeError, "normalization must be"),
    # links
    (lambda: scores.log_odds("x", CLASSES), TypeError, "logits must be a floating-point tensor"),
    (lambda: scores.margin(LOGITS, 3), TypeError, "targets must be a tensor"),
    (lambda: scores.probability(LOGITS, CLASSES[:1]), ValueError, "targets must be int64 .2."),
    (lambda: scores.log_probability(LOGITS, CLASSES + 1), ValueError, "targets must be classes in 0..4"),
    # what explanations are made of
    (lambda: sdfido.MapInfo("a", of=3), TypeError, "of must be a list of names"),
    (lambda: sdfido.MapInfo("a", signed=3), TypeError, "signed must be True or False"),
    (lambda: scores.Scale(sign=MAPS), TypeError, "sign must be 1 or -1"),
    (lambda: sdfido.PatchGraph(MAPS, (), ()), TypeError, "grid must be a pair"),
    (lambda: sdfido.PatchGraph((2, 2), 3, ()), TypeError, "nodes must be a list"),
    (lambda: sdfido.PatchGraph.of(MAPS, None), TypeError, "shares must be a floating-point tensor"),
    (lambda: sdfido.PatchGraph.from_dict(MAPS), TypeError, "table must be"),
    (lambda: sdfido.Explanation.load("\0"), ValueError, "path must be a path without null"),
    (lambda: sdfido.Explanation.load(3), TypeError, "path must be a path"),
    # measures
    (lambda: evaluate.agreed("ab"), TypeError, "explanations must be a list"),
    (lambda: evaluate.measure(MAPS, 3), TypeError, "probe must be"),
    (lambda: evaluate.components(MAPS > 0.5, connectivity=MAPS), TypeError, "connectivity must be 4 or 8"),
    (lambda: evaluate.from_around(IMAGES, {}), TypeError, "hidden must be"),
    (lambda: evaluate.background(nn.Flatten(), IMAGES, MAPS > 0.5, 3), ValueError, "targets must be one class"),
    (lambda: evaluate.label_randomisation(3, nn.Flatten(), IMAGES, CLASSES), TypeError, "explain must be"),
    (lambda: parts.region_features(3, IMAGES, MAPS), TypeError, "model must be"),
    (lambda: parts.clusters([1, 2]), TypeError, "features must be"),
    (lambda: audit.Photos(3, [], {}, {}, MAPS), TypeError, "classes must be a list"),
    (lambda: audit.Photos([], [], {}, {}, np.zeros((0, 8)), [None]), ValueError, "sequences must be one for each of 0"),
    (lambda: audit.Limits(resamples=HUGE), ValueError, "resamples must be at most"),
    # folders and pictures
    (lambda: runs.shard([], 3), TypeError, "shard must be a text"),
    (lambda: runs.shard(3, "1/2"), TypeError, "items must be a list"),
    (lambda: runs.choose("abc", "out"), TypeError, "paths must be a list"),
    (lambda: runs.Store(3), TypeError, "out must be a path"),
    (lambda: models.read_photo(3), TypeError, "photo must be a path"),
    (lambda: reports.attention_graph(3, IMAGES[0]), TypeError, "graph must be"),
    (lambda: reports.curves(3), TypeError, "panels must be"),
    (lambda: reports.overview(3, IMAGES, IMAGES), TypeError, "explanation must be"),
    (lambda: reports.page("a", 3), TypeError, "data must be"),
    (lambda: reports.draw([], [], [], label="a"), ValueError, "top must have at least one panel"),
    (lambda: reports.Panel(MAPS[0], MAPS), TypeError, "title must be a text"),
    (lambda: reports.Bar("a", 0.5, "no colour"), ValueError, "colour must be one of matplotlib's"),
    (lambda: reports.save(3, "a.png"), TypeError, "figure must be"),
    (lambda: runs.Item(3, "a"), TypeError, "path must be a path"),
    (lambda: runs.Serial(-1), ValueError, "writers must be at least 0"),
    (lambda: runs.Processes(2, device=MAPS), TypeError, "device must be the name"),
    (lambda: runs.Truth("masks", []), TypeError, "truth must be a list of files and folders.*; put it in a list"),
    (lambda: runs.Truth(["masks"], [], confidence=MAPS), TypeError, "confidence must be a number"),
    (lambda: runs.Truth(["masks"], [], categories="bear"), TypeError, "categories must be a list"),
    (lambda: runs.Evaluation([]), ValueError, "outs must be at least one folder"),
    (lambda: runs.Annotations(MAPS), TypeError, "truth must be a path"),
    (lambda: next(runs.Store("none").find(on_damaged=MAPS)), TypeError, "on_damaged must be a function"),
    # what public functions return
    (lambda: audit.suspicion(3), TypeError, "photos must be"),
    (lambda: parts.pieces(NESTED), TypeError, "region must be"),
    (lambda: scores.Scale().text("a"), TypeError, "confidence must be a number"),
    (lambda: scores.Scale().called(3), TypeError, "target must be a tensor"),
    (lambda: sdfido.Concepts.load(3, nn.Flatten()), TypeError, "path must be a path"),
    (lambda: models.Classifier("a", nn.Flatten(), border=(0.1, 0.2)), ValueError, "border must be one number"),
    (lambda: models.Selected(3, None), TypeError, "network must be"),
    (lambda: models.Classifier("a", nn.Flatten()).preprocess(MAPS), TypeError, "photo must be a photo"),
    # interfaces of other packages
    (lambda: quantus.explain(nn.Flatten(), IMAGES.to("meta"), [0, 1]), TypeError, "inputs must hold values"),
    (lambda: fido_pytorch.FIDO(4, infill=IMAGES[0]).ssr(IMAGES[0], 1, MAPS), TypeError, "deterministic must be"),
]


@pytest.mark.parametrize(("call", "error", "says"), CALLS)
def test_one_clear_error(call, error, says):
    with pytest.raises(error, match=f"^{says}"):
        call()


@pytest.mark.parametrize("path", [3, "\0", ""])
def test_files_are_written_to_paths_of_files(path, network):
    explanation = sdfido.FIDO(network, steps=1, mask_size=2).explain(IMAGES)
    with pytest.raises((TypeError, ValueError), match=r"^path must be"):
        explanation.save(path)


@pytest.mark.parametrize("target", [HUGE, -HUGE])
@pytest.mark.parametrize("kind", [scores.DetectionScore, scores.SegmentScore])
def test_huge_classes(kind, target):
    found = {"boxes": torch.tensor([[0, 0, 4, 4.0]]), "labels": torch.tensor([1]), "scores": torch.tensor([0.5])}
    model = (lambda images: [found] * len(images)) if kind is scores.DetectionScore else lambda images: images
    with pytest.raises(ValueError, match="targets must be"):
        kind(model).resolve(IMAGES, target)


@pytest.mark.parametrize("kind", [scores.LabelScore, scores.EmbeddingScore, scores.RegressionScore])
def test_every_score_says_what_the_model_cannot_take(kind, network):
    with pytest.raises(ValueError, match=r"model cannot take images \[2, 1, 8, 8\].*; give images"):
        kind(network)(IMAGES[:, :1], CLASSES)


def test_training_says_what_the_model_cannot_take(network):
    calm = sdfido.CALM(network, example=IMAGES[:1])
    with pytest.raises(ValueError, match=r"^model cannot take images \[2, 1, 8, 8\](?!.*model cannot)"):
        calm.fit([(IMAGES[:, :1], CLASSES)], epochs=1)


def test_a_scale_of_logits_that_overflows(network):
    with pytest.raises(ValueError, match="logit_scale must be"):
        scores.TextScore(network, ["a", "b"], lambda texts: torch.ones(2, 5), logit_scale=1e308)


def test_a_dtype_in_place_of_a_device_does_not_change_the_model(network):
    with pytest.raises(TypeError, match="device must be a device"):
        runs.PhotoExplainer(models.Classifier("mine", network), device=torch.complex64)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_an_infill_of_inference_mode(network):
    with torch.inference_mode():
        infill = torch.zeros(3, 1, 1)
    found = sdfido.FIDO(network, infill=infill, steps=1, mask_size=2).explain(IMAGES)
    expected = sdfido.FIDO(network, infill=torch.zeros(3, 1, 1), steps=1, mask_size=2).explain(IMAGES)
    assert torch.equal(found.ssr, expected.ssr)


def test_a_threshold_that_is_a_fraction(network):
    options = {"min_size": 2, "padding": 0, "smoothing": 0.0}
    half, fraction = (sdfido.enhance(network, IMAGES, MAPS, threshold=t, **options) for t in (0.5, Fraction(1, 2)))
    assert torch.equal(half.boxes, fraction.boxes)
