"""SQLite, set up so that several threads and several processes may share one file."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, event

from recognizance.core.errors import SetupError

_BUSY_SECONDS = 60.0
"""How long a connection waits for another process's write before it gives up; writes take milliseconds."""


def make_engine(url: URL, **options: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's
    """Return the engine of a file, which is made if need be, in a folder for this user alone.

    Raises:
        SetupError: The URL names no file, or one that this user may not write to.
    """
    if url.database in {None, "", ":memory:"}:
        raise SetupError(
            "database_url must name a file: an SQLite database in memory would be lost with its connection."
        )
    _make_file(Path(str(url.database)))
    engine = sa.create_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS, "cached_statements": 256},
        pool_size=16,
        max_overflow=-1,
        **options,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def explain(shown: str, error: BaseException | None) -> str:
    """Say what is wrong with a database that cannot be opened, and what cures it."""
    return (
        f"The database {shown} cannot be opened: {error}. Check that the file and its folder belong to this user, that "
        "the disk has room, and that it is a Recognizance database; or set database_url."
    )


def _make_file(path: Path) -> None:
    """Make the folder and the file before SQLite does, so that nobody else may read them; its side files follow."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file that is there is not opened: to close it again would drop every lock that this process's connections
        # hold on it (https://sqlite.org/howtocorrupt.html, 2.2), and another process would delete the log they use.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise SetupError(
            f"The database {path} cannot be opened: {error.strerror}. Choose a data folder that this user may write to."
        ) from error


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # Python's driver would begin transactions by itself, at the wrong moments: see "pysqlite" in SQLAlchemy's manual.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # a deleted face's vector is overwritten, not left in free pages
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_mode = WAL")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail when another process wrote in between.
    immediate = connection.get_execution_options().get("recognizance_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
