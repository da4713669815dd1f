"""What only a server does: roles, time-outs, restarts, several nodes."""

from __future__ import annotations

import secrets
import threading
import traceback
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.storage import _postgresql, schema
from recognizance.storage.database import Database
from recognizance.storage.locks import hold
from recognizance.storage.repositories import collections, meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import PostgreSQL

pytestmark = pytest.mark.postgresql


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def role(postgresql: PostgreSQL) -> Iterator[str]:
    """A role that may log in with the password "right", and do nothing else."""
    name = f"role_{secrets.token_hex(4)}"
    postgresql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
    yield name
    postgresql.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def setting(database: Database, name: str) -> str:
    with database.read() as connection:
        return str(connection.exec_driver_sql(f"SHOW {name}").scalar())


@pytest.mark.parametrize("beginning", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_every_usual_beginning_of_a_url_is_taken(database_url: str, beginning: str) -> None:
    database = Database.open(database_url.replace("postgresql://", beginning))
    with database.read() as connection:
        assert connection.dialect.driver == "psycopg"
    database.close()


def test_sessions_have_a_name_and_do_not_wait_for_ever(database: Database) -> None:
    assert setting(database, "application_name") == "recognizance"
    assert setting(database, "lock_timeout") == "1min"
    assert setting(database, "statement_timeout") == "30min"
    assert setting(database, "idle_in_transaction_session_timeout") == "10min"


def test_the_operators_own_parameters_win(database_url: str) -> None:
    own = "application_name=node-3&options=-c%20lock_timeout%3D5s"
    database = Database.open(f"{database_url}&{own}")
    assert setting(database, "application_name") == "node-3"
    assert setting(database, "lock_timeout") == "5s"
    assert setting(database, "statement_timeout") == "30min"
    database.close()


def test_no_more_connections_are_opened_than_the_url_says(database_url: str) -> None:
    database = Database.open(f"{database_url}&pool_size=4")
    busy, most = 0, 0
    lock = threading.Lock()

    def read() -> None:
        nonlocal busy, most
        with database.read() as connection:
            with lock:
                busy += 1
                most = max(most, busy)
            connection.execute(sa.text("SELECT pg_sleep(0.02)"))
            with lock:
                busy -= 1

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 < most <= 4
    database.close()


@pytest.mark.parametrize("size", ["many", "-1", "2"])
def test_a_pool_that_is_no_number_is_refused(database_url: str, size: str) -> None:
    with pytest.raises(SetupError, match="pool_size in database_url must be a number of connections, at least 4"):
        Database.open(f"{database_url}&pool_size={size}")


def test_reads_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only transaction"), database.read() as connection:
        meta.put(connection, "a", b"b")


def test_reads_of_several_statements_see_one_moment(database: Database) -> None:
    """What one thread reads in two steps another may change in between: rows and counters would not agree."""
    with database.read() as reading:
        assert collections.page(reading, 0, 10) == []
        with database.begin() as writing:
            collections.insert(writing, "c", "1.0", clock.now())
        assert collections.get(reading, "c") is None
        assert collections.page(reading, 0, 10) == []
    with database.begin() as writing:
        assert collections.get(writing, "c") is not None


def test_a_row_deleted_while_it_is_waited_for_is_gone(database: Database) -> None:
    with database.begin() as connection:
        row = collections.insert(connection, "c", "1.0", clock.now())
    found: list[object] = []
    reading = threading.Event()

    def look() -> None:
        with database.begin() as connection:
            reading.set()
            found.append(collections.get(connection, "c", lock=True))

    with database.begin() as connection:
        collections.get(connection, "c", lock=True)
        thread = threading.Thread(target=look)
        thread.start()
        reading.wait(60)
        collections.delete(connection, row.pk)
    thread.join(60)
    assert found == [None]


def test_a_name_is_held_until_the_transaction_ends(database: Database) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        with database.begin() as connection:
            waiting.set()
            hold(connection, "a", "name")
            order.append("second")

    with database.begin() as connection:
        hold(connection, "a", "name")
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait(60)
        with database.begin() as other:
            hold(other, "another name")
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_connections_that_the_server_closed_are_replaced(database: Database) -> None:
    """As after a restart of the server: nobody sees an error but whoever was in the middle of something."""
    with database.read() as one, database.read() as two:
        for connection in (one, two):
            connection.execute(sa.text("SELECT 1"))
    with database.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    for _ in range(4):
        with database.read() as one, database.read() as two:
            assert collections.page(one, 0, 10) == collections.page(two, 0, 10) == []


def test_whoever_was_in_the_middle_of_something_gets_an_error_and_wrote_nothing(database: Database) -> None:
    def write() -> None:
        with database.begin() as connection:
            meta.put(connection, "a", b"b")
            with database.begin() as other:
                other.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND query LIKE 'INSERT%'"
                    )
                )
            meta.put(connection, "b", b"b")

    with pytest.raises(OperationalError):
        write()
    with database.read() as connection:
        assert meta.get(connection, "a") is None


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(SetupError, match=r"postgresql://u:\*\*\*@127\.0\.0\.1:1/n cannot be opened: .*the server runs"):
        Database.open("postgresql://u:hunter2@127.0.0.1:1/n")


def test_a_wrong_password_is_not_repeated(postgresql: PostgreSQL, role: str) -> None:
    url = postgresql.url("postgres", user=role, password="hunter2")
    with pytest.raises(SetupError, match=r"password authentication failed.*Check the user and the password") as caught:
        Database.open(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_missing_database_is_named_with_the_cure(postgresql: PostgreSQL) -> None:
    with pytest.raises(SetupError, match=r'database "nowhere" does not exist.*CREATE DATABASE name OWNER role'):
        Database.open(postgresql.url("nowhere"))


@pytest.mark.without_tables
def test_a_role_that_may_not_make_tables_is_told_so(postgresql: PostgreSQL, database_url: str, role: str) -> None:
    name = database_url.rpartition("@/")[2].partition("?")[0]
    with pytest.raises(SetupError, match=r"permission denied for schema public.*grant it CREATE"):
        Database.open(postgresql.url(name, user=role, password="right"))


def test_a_database_that_is_not_kept_in_utf8_is_refused(postgresql: PostgreSQL) -> None:
    name = f"latin_{secrets.token_hex(4)}"
    postgresql.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(SetupError, match="kept in LATIN1; Recognizance needs UTF8"):
        Database.open(postgresql.url(name))
    postgresql.drop(postgresql.url(name))


def test_a_server_that_is_too_old_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of the tests is too old; the number that counts as old is moved instead."""
    monkeypatch.setattr(_postgresql, "_OLDEST", 1000)
    with pytest.raises(SetupError, match=r"The server is PostgreSQL \d\d; Recognizance needs 1000 or newer"):
        database.state()


def test_the_role_of_the_documentation_can_do_everything(postgresql: PostgreSQL, role: str) -> None:
    """It owns its database, and is nothing else on the server."""
    name = f"owned_{secrets.token_hex(4)}"
    postgresql.execute(f"CREATE DATABASE {name} OWNER {role} ENCODING 'UTF8' TEMPLATE template0")
    url = postgresql.url(name, user=role, password="right")
    database = Database.open(url)
    assert database.state() == "current"
    with database.begin() as connection:
        collections.insert(connection, "c", "1.0", clock.now())
    assert "right" not in str(database)
    database.close()
    postgresql.drop(url)


@pytest.mark.without_tables
def test_many_that_open_an_empty_database_at_once_make_its_tables_once(database_url: str) -> None:
    start = threading.Barrier(8)
    outcomes: list[object] = []

    def work() -> None:
        start.wait(60)
        try:
            with closing(Database.open(database_url)) as database, database.read() as connection:
                outcomes.append(len(sa.inspect(connection).get_table_names()) > len(schema.metadata.tables))
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 8
