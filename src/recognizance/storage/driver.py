"""The driver's own connection, for what would take several times as long through SQLAlchemy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from recognizance.storage import _postgresql


@contextmanager
def driver(connection: Connection, statement: str) -> Iterator[Any]:
    """Give the connection of sqlite3 or psycopg, in its transaction.

    Args:
        connection: SQLAlchemy's.
        statement: What errors say was run. They become SQLAlchemy's, and do not repeat values.
    """
    if not connection.in_transaction():
        connection.begin()  # what goes past SQLAlchemy does not begin one
    errors = connection.dialect.loaded_dbapi.Error
    try:
        yield connection.connection.driver_connection
    except errors as error:
        _postgresql.redact(error)
        raise DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error
