"""The table of functions for generated calls has every public one, or says why it has not."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import sdfido
from sdfido import evaluate, exports, infills, methods, models, reports, runs, scores
from sdfido.compat import captum, fido_pytorch, quantus
from sdfido.evaluate import audit, parts
from tests.fuzz.functions import FUNCTIONS, LEFT_OUT

MODULES = (
    *(sdfido, evaluate, audit, parts, exports, infills, methods, models, reports, runs, scores),
    *(captum, fido_pytorch, quantus),
)


def public() -> Iterator[tuple[ModuleType, str]]:
    for module in MODULES:
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield module, name


def test_every_public_function_is_in_the_table_or_left_out_for_a_reason() -> None:
    called = {part for name in FUNCTIONS for part in name.split(".")} | {"Relevance"}  # where zennit is installed
    assert {name for _, name in public()} - called == set(LEFT_OUT)


def test_what_is_left_out_is_public() -> None:
    assert all(reason for reason in LEFT_OUT.values())
    assert set(LEFT_OUT) <= {name for _, name in public()}
