from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from recognizance.core.errors import SetupError
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.storage.migrate import configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'x.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database.open(url)
    yield opened
    opened.close()


def test_migrations_from_nothing_make_the_tables_of_the_program(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


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


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    database = Database(url)
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE faces (mine INTEGER)")
    with pytest.raises(SetupError, match="cannot be opened: table faces already exists"):
        Database.open(url)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["faces"]
    database.close()


def test_a_database_of_a_newer_version_is_refused_with_the_cure(database: Database, url: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SetupError, match=r"newer version of Recognizance \(its schema is 9999.*another data folder"):
        Database.open(url)


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_can_be_declared_to_postgresql(table: sa.Table) -> None:
    declared = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert table.name in declared
    if "pk" in table.c:
        assert "pk BIGSERIAL NOT NULL" in declared
