from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.storage.migrate import configuration
from recognizance.storage.repositories import collections, faces, tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.without_tables


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


def test_migrations_from_nothing_make_the_tables_of_the_program(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


@pytest.mark.sqlite
def test_migrated_tables_are_declared_as_those_of_the_program(database: Database, tmp_path: Path) -> None:
    """What Alembic does not compare: AUTOINCREMENT, WITHOUT ROWID, and what deletions take along."""
    plain = sa.create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    schema.metadata.create_all(plain)

    def declared(engine: sa.Engine) -> dict[str, set[str]]:
        query = sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
        with engine.connect() as connection:
            return {name: set(str(sql).replace(", \n", ",\n").split("\n")) for name, sql in connection.execute(query)}

    migrated, made = declared(database.engine), declared(plain)
    plain.dispose()
    assert migrated.keys() == made.keys()
    for name in made:
        assert {line.strip().rstrip(",") for line in migrated[name]} == {
            line.strip().rstrip(",") for line in made[name]
        }


def test_migrated_tables_are_those_of_the_program(database: Database, new_database: Callable[[], str]) -> None:
    """Names of constraints, what deletions take along, and where keys come from, among the rest."""
    plain = Database(new_database())
    with plain.begin() as connection:
        schema.metadata.create_all(connection)

    def described(one: Database) -> dict[str, list[str]]:
        with one.read() as connection:
            inspector = sa.inspect(connection)
            return {
                table: sorted(
                    str(part)
                    for found in (
                        inspector.get_columns(table),
                        inspector.get_foreign_keys(table),
                        inspector.get_indexes(table),
                        inspector.get_unique_constraints(table),
                        [inspector.get_pk_constraint(table)],
                    )
                    for part in found
                )
                for table in inspector.get_table_names()
                if table != "alembic_version"
            }

    assert described(database) == described(plain)
    plain.close()


def test_the_program_knows_its_newest_migration(database: Database) -> None:
    with database.begin() as connection:
        scripts = ScriptDirectory.from_config(configuration(connection))
        assert scripts.get_current_head() == schema.REVISION
        assert MigrationContext.configure(connection).get_current_revision() == schema.REVISION


def test_every_migration_can_be_undone_and_done_again(database: Database) -> None:
    with database.begin() as connection:
        command.downgrade(configuration(connection), "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(configuration(connection), "head")
        assert set(sa.inspect(connection).get_table_names()) > set(schema.metadata.tables)


def test_a_migration_that_fails_leaves_nothing(database_url: str) -> None:
    database = Database(database_url)
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE faces (mine INTEGER)")
    with pytest.raises(SetupError, match=r"cannot be opened: .*faces\W* already exists"):
        Database.open(database_url)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["faces"]
    database.close()


def test_a_database_of_a_newer_version_is_refused_with_the_cure(database: Database, database_url: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SetupError, match=r"newer version of Recognizance \(its schema is 9999.*another data folder"):
        Database.open(database_url)


# A row of each table as the first schema has it, in an order that the foreign keys allow.
FIRST_ROWS: dict[str, dict[str, object]] = {
    "meta": {"name": "key file fingerprint", "value": b"\x00\xff"},
    "access_keys": {
        "pk": 4,
        "access_key_id": "AKIAOLD",
        "role": "reader",
        "secret": b"\x01" * 40,
        "enabled": True,
        "created_at": 1_790_000_000_000_000,
    },
    "idempotency": {
        "operation": "CreateUser",
        "principal": "p",
        "token": "t",
        "digest": b"\x02" * 32,
        "response": "{}",
        "created_at": 1_790_000_000_000_000,
    },
    "collections": {
        "pk": 7,
        "collection_id": "old",
        "contract_version": "1.0",
        "revision": 2,
        "face_count": 1,
        "user_count": 1,
        "created_at": 1_790_000_000_000_000,
    },
    "tags": {"collection_pk": 7, "key": "k", "value": "ü"},
    "face_log": {"collection_pk": 7, "revision": 2, "kind": 1, "subject": 12},
    "users": {"pk": 5, "collection_pk": 7, "user_id": "u", "vector": None, "created_at": 1_790_000_000_000_000},
    "faces": {
        "pk": 12,
        "collection_pk": 7,
        "face_id": UUID("11111111-2222-3333-4444-555555555555"),
        "image_id": UUID("aaaaaaaa-2222-3333-4444-555555555555"),
        "external_image_id": "é.jpg",
        "box_left": 0.1,
        "box_top": 0.2,
        "box_width": 0.3,
        "box_height": 0.4,
        "confidence": 99.5,
        "contract_version": "1.0",
        "user_pk": 5,
        "vector": b"\x00<" * 129,
        "created_at": 1_790_000_000_000_000,
    },
}


@pytest.fixture
def first(database_url: str) -> Iterator[Database]:
    """A database that the first schema's version made and wrote to."""
    made = Database(database_url)
    with made.begin() as connection:
        command.upgrade(configuration(connection), "0001")
        for table, row in FIRST_ROWS.items():
            values = {name: _as_kept(made, value) for name, value in row.items()}
            connection.execute(sa.insert(sa.table(table, *map(sa.column, row))), values)
    yield made
    made.close()


def _as_kept(database: Database, value: object) -> object:
    return value.hex if isinstance(value, UUID) and not database.is_postgresql else value


def test_a_database_of_the_first_version_keeps_every_row(first: Database, database_url: str) -> None:
    assert first.state() == "older"
    now = Database.open(database_url)
    assert now.state() == "current"
    with now.read() as connection:
        for table, row in FIRST_ROWS.items():
            (kept,) = connection.execute(sa.select(sa.text("*")).select_from(sa.table(table))).mappings()
            assert {name: kept[name] for name in row} == {name: _as_kept(now, value) for name, value in row.items()}
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    now.close()


def test_a_database_of_the_first_version_works_on(first: Database, database_url: str) -> None:
    """Its rows are read by this version's own code, and its counters go on."""
    del first
    now = Database.open(database_url)
    with now.begin() as connection:
        if now.is_postgresql:  # the rows above chose their keys themselves
            for table in ("collections", "faces"):
                connection.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'pk'), 12)"))
        collection = collections.get(connection, "old", lock=True)
        assert collection is not None
        assert tags.get(connection, collection.pk) == {"k": "ü"}
        (old,) = faces.page(connection, collection.pk, 0, 10)
        assert (old.face_id, old.user_id) == ("11111111-2222-3333-4444-555555555555", "u")
        new = faces.NewFace(str(uuid4()), str(uuid4()), None, (0.0, 0.0, 1.0, 1.0), 99.0, "1.0", b"\x00<" * 129)
        (pk,) = faces.insert(connection, collection.pk, [new], clock.now())
        assert pk == 13
        assert faces.keys(connection, collection.pk).tolist() == [12, 13]
    now.close()


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_can_be_declared_to_postgresql(table: sa.Table) -> None:
    declared = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert table.name in declared
    if "pk" in table.c:
        assert "pk BIGSERIAL NOT NULL" in declared
