"""The tables of each revision of the schema, in the types that every database and Parquet have."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.core.errors import SetupError
from recognizance.storage.migrate import configuration

Kind = Literal["integer", "real", "boolean", "text", "bytes", "uuid"]
"""What a column holds. Times are integers, as in the database: microseconds since 1970."""

ARROW: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "bytes": pa.binary(),
    "uuid": pa.binary(16),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what it holds, and whether it may hold nothing."""

    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table.

    Attributes:
        name: Its name.
        columns: Its columns, in its order.
        key: The names of the columns of its primary key.
        counted: Whether the database numbers its rows, and must never give a number twice.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    counted: bool

    @property
    def schema(self) -> pa.Schema:
        """The schema of its Parquet file."""
        return pa.schema([pa.field(one.name, ARROW[one.kind], nullable=one.nullable) for one in self.columns])


@cache
def tables_of(revision: str) -> tuple[TableShape, ...]:
    """Return the tables of a revision of the schema, each after those that its rows refer to.

    The migrations say what they are: they are run on an empty database in memory.

    Raises:
        SetupError: This version of the program has no such revision.
    """
    engine = sa.create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            upgrade(connection, revision)
            found = sa.MetaData()
            found.reflect(connection)
            tables = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
            declared = {row[0]: str(row[1]) for row in tables}
    finally:
        engine.dispose()
    return tuple(
        _shape(table, counted="AUTOINCREMENT" in declared[table.name].upper())
        for table in found.sorted_tables
        if table.name != "alembic_version"
    )


def upgrade(connection: Connection, revision: str) -> None:
    """Bring a database up to a revision of the schema, in the connection's transaction.

    Raises:
        SetupError: This version of the program has no such revision.
    """
    from alembic import command  # Alembic takes a second to import
    from alembic.script import ScriptDirectory

    config = configuration(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise SetupError(
            f"The schema {revision!r} is not known to this version of Recognizance. It comes from a newer version: "
            "install that one."
        )
    command.upgrade(config, revision)


def _shape(table: sa.Table, *, counted: bool) -> TableShape:
    columns = tuple(Column(one.name, _kind(table, one), bool(one.nullable)) for one in table.columns)
    return TableShape(table.name, columns, tuple(one.name for one in table.primary_key.columns), counted)


def _kind(table: sa.Table, column: "sa.Column[object]") -> Kind:
    """Return what a column of SQLite holds; a UUID is declared CHAR(32) there, and nothing else is."""
    declared = column.type
    kinds: tuple[tuple[type[Any], Kind], ...] = (
        (sa.Boolean, "boolean"),
        (sa.Integer, "integer"),
        (sa.Float, "real"),
        (sa.CHAR, "uuid"),
        (sa.String, "text"),
        (sa.LargeBinary, "bytes"),
    )
    for type_, kind in kinds:
        if isinstance(declared, type_):
            return kind
    raise TypeError(f"{table.name}.{column.name} is {declared!r}, of which a backup knows no portable form")
