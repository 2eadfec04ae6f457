"""Which map of a method its measures are told for."""

from __future__ import annotations

from typing import get_args

import pytest
from torch import nn

import sdfido
from sdfido import MapInfo
from sdfido.explanation import SSR_AND_SDR
from sdfido.runs.measure import Role, best_map

ROLES = get_args(Role)


@pytest.mark.parametrize(
    ("legend", "expected"),
    [
        (SSR_AND_SDR, {"keep": "ssr", "remove": "sdr", "both": "joint"}),
        ({"a": MapInfo("A", role="keep"), "b": MapInfo("B")}, {"keep": "a", "remove": "b", "both": "b"}),
        ({"a": MapInfo("A", role="keep"), "b": MapInfo("B", role="keep")}, dict.fromkeys(ROLES, "a")),
        ({"a": MapInfo("A", role="keep"), "b": MapInfo("B", main=True)}, dict.fromkeys(ROLES, "b")),
        (
            {"a": MapInfo("A", role="keep"), "b": MapInfo("B", role="keep", main=True), "c": MapInfo("C")},
            {"keep": "b", "remove": "c", "both": "c"},
        ),
    ],
)
def test_the_map_that_stands_for_a_role(legend: dict[str, MapInfo], expected: dict[str, str]) -> None:
    assert {role: best_map(legend, role) for role in ROLES} == expected


@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
def test_of_extremal_perturbations_the_sum_counts(variant: str) -> None:
    legend = sdfido.ExtremalPerturbation(nn.Identity(), variant=variant).legend
    assert {best_map(legend, role) for role in ROLES} == {"sum"}
