from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from recognizance.storage.database import Database
from recognizance.storage.notifications import Listener, announce

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def listener(database: Database) -> Iterator[Listener]:
    with closing(Listener(database)) as made:
        yield made


def tell(database: Database, *keys: int) -> None:
    with database.begin() as connection:
        for key in keys:
            announce(connection, key)


def next_news(listener: Listener) -> set[int] | None:
    """Wait for news as long as it takes, where the connection is up."""
    while (news := listener.wait(60)) == set():
        pass
    return news


@pytest.fixture
def listening(listener: Listener) -> Listener:
    """A listener that has its connection."""
    assert listener.wait(60) is None, "whatever happened before is unknown"
    return listener


def test_without_news_the_log_has_to_be_asked(listener: Listener) -> None:
    assert listener.wait(0.01) is None


@pytest.mark.postgresql
def test_committed_writes_are_heard_of(database: Database, listening: Listener) -> None:
    tell(database, 7, 8, 7)
    assert next_news(listening) == {7, 8}
    assert listening.wait(0.01) == set()


@pytest.mark.postgresql
def test_writes_that_are_rolled_back_are_not_heard_of(database: Database, listening: Listener) -> None:
    def fail() -> None:
        with database.begin() as connection:
            announce(connection, 7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    tell(database, 8)
    assert next_news(listening) == {8}


@pytest.mark.postgresql
def test_news_of_several_writes_are_heard_together(database: Database, listening: Listener) -> None:
    for key in range(5):
        tell(database, key)
    heard: set[int] = set()
    while heard != set(range(5)):
        heard |= next_news(listening) or set()


@pytest.mark.postgresql
def test_another_channel_is_not_listened_to(database: Database, listening: Listener) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("SELECT pg_notify('somebody_elses', '5'), pg_notify('recognizance_faces', 'x')"))
    tell(database, 1)
    assert next_news(listening) == {1}


@pytest.mark.postgresql
def test_a_lost_connection_is_found_again(database: Database, listening: Listener) -> None:
    """What was announced in between is unknown, which the listener says."""
    with database.begin() as connection:
        # Of this database alone: other tests have theirs on the same server.
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
    assert next_news(listening) is None, "the connection is lost"
    assert next_news(listening) is None, "and found again"
    tell(database, 3)
    assert next_news(listening) == {3}


def test_closing_wakes_whoever_waits(listener: Listener) -> None:
    listener.wait(0.01)
    heard: list[set[int] | None] = []
    thread = threading.Thread(target=lambda: heard.append(listener.wait(3600)))
    thread.start()
    time.sleep(0.05)
    listener.close()
    thread.join(60)
    assert heard == [None]


def test_a_closed_listener_knows_nothing(listener: Listener) -> None:
    listener.close()
    assert listener.wait(0.0) is None
    listener.close()
