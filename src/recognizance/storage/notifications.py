"""News of other processes' writes, without asking again and again: PostgreSQL's NOTIFY and LISTEN.

News are a help, not the truth: they may be lost while a connection is down, and SQLite has none. What changed is in
the log; whoever waits here looks there every now and then in any case.
"""

import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from recognizance.storage.database import Database

if TYPE_CHECKING:
    import psycopg

log = structlog.get_logger(__name__)

CHANNEL = "recognizance_faces"
"""Carries the key of each collection whose log was written."""

_NOTIFY = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("payload", type_=sa.String)))


def announce(connection: Connection, collection_pk: int) -> None:
    """Tell other processes, once this transaction commits, that a collection's log has grown. SQLite tells nobody."""
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"payload": str(collection_pk)})


class Listener:
    """Hears of writes to collections, its own process's among them. One thread waits, any may close it.

    It takes one connection to the database, beside those of the pool, and finds another when that is lost.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = None
        self._lost = False  # said once, until a connection is found again
        self._closed = threading.Event()
        self._waiting = threading.Lock()
        self._woken, self._waker = socket.socketpair()

    def wait(self, timeout_seconds: float) -> set[int] | None:
        """Wait until there are news, for at most so long.

        Returns:
            The keys of the collections announced, none when the time passed without; None when anything may have
            happened: always on SQLite, else when the connection is new or when there is none. Then the log has to be
            asked.
        """
        with self._waiting:
            if not self._database.is_postgresql or self._closed.is_set():
                self._closed.wait(timeout_seconds)
                return None
            from psycopg import Error  # psycopg takes a while to import, and SQLite does without

            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._lost = False
                    return None  # what was announced before is unknown
                return self._hear(self._connection, timeout_seconds)
            except (Error, SQLAlchemyError, OSError) as error:
                self._disconnect()
                if self._lost:
                    self._closed.wait(timeout_seconds)
                else:
                    log.warning("news of other processes' writes are lost until the database is back", error=str(error))
                    self._lost = True
                return None

    def close(self) -> None:
        """Wake whoever waits, and stop listening."""
        self._closed.set()
        self._waker.close()
        with self._waiting:
            self._disconnect()
            self._woken.close()

    def _connect(self) -> "psycopg.Connection[Any]":
        pooled = self._database.engine.raw_connection()
        connection: psycopg.Connection[Any] = cast("Any", pooled.driver_connection)
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _hear(self, connection: "psycopg.Connection[Any]", timeout_seconds: float) -> set[int] | None:
        # News that came along with an earlier answer are in memory, where a selector would not see them.
        found = self._news(connection)
        if not found:
            with selectors.DefaultSelector() as selector:
                selector.register(connection.fileno(), selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                ready = selector.select(timeout_seconds)
            if self._closed.is_set():
                return None
            if ready:
                found = self._news(connection)
        return found

    @staticmethod
    def _news(connection: "psycopg.Connection[Any]") -> set[int]:
        return {int(note.payload) for note in connection.notifies(timeout=0) if note.payload.isdecimal()}
