from __future__ import annotations

import stat
import threading
import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from recognizance.core.errors import SetupError
from recognizance.storage import schema
from recognizance.storage.database import Database, shown_url
from recognizance.storage.locks import hold
from recognizance.storage.repositories import meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.mark.sqlite
def test_folder_and_files_are_for_this_user_alone(tmp_path: Path, database: Database) -> None:
    with database.begin() as connection:
        meta.put(connection, "a", b"b")
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {file.name for file in files} >= {"recognizance.db", "recognizance.db-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 60_000)]
)
def test_every_connection_is_durable_and_patient(database: Database, pragma: str, value: object) -> None:
    with database.read() as one, database.read() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    def write() -> None:
        with database.begin() as connection:
            meta.put(connection, "a", b"b")
            connection.execute(sa.insert(schema.tags).values(collection_pk=99, key="k", value="v"))

    with pytest.raises(IntegrityError):
        write()
    with database.read() as connection:
        assert meta.get(connection, "a") is None


def test_a_reader_sees_one_moment(database: Database) -> None:
    with database.read() as reading:
        assert meta.get(reading, "a") is None
        with database.begin() as writing:
            meta.put(writing, "a", b"b")
        assert meta.get(reading, "a") is None
    with database.read() as reading:
        assert meta.get(reading, "a") == b"b"


def test_writers_take_turns(database: Database) -> None:
    """Read, add one, write: a turn that overlapped another would lose its count."""

    def count(times: int) -> None:
        for _ in range(times):
            with database.begin() as connection:
                hold(connection, "the number")
                number = int.from_bytes(meta.get(connection, "n") or b"\0")
                meta.put(connection, "n", (number + 1).to_bytes(2))

    threads = [threading.Thread(target=count, args=(10,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert meta.get(connection, "n") == (80).to_bytes(2)


def test_opening_again_keeps_what_was_written(database: Database, database_url: str) -> None:
    with database.begin() as connection:
        meta.put(connection, "a", b"b")
    again = Database.open(database_url)
    with again.read() as connection:
        assert meta.get(connection, "a") == b"b"
    again.close()


@pytest.mark.sqlite
@pytest.mark.parametrize("table", [schema.faces, schema.users, schema.collections, schema.access_keys])
def test_no_key_is_given_twice(database: Database, table: sa.Table) -> None:
    """Indexes in memory know rows by key: a key must not come back with another row."""
    with database.read() as connection:
        sql = connection.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = :name").bindparams(name=table.name))
    assert "AUTOINCREMENT" in str(sql)


def test_errors_do_not_repeat_what_was_to_be_stored(database: Database) -> None:
    """They are logged, and the values are people's names and faces."""
    row = {"name": "somebody", "value": b""}
    with database.engine.connect() as connection:
        connection.execute(schema.meta.insert(), row)
        with pytest.raises(IntegrityError) as caught:
            connection.execute(schema.meta.insert(), row)
    assert "unique" in str(caught.value).lower()
    assert "somebody" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"This is not a database, but it is long enough to be read as one." * 20)
    with pytest.raises(SetupError, match=r"x\.db cannot be opened: file is not a database\. Check"):
        Database.open(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/x\.db cannot be opened: .*Choose a data folder"):
        Database.open(f"sqlite:///{tmp_path}/file/x.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="must name a file"):
        Database.open(url)


@pytest.mark.parametrize(
    "url", ["hunter2", "mysql://u:hunter2@h/n", "postgresql+asyncpg://u:hunter2@h/n", "postgresql://u:hunter2@h:port/n"]
)
def test_a_url_that_means_nothing_is_explained(url: str) -> None:
    with pytest.raises(SetupError, match="It takes the form sqlite:") as caught:
        Database.open(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["postgresql://u:hun@ter2@h/n", "postgresql://u:h@un/ter2@h/n"])
def test_a_password_with_an_at_sign_in_it_is_explained_and_not_repeated(url: str) -> None:
    with pytest.raises(SetupError, match="@ is written %40") as caught:
        Database.open(url)
    assert "ter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@h/n?sslmode=require", "postgresql://u:***@h/n?sslmode=require"),
        ("postgresql://u@h/n?password=hunter2", "postgresql://u@h/n?password=***"),
        ("postgresql://u@h/n?PassWd=hunter2", "postgresql://u@h/n?PassWd=***"),
        ("hunter2", "***"),
        ("postgresql://u:hun@ter2@h/n", "***"),
        ("postgresql://u:h@un/ter2@h/n", "***"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("sqlite:////home/a@b/c.db", "sqlite:////home/a%40b/c.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_times_are_kept_to_the_microsecond() -> None:
    kind, dialect = schema.UtcTime(), sa.create_engine("sqlite://").dialect
    for time in (
        datetime(2026, 11, 22, 7, 8, 9, 123456, UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-7))),
    ):
        kept = kind.process_bind_param(time, dialect)
        assert isinstance(kept, int)
        back = kind.process_result_value(kept, dialect)
        assert back == time
        assert back.tzinfo is UTC
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
