"""Rows of users."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.storage.repositories import _streams
from recognizance.storage.repositories._batches import batches
from recognizance.storage.schema import users as table


@dataclass(frozen=True, slots=True)
class UserRow:
    """A row of the table, without its vector; ``has_faces`` tells whether there is one."""

    pk: int
    user_id: str
    has_faces: bool


_COLUMNS = (table.c.pk, table.c.user_id, table.c.vector.is_not(None))
_GET = sa.select(*_COLUMNS).where(
    table.c.collection_pk == sa.bindparam("collection"), table.c.user_id == sa.bindparam("id")
)
_INSERT = table.insert().returning(table.c.pk)
_PAGE = (
    sa.select(*_COLUMNS)
    .where(table.c.collection_pk == sa.bindparam("collection"), table.c.pk > sa.bindparam("after"))
    .order_by(table.c.pk)
    .limit(sa.bindparam("count"))
)
_BY_PK = sa.select(*_COLUMNS).where(table.c.pk.in_(sa.bindparam("keys", expanding=True)))
_VECTOR = sa.select(table.c.vector).where(table.c.pk == sa.bindparam("key"))
_SOME_VECTORS = sa.select(table.c.pk, table.c.vector).where(
    table.c.pk.in_(sa.bindparam("keys", expanding=True)), table.c.vector.is_not(None)
)
_SET_VECTOR = table.update().where(table.c.pk == sa.bindparam("key")).values(vector=sa.bindparam("new_vector"))
_DELETE = table.delete().where(table.c.pk == sa.bindparam("key"))


def insert(connection: Connection, collection_pk: int, user_id: str, created_at: datetime) -> UserRow:
    """Insert a user without faces."""
    values = {"collection_pk": collection_pk, "user_id": user_id, "created_at": created_at}
    pk = connection.scalars(_INSERT, values).one()
    return UserRow(pk, user_id, has_faces=False)


def get(connection: Connection, collection_pk: int, user_id: str) -> UserRow | None:
    """Return a user, or None."""
    row = connection.execute(_GET, {"collection": collection_pk, "id": user_id}).one_or_none()
    return UserRow(*row) if row else None


def by_pk(connection: Connection, pks: Sequence[int]) -> dict[int, UserRow]:
    """Return those of the users that exist, by key."""
    return {row[0]: UserRow(*row) for part in batches(pks) for row in connection.execute(_BY_PK, {"keys": list(part)})}


def page(connection: Connection, collection_pk: int, after: int, count: int) -> list[UserRow]:
    """Return up to ``count`` users whose key is beyond ``after``, in key order."""
    rows = connection.execute(_PAGE, {"collection": collection_pk, "after": after, "count": count})
    return [UserRow(*row) for row in rows]


def delete(connection: Connection, pk: int) -> None:
    """Delete a user."""
    connection.execute(_DELETE, {"key": pk})


def vector(connection: Connection, pk: int) -> bytes | None:
    """Return a user's vector, or None when it has no faces."""
    found: bytes | None = connection.scalar(_VECTOR, {"key": pk})
    return found


def set_vector(connection: Connection, pk: int, value: bytes | None) -> None:
    """Write a user's vector; None when it has no faces."""
    connection.execute(_SET_VECTOR, {"key": pk, "new_vector": value})


def keys(connection: Connection, collection_pk: int) -> NDArray[np.int64]:
    """Return the keys of the users that have faces, ascending."""
    conditions = table.c.collection_pk == collection_pk, table.c.vector.is_not(None)
    return _streams.integers(connection, table.c.pk, *conditions)


def all_vectors(connection: Connection, collection_pk: int, size: int) -> Iterator[Sequence[tuple[int, bytes]]]:
    """Give the key and vector of every user that has faces in key order, ``size`` at a time."""
    return vectors_after(connection, collection_pk, 0, size)


def vectors_after(
    connection: Connection, collection_pk: int, after_pk: int, size: int
) -> Iterator[Sequence[tuple[int, bytes]]]:
    """Give the key and vector of the users that have faces and whose key is beyond ``after_pk``, in key order.

    They come ``size`` at a time. The iteration must end before the connection is given back.
    """
    statement = (
        sa.select(table.c.pk, table.c.vector)
        .where(table.c.collection_pk == collection_pk, table.c.pk > after_pk, table.c.vector.is_not(None))
        .order_by(table.c.pk)
    )
    return _streams.pairs(connection, statement, size)


def some_vectors(connection: Connection, pks: Sequence[int]) -> list[tuple[int, bytes]]:
    """Return the key and vector of those of the users that exist and have faces."""
    return [
        (row[0], row[1]) for part in batches(pks) for row in connection.execute(_SOME_VECTORS, {"keys": list(part)})
    ]
