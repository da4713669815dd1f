"""The database: one engine, set up so that several threads and several processes may share it."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from recognizance.core.errors import SetupError
from recognizance.storage.schema import REVISION

_BUSY_SECONDS = 60.0
"""How long a connection waits for another process's write before it gives up; writes take milliseconds."""

# Errors name the statement's values unless told otherwise, and are logged: the values are people's names and faces.
_ENGINE: dict[str, Any] = {"pool_size": 16, "max_overflow": -1, "hide_parameters": True}


class Database:
    """A database whose schema is up to date.

    Args:
        url: The SQLAlchemy URL: ``sqlite:///`` and a path, or a PostgreSQL URL.

    Attributes:
        engine: The SQLAlchemy engine. Use :meth:`read` and :meth:`begin` rather than its own connections.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        # SQLite has one writer at a time. Threads that queue here wait no longer than needed, those that meet at the
        # file's lock sleep in steps; other processes still meet there.
        self._writer: AbstractContextManager[Any] = (
            threading.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()
        )

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a database, make it if need be, and bring its schema up to date.

        The folder of an SQLite file is created for this user alone.

        Raises:
            SetupError: The URL, the folder or the file cannot be used, or a newer version of the program made it.
        """
        database = cls(url)
        try:
            with database.begin() as connection:
                if _revision(connection) != REVISION:
                    from recognizance.storage.migrate import migrate  # Alembic takes a second to import

                    migrate(connection)
        except DBAPIError as error:
            database.close()
            raise SetupError(
                f"The database {database} cannot be opened: {error.orig}. Check that the file and its folder belong "
                "to this user, that the disk has room, and that it is a Recognizance database; or set database_url."
            ) from error
        except BaseException:
            database.close()
            raise
        return database

    def __str__(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that reads. On SQLite everything read within sees the database as of the first read."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction that writes; it commits at the end and rolls back on an error.

        Transactions do not nest: a second one in the same thread would wait for the first for ever.
        """
        with (
            self._writer,
            self.engine.connect().execution_options(recognizance_writes=True) as connection,
            connection.begin(),
        ):
            yield connection


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed, pool_pre_ping=True, **_ENGINE)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SetupError(
            f"database_url cannot be used: {error}. It takes the form sqlite:////folder/file.db, or "
            "postgresql+psycopg://user:password@host/name with the package psycopg installed."
        ) from error
    if parsed.database in {None, "", ":memory:"}:
        raise SetupError(
            "database_url must name a file: an SQLite database in memory would be lost with its connection."
        )
    _make_file(Path(str(parsed.database)))
    engine = sa.create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS, "cached_statements": 256}, **_ENGINE)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_file(path: Path) -> None:
    """Make the folder and the file before SQLite does, so that nobody else may read them; its side files follow."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise SetupError(
            f"The database {path} cannot be opened: {error.strerror}. Choose a data folder that this user may write to."
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Python's driver would begin transactions by itself, at the wrong moments: see "pysqlite" in SQLAlchemy's manual.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # a deleted face's vector is overwritten, not left in free pages
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail when another process wrote in between.
    immediate = connection.get_execution_options().get("recognizance_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
