"""Warps' accesses: few bank conflicts in shared memory, whole sectors of global memory."""

import pytest

from tests.cuda.accesses import measure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return measure(tmp_path_factory.mktemp("accesses"))


def test_the_rulers(places):
    """Two words to a bank at a stride of 2, one at 33; pieces of 16 and 8 bytes that lie three pieces apart."""
    assert [p.taken for p in places if p.kernel == "known" and p.kind == "load"] == [2, 1]
    assert [p.ratio for p in places if p.kernel == "known" and p.kind == "store"] == [2.0, 3.0]


def test_no_load_from_shared_memory_takes_one_and_a_half_wavefronts(places):
    loads = [p for p in places if p.kind == "load" and p.kernel != "known"]
    assert {(p.kernel, p.cells) for p in loads} >= {("backward", cells) for cells in (28, 56, 112, 160, 200)}
    assert [p for p in loads if p.ratio >= 1.5] == []
    # The gather's loads are among them: two loops over rows of pixels, two over columns.
    assert len([p for p in loads if p.kernel == "backward" and p.cells == 200 and p.instructions >= 500]) >= 8


@pytest.mark.parametrize(
    ("kernel", "cells", "pieces", "piece"),
    [
        ("forward", 224, 3, 16),
        ("forward-last", 224, 3, 16),
        ("forward-last", 28, 3, 16),
        ("forward-last-bfloat16", 224, 3, 8),
        ("backward-image", 28, 3, 16),
        ("backward-image", 224, 4, 16),  # and the logits' gradient
    ],
)
def test_stores_fill_whole_sectors(places, kernel, cells, pieces, piece):
    """Of 224 x 56 pixels: so many pieces for every four of them, and single numbers beside."""
    found = [p for p in places if (p.kernel, p.cells, p.kind) == (kernel, cells, "store")]
    stores = max(found, key=lambda p: p.least)
    assert stores.least == 224 * 56 // 4 * pieces * piece // 32
    assert stores.taken == stores.least
