"""Several processes on one large collection: one writes the files of its index, all of them find the same."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Child, Starter
    from tests.faults.worker import Worker

# Processes take seconds to start where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ready(*children: Child) -> None:
    for child in children:
        assert child.hear() == "ready"


def steps(here: Worker, first: int, *children: Child) -> None:
    """Write through one process after the other, and let all of them compare what they find with the database."""
    for number, writer in enumerate(children):
        ids = writer.do("grow", first + 1000 * number, 3, 14)
        writer.do("user", ids[0], ids[0], ids[1])
        writer.do("delete", *ids[2:6])
        if number:
            writer.do("delete", *here.faces()[:3])
        for child in children:
            assert child.do("check") == []


def test_processes_with_one_data_folder_share_its_files(here: Worker, start: Starter) -> None:
    here.grow(0, pictures=6)
    one, two = start("few"), start("few")
    ready(one, two)
    assert one.do("check") == []
    assert one.do("until", {"owner": True, "in memory": 0})["segments"]
    steps(here, 10_000, one, two)
    # The other one has taken over what the owner published.
    follower = two.do("until", {"in memory": 0})
    assert (follower["owner"], follower["in memory"]) == (False, 0)
    assert follower["segments"]
    for action in ("rebuild", "compact"):
        assert two.do("attempt", action).startswith("SetupError: Another process")
    assert one.do("attempt", "compact") == "done"
    assert two.do("check") == []
    one.kill()
    ids = here.grow(50_000, pictures=3, faces=14)
    here.delete(*ids[:5])
    assert two.do("check") == []
    owner = two.do("until", {"owner": True, "in memory": 0, "left over": 0})
    assert (owner["owner"], owner["in memory"], owner["left over"]) == (True, 0, 0)
    assert two.do("attempt", "rebuild") == "done"
    assert two.do("check") == []
    assert two.do("said") == []
    two.kill()
    three = start("few")
    ready(three)
    assert three.do("check") == []
    assert three.do("said") == []
    assert three.do("state")["segments"]


@pytest.mark.postgresql
def test_processes_with_data_folders_of_their_own_each_keep_their_files(
    here: Worker, start: Starter, data: Path, tmp_path: Path
) -> None:
    here.grow(0, pictures=6)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(data / "secret.key", folder)
    children = [start("few", folder=folder) for folder in folders]
    ready(*children)
    steps(here, 10_000, *children)
    for child in children:
        state = child.do("until", {"owner": True, "in memory": 0, "left over": 0})
        assert (state["owner"], state["in memory"]) == (True, 0)
        assert state["segments"]
        assert child.do("attempt", "compact") == "done"
    children[0].kill()
    here.delete(*here.faces()[:4])
    again = start("few", folder=folders[0])
    ready(again)
    steps(here, 60_000, again, children[1])
    for child in (again, children[1]):
        assert child.do("said") == [], "each knows its own files for what they are"
    assert not (data / "cache").exists()
