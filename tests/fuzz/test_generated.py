"""1,000 generated calls of the public functions: each is right, or refused by an error that names an argument."""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest

from tests.fuzz import campaign
from tests.fuzz.functions import FUNCTIONS

SEED, CALLS = 20261130, 1000

_CRASHES = """
import json, os, sys
first, count = (int(each.partition("=")[2]) for each in sys.argv[2:])
for number in range(first, first + count):
    print(json.dumps({"call": number}), flush=True)
    if number == 1:
        os.abort()
    print(json.dumps({"call": number, "verdict": "right"}), flush=True)
"""


@pytest.fixture(scope="module")
def verdicts() -> list[dict[str, object]]:
    return campaign.campaign(CALLS, SEED, os.environ | {"OMP_NUM_THREADS": "1"}, workers=2)


def test_no_call_goes_wrong(verdicts: list[dict[str, object]]) -> None:
    assert [each for each in verdicts if each["verdict"] not in ("right", "clear")] == []


def test_every_function_is_called_rightly_and_wrongly(verdicts: list[dict[str, object]]) -> None:
    """So that a table of functions that refuse everything, or of arguments that are all right, is noticed."""
    assert {each["function"] for each in verdicts} == set(FUNCTIONS)
    counts = Counter(str(each["verdict"]) for each in verdicts)
    assert min(counts["right"], counts["clear"]) > CALLS / 6, counts


def test_a_call_that_crashes_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "COMMAND", [sys.executable, "-c", _CRASHES])
    found = campaign.campaign(3)
    assert [each["verdict"] for each in found] == ["right", "crash", "right"]
    assert "exit code" in str(found[1]["why"])


def test_a_call_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        campaign, "COMMAND", [sys.executable, "-c", "import time; print('{\"call\": 0}', flush=True); time.sleep(60)"]
    )
    monkeypatch.setattr(campaign, "LIMIT", 0.5)
    assert [each["verdict"] for each in campaign.campaign(1)] == ["hang"]
