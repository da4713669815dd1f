"""Turns, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from recognizance.storage.database import Database
from recognizance.storage.repositories import meta
from recognizance.storage.turns import TurnTakenError, turn

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


def test_a_turn_is_one_threads(database: Database) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with turn(database, "one", timeout_seconds=60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_a_turn_that_is_not_had_in_time_is_given_up(database: Database) -> None:
    with (
        turn(database, "one", timeout_seconds=1),
        pytest.raises(TurnTakenError),
        turn(database, "one", timeout_seconds=0.05),
    ):
        pytest.fail("it was had")
    with turn(database, "one", timeout_seconds=1):
        pass


def test_others_have_other_turns_and_may_write(database: Database) -> None:
    with turn(database, "one", timeout_seconds=1) as connection, turn(database, "two", timeout_seconds=1):
        with database.begin() as writing:
            meta.put(writing, "x", b"1")
        assert meta.get(connection, "x") == b"1"


_HOLD = """
import sys, threading
from recognizance.storage.database import Database
from recognizance.storage.turns import turn
with turn(Database(sys.argv[1]), "one", timeout_seconds=60):
    print("held", flush=True)
    threading.Event().wait()
"""


def test_a_turn_ends_with_its_process(database: Database, database_url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD, database_url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(TurnTakenError), turn(database, "one", timeout_seconds=0.05):
            pytest.fail("it was had")
        process.kill()
    with turn(database, "one", timeout_seconds=60):
        pass
