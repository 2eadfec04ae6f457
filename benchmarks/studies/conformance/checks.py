"""What is asked of a model: that it runs with nothing but itself, repeats itself, and is independent of the batch."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import sdfido
from benchmarks.common.records import Results
from benchmarks.studies.conformance import catalogue
from benchmarks.studies.conformance.catalogue import Entry
from benchmarks.studies.conformance.remedies import REMEDIES
from sdfido.models.adapters import network_of

SETTINGS: dict[str, Any] = {"steps": 2, "mask_size": 4, "repeats": 1, "num_samples": 1, "pruning": False}
TIMED = 7  # steps whose median counts


def explain(model: Any, images: Tensor, streams: list[int], **settings: Any) -> sdfido.Explanation:
    return sdfido.FIDO(model, **SETTINGS, **settings).explain(images, streams=streams)


def images_of(side: int) -> Tensor:
    """Two images of blobs, normalised."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.randn(2, 3, 8, 8, generator=generator)
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def check(entry: Entry) -> Results:
    """A row: whether a model runs, with what, and whether its maps are finite and independent of the batch."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    row: Results = dict(entry._asdict())
    try:
        model, sizes = catalogue.build(entry)
    except Exception as error:  # of the library: the study, not the model, is at fault
        return row | {"size": 0, "error": f"not built: {error}".splitlines()[0][:400], "kind": type(error).__name__}
    network = network_of(model)
    if isinstance(network, nn.Module):
        row["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    for side in sizes:  # the smallest input that the model takes
        row["size"], row["error"] = side, None
        try:
            row |= compare(model, images_of(side))
            return row
        except Exception as error:  # whatever a model raises
            row["error"], row["kind"] = (str(error) or "no message").splitlines()[0][:400], type(error).__name__
    if entry.family in REMEDIES:
        remedied, settings = REMEDIES[entry.family]
        row |= {"remedied": True} | compare(remedied(model), images_of(sizes[-1]), **settings)
    return row


def step_time(entry: Entry, side: int) -> float:
    """Milliseconds of a step: the median of some steps for one image, one thread, after two that warm up."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    marks: list[float] = []
    settings = SETTINGS | {"steps": TIMED + 3}
    explainer = sdfido.FIDO(catalogue.build(entry).model, **settings)
    explainer.explain(images_of(side)[:1], on_step=lambda progress: marks.append(time.perf_counter()))
    return round(1e3 * median(after - before for before, after in pairwise(marks[2:])), 2)


def compare(model: Any, images: Tensor, **settings: Any) -> Results:
    """What is found by explaining two images together, and each alone."""
    both = explain(model, images, [0, 1], **settings)
    alone = [explain(model, images[n : n + 1], [n], **settings) for n in range(2)]
    maps = torch.stack([both.ssr, both.sdr], 1)
    others = torch.cat([torch.stack([each.ssr, each.sdr], 1) for each in alone])
    apart = float((maps - others).abs().max())
    again = maps[:1] if torch.equal(maps[:1], others[:1]) else None
    if again is None:  # equal bits in another batch say that it repeats itself
        repeated = explain(model, images[:1], [0], **settings)
        again = torch.stack([repeated.ssr, repeated.sdr], 1)
    return {
        "finite": bool(maps.isfinite().all() and both.prob_image.isfinite().all()),
        "repeatable": bool(torch.equal(again, others[:1])),
        "apart": apart,
        "folded": bool(both.execution["fold_batch_norm"]),
    }
