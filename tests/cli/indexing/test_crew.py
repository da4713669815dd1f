"""Processes that analyse pictures for another one."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.cli.indexing.crew import AnalystLostError, Crew, default_processes
from recognizance.collections.model import PictureFaces
from recognizance.core.errors import InvalidImageFormatError
from recognizance.core.settings import Settings
from recognizance.operations.local import Choice, analyse
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from collections.abc import Iterator

# Processes take seconds to start where the machine is busy.
pytestmark = pytest.mark.timeout(600)
CHOICE = Choice("AUTO", 1)
SETTINGS = Settings(contract="core")


@pytest.fixture
def crew(contracts: list[str]) -> Iterator[Crew]:
    assert "core" in contracts
    with Crew(SETTINGS, "core", CHOICE, processes=2, workers=4, threads=2) as opened:
        yield opened


def test_other_processes_find_what_this_one_finds(crew: Crew, photos: dict[str, bytes]) -> None:
    analyser = Analysers(SETTINGS).get("core")
    wanted = [photos["obama"], photos["both"], photos["biden"]] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: crew.analyse(data, "name"), wanted))
    for data, there in zip(wanted, found, strict=True):
        here = analyse(analyser, CHOICE, data, "name")
        assert isinstance(here.picture, PictureFaces)
        assert isinstance(there.picture, PictureFaces)
        assert there.picture.picture_digest == here.picture.picture_digest
        assert there.picture.external_image_id == "name"
        assert there.rejected == here.rejected
        for one, other in zip(there.picture.faces, here.picture.faces, strict=True):
            np.testing.assert_array_equal(one.boxes, other.boxes)
            assert one.embeddings is not None
            assert other.embeddings is not None
            np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)


def test_what_is_wrong_with_a_picture_is_said_here(crew: Crew, photos: dict[str, bytes]) -> None:
    with pytest.raises(InvalidImageFormatError):
        crew.analyse(b"no picture", None)
    assert len(crew.analyse(photos["obama"], None)) == 1


def test_the_end_of_a_process_is_noticed(crew: Crew, photos: dict[str, bytes]) -> None:
    crew.analyse(photos["obama"], None)
    for process in crew._processes:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(AnalystLostError, match="fewer --processes"):
        crew.analyse(photos["obama"], None)


def test_small_machines_analyse_in_one_process() -> None:
    assert [default_processes(cores) for cores in (1, 2, 4, 7, 8, 64)] == [1, 1, 1, 1, 2, 16]
