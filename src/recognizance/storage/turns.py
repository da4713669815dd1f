"""Turns: what one process at a time may do, of all that share a database, while others go on writing to it.

A transaction would do on PostgreSQL, but on SQLite it would keep every writer waiting. So SQLite's turns are files,
beside the database. Both end with the process that holds them, in whatever way that ends.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from recognizance.storage import locks
from recognizance.storage.database import Database

_POLL_SECONDS = 0.02
_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's error code for a lock that was not had in time (PostgreSQL manual, appendix A)."""


class TurnTakenError(Exception):
    """Another process, or another thread, kept its turn for too long."""


@contextmanager
def turn(database: Database, *name: str, timeout_seconds: float) -> Iterator[Connection]:
    """Hold a turn: no other thread or process holds one of this name meanwhile.

    Gives a connection to read with, which sees what was committed before the turn began. Turns do not nest: some names
    share one.

    Raises:
        TurnTakenError: Somebody else held it for as long as this.
    """
    holding = _on_postgresql if database.engine.dialect.name == "postgresql" else _on_sqlite
    with holding(database, name, timeout_seconds) as connection:
        yield connection


@contextmanager
def _on_postgresql(database: Database, name: tuple[str, ...], timeout_seconds: float) -> Iterator[Connection]:
    with database.begin() as connection:
        try:
            limit = max(1, round(timeout_seconds * 1000))  # 0 would be no limit
            connection.execute(sa.text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": f"{limit}ms"})
            locks.hold(connection, *name)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                raise TurnTakenError(" ".join(name)) from error
            raise
        yield connection


@contextmanager
def _on_sqlite(database: Database, name: tuple[str, ...], timeout_seconds: float) -> Iterator[Connection]:
    path = Path(str(database.engine.url.database))
    folder = path.with_name(path.name + "-turns")
    folder.mkdir(mode=0o700, exist_ok=True)
    number = hashlib.sha256("\0".join(name).encode()).digest()[0]  # so that there are never more than 256 files
    file = os.open(folder / f"{number:02x}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + timeout_seconds
        while not _locked(file):
            if time.monotonic() >= until:
                raise TurnTakenError(" ".join(name))
            time.sleep(_POLL_SECONDS)
        with database.read() as connection:
            yield connection
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
