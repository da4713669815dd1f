"""The database: one engine, set up so that several threads and several processes may share it."""

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from recognizance.core.errors import SetupError
from recognizance.storage import _postgresql, _sqlite
from recognizance.storage.locks import SCHEMA, hold
from recognizance.storage.schema import REVISION

if TYPE_CHECKING:
    from recognizance.storage.migrate import State

# Errors name the statement's values unless told otherwise, and are logged: the values are people's names and faces.
_ENGINE: dict[str, Any] = {"hide_parameters": True}
_SECRET = re.compile("passw|secret", re.IGNORECASE)  # misspelt ones too
_FORMS = "sqlite:////folder/file.db or postgresql://user:password@host/name"


class Database:
    """A database whose schema is up to date.

    Args:
        url: The URL: ``sqlite:///`` and a path, or ``postgresql://`` as libpq takes it. PostgreSQL's may have a
            parameter ``pool_size``: the most connections that this process opens, 32 by default.

    Attributes:
        engine: The SQLAlchemy engine. Use :meth:`read` and :meth:`begin` rather than its own connections.
        is_postgresql: Whether it is PostgreSQL; else it is SQLite.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.is_postgresql = parsed.get_backend_name() == "postgresql"
        self.engine: Engine = (_postgresql if self.is_postgresql else _sqlite).make_engine(parsed, **_ENGINE)
        self._shown = shown_url(url)
        self._reading = self.engine
        if self.is_postgresql:
            # Several statements that read must see one moment; on SQLite every transaction does.
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # SQLite has one writer at a time. Threads that queue here wait no longer than needed, those that meet at the
        # file's lock sleep in steps; other processes still meet there.
        self._writer: AbstractContextManager[Any] = nullcontext() if self.is_postgresql else threading.Lock()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a database, make it if need be, and bring its schema up to date.

        The folder of an SQLite file is created for this user alone. A PostgreSQL database must exist; its tables are
        made.

        Raises:
            SetupError: The URL, the folder, the file or the server cannot be used, or a newer version of the program
                made the database.
        """
        database = cls(url)
        try:
            with database._opening() as connection:
                if _revision(connection) != REVISION:
                    from recognizance.storage.migrate import migrate  # Alembic takes a second to import

                    hold(connection, SCHEMA)
                    migrate(connection)
        except BaseException:
            database.close()
            raise
        return database

    def state(self) -> "State":
        """Tell how the schema compares with this version of the program, changing nothing.

        Raises:
            SetupError: The database cannot be written to.
        """
        from recognizance.storage.migrate import state  # Alembic takes a second to import

        with self._opening() as connection:
            return state(connection)

    @contextmanager
    def _opening(self) -> Iterator[Connection]:
        """Give a connection that writes, and turn what is wrong with the database into a SetupError."""
        try:
            with self.begin() as connection:
                if self.is_postgresql:
                    _postgresql.check(connection)
                yield connection
        except DBAPIError as error:
            explain = _postgresql.explain if self.is_postgresql else _sqlite.explain
            raise SetupError(explain(str(self), error.orig)) from error

    def __str__(self) -> str:
        return self._shown

    def close(self) -> None:
        """Close the connections that nobody is using."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that reads. Everything read within sees the database as of the first read."""
        with self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction that writes; it commits at the end and rolls back on an error.

        On SQLite no other transaction writes meanwhile. On PostgreSQL (READ COMMITTED) each statement sees what others
        committed before it: lock a row, or :func:`recognizance.storage.locks.hold` a name, before reading what the
        write depends on. Transactions do not nest: a second one in the same thread would wait for the first for ever.
        """
        with (
            self._writer,
            self.engine.connect().execution_options(recognizance_writes=True) as connection,
            connection.begin(),
        ):
            yield connection


def shown_url(url: str) -> str:
    """Return a URL as it may be shown, its secrets masked."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        return "***"  # no URL, so nobody knows what of it is a secret
    if _is_cut(parsed):
        return "***"
    query = {name: "***" if _SECRET.search(name) else value for name, value in parsed.query.items()}
    return parsed.set(query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _is_cut(parsed: URL) -> bool:
    """Return whether a password with an @ in it was cut there: the rest of it then counts as host and database."""
    return parsed.get_backend_name() != "sqlite" and any("@" in (part or "") for part in (parsed.host, parsed.database))


def _parse(url: str) -> URL:
    # The message of the error below repeats the URL in some versions of SQLAlchemy, hence "from None".
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SetupError(f"database_url is no URL. It takes the form {_FORMS}.") from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgres", "postgresql", "postgresql+psycopg"}:
        raise SetupError(f"database_url cannot begin with {parsed.drivername}. It takes the form {_FORMS}.")
    if _is_cut(parsed):
        raise SetupError("database_url has one @ too many. In a password, @ is written %40, / is %2F and % is %25.")
    return parsed.set(drivername="postgresql") if parsed.drivername == "postgres" else parsed


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision
