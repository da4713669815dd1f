"""Results of millions of rows, read from the driver itself: SQLAlchemy's row objects would take most of the time."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import aggregate_order_by

from recognizance.storage.driver import driver

# An array of BIGINT as PostgreSQL sends it (array_send in src/backend/utils/adt/arrayfuncs.c): five integers of 4 bytes
# for one dimension, then each value behind its length.
_ARRAY_HEAD = 20
_ARRAY_ITEM = np.dtype([("length", ">i4"), ("value", ">i8")])
_ARRAY_ROWS = 262_144

_cursor_numbers = count()


def _text(connection: Connection, statement: "sa.Select[Any]") -> str:
    return str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))


def integers(
    connection: Connection, column: "sa.Column[int]", *conditions: "sa.ColumnElement[bool]"
) -> NDArray[np.int64]:
    """Return the values of a column of keys, ascending, in the rows for which conditions on integers hold."""
    statement = sa.select(column).where(*conditions).order_by(column)
    if connection.dialect.name == "sqlite":
        text = _text(connection, statement)
        with driver(connection, text) as own:
            return np.fromiter(chain.from_iterable(own.execute(text)), np.int64)
    parts = [np.empty(0, np.int64)]
    after = 0
    while True:
        keys = statement.where(column > after).limit(_ARRAY_ROWS).subquery().c[column.name]
        text = _text(connection, sa.select(sa.func.array_send(sa.func.array_agg(aggregate_order_by(keys, keys)))))
        with driver(connection, text) as own, own.cursor(binary=True) as cursor:
            (data,) = cursor.execute(text).fetchone()
        if data is None:
            return np.concatenate(parts)
        parts.append(np.frombuffer(data, _ARRAY_ITEM, offset=_ARRAY_HEAD)["value"].astype(np.int64))
        after = int(parts[-1][-1])


def pairs(connection: Connection, statement: "sa.Select[Any]", size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Give the result of a statement that selects a key and a vector, ``size`` rows at a time; see :func:`rows`."""
    return rows(connection, statement, size)


def rows(connection: Connection, statement: "sa.Select[Any]", size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give the result of a statement, ``size`` rows at a time, its values as the driver gives them.

    The statement's parameters are integers. The database keeps what was not fetched yet: other statements may run on
    the connection meanwhile, but the iteration must end before the transaction does.
    """
    text = _text(connection, statement)
    if connection.dialect.name == "postgresql":  # between two parts an index of millions may be trained
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
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
