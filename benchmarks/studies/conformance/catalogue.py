"""The models of the study: one of each family of each library, small, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.studies.conformance import others, transformers_models
from benchmarks.studies.conformance.timm_models import TIMM

TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32"),
    "wide_resnet50_2",
)
SIZES = (64, 96, 128, 224, 299)  # sides of inputs in pixels, of which a model gets the first that it takes


class Entry(NamedTuple):
    library: str
    family: str
    name: str


class Built(NamedTuple):
    model: Any  #: as a user has it: a module, a pipeline or a classifier
    sizes: tuple[int, ...]  #: of inputs that are tried


def entries() -> list[Entry]:
    """All models, library by library."""
    found = [Entry("timm", family, name) for family, (name, _) in TIMM.items()]
    found += [Entry("torchvision", name.split("_")[0].rstrip("0123456789"), name) for name in TORCHVISION]
    found += [
        Entry("transformers", name.removesuffix("ForImageClassification"), name) for name in transformers_models.ALL
    ]
    return found + [Entry(library, family, family) for library, family in others.ALL]


def build(entry: Entry) -> Built:
    """A model with random weights, the same ones each time."""
    torch.manual_seed(0)
    makers: dict[str, Callable[[Entry], Built]] = {
        "timm": _timm,
        "torchvision": _torchvision,
        "transformers": lambda each: Built(*transformers_models.build(each.name)),
    }
    if entry.library in makers:
        return makers[entry.library](entry)
    return Built(*others.ALL[entry.library, entry.family]())


def _timm(entry: Entry) -> Built:
    import timm

    name, options = TIMM[entry.family]
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    config = timm.data.resolve_model_data_config(model)
    own = config["input_size"][-1]
    fixed = model.pretrained_cfg.get("fixed_input_size") or "img_size" in options
    return Built(model, (options.get("img_size", own),) if fixed else (*[s for s in SIZES if s < own], own))


def _torchvision(entry: Entry) -> Built:
    import torchvision

    options = {"init_weights": True} if entry.name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(entry.name, weights=None, **options)
    return Built(model, (224,) if entry.name.startswith(("vit", "maxvit")) else SIZES)
