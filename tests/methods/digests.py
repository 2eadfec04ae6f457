"""Prints digests of FIDO's mask logits and maps for several cases, as JSON; run in a process of its own.

The environment pins the arithmetic of PyTorch's libraries to what every x86 machine has: see test_digests.py.
"""

import hashlib
import json
import sys

import torch
from torch import nn

import sdfido
from sdfido import models


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(72, 5),
    )


def images(n: int, size: int = 24) -> torch.Tensor:
    noise = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(3))
    return noise * torch.linspace(0.05, 2.0, n)[:, None, None, None]


# The digests are of the layers as they are, and of plain FIDO: its bits never change, whatever the defaults.
AS_IT_IS = {"fold_batch_norm": False, "repeats": 1, "region_weight": 0.0, "num_samples": 1, "learning_rate": 0.45}
AS_IT_IS |= {"adaptation": 0.0} | {
    "warmup": 0.375,
    "sparsity_weight": 22.0,
    "smoothness_weight": 25.0,
    "spread": 1.0,
    "temperature": (1.0, 0.2),
}
CONVERGING = AS_IT_IS | {"steps": 80, "mask_size": 6, "num_samples": 2, "warmup": 5 / 80, "tolerance": 0.02}
CONVERGING |= {"sparsity_weight": 1.0, "smoothness_weight": 0.1}
QUICK = AS_IT_IS | {"steps": 12, "mask_size": 6}


def photo() -> sdfido.Explanation:
    classifier = models.load("efficientnet-lite0")
    image = classifier.preprocess(models.demo_photo("cat"))[None]
    return sdfido.FIDO(classifier.model, normalization=classifier.normalization, steps=4, **AS_IT_IS).explain(image)


CASES = {
    "photo": photo,
    "batch": lambda: sdfido.FIDO(tiny_net(), **QUICK).explain(images(4), [0, 1, 2, 3]),
    "chunks": lambda: sdfido.FIDO(tiny_net(), max_batch=4, **QUICK | {"num_samples": 3}).explain(images(3)),
    "pixels": lambda: sdfido.FIDO(tiny_net(), antithetic=False, **(QUICK | {"mask_size": None})).explain(images(2)),
    "bfloat16": lambda: sdfido.FIDO(tiny_net(), dtype=torch.bfloat16, **QUICK).explain(images(2)),
    "noise": lambda: sdfido.FIDO(
        tiny_net(),
        infill="normal",
        normalization=sdfido.Normalization((0.5,), (0.5,)),
        seed=7,
        **QUICK | {"temperature": 0.3},
    ).explain(images(2), streams=[5, 9]),
    "early convergence": lambda: sdfido.FIDO(tiny_net(), **CONVERGING).explain(images(5)),
}


def digest(*tensors: torch.Tensor) -> str:
    content = b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    found = {}
    for name in sys.argv[1:] or CASES:
        explanation = CASES[name]()
        found[name] = {
            "logits": digest(explanation.mask_logits),
            "maps": digest(explanation.ssr, explanation.sdr),
            "steps": explanation.steps.tolist(),
        }
    print(json.dumps(found))
