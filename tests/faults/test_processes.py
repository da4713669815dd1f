"""Several processes on one data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Child
    from tests.faults.worker import Worker

# Processes take seconds to start where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_each_process_sees_the_others_writes_in_its_next_search(here: Worker, start: Callable[[], Child]) -> None:
    there = start()
    assert there.hear() == "ready"
    assert there.do("search", 1) == here.search(1) == [None]
    for number in range(1, 25):
        if number % 2:
            ids = here.index(number)
            assert there.do("search", number) == ids
            assert there.do("delete", *ids) == ids
            assert here.search(number) != ids
        else:
            ids = there.do("index", number)
            assert here.search(number) == ids
            assert here.delete(*ids) == ids
            assert there.do("search", number) != ids
    assert here.search(1, 2) == there.do("search", 1, 2) == [None, None]


def test_processes_that_write_at_the_same_time_wait_for_each_other(here: Worker, start: Callable[[], Child]) -> None:
    """Each waits its turn: an error such as "database is locked" would end a process before it is killed."""
    children = [start() for _ in range(3)]
    for child in children:
        assert child.hear() == "ready"
    for number, child in enumerate(children):
        child.say("write", number * 1_000_000)
    for step in range(40):
        here.index(9_000_000 + step)
        for child in children:
            assert child.hear()
    for child in children:
        assert child.process.poll() is None
        child.kill()


@pytest.mark.without_tables
def test_processes_that_make_a_database_together_make_one(start: Callable[[], Child]) -> None:
    """Its tables are made once, and so is the key file, on which all agree."""
    children = [start() for _ in range(4)]
    assert [child.hear() for child in children] == ["ready"] * 4
    assert len({child.do("secret") for child in children}) == 1
