"""Arguments that runs and what is made of their results do not take: refused before any file is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sdfido import exports, runs
from tests.fuzz.folders import both, contents, explainer, made

TENSOR = torch.rand(2, 3)


def run(**given: Any) -> runs.Run:
    return runs.Run(**({"explainer": explainer(), "items": both("new"), "store": runs.Store("new")} | given))


CALLS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: run(explainer=3), TypeError, "explainer must be a PhotoExplainer"),
    (lambda: run(items=["photos/a/one.png"]), TypeError, "items must be a list of items"),
    (lambda: run(store="new"), TypeError, "store must be a Store"),
    (lambda: run(batch=True), TypeError, "batch must be an integer"),
    (lambda: run(again=TENSOR), TypeError, "again must be True or False"),
    (lambda: run().execute(TENSOR), TypeError, "executor must be an Executor"),
    (lambda: run().execute(on_event=TENSOR), TypeError, "on_event must be a function"),
    (lambda: runs.Audit("out", "truth"), TypeError, "truth must be a list"),
    (lambda: runs.Audit("out", ["truth"], max_batch=0), ValueError, "max_batch must be at least 1"),
    (lambda: runs.Audit("out", ["truth"], limits=TENSOR), TypeError, "limits must be"),
    (lambda: runs.Audit("out", ["truth"], device=TENSOR), TypeError, "device must be"),
    (lambda: runs.Audit("out", ["truth"], sites=3), TypeError, "sites must be a path"),
    (lambda: runs.Audit("out", ["truth"]).measure(3), TypeError, "on_event must be a function"),
    (lambda: runs.Gallery("out", most=0), ValueError, "most must be at least 1"),
    (lambda: runs.Gallery("out", shown=TENSOR), TypeError, "shown must be an integer"),
    (lambda: runs.Gallery("out", out=3), TypeError, "out must be a path"),
    (lambda: runs.Gallery(3), TypeError, "results must be a path"),
    (lambda: runs.Gallery("out").make(TENSOR), TypeError, "on_event must be a function"),
    (lambda: runs.Report("out", labels=3), TypeError, "labels must be a path"),
    (lambda: runs.Report("out", photos=3), TypeError, "photos must be a path"),
    (lambda: runs.Report("out", device="nowhere"), ValueError, "device must be"),
    (lambda: runs.Report("out").write(3), TypeError, "to must be a path"),
    (lambda: runs.Report("out").complete(3), TypeError, "on_event must be a function"),
    (lambda: runs.Evaluation("out"), TypeError, "outs must be a list"),
    (lambda: runs.Evaluation(["out"], truth=3), TypeError, "truth must be a list"),
    (lambda: runs.Evaluation(["out"], photos=TENSOR), TypeError, "photos must be a path"),
    (lambda: runs.Evaluation(["out"]).measure(3), TypeError, "on_event must be a function"),
    (lambda: exports.Export(3, "png", out="export"), TypeError, "results must be a path"),
    (lambda: exports.Export("out", "png", out="export").write(3), TypeError, "on_event must be a function"),
]


@pytest.mark.parametrize(("call", "error", "says"), CALLS)
def test_refused_before_any_file_is_touched(
    call: Callable[[], object], error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made())
    before = contents(Path())
    with pytest.raises(error, match=f"^{says}"):
        call()
    assert contents(Path()) == before
