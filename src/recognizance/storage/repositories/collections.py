"""Rows of collections."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.schema import collections as table


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A row of the table; the columns are explained there."""

    pk: int
    collection_id: str
    contract_version: str
    revision: int
    face_count: int
    user_count: int
    created_at: datetime


_BY_ID = sa.select(table).where(table.c.collection_id == sa.bindparam("id"))
# A key is never changed, so rows that refer to it may be written meanwhile: PostgreSQL locks the key for that.
_BY_ID_LOCKED = _BY_ID.with_for_update(key_share=True)
_PAGE = sa.select(table).where(table.c.pk > sa.bindparam("after")).order_by(table.c.pk).limit(sa.bindparam("count"))
_INSERT = table.insert().returning(table.c.pk)
_UPDATE = table.update().where(table.c.pk == sa.bindparam("key"))
_DELETE = table.delete().where(table.c.pk == sa.bindparam("key"))


def insert(connection: Connection, collection_id: str, contract_version: str, created_at: datetime) -> CollectionRow:
    """Insert an empty collection."""
    values = {"collection_id": collection_id, "contract_version": contract_version, "created_at": created_at}
    pk = connection.scalars(_INSERT, values | {"revision": 0, "face_count": 0, "user_count": 0}).one()
    return CollectionRow(pk, collection_id, contract_version, 0, 0, 0, created_at)


def get(connection: Connection, collection_id: str, *, lock: bool = False) -> CollectionRow | None:
    """Return a collection, or None. ``lock`` keeps others from changing it until this transaction ends."""
    row = connection.execute(_BY_ID_LOCKED if lock else _BY_ID, {"id": collection_id}).one_or_none()
    return CollectionRow(*row) if row else None


def page(connection: Connection, after: int, count: int) -> list[CollectionRow]:
    """Return up to ``count`` collections whose key is beyond ``after``, in key order."""
    return [CollectionRow(*row) for row in connection.execute(_PAGE, {"after": after, "count": count})]


def counters(connection: Connection, pk: int) -> tuple[int, int]:
    """Return the number of the newest entry of a collection's log and its count of faces; -1 and 0 once it is gone."""
    row = connection.execute(sa.select(table.c.revision, table.c.face_count).where(table.c.pk == pk)).one_or_none()
    return (row[0], row[1]) if row else (-1, 0)


def revisions(connection: Connection) -> dict[int, int]:
    """Return the number of the newest entry of every collection's log, by key."""
    return {row[0]: row[1] for row in connection.execute(sa.select(table.c.pk, table.c.revision))}


def update(connection: Connection, pk: int, *, revision: int, face_count: int, user_count: int) -> None:
    """Write a collection's counters."""
    connection.execute(_UPDATE, {"key": pk, "revision": revision, "face_count": face_count, "user_count": user_count})


def delete(connection: Connection, pk: int) -> None:
    """Delete a collection; the tables that hang on it follow."""
    connection.execute(_DELETE, {"key": pk})
