"""FIDO as it is, as it was, and the methods that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import IntegratedGradients, KernelShap, NoiseTunnel, Occlusion
from skimage.segmentation import slic
from torch import Tensor, nn
from torch.nn import functional as F

import sdfido
from benchmarks.common import attributions
from benchmarks.common.photos import Photo
from benchmarks.common.variants import PLAIN
from sdfido.infills import Blur
from sdfido.methods.settings import FAST
from sdfido.models import Classifier
from sdfido.ops.functional import blend

BATCH = 16  # images that a model is given at once
INFILL = Blur(10.0)  # what FIDO learns with, and what the others replace pixels by


def fido(model: nn.Module, seed: int, **settings: Any) -> sdfido.FIDO:
    return sdfido.FIDO(model, infill=INFILL, seed=seed, **settings)


def fast(model: nn.Module, seed: int, **settings: Any) -> sdfido.FIDO:
    """Where time is short."""
    return fido(model, seed, **{**FAST, **settings})


def before(model: nn.Module, seed: int, **settings: Any) -> sdfido.FIDO:
    return fido(model, seed, **{**PLAIN, **settings})


FIDOS = {"FIDO": fido, "FIDO fast": fast, "FIDO before": before}


class ChannelsLast(nn.Module):
    """A model that is given its images in the memory format that convolutions are fast in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        return logits


@dataclass(frozen=True, eq=False)
class Case:
    """A photo and a class of it, which a classifier is asked about; it is the classifier's own answer."""

    model: ChannelsLast
    image: Tensor  #: [1, 3, H, W], normalised
    pixels: Tensor  #: [3, H, W], 0..1
    target: int

    def confidences(self, images: Tensor) -> Tensor:
        """The class's probability for other images [B, 3, H, W]: [B]."""
        with torch.no_grad():
            return torch.cat([self.model(part).softmax(1)[:, self.target] for part in images.split(BATCH)])


def asked(photo: Photo, classifier: Classifier) -> Case:
    """A photo and the classifier's own answer."""
    image = classifier.preprocess(photo.image)[None]
    model = ChannelsLast(classifier.model.to(memory_format=torch.channels_last))
    with torch.no_grad():
        target = int(model(image).argmax())
    return Case(model, image, classifier.normalization.pixels(image)[0].clamp(0, 1), target)


def smooth_gradients(case: Case, seed: int, samples: int = 25, steps: int = 4) -> Tensor:
    """Integrated Gradients from the blur, the mean over copies with noise; its absolute values.

    The noise has 15% of the range of the image's values, within what its authors recommend.

    Source: Smilkov et al., "SmoothGrad", 2017, arXiv 1706.03825.
    """
    spread = 0.15 * float(case.image.max() - case.image.min())
    with seeded(seed):
        found = NoiseTunnel(IntegratedGradients(case.model)).attribute(
            case.image,
            nt_samples=samples,
            nt_samples_batch_size=max(1, BATCH // steps),
            stdevs=spread,
            baselines=INFILL(case.image),
            target=case.target,
            n_steps=steps,
        )
    return found.detach().abs().sum(1)


def kernel_shap(case: Case, seed: int, samples: int = 400, segments: int = 50) -> Tensor:
    """Shapley values of superpixels."""
    of = torch.from_numpy(slic(case.pixels.permute(1, 2, 0).numpy(), segments, compactness=10.0, start_label=0))
    method = KernelShap(case.model)
    method.interpretable_model = LeastSquares()  # captum's own needs scikit-learn for the same
    with seeded(seed):
        found = method.attribute(
            case.image,
            INFILL(case.image),
            case.target,
            feature_mask=of,
            n_samples=samples,
            perturbations_per_eval=BATCH,
        )
    return found[:, 0].float()


class LeastSquares:
    """Weighted linear regression with an intercept, as captum calls it."""

    def fit(self, batches: Any) -> None:
        """To the batches (inputs [B, F], outputs [B], weights [B])."""
        inputs, outputs, weights = (torch.cat(parts).double() for parts in zip(*batches, strict=True))
        with_one = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        root = weights.flatten()[:, None].sqrt()
        # The weights reach from 1 to a million, and there may be fewer samples than unknowns.
        self.found = torch.linalg.lstsq(root * with_one, root * outputs.view(-1, 1), driver="gelsd").solution[:-1, 0]

    def representation(self) -> Tensor:
        return self.found.float()[None]


def occlusion(case: Case, seed: int, strides: tuple[int, int] | None = None) -> Tensor:
    """What the logit loses where a window of a seventh of the sides is blurred; windows overlap by half by default."""
    window = max(1, case.image.shape[-1] // 7)
    found = Occlusion(case.model).attribute(
        case.image,
        (3, window, window),
        (3, *(strides or (max(1, window // 2), max(1, window // 2)))),
        INFILL(case.image),
        case.target,
        perturbations_per_eval=BATCH,
    )
    return found[:, 0].detach()


def grad_cam(case: Case, seed: int) -> Tensor:
    """Of the features that the classifier averages, those of its last convolution."""
    target = torch.tensor([case.target])
    layer = case.model.model.get_submodule("_avg_pooling")
    return attributions.grad_cam(case.model, case.image, target, layer=layer, of_input=True)["map"]


def rise(case: Case, seed: int, masks: int = 1000, cells: int = 7, kept: float = 0.5) -> Tensor:
    """The mean probability of random composites, by what they keep of a pixel; masks are shifted by parts of a cell.

    Divided by what was kept of each pixel, not by what is expected: that leaves less to chance.

    Source: Petsiuk et al., "RISE", BMVC 2018, arXiv 1806.07421; there all else is black.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = case.image.shape[-2:]
    down, across = -(-height // cells), -(-width // cells)  # pixels of a cell, rounded up
    infill, found, kept_of = INFILL(case.image), torch.zeros(1, height, width), torch.zeros(1, height, width)
    for begin in range(0, masks, BATCH):
        count = min(BATCH, masks - begin)
        coarse = (torch.rand(count, 1, cells + 1, cells + 1, generator=random) < kept).float()
        size = ((cells + 1) * down, (cells + 1) * across)
        fine = F.interpolate(coarse, size, mode="bilinear", align_corners=False)[:, 0]
        ys, xs = (torch.randint(cell, (count,), generator=random).tolist() for cell in (down, across))
        parts = [mask[y : y + height, x : x + width] for mask, y, x in zip(fine, ys, xs, strict=True)]
        keep = torch.stack(parts)
        probabilities = case.confidences(blend(keep, case.image, infill))
        found += (probabilities[:, None, None] * keep).sum(0)
        kept_of += keep.sum(0)
    return found / kept_of.clamp(min=1e-6)


OTHERS: dict[str, Callable[..., Tensor]] = {
    "IG, SmoothGrad": smooth_gradients,
    "KernelShap": kernel_shap,
    "Occlusion": occlusion,
    "Grad-CAM": grad_cam,
    "RISE": rise,
}


def fewer(steps: int | None) -> dict[str, dict[str, int]]:
    """Arguments of the other methods for a trial with so few steps of FIDO."""
    if steps is None:
        return {}
    return {
        "IG, SmoothGrad": {"samples": max(2, steps // 5)},
        "KernelShap": {"samples": 3 * steps + 3},
        "RISE": {"masks": 12 * steps},
    }


RANDOM = ("IG, SmoothGrad", "KernelShap", "RISE")  # those that another seed changes


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """PyTorch's own random numbers, which captum takes, from a seed; those outside stay as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
