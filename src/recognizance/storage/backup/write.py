"""Writing a backup while others go on writing to the database."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance import __version__
from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.storage.backup.manifest import FORMAT_VERSION, Manifest, TableEntry
from recognizance.storage.backup.package import KEY_FILE, MANIFEST, Writer, new_package
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.backup.tables import Column, TableShape, tables_of
from recognizance.storage.database import Database
from recognizance.storage.migrate import state

ROWS_AT_ONCE = 16_384
"""Rows of a Parquet row group, and the most rows that are in memory at once: some 10 MB of faces."""

Row = Sequence[Any]


def back_up(
    database: Database, destination: Path, *, key_file: bytes | None = None, progress: Progress = silent
) -> Manifest:
    """Write every table of a database, as it is at one moment, to a new backup.

    Args:
        database: What to back up; its schema may be an older one.
        destination: A path that does not exist: an archive where it ends with ``.zip``, else a folder.
        key_file: The text of the key file, to become part of the backup. Whoever has both can use the access keys.
        progress: Told how many rows are written.

    Returns:
        The backup's manifest.

    Raises:
        SetupError: The destination is taken or cannot be written, or the database is not one of this program or was
            opened by a newer version.
    """
    with database.read() as connection, new_package(destination) as package:
        revision = _revision(connection, database)
        created_at = clock.now()
        tables = [_describe(connection, shape) for shape in tables_of(revision)]
        total = sum(table.rows for table in tables)
        done = 0
        for shape, table in zip(tables_of(revision), tables, strict=True):
            for count in _write(connection, shape, table, package):
                done += count
                progress(done, total)
        if key_file is not None:
            package.add(KEY_FILE, key_file)
        manifest = Manifest(
            format="recognizance backup",
            format_version=FORMAT_VERSION,
            program_version=__version__,
            schema_revision=revision,
            database=connection.dialect.name,
            created_at=created_at,
            key_file=key_file is not None,
            tables=tuple(tables),
        )
        package.add(MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
    return manifest


def _revision(connection: Connection, database: Database) -> str:
    match state(connection):
        case "empty":
            raise SetupError(f"The database {database} has no tables of Recognizance: there is nothing to back up.")
        case "newer":
            raise SetupError(
                f"The database {database} was last opened by a newer version of Recognizance. Back it up with that one."
            )
        case _:
            return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))


def _describe(connection: Connection, shape: TableShape) -> TableEntry:
    rows = connection.scalar(sa.select(sa.func.count()).select_from(sa.table(shape.name)))
    last = _last_key(connection, shape) if shape.counted else None
    return TableEntry.of(shape, rows=rows or 0, last_key=last)


def _last_key(connection: Connection, shape: TableShape) -> int:
    """Return the highest key that was ever given in a table; a sequence may be ahead of the snapshot, never behind."""
    table, (key,) = shape.name, shape.key
    if connection.dialect.name == "sqlite":
        given = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table").bindparams(table=table)
    else:
        quote = connection.dialect.identifier_preparer.quote_identifier
        named = sa.text("SELECT pg_get_serial_sequence(:table, :key)").bindparams(table=quote(table), key=key)
        sequence = connection.scalar(named)  # quoted where it has to be
        given = sa.text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608
    highest = connection.scalar(sa.select(sa.func.max(sa.column(key))).select_from(sa.table(table)))
    return max(connection.scalar(given) or 0, highest or 0)


def _write(connection: Connection, shape: TableShape, table: TableEntry, package: Writer) -> Iterator[int]:
    """Write a table's file, and give the number of rows of each part when it is written."""
    # Vectors are noise to a compressor, and ids are different in every row.
    dense = {one.name: one.kind in {"bytes", "uuid"} for one in shape.columns}
    written = 0
    with (
        package.file(table.file) as file,
        pq.ParquetWriter(
            file,
            shape.schema,
            compression={name: "none" if is_dense else "zstd" for name, is_dense in dense.items()},
            use_dictionary=[name for name, is_dense in dense.items() if not is_dense],
            write_page_checksum=True,
        ) as parquet,
    ):
        for rows in _rows(connection, shape):
            columns = [
                pa.array(_portable(values, column), field.type)
                for values, column, field in zip(zip(*rows, strict=True), shape.columns, shape.schema, strict=True)
            ]
            parquet.write_batch(pa.record_batch(columns, schema=shape.schema), row_group_size=ROWS_AT_ONCE)
            written += len(rows)
            yield len(rows)
    if written != table.rows:
        raise RuntimeError(f"the snapshot has {table.rows} rows of {table.name} and gave {written}")


def _rows(connection: Connection, shape: TableShape) -> Iterator[list[Row]]:
    """Give a table's rows in the order of its key, in parts, from the driver itself: there may be ten million."""
    preparer = connection.dialect.identifier_preparer
    on_sqlite = connection.dialect.name == "sqlite"
    names = {one.name: preparer.quote_identifier(one.name) for one in shape.columns}
    shown = [
        f"uuid_send({names[one.name]})" if one.kind == "uuid" and not on_sqlite else names[one.name]
        for one in shape.columns
    ]
    order = ", ".join(names[name] for name in shape.key)
    table = preparer.quote_identifier(shape.name)
    text = f"SELECT {', '.join(shown)} FROM {table} ORDER BY {order}"  # noqa: S608 - names of the program's own
    driver: Any = connection.connection.driver_connection
    # A cursor with a name stays in the server, which otherwise sends everything at once; binary is half as long.
    cursor = driver.cursor(**({} if on_sqlite else {"name": f"backup_{shape.name}", "binary": True}))
    try:
        cursor.execute(text)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield rows
    finally:
        cursor.close()


def _portable(values: Row, column: Column) -> Row:
    """Return a column's values as Arrow takes them: SQLite keeps truth as 0 and 1, and UUIDs as 32 digits."""
    if column.kind == "boolean":
        return [None if value is None else bool(value) for value in values]
    if column.kind == "uuid":
        return [bytes.fromhex(value) if isinstance(value, str) else value for value in values]
    return values
