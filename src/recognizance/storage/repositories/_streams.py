"""Results of millions of rows, read from the driver itself: SQLAlchemy's row objects would take most of the time."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.storage.driver import driver

# PostgreSQL's COPY format: a signature of 11 bytes, flags and the length of an extension; for each row the number of
# its columns and each value behind its length; an end mark of 2 bytes.
# https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
_COPY_HEAD, _COPY_END = 19, 2
_COPY_INTEGER = np.dtype([("columns", ">i2"), ("length", ">i4"), ("value", ">i8")])

_cursor_numbers = count()


def _text(connection: Connection, statement: "sa.Select[Any]") -> str:
    return str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))


def integers(connection: Connection, statement: "sa.Select[Any]") -> NDArray[np.int64]:
    """Return the result of a statement that selects one BIGINT, never NULL, and has integers as its parameters."""
    text = _text(connection, statement)
    with driver(connection, text) as own:
        if connection.dialect.name == "sqlite":
            return np.fromiter(chain.from_iterable(own.execute(text)), np.int64)
        with own.cursor() as cursor, cursor.copy(f"COPY ({text}) TO STDOUT (FORMAT BINARY)") as copy:
            data = b"".join(copy)
    rows = np.frombuffer(memoryview(data)[_COPY_HEAD:-_COPY_END], _COPY_INTEGER)
    return rows["value"].astype(np.int64)


def pairs(connection: Connection, statement: "sa.Select[Any]", size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Give the result of a statement that selects a key and a vector, ``size`` rows at a time; see :func:`rows`."""
    return rows(connection, statement, size)


def rows(connection: Connection, statement: "sa.Select[Any]", size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give the result of a statement, ``size`` rows at a time, its values as the driver gives them.

    The statement's parameters are integers. The database keeps what was not fetched yet: other statements may run on
    the connection meanwhile, but the iteration must end before the transaction does.
    """
    text = _text(connection, statement)
    # A cursor with a name stays in the server; binary, because bytes written as text are twice as long.
    postgresql = {"name": f"recognizance_{next(_cursor_numbers)}", "binary": True}
    with driver(connection, text) as own:
        cursor = own.cursor(**({} if connection.dialect.name == "sqlite" else postgresql))
        try:
            cursor.execute(text)
            while part := cursor.fetchmany(size):
                yield part
        finally:
            cursor.close()
