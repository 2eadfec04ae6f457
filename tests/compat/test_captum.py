"""The attribution of captum: its shapes, its targets, and captum's own metrics on it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import sdfido
from sdfido.compat.captum import MaskAttribution
from tests.scores.support import Quarters, images

captum = pytest.importorskip("captum", reason="captum is not installed")
QUICK = {"steps": 4, "mask_size": 4, "repeats": 1, "pruning": False}


def test_it_is_an_attribution_with_the_shape_of_its_inputs():
    from captum.attr import Attribution

    attribution = MaskAttribution(Quarters(), **QUICK)
    assert isinstance(attribution, Attribution)
    assert not attribution.has_convergence_delta()
    found = attribution.attribute(images(), target=1)
    assert found.shape == images().shape
    expected = sdfido.FIDO(Quarters(), **QUICK).explain(images(), 1, streams=[0, 0]).joint
    assert torch.equal(found, expected[:, None].expand_as(found))
    (in_tuple,) = attribution.attribute((images(),), target=torch.tensor([1, 1]))
    assert torch.equal(in_tuple, found)
    assert torch.equal(attribution.attribute(images(), target=[1, 1]), found)
    assert torch.equal(
        MaskAttribution(Quarters(), map="ssr", **QUICK).attribute(images(), target=1)[:, 0] >= 0, found[:, 0] >= 0
    )


def test_baselines_are_the_infill():
    attribution = MaskAttribution(Quarters(), **QUICK)
    zeros = attribution.attribute(images(), 0, target=1)
    assert torch.equal(attribution.attribute(images(), torch.zeros(1, 3, 16, 16), target=1), zeros)
    assert torch.equal(attribution.attribute((images(),), (0.0,), target=1)[0], zeros)
    assert not torch.equal(attribution.attribute(images(), target=1), zeros)


def test_outputs_of_any_shape_and_further_arguments():
    def forward(batch, weights, gain):
        return (Quarters()(batch) * weights).view(-1, 2, 2) * gain

    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    attribution = MaskAttribution(forward, **QUICK)
    found = attribution.attribute(images(), target=[(0, 0), (0, 1)], additional_forward_args=(weights, 2.0))
    alone = attribution.attribute(images()[1:], target=(0, 1), additional_forward_args=(weights[1:], 2.0))
    assert torch.equal(found[1:], alone)
    value = MaskAttribution(lambda batch: Quarters()(batch)[:, 1], **QUICK)
    assert value.attribute(images()).shape == images().shape


def test_noise_tunnel_takes_it():
    from captum.attr import NoiseTunnel

    attribution = MaskAttribution(Quarters(), **QUICK)
    found = NoiseTunnel(attribution).attribute(images(), nt_samples=2, stdevs=0.0, target=torch.tensor([1, 2]))
    torch.testing.assert_close(found, attribution.attribute(images(), target=[1, 2]))


def test_further_arguments_stay_with_their_images_without_a_target():
    def forward(batch, chosen):
        return Quarters()(batch).gather(1, chosen[:, None])[:, 0]

    attribution, chosen = MaskAttribution(forward, **QUICK), torch.tensor([0, 2])
    found = attribution.attribute(images(), additional_forward_args=chosen)
    alone = attribution.attribute(images()[1:], additional_forward_args=chosen[1:])
    assert torch.equal(found[1:], alone)


def test_the_metrics_of_captum_take_it():
    from captum.metrics import infidelity, sensitivity_max

    attribution, model = MaskAttribution(Quarters(), **QUICK), Quarters()
    maps = attribution.attribute(images(), target=1)

    def perturb(batch):
        noise = 0.1 * torch.randn(batch.shape, generator=torch.Generator().manual_seed(0))
        return noise, batch - noise

    lost = infidelity(model, perturb, images(), maps, target=1, n_perturb_samples=3)
    assert lost.shape == (2,)
    assert (lost >= 0).all()
    moved = sensitivity_max(
        attribution.attribute, images(), perturb_radius=0.0, n_perturb_samples=2, target=torch.tensor([1, 1])
    )
    torch.testing.assert_close(moved, torch.zeros(2))  # the same image, the same map, wherever it stands
    moved = sensitivity_max(attribution.attribute, images(), perturb_radius=0.05, n_perturb_samples=2, target=1)
    assert (moved > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": (images(), images())}, "one tensor of images, got 2; hand the others to additional_forward_args"),
        ({"inputs": images(), "target": None}, "must select one number"),
        ({"inputs": images(), "target": 4}, r"indices below \[4\]"),
        ({"inputs": images(), "target": [0, 1, 2]}, "one for each of 2 images"),
        ({"inputs": images(), "target": 0.5}, "must be an index"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MaskAttribution(Quarters(), **QUICK).attribute(**arguments)


def test_wrong_settings_and_maps_are_told():
    with pytest.raises(TypeError, match="relevance passes through its layers"):
        MaskAttribution(Quarters(), method="lrp")
    with pytest.raises(TypeError, match="stepz"):
        MaskAttribution(nn.Identity(), stepz=3)
    with pytest.raises(ValueError, match="map must be one of 'ssr', 'sdr', 'joint', got 'heat'"):
        MaskAttribution(Quarters(), map="heat", **QUICK).attribute(images(), target=0)


def test_captum_is_needed_only_where_it_is_used():
    code = (
        "import sys; sys.modules['captum'] = sys.modules['captum.attr'] = None\n"
        "import sdfido.compat.captum as c\n"
        "try:\n    c.MaskAttribution\nexcept ImportError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install captum" in said
