"""Many rows at once: on SQLite one prepared statement, on PostgreSQL a COPY."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from recognizance.storage.driver import driver

# What a column's values are called in PostgreSQL.
_NAMES: dict[type[Any], str] = {
    sa.BigInteger: "int8",
    sa.SmallInteger: "int2",
    sa.Float: "float8",
    sa.Boolean: "bool",
    sa.String: "text",
    sa.Text: "text",
    sa.LargeBinary: "bytea",
    sa.Uuid: "uuid",
}

_SEQUENCE = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table")
_NEXT = sa.text("SELECT nextval(pg_get_serial_sequence(:table, 'pk')) FROM generate_series(1, :count)")


def new_keys(connection: Connection, table: Table, count: int) -> list[int]:
    """Return keys for new rows of a table, ascending, that no row has had.

    The transaction must write. On SQLite it keeps others from taking the same keys, and the rows that get them move
    the counter on; so they are to be inserted before more keys are taken.
    """
    if connection.dialect.name == "sqlite":
        last = connection.scalar(_SEQUENCE, {"table": table.name}) or 0
        return list(range(last + 1, last + 1 + count))
    return sorted(connection.scalars(_NEXT, {"table": table.name, "count": count}))


def insert(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows, given as the values of each column."""
    names = ", ".join(columns)
    rows = zip(*(_prepared(connection, table.c[name], values) for name, values in columns.items()), strict=True)
    if connection.dialect.name == "sqlite":
        text = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our names
        with driver(connection, text) as own:
            own.executemany(text, rows)
        return
    text = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    with driver(connection, text) as own, own.cursor() as cursor, cursor.copy(text) as copy:
        copy.set_types([_name(table.c[name]) for name in columns])
        for row in rows:
            copy.write_row(row)


def _name(column: "sa.Column[Any]") -> str:
    kind = column.type.impl if isinstance(column.type, sa.TypeDecorator) else column.type
    return _NAMES[next(one for one in type(kind).__mro__ if one in _NAMES)]


def _prepared(connection: Connection, column: "sa.Column[Any]", values: Sequence[Any]) -> Sequence[Any]:
    if connection.dialect.name == "postgresql" and isinstance(column.type, sa.Uuid):
        return [None if value is None else UUID(value) for value in values]
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return [process(value) for value in values] if process else values
