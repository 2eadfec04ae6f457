"""Fixtures of more than one file."""

import pytest

from tests.cuda.build import build, why_no_toolkit


@pytest.fixture(scope="session")
def built():
    """The wheel with CUDA inside, and what the compiler said."""
    if reason := why_no_toolkit():
        pytest.skip(reason)
    return build()
