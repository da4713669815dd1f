"""What the measuring functions are tested with: the contract core and the demonstration pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recognizance.cli._session import open_session
from recognizance.cli.bench.workload import make_workload
from recognizance.core.settings import Settings
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recognizance.cli._session import Session
    from recognizance.cli.bench.workload import Workload
    from recognizance.vision.analyser import FaceAnalyser


@pytest.fixture(scope="session")
def analyser(portraits: Path) -> FaceAnalyser:
    """The analyser of the contract core."""
    assert portraits.is_dir()
    return Analysers(Settings(contract="core")).default()


@pytest.fixture(scope="session")
def workload(analyser: FaceAnalyser) -> Workload:
    """A dozen portraits out of the demonstration pictures, and what is made from them."""
    return make_workload(analyser, Settings(), None, 12)


@pytest.fixture
def session(portraits: Path, tmp_path: Path) -> Iterator[Session]:
    """An open data folder of the test's own."""
    assert portraits.is_dir()
    with open_session(Settings(data=tmp_path / "data", contract="core")) as opened:
        yield opened
