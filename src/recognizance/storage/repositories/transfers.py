"""Rows of faces and users with everything that is kept of them, to be exported and imported."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.repositories import _bulk, _streams
from recognizance.storage.repositories._batches import batches
from recognizance.storage.schema import faces as face_table
from recognizance.storage.schema import users as user_table

_f, _u = face_table.c, user_table.c
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_EXISTING = sa.select(_f.face_id).where(_f.collection_pk == sa.bindparam("collection"), _f.face_id.in_(_KEYS))
_USER_KEYS = sa.select(_u.user_id, _u.pk).where(_u.collection_pk == sa.bindparam("collection"), _u.user_id.in_(_KEYS))
_COUNTS = sa.select(_f.user_pk, sa.func.count()).where(_f.user_pk.in_(_KEYS)).group_by(_f.user_pk)
_VECTORS = sa.select(_f.user_pk, _f.vector).where(_f.user_pk.in_(_KEYS)).order_by(_f.user_pk, _f.pk)
_SET_VECTOR = user_table.update().where(_u.pk == sa.bindparam("key")).values(vector=sa.bindparam("new_vector"))


def faces(connection: Connection, collection_pk: int, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give every face of a collection in key order, ``size`` at a time, as the driver gives its values.

    Face id, image id, external image id, user id, the box's four numbers, confidence, model version, vector, and the
    time as microseconds.
    """
    statement = (
        sa.select(
            _f.face_id,
            _f.image_id,
            _f.external_image_id,
            _u.user_id,
            _f.box_left,
            _f.box_top,
            _f.box_width,
            _f.box_height,
            _f.confidence,
            _f.contract_version,
            _f.vector,
            _f.created_at,
        )
        .select_from(face_table.outerjoin(user_table, _f.user_pk == _u.pk))
        .where(_f.collection_pk == collection_pk)
        .order_by(_f.pk)
    )
    return _streams.rows(connection, statement, size)


def users(connection: Connection, collection_pk: int, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Give every user's id and time as microseconds, in key order, ``size`` at a time."""
    statement = sa.select(_u.user_id, _u.created_at).where(_u.collection_pk == collection_pk).order_by(_u.pk)
    return _streams.rows(connection, statement, size)


def uuid_text(value: "str | UUID") -> str:
    """Return a UUID as callers know it: SQLite's driver gives its 32 digits, PostgreSQL's an object."""
    if isinstance(value, UUID):
        return str(value)
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


def existing(connection: Connection, collection_pk: int, face_ids: Sequence[str]) -> set[str]:
    """Return those of the face ids that the collection has."""
    return {
        face_id
        for part in batches(face_ids)
        for face_id in connection.scalars(_EXISTING, {"collection": collection_pk, "keys": list(part)})
    }


def user_keys(connection: Connection, collection_pk: int, user_ids: Sequence[str]) -> dict[str, int]:
    """Return the keys of those of the users that exist, by user id."""
    return {
        row[0]: row[1]
        for part in batches(user_ids)
        for row in connection.execute(_USER_KEYS, {"collection": collection_pk, "keys": list(part)})
    }


def face_counts(connection: Connection, user_pks: Sequence[int]) -> dict[int, int]:
    """Return how many faces those of the users have that have any."""
    return {row[0]: row[1] for part in batches(user_pks) for row in connection.execute(_COUNTS, {"keys": list(part)})}


def vectors_of_users(connection: Connection, user_pks: Sequence[int]) -> dict[int, list[bytes]]:
    """Return the vectors of these users' faces, each user's in key order."""
    found: dict[int, list[bytes]] = {}
    for part in batches(user_pks):
        for user_pk, vector in connection.execute(_VECTORS, {"keys": list(part)}):
            found.setdefault(user_pk, []).append(vector)
    return found


def set_vectors(connection: Connection, vectors: Mapping[int, bytes]) -> None:
    """Write users' vectors."""
    if vectors:
        connection.execute(_SET_VECTOR, [{"key": pk, "new_vector": vector} for pk, vector in vectors.items()])


def insert_faces(connection: Connection, collection_pk: int, columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """Insert at least one face, given as columns of the table; return their keys, ascending, in the same order."""
    return _insert(connection, face_table, collection_pk, columns)


def insert_users(connection: Connection, collection_pk: int, columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """Insert at least one user, given as columns of the table; return their keys, ascending, in the same order."""
    return _insert(connection, user_table, collection_pk, columns)


def _insert(
    connection: Connection, table: sa.Table, collection_pk: int, columns: Mapping[str, Sequence[Any]]
) -> list[int]:
    count = len(next(iter(columns.values())))
    pks = _bulk.new_keys(connection, table, count)
    _bulk.insert(connection, table, {"pk": pks, "collection_pk": [collection_pk] * count, **columns})
    return pks
