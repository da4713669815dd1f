"""Restoring a backup into an empty database of either kind."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.storage import schema
from recognizance.storage.atomic import sync_folder
from recognizance.storage.backup.check import check, open_table
from recognizance.storage.backup.manifest import Manifest, TableEntry
from recognizance.storage.backup.package import Package
from recognizance.storage.backup.place import sqlite_path
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.backup.tables import TableShape, upgrade
from recognizance.storage.database import Database
from recognizance.storage.migrate import migrate
from recognizance.storage.repositories import meta

_ROWS_AT_ONCE = 8192
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Before = Callable[[], None]


def restore(
    package: Package,
    url: str,
    *,
    before: Before = lambda: None,
    checking: Progress = silent,
    progress: Progress = silent,
) -> Manifest:
    """Restore a backup into an empty database, and bring its schema up to date.

    Nothing is written before every file has been compared with its digest. Nobody ever sees a half of it: a database
    of SQLite gets its name when it is complete and on the disk, PostgreSQL does it in one transaction. After a crash,
    do it again.

    Args:
        package: The backup.
        url: The database's URL.
        before: Called when everything is written, just before it can be seen.
        checking: Told how many bytes are checked.
        progress: Told how many rows are written.

    Returns:
        The backup's manifest.

    Raises:
        SetupError: The backup is damaged, or the database is not empty or cannot be used.
    """
    shapes = check(package, checking)
    path = sqlite_path(url)
    try:
        if path is not None:
            _load_sqlite(package, shapes, path, before, progress)
        else:
            _load_postgresql(package, shapes, url, before, progress)
    except pa.ArrowException as error:
        raise SetupError(f"The backup {package.path} cannot be read: {error}") from error
    return package.manifest


def refuse_used(url: str) -> None:
    """Return when nothing is kept at a URL.

    Raises:
        SetupError: Something is.
    """
    path = sqlite_path(url)
    if path is not None:
        _refuse_file(path)
        return
    with closing(Database(url)) as database, database.read() as connection:
        _refuse_tables(connection, database)


def _refuse_file(path: Path) -> None:
    if used := [one for one in (path, *_side_files(path)) if one.exists()]:
        raise SetupError(
            f"{used[0]} exists already; nothing is overwritten. Restore into another data folder, or move the old one "
            "away."
        )


def _refuse_tables(connection: Connection, database: Database) -> None:
    ours = {*schema.metadata.tables, "alembic_version"}
    if found := sorted(ours.intersection(sa.inspect(connection).get_table_names())):
        raise SetupError(
            f"The database {database} is not empty: it has the table {found[0]}. Nothing is overwritten. Make an empty "
            "database, and restore into that."
        )


def _side_files(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside a database, and would take for those of a new one of that name."""
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


# SQLite


def _load_sqlite(
    package: Package, shapes: tuple[TableShape, ...], path: Path, before: Before, progress: Progress
) -> None:
    draft = path.with_name(path.name + ".restoring")
    with _alone(path.parent):
        _refuse_file(path)
        try:
            _remove(draft)
            _fill(package, shapes, draft, progress)
            # As any older database that is opened: its migrations are the same.
            with closing(Database.open(f"sqlite:///{draft}")) as database, database.begin() as connection:
                _finish(connection, package.manifest)
            if left := [one.name for one in _side_files(draft) if one.exists()]:
                raise SetupError(f"Another process has opened {draft}; {left[0]} is still in use. Try again.")
            _sync(draft)
            before()
            draft.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
        finally:
            _remove(draft)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other restores out of a folder, which is made if need be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SetupError(f"{folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise SetupError(f"Another process is restoring into {folder}.") from error
    finally:
        os.close(handle)


def _remove(draft: Path) -> None:
    for one in (draft, *_side_files(draft)):
        one.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _fill(package: Package, shapes: tuple[TableShape, ...], draft: Path, progress: Progress) -> None:
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    engine = sa.create_engine(f"sqlite:///{draft}")
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            upgrade(connection, package.manifest.schema_revision)
            driver: Any = connection.connection.driver_connection
            for shape, table, rows in _tables(package, shapes, progress, uuid=lambda value: value.hex()):
                marks = ", ".join("?" for _ in shape.columns)
                names = ", ".join(f'"{one.name}"' for one in shape.columns)
                statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - our own names
                for columns in rows:
                    driver.executemany(statement, zip(*columns, strict=True))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise SetupError(f"The backup {package.path} has rows that refer to rows that it does not have.")
    except DBAPIError as error:
        raise SetupError(f"The backup {package.path} cannot be restored: {error.orig}") from error
    except driver_errors() as error:
        raise SetupError(f"The backup {package.path} cannot be restored: {error}") from error
    finally:
        engine.dispose()


def driver_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the drivers, which the rows go to without SQLAlchemy in between."""
    import sqlite3

    import psycopg

    return (sqlite3.Error, psycopg.Error)


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
    # The draft goes if anything fails, so nothing has to be undone, and it is brought to the disk as a whole.
    connection.isolation_level = None
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -131072", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {setting}")


# PostgreSQL


def _load_postgresql(
    package: Package, shapes: tuple[TableShape, ...], url: str, before: Before, progress: Progress
) -> None:
    with closing(Database(url)) as database:
        try:
            with database.begin() as connection:
                # A table of tens of millions of rows is one COPY, and takes longer than the program's sessions allow.
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                _refuse_tables(connection, database)
                upgrade(connection, package.manifest.schema_revision)
                for shape, table, rows in _tables(package, shapes, progress, uuid=lambda value: UUID(bytes=value)):
                    _copy(connection, shape, table, rows)
                migrate(connection)
                _finish(connection, package.manifest)
                before()
        except DBAPIError as error:
            raise SetupError(f"The backup {package.path} cannot be restored: {error.orig}") from error
        except driver_errors() as error:
            raise SetupError(f"The backup {package.path} cannot be restored: {error}") from error


def _copy(connection: Connection, shape: TableShape, table: TableEntry, rows: Iterator[list[list[Any]]]) -> None:
    declared = sa.text(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = :table"
    )
    types = {row[0]: row[1] for row in connection.execute(declared, {"table": table.name})}
    names = ", ".join(f'"{one.name}"' for one in shape.columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([types[one.name] for one in shape.columns])
        for columns in rows:
            for row in zip(*columns, strict=True):
                copy.write_row(row)


# Both


def _tables(
    package: Package, shapes: tuple[TableShape, ...], progress: Progress, *, uuid: Callable[[bytes], object]
) -> Iterator[tuple[TableShape, TableEntry, Iterator[list[list[Any]]]]]:
    """Give each table with its rows, in parts, each part as its columns; ``uuid`` is how the driver takes UUIDs."""
    total, done = package.manifest.rows, 0
    for shape, table in zip(shapes, package.manifest.tables, strict=True):

        def rows(shape: TableShape = shape, table: TableEntry = table) -> Iterator[list[list[Any]]]:
            nonlocal done
            with open_table(package, table, shape) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    yield [
                        [value and uuid(value) for value in values.to_pylist()]
                        if column.kind == "uuid"
                        else values.to_pylist()
                        for values, column in zip(batch.columns, shape.columns, strict=True)
                    ]
                    done += batch.num_rows
                    progress(done, total)

        yield shape, table, rows()


def _finish(connection: Connection, manifest: Manifest) -> None:
    """Make a restored database, its schema up to date, one of its own.

    The database that was backed up may have gone on, and others may have been restored from the same backup. What was
    derived from any of them (caches in data folders, vectors in Milvus) goes by row keys and by the numbers of the
    log: here they go on from the time of the restore in microseconds, which none of the others has reached.
    """
    now = (clock.now() - _EPOCH) // timedelta(microseconds=1)
    floors = {table.name: table.last_key for table in manifest.tables if table.last_key is not None}
    for table in (schema.collections, schema.users, schema.faces):
        floors[table.name] = max(now, floors.get(table.name, 0))
    for name, last in floors.items():
        if name in schema.metadata.tables:
            _count_beyond(connection, name, last)
    connection.execute(schema.face_log.delete())
    revision = schema.collections.c.revision
    connection.execute(schema.collections.update().where(revision < now).values(revision=now))
    meta.delete(connection, meta.MILVUS_INSTALLATION)


def _count_beyond(connection: Connection, table: str, last: int) -> None:
    """Let the database give a table's rows keys beyond one, and beyond those that it has given."""
    if connection.dialect.name == "sqlite":
        given = connection.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table})
        statement = "UPDATE sqlite_sequence SET seq = :last WHERE name = :name"
        if given is None:
            statement = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"
        connection.execute(sa.text(statement), {"name": table, "last": max(last, given or 0)})
    elif last:
        highest = f'greatest(:last, (SELECT max(pk) FROM "{table}"))'  # noqa: S608 - our own name
        sequence = sa.text(f"SELECT setval(pg_get_serial_sequence(:name, 'pk'), {highest})")
        connection.execute(sequence, {"name": f'"{table}"', "last": last})
