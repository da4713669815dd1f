"""Fixtures that every test may use."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the research data is not on this machine")
    return SHARED
