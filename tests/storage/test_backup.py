"""Backups of whole databases, from either kind into either kind."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import subprocess
import time
import uuid
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from recognizance.core.errors import SetupError
from recognizance.storage import _postgresql, schema
from recognizance.storage.backup import KEY_FILE, back_up, check, open_existing, open_package, refuse_used, restore
from recognizance.storage.backup.tables import tables_of, upgrade
from recognizance.storage.database import Database
from recognizance.storage.repositories import meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import PostgreSQL

FACES = 300
NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
KEY = b"a key\n"


def fill(url: str) -> None:
    """Make a database with something in every table of the first schema, and some rows that were deleted again."""
    rng = np.random.default_rng(3)
    with closing(Database.open(url)) as database, database.begin() as connection:
        connection.execute(schema.meta.insert(), {"name": meta.MILVUS_INSTALLATION, "value": b"mine"})
        connection.execute(schema.meta.insert(), {"name": "other", "value": b"\0\xff"})
        connection.execute(
            schema.access_keys.insert(),
            [
                {"access_key_id": f"K{i}", "role": "reader", "secret": b"\1\2", "enabled": bool(i), "created_at": NOW}
                for i in range(3)
            ],
        )
        connection.execute(
            schema.idempotency.insert(),
            {
                "operation": "CreateUser",
                "principal": "p",
                "token": "t",
                "digest": b"d",
                "response": '{"ä": "\\"}',
                "created_at": NOW,
            },
        )
        for name in ("people", "empty", "gone"):
            values = {"contract_version": "1.0", "revision": FACES, "face_count": FACES, "user_count": 5}
            connection.execute(schema.collections.insert(), values | {"collection_id": name, "created_at": NOW})
        connection.execute(schema.tags.insert(), {"collection_pk": 1, "key": "Größe", "value": ""})
        connection.execute(
            schema.users.insert(),
            [
                {"collection_pk": 1, "user_id": f"u{i}", "vector": None if i == 4 else b"\0" * 258, "created_at": NOW}
                for i in range(5)
            ],
        )
        connection.execute(
            schema.faces.insert(),
            [
                {
                    "collection_pk": 1,
                    "face_id": str(uuid.UUID(bytes=rng.bytes(16))),
                    "image_id": str(uuid.UUID(bytes=rng.bytes(16))),
                    "external_image_id": None if i % 3 else f"x{i}",
                    "box_left": 0.1 + i,
                    "box_top": 1 / 3,
                    "box_width": 1e-300,
                    "box_height": -0.0,
                    "confidence": 99.9,
                    "contract_version": "1.0",
                    "user_pk": i % 4 + 1 if i % 5 else None,
                    "vector": rng.bytes(258),
                    "created_at": NOW + timedelta(microseconds=i),
                }
                for i in range(FACES)
            ],
        )
        log = [{"collection_pk": 1, "revision": i + 1, "kind": 1, "subject": i + 1} for i in range(FACES)]
        connection.execute(schema.face_log.insert(), log)
        connection.execute(schema.collections.delete().where(schema.collections.c.collection_id == "gone"))
        connection.execute(schema.faces.delete().where(schema.faces.c.pk > FACES - 10))


def content(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of a database but what a restored one has of its own."""
    with closing(Database(url)) as database, database.read() as connection:
        found = {
            table.name: [
                dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in schema.metadata.sorted_tables
            if table is not schema.face_log
        }
    for row in found["collections"]:
        del row["revision"]
    found["meta"] = [row for row in found["meta"] if row["name"] != meta.MILVUS_INSTALLATION]
    return found


@pytest.fixture
def filled(database_url: str) -> str:
    """The URL of a database with something in it, of each kind."""
    fill(database_url)
    return database_url


@pytest.fixture
def backup(filled: str, tmp_path: Path) -> Path:
    """A backup of it."""
    with closing(open_existing(filled)) as database:
        back_up(database, tmp_path / "backup", key_file=KEY)
    return tmp_path / "backup"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored' / 'recognizance.db'}"
        return
    server = request.getfixturevalue("postgresql")
    url = server.create(empty=True)
    yield url
    server.drop(url)


@pytest.mark.parametrize("name", ["x", "x.zip"])
def test_every_row_comes_back_from_either_kind_into_either_kind(
    filled: str, empty_url: str, tmp_path: Path, name: str
) -> None:
    told: list[tuple[int, int]] = []
    with closing(open_existing(filled)) as database:
        written = back_up(database, tmp_path / name, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (written.rows, written.rows)
    told.clear()
    with open_package(tmp_path / name) as package:
        restore(package, empty_url, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (written.rows, written.rows)
    assert content(empty_url) == content(filled)
    assert len(content(empty_url)["faces"]) == FACES - 10
    Database.open(empty_url).close()


@pytest.mark.sqlite
def test_no_key_and_no_number_of_the_log_is_ever_given_twice(backup: Path, empty_url: str) -> None:
    """Not even one that the database which was backed up gave after the backup, or another restored one."""
    before = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    with open_package(backup) as package:
        assert package.manifest.table("faces").last_key == FACES
        assert package.manifest.table("collections").last_key == 3
        restore(package, empty_url)
    with closing(Database.open(empty_url)) as database, database.begin() as connection:
        assert connection.scalar(sa.select(sa.func.min(schema.collections.c.revision))) > before
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.face_log)) == 0
        values = {"collection_id": "c", "contract_version": "1", "revision": 0, "face_count": 0, "user_count": 0}
        new = schema.collections.insert().returning(schema.collections.c.pk)
        assert connection.scalar(new, values | {"created_at": NOW}) > before
        user = schema.users.insert().returning(schema.users.c.pk)
        assert connection.scalar(user, {"collection_pk": 1, "user_id": "n", "created_at": NOW}) > before
        key = schema.access_keys.insert().returning(schema.access_keys.c.pk)
        row = {"access_key_id": "N", "role": "reader", "secret": b"", "enabled": True, "created_at": NOW}
        assert connection.scalar(key, row) == 4
        assert meta.get(connection, meta.MILVUS_INSTALLATION) is None
        assert meta.get(connection, "other") == b"\0\xff"


def test_what_is_written_during_a_backup_is_in_none_of_it(filled: str, tmp_path: Path) -> None:
    before = content(filled)
    wrote = False

    def write(_done: int, _total: int) -> None:
        nonlocal wrote
        if not wrote:
            wrote = True
            with closing(Database.open(filled)) as other, other.begin() as connection:
                connection.execute(schema.faces.delete())
                connection.execute(schema.users.delete())
                connection.execute(schema.tags.insert(), {"collection_pk": 1, "key": "late", "value": ""})

    with closing(open_existing(filled)) as database:
        back_up(database, tmp_path / "b", progress=write)
    assert wrote
    assert content(filled)["faces"] == []
    with open_package(tmp_path / "b") as package:
        restore(package, f"sqlite:///{tmp_path / 'r.db'}")
    assert content(f"sqlite:///{tmp_path / 'r.db'}") == before


@pytest.mark.sqlite
def test_a_backup_is_for_its_owner_alone(backup: Path, filled: str) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.iterdir()} == {0o600}
    with closing(open_existing(filled)) as database:
        back_up(database, backup.with_name("b.zip"), key_file=KEY)
    assert stat.S_IMODE(backup.with_name("b.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(backup.with_name("b.zip")) as archive:
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100600}


@pytest.mark.sqlite
def test_the_digests_can_be_checked_without_this_program(backup: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], check=False, cwd=backup, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list(backup.iterdir())) - 1


@pytest.mark.sqlite
def test_the_key_file_is_in_a_backup_only_when_it_was_given(backup: Path, filled: str, tmp_path: Path) -> None:
    with open_package(backup) as package:
        assert package.key() == KEY
    with closing(open_existing(filled)) as database:
        back_up(database, tmp_path / "without")
    assert not (tmp_path / "without" / KEY_FILE).exists()
    with open_package(tmp_path / "without") as package:
        assert package.key() is None


def damaged(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.sqlite
def test_a_damaged_byte_is_found_in_each_file(backup: Path) -> None:
    for path in sorted(backup.iterdir()):
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            damaged(path, place)
            with (
                pytest.raises(SetupError, match=r"damaged|not a whole backup|does not list"),
                open_package(backup) as one,
            ):
                check(one)
            path.write_bytes(whole)
    with open_package(backup) as package:
        check(package)


@pytest.mark.sqlite
def test_a_damaged_archive_is_found(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with closing(open_existing(filled)) as database:
        back_up(database, path, key_file=KEY)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = [(info.header_offset + 30 + len(info.filename) + 20, info) for info in archive.infolist()]
    for start, info in places:
        damaged(path, start + info.file_size // 2)
        with pytest.raises(SetupError), open_package(path) as one:
            check(one)
        path.write_bytes(whole)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SetupError, match="not a backup, or not a whole one"), open_package(path):
            pass


@pytest.mark.sqlite
def test_an_archive_of_an_unknown_form_of_zip_is_refused(filled: str, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with closing(open_existing(filled)) as database:
        back_up(database, path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 6] = 255  # the version needed to extract; PKWARE APPNOTE.TXT, section 4.3.12
    path.write_bytes(data)
    with pytest.raises(SetupError, match="not a backup, or not a whole one"), open_package(path):
        pass


@pytest.mark.sqlite
def test_nothing_is_written_from_a_damaged_backup(backup: Path, empty_url: str) -> None:
    damaged(backup / "faces.parquet", 1000)
    with open_package(backup) as package, pytest.raises(SetupError, match=r"faces\.parquet is not what was written"):
        restore(package, empty_url)
    refuse_used(empty_url)


@pytest.mark.sqlite
def test_a_missing_and_a_foreign_file_are_found(backup: Path) -> None:
    (backup / "users.parquet").rename(backup / "kept")
    with pytest.raises(SetupError, match=r"not whole: users\.parquet is missing"), open_package(backup):
        pass
    (backup / "kept").rename(backup / "users.parquet")
    with (backup / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  other.parquet\n")
    with pytest.raises(SetupError, match="does not list"), open_package(backup):
        pass


def rewritten(backup: Path, **changes: object) -> None:
    """Change a manifest, and its digest with it, as no accident would."""
    path = backup / "manifest.json"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    sums = backup / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2, "program_version": "7.0"}, "version 7.0 of Recognizance, in a form"),
        ({"format": "other"}, "manifest .* cannot be read: format"),
        ({"more": 1}, "manifest .* cannot be read: more"),
        ({"tables": []}, "does not list the files"),
        ({"schema_revision": "9999"}, "not known to this version"),
        ({"schema_revision": "head"}, "not known to this version"),
    ],
)
def test_a_manifest_that_this_version_does_not_understand_is_refused(
    backup: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    rewritten(backup, **changes)
    with pytest.raises(SetupError, match=message), open_package(backup) as package:
        restore(package, f"sqlite:///{tmp_path / 'r.db'}")
    assert not (tmp_path / "r.db").exists()


@pytest.mark.sqlite
@pytest.mark.parametrize("change", ["rows", "columns", "last_key"])
def test_a_manifest_that_the_files_contradict_is_refused(backup: Path, change: str) -> None:
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    faces = next(table for table in tables if table["name"] == "faces")
    faces[change] = {"rows": 1, "columns": faces["columns"][:-1], "last_key": None}[change]
    rewritten(backup, tables=tables)
    with open_package(backup) as package, pytest.raises(SetupError, match="contradicts its manifest"):
        check(package)


@pytest.mark.parametrize("what", ["the same database", "an empty one"])
def test_a_database_that_is_used_is_refused(backup: Path, filled: str, what: str) -> None:
    if what == "an empty one":
        with closing(Database(filled)) as database, database.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                connection.execute(table.delete())
    before = content(filled)
    with pytest.raises(SetupError, match=r"[Nn]othing is overwritten"):
        refuse_used(filled)
    with open_package(backup) as package, pytest.raises(SetupError, match=r"[Nn]othing is overwritten"):
        restore(package, filled)
    assert content(filled) == before


@pytest.mark.sqlite
@pytest.mark.parametrize("side", ["-wal", "-shm", "-journal"])
def test_side_files_of_another_database_are_refused(backup: Path, tmp_path: Path, side: str) -> None:
    """SQLite would take them for those of the restored one."""
    (tmp_path / f"r.db{side}").touch()
    with open_package(backup) as package, pytest.raises(SetupError, match=f"r.db{side} exists already"):
        restore(package, f"sqlite:///{tmp_path / 'r.db'}")


@pytest.mark.sqlite
def test_a_restore_that_fails_at_the_end_leaves_nothing(backup: Path, empty_url: str) -> None:
    def fail() -> None:
        raise SetupError("the key file cannot be written")

    with open_package(backup) as package, pytest.raises(SetupError, match="the key file cannot be written"):
        restore(package, empty_url, before=fail)
    refuse_used(empty_url)
    with open_package(backup) as package:
        restore(package, empty_url)


@pytest.mark.sqlite
def test_restoring_a_large_table_takes_as_long_as_it_takes(
    backup: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table is a single statement, which may take longer than any other of the program."""
    url = postgresql.create(empty=True)
    monkeypatch.setitem(_postgresql._SESSION, "statement_timeout", "1s")
    told: list[int] = []

    def dawdle(done: int, _total: int) -> None:
        if done >= FACES - 10 and not told:  # in the middle of the faces
            told.append(done)
            time.sleep(1.5)

    with open_package(backup) as package:
        restore(package, url, progress=dawdle)
    monkeypatch.undo()
    assert told
    assert len(content(url)["faces"]) == FACES - 10
    postgresql.drop(url)


@pytest.mark.sqlite
def test_what_a_killed_restore_left_is_taken_over(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "r.db.restoring").write_bytes(b"half")
    (tmp_path / "r.db.restoring-wal").write_bytes(b"half")
    with open_package(backup) as package:
        restore(package, f"sqlite:///{tmp_path / 'r.db'}")
    assert not list(tmp_path.glob("*.restoring*"))
    assert stat.S_IMODE((tmp_path / "r.db").stat().st_mode) == 0o600
    with closing(Database.open(f"sqlite:///{tmp_path / 'r.db'}")) as database, database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def old_database(url: str) -> None:
    """Make a database of the first revision with a collection in it."""
    with closing(Database(url)) as database, database.begin() as connection:
        upgrade(connection, "0001")
        values = {"collection_id": "old", "contract_version": "1", "revision": 0, "face_count": 0, "user_count": 0}
        connection.execute(schema.collections.insert(), values | {"created_at": NOW})


def test_a_database_of_an_older_version_is_backed_up_as_it_is_and_restored_into_this_one(
    request: pytest.FixtureRequest, database_kind: str, empty_url: str, tmp_path: Path
) -> None:
    """The first revision there ever was: what is backed up today must be of use in every later version."""
    server = request.getfixturevalue("postgresql") if database_kind == "postgresql" else None
    url = server.create(empty=True) if server else f"sqlite:///{tmp_path / 'old.db'}"
    old_database(url)
    with closing(open_existing(url)) as database:
        manifest = back_up(database, tmp_path / "b")
        with database.read() as connection:
            assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"
    assert manifest.schema_revision == "0001"
    with open_package(tmp_path / "b") as package:
        restore(package, empty_url)
    with closing(Database(empty_url)) as database, database.read() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == schema.REVISION
        assert connection.scalars(sa.select(schema.collections.c.collection_id)).all() == ["old"]
    if server:
        server.drop(url)


@pytest.mark.sqlite
def test_what_is_no_database_of_this_program_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="There is no database"):
        open_existing(f"sqlite:///{tmp_path / 'x.db'}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.db").touch()
    empty = closing(open_existing(f"sqlite:///{tmp_path / 'x.db'}"))
    with empty as database, pytest.raises(SetupError, match="nothing to back up"):
        back_up(database, tmp_path / "b")
    assert not list(tmp_path.glob("b*"))


@pytest.mark.sqlite
def test_a_database_of_a_newer_version_is_not_backed_up(filled: str, tmp_path: Path) -> None:
    with closing(Database(filled)) as database:
        with database.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SetupError, match="newer version"):
            back_up(database, tmp_path / "b")


@pytest.mark.parametrize("url", ["not a url", "sqlite"])
@pytest.mark.sqlite
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(SetupError) as error:
        refuse_used(url)
    assert "not a url" not in str(error.value)


def test_every_column_of_every_revision_has_a_portable_form() -> None:
    tables = {table.name: table for table in tables_of(schema.REVISION)}
    assert tables.keys() == schema.metadata.tables.keys()
    for table in schema.metadata.sorted_tables:
        assert {column.name for column in tables[table.name].columns} == set(table.columns.keys())
        assert tables[table.name].key == tuple(column.name for column in table.primary_key.columns)
    assert {column.name: column.kind for column in tables["faces"].columns}["face_id"] == "uuid"
    assert tables["faces"].counted
    assert not tables["face_log"].counted
    order = list(tables)
    assert order.index("collections") < order.index("users") < order.index("faces")


@pytest.mark.sqlite
def test_a_folder_that_others_share_is_restored_into_once(backup: Path, tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with open_package(backup) as package, pytest.raises(SetupError, match="Another process is restoring"):
            restore(package, f"sqlite:///{tmp_path / 'r.db'}")
    finally:
        os.close(handle)
