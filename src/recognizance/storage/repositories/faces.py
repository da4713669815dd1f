"""Rows of faces."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.storage.repositories import _bulk, _streams
from recognizance.storage.repositories._batches import batches
from recognizance.storage.schema import faces as table
from recognizance.storage.schema import users


@dataclass(frozen=True, slots=True)
class NewFace:
    """What is stored of a face; the columns are explained at the table."""

    face_id: str
    image_id: str
    external_image_id: str | None
    box: tuple[float, float, float, float]
    confidence: float
    contract_version: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A row of the table, without its vector; ``user_id`` is the name of the user it belongs to."""

    pk: int
    face_id: str
    image_id: str
    external_image_id: str | None
    box: tuple[float, float, float, float]
    confidence: float
    contract_version: str
    user_pk: int | None
    user_id: str | None


_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_c = table.c
_SELECT = sa.select(
    _c.pk,
    _c.face_id,
    _c.image_id,
    _c.external_image_id,
    _c.box_left,
    _c.box_top,
    _c.box_width,
    _c.box_height,
    _c.confidence,
    _c.contract_version,
    _c.user_pk,
    users.c.user_id,
).select_from(table.outerjoin(users, _c.user_pk == users.c.pk))
_IN_COLLECTION = _c.collection_pk == sa.bindparam("collection")
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_BY_ID = _SELECT.where(_IN_COLLECTION, _c.face_id.in_(_KEYS))
_BY_PK = _SELECT.where(_c.pk.in_(_KEYS))
_PAGE = _SELECT.where(_IN_COLLECTION, _c.pk > sa.bindparam("after")).order_by(_c.pk).limit(sa.bindparam("count"))
_PAGE_OF_USER = (
    _SELECT.where(_c.user_pk == sa.bindparam("user"), _c.pk > sa.bindparam("after"))
    .order_by(_c.pk)
    .limit(sa.bindparam("count"))
)
_DELETE = table.delete().where(_c.pk.in_(_KEYS))
_SET_USER = table.update().where(_c.pk.in_(_KEYS)).values(user_pk=sa.bindparam("user"))
_CLEAR_USER = table.update().where(_c.user_pk == sa.bindparam("user")).values(user_pk=None)
_NEWEST = sa.select(_c.pk, _c.vector).where(_IN_COLLECTION).order_by(_c.pk.desc()).limit(1)
_SOME_VECTORS = sa.select(_c.pk, _c.vector).where(_c.pk.in_(_KEYS))
_VECTORS_OF_USER = sa.select(_c.vector).where(_c.user_pk == sa.bindparam("user")).order_by(_c.pk)
_COUNT_OF_USER = sa.select(sa.func.count()).where(_c.user_pk == sa.bindparam("user"))


def _row(row: Sequence[Any]) -> FaceRow:
    pk, face_id, image_id, external_image_id, left, top, width, height, confidence, version, user_pk, user_id = row
    box = (left, top, width, height)
    return FaceRow(pk, face_id, image_id, external_image_id, box, confidence, version, user_pk, user_id)


def insert(connection: Connection, collection_pk: int, faces: Sequence[NewFace], created_at: datetime) -> list[int]:
    """Insert faces, which nobody has as a user yet; return their keys, ascending, in the same order."""
    if not faces:
        return []
    pks = _bulk.new_keys(connection, table, len(faces))
    columns: dict[str, Sequence[Any]] = {
        "pk": pks,
        "collection_pk": [collection_pk] * len(faces),
        "created_at": [created_at] * len(faces),
    }
    for name in ("face_id", "image_id", "external_image_id", "confidence", "contract_version", "vector"):
        columns[name] = [getattr(face, name) for face in faces]
    sides = ("box_left", "box_top", "box_width", "box_height")
    columns |= dict(zip(sides, zip(*(face.box for face in faces), strict=True), strict=True))
    _bulk.insert(connection, table, columns)
    return pks


def by_id(connection: Connection, collection_pk: int, face_ids: Sequence[str]) -> dict[str, FaceRow]:
    """Return those of the faces that exist, by face id."""
    # PostgreSQL refuses what is no UUID, and takes capitals for small letters; SQLite just finds neither.
    possible = [face_id for face_id in face_ids if _ID.fullmatch(face_id)]
    rows = (
        row
        for part in batches(possible)
        for row in connection.execute(_BY_ID, {"collection": collection_pk, "keys": list(part)})
    )
    return {face.face_id: face for face in map(_row, rows)}


def by_pk(connection: Connection, pks: Sequence[int]) -> dict[int, FaceRow]:
    """Return those of the faces that exist, by key."""
    return {row[0]: _row(row) for part in batches(pks) for row in connection.execute(_BY_PK, {"keys": list(part)})}


def page(
    connection: Connection, collection_pk: int, after: int, count: int, user_pk: int | None = None
) -> list[FaceRow]:
    """Return up to ``count`` faces of a collection, or of one user, whose key is beyond ``after``, in key order."""
    if user_pk is not None:
        rows = connection.execute(_PAGE_OF_USER, {"user": user_pk, "after": after, "count": count})
    else:
        rows = connection.execute(_PAGE, {"collection": collection_pk, "after": after, "count": count})
    return [_row(row) for row in rows]


def delete(connection: Connection, pks: Sequence[int]) -> None:
    """Delete faces."""
    for part in batches(pks):
        connection.execute(_DELETE, {"keys": list(part)})


def set_user(connection: Connection, pks: Sequence[int], user_pk: int | None) -> None:
    """Give faces to a user, or to nobody."""
    for part in batches(pks):
        connection.execute(_SET_USER, {"keys": list(part), "user": user_pk})


def clear_user(connection: Connection, user_pk: int) -> None:
    """Take all its faces from a user."""
    connection.execute(_CLEAR_USER, {"user": user_pk})


def count_of_user(connection: Connection, user_pk: int) -> int:
    """Return how many faces a user has."""
    return int(connection.scalar(_COUNT_OF_USER, {"user": user_pk}) or 0)


def vectors_of_user(connection: Connection, user_pk: int) -> list[bytes]:
    """Return the vectors of a user's faces."""
    return list(connection.scalars(_VECTORS_OF_USER, {"user": user_pk}))


def keys(connection: Connection, collection_pk: int) -> NDArray[np.int64]:
    """Return the keys of a collection's faces, ascending."""
    return _streams.integers(connection, _c.pk, _c.collection_pk == collection_pk)


def newest(connection: Connection, collection_pk: int) -> tuple[int, bytes] | None:
    """Return the key and vector of the newest face of a collection, or None."""
    row = connection.execute(_NEWEST, {"collection": collection_pk}).one_or_none()
    return (row[0], row[1]) if row else None


def all_vectors(connection: Connection, collection_pk: int, size: int) -> Iterator[Sequence[tuple[int, bytes]]]:
    """Give the key and vector of every face of a collection in key order, ``size`` at a time."""
    return vectors_after(connection, collection_pk, 0, size)


def vectors_after(
    connection: Connection, collection_pk: int, after_pk: int, size: int
) -> Iterator[Sequence[tuple[int, bytes]]]:
    """Give the key and vector of every face whose key is beyond ``after_pk`` in key order, ``size`` at a time.

    The iteration must end before the connection is given back.
    """
    statement = sa.select(_c.pk, _c.vector).where(_c.collection_pk == collection_pk, _c.pk > after_pk).order_by(_c.pk)
    return _streams.pairs(connection, statement, size)


def some_vectors(connection: Connection, pks: Sequence[int]) -> list[tuple[int, bytes]]:
    """Return the key and vector of those of the faces that exist."""
    return [
        (row[0], row[1]) for part in batches(pks) for row in connection.execute(_SOME_VECTORS, {"keys": list(part)})
    ]
