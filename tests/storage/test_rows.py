"""Many rows in, many rows out."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError

from recognizance.core import clock
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.storage.repositories import _streams, collections, face_log, faces, users

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def collection(database: Database) -> int:
    return make(database, "c")


def make(database: Database, name: str) -> int:
    with database.begin() as connection:
        return collections.insert(connection, name, "1.0", clock.now()).pk


def new(number: int) -> faces.NewFace:
    identity = str(UUID(int=number))
    box = (number / 7, 0.25, 0.5, 1 / 3)
    return faces.NewFace(identity, identity, f"é {number}" if number % 2 else None, box, 99.5, "1.0", vector(number))


def vector(number: int) -> bytes:
    return number.to_bytes(4) * 64 + b"\0\xff"


def add(database: Database, collection: int, *numbers: int) -> list[int]:
    with database.begin() as connection:
        return faces.insert(connection, collection, [new(number) for number in numbers], clock.now())


def test_rows_come_back_as_they_were_inserted(database: Database, collection: int) -> None:
    pks = add(database, collection, *range(50))
    assert pks == sorted(set(pks))
    with database.read() as connection:
        rows = faces.by_pk(connection, pks)
        vectors = dict(faces.some_vectors(connection, pks))
    for number, pk in enumerate(pks):
        made, row = new(number), rows[pk]
        assert (row.face_id, row.image_id, row.external_image_id) == (
            made.face_id,
            made.image_id,
            made.external_image_id,
        )
        assert (row.box, row.confidence, row.user_pk) == (made.box, made.confidence, None)
        assert vectors[pk] == made.vector


def test_nothing_inserted_is_nothing(database: Database, collection: int) -> None:
    assert add(database, collection) == []
    with database.read() as connection:
        assert faces.keys(connection, collection).tolist() == []
        assert list(faces.all_vectors(connection, collection, 10)) == []


def test_no_key_comes_back(database: Database, collection: int) -> None:
    """Neither after a deletion of the newest rows, nor after a write that failed."""
    first = add(database, collection, *range(5))
    with database.begin() as connection:
        faces.delete(connection, first[2:])

    def fail() -> None:
        with database.begin() as connection:
            faces.insert(connection, collection, [new(9)], clock.now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    second = add(database, collection, *range(10, 13))
    assert second == sorted(second)
    assert min(second) > max(first)
    with database.read() as connection:
        assert faces.keys(connection, collection).tolist() == first[:2] + second


def test_keys_ascend_while_several_write(database: Database) -> None:
    """Within a collection they ascend in the order of the commits; no two rows have the same."""
    made = {name: make(database, name) for name in ("a", "b")}
    order: dict[str, list[int]] = {name: [] for name in made}

    def write(name: str, first: int) -> None:
        for number in range(first, first + 50, 5):
            with database.begin() as connection:
                assert collections.get(connection, name, lock=True)
                part = [new(one) for one in range(number, number + 5)]
                order[name] += faces.insert(connection, made[name], part, clock.now())

    threads = [threading.Thread(target=write, args=(name, first)) for name in made for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        for name, collection in made.items():
            assert faces.keys(connection, collection).tolist() == order[name]
    assert len({key for keys in order.values() for key in keys}) == 300


def test_a_row_that_is_there_already_is_refused_without_its_values(database: Database, collection: int) -> None:
    add(database, collection, 1)
    with pytest.raises(IntegrityError) as caught:
        add(database, collection, 2, 1)
    assert "00000000-0000-0000-0000-000000000001" not in "".join(traceback.format_exception(caught.value))
    with database.read() as connection:
        assert len(faces.keys(connection, collection)) == 1


def test_vectors_are_streamed_from_a_key_on(database: Database, collection: int) -> None:
    pks = add(database, collection, *range(25))
    add(database, make(database, "other"), *range(5))
    with database.read() as connection:
        parts = list(faces.vectors_after(connection, collection, pks[4], 8))
        assert [len(part) for part in parts] == [8, 8, 4]
        assert [row for part in parts for row in part] == [(pk, vector(n)) for n, pk in enumerate(pks) if n > 4]
        assert list(faces.vectors_after(connection, collection, pks[-1], 8)) == []
        assert sum(len(part) for part in faces.all_vectors(connection, collection, 8)) == 25


def test_more_keys_than_are_sent_at_once_are_all_there(
    database: Database, collection: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streams, "_ARRAY_ROWS", 8)
    for count in (0, 7, 8, 9, 24):
        pks = [*add(database, collection, *range(100 * count, 100 * count + count))]
        with database.begin() as connection:
            assert faces.keys(connection, collection).tolist() == pks
            faces.delete(connection, pks)


def test_other_statements_run_while_vectors_are_streamed(database: Database, collection: int) -> None:
    pks = add(database, collection, *range(10))
    with database.read() as connection:
        one = faces.all_vectors(connection, collection, 3)
        two = faces.all_vectors(connection, collection, 4)
        seen = [*next(iter(one)), *next(iter(two))]
        assert set(faces.by_pk(connection, pks)) == set(pks)
        assert len(seen) == 7
        assert sum(len(part) for part in one) + sum(len(part) for part in two) == 13


def test_users_that_have_faces_are_streamed(database: Database, collection: int) -> None:
    with database.begin() as connection:
        rows = [users.insert(connection, collection, f"u{number}", clock.now()) for number in range(6)]
        for number in (1, 2, 4, 5):
            users.set_vector(connection, rows[number].pk, vector(number))
    expected = [(rows[number].pk, vector(number)) for number in (1, 2, 4, 5)]
    with database.read() as connection:
        assert users.keys(connection, collection).tolist() == [pk for pk, _ in expected]
        assert [row for part in users.all_vectors(connection, collection, 3) for row in part] == expected
        after = users.vectors_after(connection, collection, rows[2].pk, 3)
        assert [row for part in after for row in part] == expected[2:]


def test_the_log_is_numbered_without_gaps(database: Database, collection: int) -> None:
    with database.begin() as connection:
        newest = face_log.append(connection, collection, 0, [(schema.FACE, 10), (schema.USER, 4)])
        assert face_log.append(connection, collection, newest, [(schema.FACE, 11)]) == 3
        assert face_log.append(connection, collection, 3, []) == 3
    with database.read() as connection:
        assert face_log.since(connection, collection, 1) == [(2, schema.USER, 4), (3, schema.FACE, 11)]


def test_errors_of_the_driver_are_sqlalchemys(database: Database) -> None:
    nothing = sa.Table("nothing", sa.MetaData(), sa.Column("pk", sa.BigInteger))
    expected = ProgrammingError if database.is_postgresql else sa.exc.OperationalError
    with pytest.raises(expected, match="nothing"), database.read() as connection:
        _streams.integers(connection, nothing.c.pk)
